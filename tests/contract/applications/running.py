"""Applications of this folder, started by an engine, and asked."""

import json
import select
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path

from trivet.containers.ports import claim
from trivet.core.containers import ContainerSpec

FOLDER = Path(__file__).parent
WITHIN = 60.0
ROUTES = {"AIP_HEALTH_ROUTE": "/well", "AIP_PREDICT_ROUTE": "/v1/endpoints/1/deployedModels/2:predict"}

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def until(condition, within=WITHIN):
    """Wait for something to be true, with a bound for hangs; return it."""
    since = time.monotonic()
    while not (found := condition()):
        assert time.monotonic() - since < within, "it never came"
        select.select([], [], [], 0.02)
    return found


def ask(port, path, body=None):
    """Return the JSON that an application answers."""
    content = None if body is None else json.dumps(body).encode()
    with _direct.open(
        urllib.request.Request(f"http://127.0.0.1:{port}{path}", content), timeout=WITHIN
    ) as answer:
        return json.load(answer)


def answers(port, path=ROUTES["AIP_HEALTH_ROUTE"]):
    """Whether something answers on a port."""
    try:
        ask(port, path)
    except OSError:  # which an HTTP status of failure is, too
        return False
    return True


class Started:
    """An application that runs, and how to ask it."""

    def __init__(self, application):
        self.application = application

    def ask(self, path, body=None):
        return ask(self.application.port, path, body)

    def does(self, path):
        """Ask for what ends it, so that there may be no answer; return how it ended."""
        with suppress(OSError, ValueError):
            self.ask(path)
        return until(lambda: self.application.ended)

    def predict(self, instances):
        return self.ask(ROUTES["AIP_PREDICT_ROUTE"], {"instances": instances})["predictions"]


@contextmanager
def begun(engine, spec, *, env=None, files=None):
    """Start an application, which need not become well."""
    prepared = engine.prepare(spec, lambda line: None)
    port = claim()
    variables = {"AIP_HTTP_PORT": str(port.number), "PORT": str(port.number), **ROUTES, **(env or {})}
    try:
        application = engine.start(spec, prepared, variables, port.number, files)
        try:
            yield Started(application)
        finally:
            application.stop(0.5)
    finally:
        port.close()


@contextmanager
def started(engine, spec, **given):
    """Start an application, and wait until it is well."""
    with begun(engine, spec, **given) as one:
        until(lambda: one.application.ended or answers(one.application.port))
        assert not one.application.ended, list(one.application.tail(99))
        yield one


def plain(cache, **given):
    """Return the spec of the application that needs the standard library alone."""
    return ContainerSpec(folder=FOLDER / "plain", cache=cache, **given)
