"""A front: the process that answers requests. Native models live in it; others it asks over unix sockets."""

import asyncio
import logging
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from itertools import count
from pkgutil import iter_modules
from types import ModuleType

import uvloop

from trivet import protocols
from trivet.app import fronts, logs
from trivet.app.asgi import application
from trivet.app.calls import ControlClient
from trivet.app.channel import Channel
from trivet.app.child import settle
from trivet.app.deployments import CannotLoad, Deployments
from trivet.app.messages import (
    Doors,
    Failed,
    Gather,
    HandOver,
    Listen,
    Loading,
    Measure,
    Measured,
    Message,
    Ready,
    Retire,
    Serve,
    Serving,
    Silent,
)
from trivet.app.models import permissions_of
from trivet.codecs.json_body import BodyLimits
from trivet.http.server import HttpServer
from trivet.protocols.base import ContainerRoutes, Services
from trivet.serving import hop
from trivet.serving.lifecycle import LoadedModel, ModelSpec
from trivet.serving.plane import DataPlane
from trivet.settings import Settings
from trivet.telemetry import Metrics, Sample

log = logging.getLogger("trivet")


_GATHERS_WITHIN = 2.0  # seconds
_TELLS_WITHIN = 1.0
_HANDS_OVER_WITHIN = 10.0


def run(
    control: socket.socket, listening: socket.socket, heir: socket.socket, models: Mapping[str, LoadedModel]
) -> None:
    """Serve some of these models, and others that the supervisor names, until it says to retire or has ended.

    On `heir` listens this front for the one before it in its place, to take over its connections.
    """
    uvloop.run(_Front(models).serve(control, listening, heir))


