"""Runs a server: listens at once, loads the models, serves, drains when told to stop."""

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from tempfile import TemporaryDirectory
from typing import Any

from trivet import protocols, storage
from trivet.app import logs
from trivet.app.asgi import application
from trivet.codecs.json_body import BodyLimits
from trivet.config import Model, Settings
from trivet.core.errors import FailedPrecondition, ServingError
from trivet.core.names import ModelRef
from trivet.http.server import HttpServer
from trivet.protocols.base import ContainerRoutes, HttpProtocol, Services
from trivet.runtimes.base import Permissions
from trivet.serving.batching import BatchLimits
from trivet.serving.lifecycle import LoadedModel, ModelSpec, load
from trivet.serving.offload import apart
from trivet.serving.plane import DataPlane, DeployedModel, Route
from trivet.telemetry import SECONDS, Metrics

log = logging.getLogger("trivet")

Announce = Callable[[str, Sequence[LoadedModel]], None]


def run(settings: Settings, announce: Announce) -> int:
    """Serve until told to stop; returns the exit status.

    `announce` is told the address and the models when the first prediction would be answered. Raises
    FailedPrecondition where the port is taken, or what loading a model raises.
    """
    logs.configure(settings.log)
    with _listen(settings) as listening, asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_Serving(settings, announce).serve(listening))


def models(settings: Settings, scratch: Path) -> list[LoadedModel]:
    """Fetch and load every model of the settings; `scratch` keeps what comes from elsewhere."""
    permissions = permissions_of(settings)
    loaded = []
    for name, model in settings.models.items():
        path = storage.fetch(model.path, scratch / name)
        try:
            loaded.append(load(spec(name, model, path, settings.batching), permissions))
        except ServingError as error:
            error.add_note(name)
            raise
    return loaded


def permissions_of(settings: Settings) -> Permissions:
    """Return what artifacts may do."""
    artifacts = settings.artifacts
    return Permissions(artifacts.allow_pickle, artifacts.allow_python, artifacts.trusted_types)


def spec(name: str, model: Model, path: Path, batching: BatchLimits) -> ModelSpec:
    """Say how to serve a model: its own settings over the common ones."""

    own = {one.name: getattr(model, one.name) for one in fields(BatchLimits)}
    limits = replace(batching, **{name: value for name, value in own.items() if value is not None})
    ref = ModelRef.parse(name)
    return ModelSpec(ref, path, model.framework, model.output, model.placement, limits)


def routes(loaded: Sequence[LoadedModel], metrics: Metrics) -> dict[str, Route]:
    """Deploy the models: the newest version of a name answers for it, all have paths of their own."""
    by_name: dict[str, list[DeployedModel]] = {}
    for model in loaded:
        ref = model.spec.ref
        metrics.histogram(
            "trivet_load_duration_seconds",
            "From the artifact to a predictor that is warmed up.",
            SECONDS,
            model=ref.name,
            version=ref.version,
        ).observe(model.load_seconds)
        by_name.setdefault(ref.name, []).append(DeployedModel(model, metrics))
    table = {}
    for name, deployed in by_name.items():
        newest = max(deployed, key=lambda one: _age(one.ref.version))
        versions = {one.ref.version: one for one in deployed}
        table[name] = Route(name, {newest.ref.version: 100}, versions)
    return table


def _age(version: str) -> tuple[int, str]:
    return (int(version), "") if version.isdigit() else (-1, version)


@dataclass
class _Serving:
    """One run of a server, from listening to the last answer."""

    settings: Settings
    announce: Announce
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    hurried: asyncio.Event = field(default_factory=asyncio.Event)
    signals: int = 0

    async def serve(self, listening: socket.socket) -> int:
        settings = self.settings
        plane = DataPlane(Metrics())
        services = Services(
            plane,
            BodyLimits(settings.limits.max_instances, settings.limits.max_depth),
            ContainerRoutes(settings.container.predict_route, settings.container.health_route),
        )
        probes = frozenset(("/livez", "/readyz", settings.container.health_route))
        protocols = list(_protocols(services))
        http = HttpServer(plane, protocols, application(protocols), settings.limits, settings.log, probes)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):  # already, since it may be stopped while loading
            loop.add_signal_handler(number, self._signalled, number, http)
        await http.listen(listening)
        with TemporaryDirectory(prefix="trivet-") as scratch:
            loading = apart(lambda: models(settings, Path(scratch)), "load")
            stopping = asyncio.create_task(self.stopping.wait())
            either: list[asyncio.Future[Any]] = [loading, stopping]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            try:
                if loading.done():
                    plane.routes = routes(loading.result(), plane.metrics)
                    plane.ready = True
                    self.announce(_address(listening), [d.model for d in _deployed(plane)])
                await stopping
                await self._drain(plane)
            finally:
                http.stop_listening()
                await http.retire(0, settings.server.drain_timeout)
                for deployed in _deployed(plane):
                    deployed.close()  # which answers whoever is left
                http.abort()
        return 0

    def _signalled(self, number: int, http: HttpServer) -> None:
        """First signal: drain. SIGINT skips the window, and a second signal everything."""
        self.signals += 1
        if number == signal.SIGINT or self.signals > 1:
            self.hurried.set()
        self.stopping.set()
        if self.signals > 1:
            http.abort()

    async def _drain(self, plane: DataPlane) -> None:
        plane.draining = True
        window = self.settings.server.drain_window
        if window and not self.hurried.is_set():
            log.info("draining: /readyz says no; requests are accepted for %g s more", window)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(window):
                    await self.hurried.wait()


def _protocols(services: Services) -> Iterator[HttpProtocol]:
    """Make every protocol there is: each module of their package that has a `PROTOCOL`."""
    for info in iter_modules(protocols.__path__):
        module = import_module(f"{protocols.__name__}.{info.name}")
        if hasattr(module, "PROTOCOL"):
            yield module.PROTOCOL(services)


def _deployed(plane: DataPlane) -> list[DeployedModel]:
    return [one for route in plane.routes.values() for one in route.deployed.values()]


def _listen(settings: Settings) -> socket.socket:
    host, port = settings.server.host, settings.server.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise FailedPrecondition(
            f"cannot listen on {host}:{port}: {error.strerror or error}; choose another with --port, "
            "or --port 0 for any free one"
        ) from None


def _address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop
