"""An application of a model from its start to its end, as jobs and SQL have it: by `lifecycle.load`."""

import re
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from queue import Queue
from threading import Event
from time import monotonic

import httpx
import pytest
from google.cloud import storage

from trivet.core.containers import ContainerSpec, Probe
from trivet.core.errors import (
    Cancelled,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    PermissionDenied,
    ResourceExhausted,
)
from trivet.core.instances import Instances, object_column
from trivet.core.names import ModelRef
from trivet.runtimes.base import Permissions
from trivet.serving.lifecycle import ModelSpec, load

MOODY = Path(__file__).parent / "moody"
OFTEN = Probe(period=0.1, timeout=0.4)
SHOWS = (("SHOW", "requests"),)
WITHIN = 20


@pytest.fixture(scope="module", params=["process", "podman"])
def spec(request, tmp_path_factory):
    if request.param == "podman":
        request.getfixturevalue("podman")
    cache = tmp_path_factory.mktemp("cache")
    return ContainerSpec(folder=MOODY, engine=request.param, cache=cache, health=OFTEN)


@contextmanager
def started(spec, files=Path(), permissions=None):
    model = load(
        ModelSpec(ModelRef("moody"), files, "container", container=spec), permissions or Permissions()
    )
    try:
        yield model.predictor
    finally:
        model.predictor.close()


@pytest.fixture(scope="module")
def moody(spec):
    with started(spec) as predictor:
        yield predictor


def ask(predictor, *values, **parameters):
    answer = predictor.predict(Instances({"instance": object_column(values)}, len(values)), parameters)
    return answer.columns["prediction"].tolist()


def do(what, value):
    return {"do": [what, value]}


@pytest.fixture
def states(moody):
    """The states of the application, as they come; the one of now is taken out."""
    ask(moody, 1)  # which starts it again after a test that failed
    found = Queue()
    moody.watch(found.put)
    assert found.get(timeout=WITHIN).well
    return found


def post(port, body):
    """Ask the application itself."""
    with httpx.Client() as client:
        client.post(f"http://127.0.0.1:{port}/predict", json=body)


def told(port, path):
    """Return what the application says of itself."""
    with httpx.Client() as client:
        return client.get(f"http://127.0.0.1:{port}{path}").json()


def variables(port):
    """Return the environment of the application, and its process."""
    return told(port, "/env")


def process_of(port):
    return int(variables(port)["PID"])


def ended(port):
    """Wait until nobody listens on a port any more. Processes in containers have other numbers here."""
    until = monotonic() + WITHIN
    while monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            return True
        Event().wait(0.05)
    return False


def test_what_is_known_of_it(spec):
    model = load(ModelSpec(ModelRef("m"), MOODY, container=spec), Permissions())
    model.predictor.close()
    info = model.info
    assert (info.framework, info.placement.where, info.warm_up) == ("container", "container", None)
    assert info.placement.reason == "it is an application of its own, which is asked over HTTP"
    assert (info.spec.container.folder, info.slots, info.defaults) == (MOODY, 64, {})
    assert info.signature.takes_json


def test_any_values_go_there_and_back(moody):
    values = [1, 1.5, "ü", None, True, [], {}, [[1, [2]]], {"b64": "AAA="}]
    assert ask(moody, *values) == values
    assert ask(moody) == []


def test_requests_have_the_rows_and_the_parameters_that_were_given(spec):
    with started(replace(spec, rows=3, env=SHOWS)) as predictor:
        answers = ask(predictor, *range(10), threshold=0.5, names=["a"])
    assert [one["rows"] for one in answers] == [3] * 9 + [1]
    assert all(one["parameters"] == {"threshold": 0.5, "names": ["a"]} for one in answers)


def test_no_parameters_are_none(spec):
    with started(replace(spec, env=SHOWS)) as predictor:
        assert ask(predictor, 1)[0]["parameters"] is None