@dataclass
class _Front:
    """One front, from its first message to its last answer."""

    models: Mapping[str, LoadedModel]
    plane: DataPlane = field(default_factory=lambda: DataPlane(Metrics()))
    told: "asyncio.Queue[Serve | Serving | Listen | HandOver | None]" = field(default_factory=asyncio.Queue)
    retires: "asyncio.Queue[Retire | None]" = field(default_factory=asyncio.Queue)
    gathering: "dict[int, asyncio.Future[list[Sample]]]" = field(default_factory=dict)
    taking: "set[asyncio.Task[None]]" = field(default_factory=set)
    ids: Iterator[int] = field(default_factory=lambda: count(1))
    drain_timeout: float = 0.0

    async def serve(self, control: socket.socket, listening: socket.socket, heir: socket.socket) -> None:
        self.channel = await Channel.open(control, self.received, self.alone)
        asked = await self.told.get()
        if not isinstance(asked, Serve):
            return
        logs.configure(asked.settings.log)
        self.drain_timeout = asked.settings.server.drain_timeout
        permissions = permissions_of(asked.settings)
        self.deployments = Deployments(self.models, self.plane, permissions, self.loading)
        if not self.deploy(asked.serving):
            return
        self.plane.ready = asked.ready
        http = self.http(asked.settings, asked.doors)
        for one in (listening, heir):
            one.setblocking(False)
        settle()
        self.channel.send(Ready(asked.serving.state))
        obeying = asyncio.create_task(self.obey(http, listening))
        obeying.add_done_callback(_end_if_failed)
        inheriting = asyncio.create_task(self.inherit(http, heir))
        retire = await self.retires.get() or Retire(0, 0, asked.settings.server.drain_timeout)
        obeying.cancel()
        await self.retire(retire, http)
        inheriting.cancel()

    async def obey(self, http: HttpServer, listening: socket.socket) -> None:
        """Do what the supervisor says, one thing after the other."""
        while True:
            match await self.told.get():
                case Listen():
                    await http.listen(listening)
                case Serving() as serving:
                    if self.deploy(serving):
                        self.channel.send(Ready(serving.state))
                case HandOver(path=path):
                    await self.hand_over(http, path)

    async def hand_over(self, http: HttpServer, path: str) -> None:
        """Give all connections to the front that comes next; from then on this one begins with no request."""
        to = socket.socket(socket.AF_UNIX, fronts.HEIR)
        to.setblocking(False)
        try:
            async with asyncio.timeout(_HANDS_OVER_WITHIN):
                await asyncio.get_running_loop().sock_connect(to, path)
                await http.hand_over(to)
        except (OSError, TimeoutError) as error:
            # the other one has ended, and nobody must be answered by this one
            log.warning("connections end, since they cannot be handed over: %r", error)
            to.close()
            http.stop_listening()
            self.retires.put_nowait(Retire(0, 0, self.drain_timeout))
        self.channel.send(Silent())

    async def inherit(self, http: HttpServer, heir: socket.socket) -> None:
        """Take over the connections of the front that was here before."""
        loop = asyncio.get_running_loop()
        with suppress(OSError):  # the front that only waits has nobody before it
            while True:
                connection, _ = await loop.sock_accept(heir)
                task = asyncio.create_task(http.take_over(connection))
                self.taking.add(task)
                task.add_done_callback(self.taking.discard)

    def alone(self) -> None:
        """The supervisor has ended: so must this."""
        self.told.put_nowait(None)
        self.retires.put_nowait(None)

    def received(self, message: Message) -> None:
        match message:
            case Serve() | Serving() | Listen() | HandOver():
                self.told.put_nowait(message)
            case Retire():
                self.retires.put_nowait(message)
            case Measure(id=number):
                self.channel.send(Measured(number, self.plane.metrics.samples()))
            case Measured(id=number, samples=samples):
                asked = self.gathering.pop(number, None)
                if asked is not None and not asked.done():
                    asked.set_result(samples)

    def loading(self, spec: ModelSpec) -> None:
        """Say which model comes next, in case it is the last thing that is said."""
        self.channel.send(Loading(spec.id, str(spec.ref)))

    def deploy(self, serving: Serving) -> bool:
        """Serve these; False, having told the supervisor, where one cannot be loaded."""
        try:
            self.deployments.become(serving)
        except CannotLoad as error:
            self.channel.send(Failed(error.spec.id, str(error.spec.ref), hop.failure(error.reason)))
            return False
        return True

    def http(self, settings: Settings, doors: Doors) -> HttpServer:
        container = settings.container
        control, sql = ControlClient(doors.control), ControlClient(doors.sql, "the process for SQL")
        services = Services(
            self.plane,
            BodyLimits(settings.limits.max_instances, settings.limits.max_depth),
            ContainerRoutes(container.predict_route, container.health_route),
            self.gather,
            control.ask if control.path else None,
            settings.catalog.remote,
            settings.gateway.names,
            sql.ask if sql.path else None,
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

    async def retire(self, asked: Retire, http: HttpServer) -> None:
        """Go in good order: everything accepted is answered, if there is time."""
        self.plane.draining = True
        with suppress(TimeoutError):
            if asked.window:
                await asyncio.wait_for(self.retires.get(), asked.window)  # told again: at once
        http.stop_listening()
        self.channel.send(Silent())
        await http.retire(asked.idle, asked.timeout)
        self.deployments.close()  # which answers whoever is left
        await http.retire(0, _TELLS_WITHIN)
        http.abort()
        self.channel.send(Measured(0, self.plane.metrics.samples()))
        self.channel.close()


def _end_if_failed(obeying: "asyncio.Task[None]") -> None:
    """End a front that could not do as it was told: another takes its place, and is told everything anew."""
    if not obeying.cancelled() and (error := obeying.exception()) is not None:
        log.error("this front ends, since it cannot do as it was told", exc_info=error)
        os._exit(1)


def preload() -> list[ModuleType]:
    """Import the protocols: each module of their package that has a `PROTOCOL`."""
    names = [f"{protocols.__name__}.{info.name}" for info in iter_modules(protocols.__path__)]
    return [module for module in map(import_module, names) if hasattr(module, "PROTOCOL")]
