"""A front: the process that answers requests. Native models live in it; others it asks over unix sockets."""

import asyncio
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from itertools import count
from pkgutil import iter_modules
from types import ModuleType

import uvloop

from trivet import protocols
from trivet.app import logs
from trivet.app.asgi import application
from trivet.app.child import settle
from trivet.app.messages import (
    Channel,
    Failed,
    Gather,
    Listen,
    Measure,
    Measured,
    Message,
    Ready,
    Retire,
    Serve,
    Silent,
)
from trivet.app.models import permissions_of, routes
from trivet.codecs.json_body import BodyLimits
from trivet.config import Settings
from trivet.core.errors import model_error
from trivet.http.server import HttpServer
from trivet.protocols.base import ContainerRoutes, Services
from trivet.serving import hop
from trivet.serving.lifecycle import LoadedModel, load
from trivet.serving.plane import DataPlane, DeployedModel, local_replica
from trivet.serving.process_replicas import ProcessReplicas
from trivet.serving.replica import FAULTS
from trivet.telemetry import SECONDS, Metrics, Sample

_GATHERS_WITHIN = 2.0  # seconds
_TELLS_WITHIN = 1.0


def run(control: socket.socket, listening: socket.socket, models: Sequence[LoadedModel]) -> None:
    """Serve these models, and those that the supervisor names, until it says to retire or has ended."""
    uvloop.run(_Front(models).serve(control, listening))


@dataclass
class _Front:
    """One front, from its first message to its last answer."""

    models: Sequence[LoadedModel]
    plane: DataPlane = field(default_factory=lambda: DataPlane(Metrics()))
    told: "asyncio.Queue[Serve | None]" = field(default_factory=asyncio.Queue)
    listens: asyncio.Event = field(default_factory=asyncio.Event)
    retires: "asyncio.Queue[Retire | None]" = field(default_factory=asyncio.Queue)
    gathering: "dict[int, asyncio.Future[list[Sample]]]" = field(default_factory=dict)
    ids: Iterator[int] = field(default_factory=lambda: count(1))

    async def serve(self, control: socket.socket, listening: socket.socket) -> None:
        self.channel = await Channel.open(control, self.received, self.alone)
        asked = await self.told.get()
        if asked is None:
            return
        logs.configure(asked.settings.log)
        deployed = self.deploy(asked)
        if deployed is None:
            return
        self.plane.routes = routes(deployed)
        self.plane.ready = asked.ready
        http = self.http(asked.settings)
        listening.setblocking(False)
        settle()
        self.channel.send(Ready())
        await self.listens.wait()
        await http.listen(listening)
        retire = await self.retires.get() or Retire(0, 0, asked.settings.server.drain_timeout)
        await self.retire(retire, http, deployed)

    def alone(self) -> None:
        """The supervisor has ended: so must this."""
        self.told.put_nowait(None)
        self.listens.set()
        self.retires.put_nowait(None)

    def received(self, message: Message) -> None:
        match message:
            case Serve():
                self.told.put_nowait(message)
            case Listen():
                self.listens.set()
            case Retire():
                self.retires.put_nowait(message)
            case Measure(id=number):
                self.channel.send(Measured(number, self.plane.metrics.samples()))
            case Measured(id=number, samples=samples):
                asked = self.gathering.pop(number, None)
                if asked is not None and not asked.done():
                    asked.set_result(samples)

    def deploy(self, asked: Serve) -> list[DeployedModel] | None:
        """Put every model behind its queue; None, having told the supervisor, where one cannot be loaded."""
        metrics = self.plane.metrics
        deployed = [DeployedModel(one.info, [local_replica(one)], metrics) for one in self.models_here(asked)]
        for spec in asked.own:
            try:
                one = load(spec, permissions_of(asked.settings))
            except FAULTS as error:
                self.channel.send(Failed(str(spec.ref), hop.failure(model_error(error))))
                return None
            deployed.append(DeployedModel(one.info, [local_replica(one)], metrics))
        for remote in asked.remote:
            info = remote.info
            # a slow model's requests wait here, where limits hold exactly; a quick one must not be kept idle
            each = info.slots + info.quick
            pool = ProcessReplicas(
                remote.paths,
                name=str(info.spec.ref),
                idempotent=info.traits.idempotent,
                each=each,
                lanes=info.slots,
            )
            deployed.append(DeployedModel(info, [pool], metrics))
        for model in deployed:
            metrics.histogram(
                "trivet_load_duration_seconds",
                "From the artifact to a predictor that is warmed up.",
                SECONDS,
                **model.labels,
            ).observe(model.model.load_seconds)
        return deployed

    def models_here(self, asked: Serve) -> list[LoadedModel]:
        """Return the models loaded before the fork that this front itself runs."""
        return [one for one in self.models if asked.ready and one.info.placement.where != "process"]

    def http(self, settings: Settings) -> HttpServer:
        container = settings.container
        services = Services(
            self.plane,
            BodyLimits(settings.limits.max_instances, settings.limits.max_depth),
            ContainerRoutes(container.predict_route, container.health_route),
            self.gather,
        )
        found = [module.PROTOCOL(services) for module in preload()]
        probes = frozenset(("/livez", "/readyz", container.health_route))
        return HttpServer(self.plane, found, application(found), settings.limits, settings.log, probes)

    async def gather(self) -> list[Sample]:
        """Return what all processes have measured, or this one alone where the supervisor is silent."""
        number = next(self.ids)
        self.gathering[number] = asyncio.get_running_loop().create_future()
        self.channel.send(Gather(number))
        try:
            return await asyncio.wait_for(self.gathering[number], _GATHERS_WITHIN)
        except TimeoutError:
            self.gathering.pop(number, None)
            return self.plane.metrics.samples()

    async def retire(self, asked: Retire, http: HttpServer, deployed: Sequence[DeployedModel]) -> None:
        """Go in good order: everything accepted is answered, if there is time."""
        self.plane.draining = True
        with suppress(TimeoutError):
            if asked.window:
                await asyncio.wait_for(self.retires.get(), asked.window)  # told again: at once
        http.stop_listening()
        self.channel.send(Silent())
        await http.retire(asked.idle, asked.timeout)
        for model in deployed:
            model.close()  # which answers whoever is left
        await http.retire(0, _TELLS_WITHIN)
        http.abort()
        self.channel.send(Measured(0, self.plane.metrics.samples()))
        self.channel.close()


def preload() -> list[ModuleType]:
    """Import the protocols: each module of their package that has a `PROTOCOL`."""
    names = [f"{protocols.__name__}.{info.name}" for info in iter_modules(protocols.__path__)]
    return [module for module in map(import_module, names) if hasattr(module, "PROTOCOL")]