@pytest.mark.parametrize(
    ("instance", "kind", "told"),
    [
        (do("status", 422), InvalidArgument, r"the container answered 422: .*status 422 was asked for"),
        (do("status", 404), InvalidArgument, "the container answered 404"),
        (do("status", 500), Internal, "the container answered 500"),
        (do("text", "not JSON"), Internal, "the container answered 'not JSON'; expected JSON"),
        (do("text", "{}"), Internal, "the container answered '{}'; expected JSON"),
        (do("fewer", 1), Internal, "the container gave 0 predictions for 1 instances"),
    ],
    ids=["422", "404", "500", "text", "nothing", "fewer"],
)
def test_a_bad_answer_costs_its_row_alone(moody, instance, kind, told):
    ask(moody, 1)
    rows = [1, 2, instance, 3, 4]
    answers = list(moody.score(Instances({"instance": object_column(rows)}, 5), {}))
    assert [(start, stop) for start, stop, _ in answers] == [(0, 2), (2, 3), (3, 5)]
    assert type(answers[1][2]) is kind
    with pytest.raises(kind, match=told):
        ask(moody, *rows)


def test_a_row_that_crashes_it_is_found_and_the_others_are_answered(moody, caplog):
    rows = [1, 2, do("crash", 3), 4]
    answers = list(moody.score(Instances({"instance": object_column(rows)}, 4), {}))
    assert [(start, stop) for start, stop, _ in answers] == [(0, 2), (2, 3), (3, 4)]
    assert "the container ended with 3" in str(answers[1][2])
    told = [one.message for one in caplog.records if "ended with 3" in one.message]
    assert "moody@1: the container ended with 3; its last lines:\n" in told[0]
    assert "crashing with 3" in told[0]
    assert ask(moody, 1) == [1]


@pytest.mark.parametrize("attempt", range(3))
def test_rows_beside_one_that_ends_it_again_and_again_are_not_blamed(spec, attempt):
    count = 40
    rows = [*range(count), do("crash", 3), *range(count)]
    with started(replace(spec, rows=1, concurrency=16)) as predictor:
        answers = list(predictor.score(Instances({"instance": object_column(rows)}, len(rows)), {}))
    assert [(start, stop) for start, stop, _ in answers] == [(0, 40), (40, 41), (41, 81)]
    assert "the container ended with 3" in str(answers[1][2])


def test_states_are_told_and_the_last_one_is_over(spec):
    with started(spec) as predictor:
        found = Queue()
        predictor.watch(found.put)
        first = found.get(timeout=WITHIN)
        assert (first.well, first.over, first.port) == (True, False, predictor.state.port)
    last = found.get(timeout=WITHIN)
    assert (last.well, last.over, last.reason) == (False, True, "the container was stopped")
    with pytest.raises(Cancelled):
        ask(predictor, 1)


def test_four_failed_health_checks_take_it_out_and_the_first_good_one_brings_it_back(moody, states, caplog):
    ask(moody, do("health", 503))
    out = states.get(timeout=WITHIN)
    assert (out.well, out.over) == (False, False)
    reason = "the container is not well: GET /health answered 503 (Service Unavailable), 4 times"
    assert out.reason == reason
    assert any(reason in one.message and "its last lines" in one.message for one in caplog.records)
    process = process_of(out.port)
    post(out.port, {"instances": [do("health", 200)]})
    assert states.get(timeout=WITHIN).well
    assert process_of(moody.state.port) == process
    assert ask(moody, 1) == [1]


def test_one_that_hangs_is_taken_out(spec):
    with started(spec) as predictor:
        found = Queue()
        predictor.watch(found.put)
        found.get(timeout=WITHIN)
        post(predictor.state.port, {"instances": [do("health", 0)]})
        out = found.get(timeout=WITHIN)
        assert out.reason == "the container is not well: GET /health was not answered within 0.4 s, 4 times"
        began = monotonic()
    assert monotonic() - began < 15
    assert ended(out.port)


def test_one_that_cannot_be_reached_is_ended(spec):
    with started(replace(spec, liveness=Probe(port=9, period=0.1))) as predictor:
        found = Queue()
        predictor.watch(found.put)
        found.get(timeout=WITHIN)
        last = found.get(timeout=WITHIN)
        assert last.over
        why = "a connection to port 9 failed: Connection refused"
        assert last.reason == f"the container was ended, since it could not be reached: {why}"
        assert ask(predictor, 1) == [1]  # another was started


def test_a_probe_may_be_a_command_beside_it(spec):
    good = replace(OFTEN, command=("python", "-c", ""))
    bad = replace(OFTEN, command=("python", "-c", "import sys; sys.exit(1)"))
    with started(replace(spec, health=good, start_timeout=WITHIN)) as predictor:
        assert predictor.state.well
    with (
        pytest.raises(FailedPrecondition, match=r"import sys.*` failed"),
        started(replace(spec, startup=bad, start_timeout=3.0)),
    ):
        pass


def test_one_that_does_not_start_is_told_with_its_last_lines(spec):
    began = monotonic()
    with pytest.raises(FailedPrecondition) as told, started(replace(spec, env=(("BROKEN", "model.cbm"),))):
        pass
    lines = str(told.value).splitlines()
    assert lines[0] == "the container ended with 1 before it was ready; its last lines:"
    assert {"reading the model", "no such file: model.cbm"} == set(lines[1:])
    assert monotonic() - began < 10


def test_one_that_starts_slowly_is_waited_for(spec):
    with started(replace(spec, env=(("STARTS_IN", "1.5"),))) as predictor:
        assert ask(predictor, 1) == [1]


@pytest.mark.parametrize(
    ("env", "why"),
    [
        (("STARTS_IN", "60"), "GET /health failed: Connection refused; it printed nothing"),
        (
            ("HEALTH", "500"),
            r"GET /health answered 500 \(Internal Server Error\); its last lines:\nlistening on",
        ),
        (
            ("HEALTH", "404"),
            r"GET /health answered 404 \(Not Found\); if its health route is another one, say so",
        ),
    ],
)
def test_one_that_takes_too_long_is_ended(spec, env, why):
    with (
        pytest.raises(FailedPrecondition, match=f"the container was not ready within 3 s: {why}"),
        started(replace(spec, env=(env,), start_timeout=3.0)),
    ):
        pass


def test_the_log_says_what_is_waited_for(spec, monkeypatch, caplog):
    monkeypatch.setattr("trivet.containers.running._TELLS_AFTER", 0.5)
    with started(replace(spec, env=(("STARTS_IN", "1.5"),))):
        pass
    assert re.search(
        r"the container is not ready after \d s: GET /health failed: Connection refused", caplog.text
    )


def test_a_full_container_is_asked_again_later(spec):
    with started(spec) as predictor:
        predictor._patience = 0.5  # else it would take minutes to give up
        with pytest.raises(ResourceExhausted, match="the container answered 429"):
            ask(predictor, do("status", 429))


def test_it_has_the_variables_of_the_contract_and_none_of_the_servers(spec, monkeypatch):
    monkeypatch.setenv("SERVER_SECRET", "1")
    with started(
        replace(spec, env=(("MODULE_NAME", "main2"),), about=(("AIP_ENDPOINT_ID", "7"),))
    ) as predictor:
        env = variables(predictor.state.port)
        published = 8080 if spec.engine == "podman" else predictor.state.port
        assert env["AIP_HTTP_PORT"] == str(published)
    assert (env["MODULE_NAME"], env["AIP_ENDPOINT_ID"], env["AIP_STORAGE_URI"]) == ("main2", "7", "")
    assert "SERVER_SECRET" not in env


def test_it_reads_its_models_files_as_from_cloud_storage(spec, tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.cbm").write_text("trees")
    with started(replace(spec, artifact_uri="gs://bucket/v1/"), tmp_path / "model") as predictor:
        env = variables(predictor.state.port)
        assert env["AIP_STORAGE_URI"] == "gs://bucket/v1"
        assert told(predictor.state.port, "/files") == {"model.cbm": "trees"}
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", env["STORAGE_EMULATOR_HOST"])
        with storage.Client() as client:
            assert client.bucket("bucket").blob("v1/model.cbm").download_as_text() == "trees"
    with started(spec, tmp_path / "model") as predictor:
        assert variables(predictor.state.port)["AIP_STORAGE_URI"] == "gs://trivet-models/model"


def test_it_is_not_run_where_that_is_not_allowed(spec):
    with (
        pytest.raises(PermissionDenied, match="allow_containers"),
        started(spec, permissions=Permissions(containers=False)),
    ):
        pass


def test_it_ends_with_the_process_that_started_it(spec):
    code = f"""
import sys
from pathlib import Path
from trivet.core.containers import ContainerSpec
from trivet.core.names import ModelRef
from trivet.runtimes.base import Permissions
from trivet.serving.lifecycle import ModelSpec, load
spec = ContainerSpec(folder=Path({str(MOODY)!r}), engine={spec.engine!r}, cache=Path({str(spec.cache)!r}))
model = load(ModelSpec(ModelRef("m"), Path(), "container", container=spec), Permissions())
print(model.predictor.state.port, flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        port = int(process.stdout.readline())
        process.kill()
    assert ended(port)
