"""One generation of processes: those that serve one reading of the settings and of the model files."""

import asyncio
import logging
import shutil
import socket
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from trivet.app.children import Child, Hears, Loader, Seat, spawn, together
from trivet.app.messages import Listen, Load, Remote, Retire, Serve
from trivet.app.models import Plan, permissions_of, plan
from trivet.config import Settings
from trivet.core.errors import FailedPrecondition, Unavailable
from trivet.serving.lifecycle import ModelInfo, ModelSpec
from trivet.serving.offload import apart
from trivet.telemetry import Metrics

log = logging.getLogger("trivet")

LINGERS_IDLE = 5.0
"""Seconds for which an idle connection of a front that is replaced may still bring one request: a client
that believes its connection open must not find it closed under its hands."""

_CLOSES_WITHIN = 1.0
"""Seconds for replicas to end once no front is left that could ask them, and for the loader."""


class Generation:
    """A loader, the replicas of models that run in processes of their own, and a front for each socket.

    `folder` is for what it fetches and for the sockets of its replicas; `hears` is told what its processes
    say. What becomes of them is counted in `metrics`.
    """

    def __init__(self, settings: Settings, folder: Path, hears: Hears, metrics: Metrics) -> None:
        self.settings = settings
        self.models: list[ModelInfo] = []
        self._folder = folder
        self._hears = hears
        self._metrics = metrics
        self._plan = Plan()
        self._remote: list[Remote] = []
        self._loader: Loader
        self._seats: list[Seat] = []
        self._fronts: dict[int, Seat] = {}
        self._waiting: Child | None = None
        self._alive: set[Child] = set()  # from birth on, so that none is forgotten
        self._closed = False
        self._listening: list[socket.socket] = []

    def __repr__(self) -> str:
        return f"<Generation {self._seats}>"

    async def load(self, waiting_room: socket.socket | None = None) -> None:
        """Fetch and load every model, wherever it will run; raises what that raises.

        Meanwhile, a front without models answers probes on the socket of the waiting room.
        """
        (self._folder / "models").mkdir(parents=True)
        seat = Seat("loader", self._start_loader, self._replaced)
        self._seats.append(seat)
        fetching = apart(lambda: plan(self.settings, self._folder / "models"), "fetch")
        await self._new_loader()
        if waiting_room is not None:
            self._waiting = await self._front(waiting_room, ready=False)
            await self._waiting.wait_until(self._waiting.up)
            self._waiting.channel.send(Listen())
        self._plan = await fetching
        await together([seat.open(), *(self._open_replicas(spec) for spec in self._plan.apart)])
        shared = seat.child.loaded.result() if seat.child else []
        self.models += shared
        for info in shared:
            if info.placement.where == "process":
                await self._open_replicas(info.spec, info)
        order = list(self.settings.models)
        self.models.sort(key=lambda info: order.index(_name(info, order)))

    async def open_fronts(self, sockets: Sequence[socket.socket]) -> None:
        """Start a front for each socket, and wait until all serve."""
        await together(self._open_front(slot, one) for slot, one in enumerate(sockets))

    async def _open_front(self, slot: int, listening: socket.socket) -> None:
        seat = Seat(f"front {slot}", partial(self._start_front, listening), self._replaced)
        self._fronts[slot] = seat
        self._seats.append(seat)
        await seat.open()

    def retire_front(self, slot: int, asked: Retire) -> None:
        """Let the front of a slot go."""
        if slot in self._fronts:
            seat = self._fronts[slot]
            seat.close()
            if seat.child is not None:
                seat.child.channel.send(asked)

    def children(self) -> Iterator[Child]:
        """Yield every process that has not ended."""
        yield from list(self._alive)

    async def fronts_ended(self, within: float) -> None:
        """Wait until every front has gone; those that have not by then are ended."""
        fronts = [seat.child for seat in self._fronts.values() if seat.child is not None]
        await _ended([*fronts, *([self._waiting] if self._waiting else [])], within)

    async def close(self) -> None:
        """End the processes that are left, and forget what was fetched."""
        self._closed = True
        for seat in self._seats:
            seat.close()
        left = list(self.children())
        for child in left:
            child.channel.finish()
        await _ended(left, _CLOSES_WITHIN)
        for one in self._listening:
            one.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def kill(self) -> None:
        """End every process at once."""
        self._closed = True
        for seat in self._seats:
            seat.close()
        for child in self.children():
            child.kill()

    def _watch(self, child: Child) -> Child:
        self._alive.add(child)
        child.ended.add_done_callback(lambda _: self._alive.discard(child))
        if self._closed:
            child.kill()
        return child

    async def _new_loader(self) -> None:
        self._loader = await Loader.start("loader", self._hears)
        self._watch(self._loader.child)

    async def _start_loader(self) -> Child:
        if self._loader.child.ended.done() or self._loader.child.loaded.done():
            await self._new_loader()
        loader = self._loader
        try:
            await loader.load(self._load(self._plan.shared))
        except BaseException:
            loader.child.kill()
            raise
        return loader.child

    async def _start_front(self, listening: socket.socket) -> Child:
        await self._seats[0].occupant()
        front = await self._front(listening, ready=True)
        try:
            await front.wait_until(front.up)
            await self._retire_waiting()
        except BaseException:
            front.kill()
            raise
        front.channel.send(Listen())
        return front

    async def _front(self, listening: socket.socket, *, ready: bool) -> Child:
        front = self._watch(await self._loader.fork("front", self._hears, listening))
        front.channel.send(Serve(self.settings, self._remote, self._plan.own, ready))
        return front

    async def _retire_waiting(self) -> None:
        """Let the front without models go: it must accept nothing once another could have answered."""
        if self._waiting is not None:
            self._waiting.channel.send(Retire(0, LINGERS_IDLE, self.settings.server.drain_timeout))
            over: list[asyncio.Future[Any]] = [self._waiting.silent, self._waiting.ended]
            await asyncio.wait(over, return_when=asyncio.FIRST_COMPLETED)

    async def _open_replicas(self, spec: ModelSpec, forked: ModelInfo | None = None) -> None:
        """Start the replicas of a model: forks of the loader if it has the model, else on their own."""
        remote = Remote(forked, []) if forked else None
        sockets = []
        for index in range(spec.replicas):
            path = self._folder / f"{len(self._listening)}.sock"
            listening = socket.socket(socket.AF_UNIX)
            try:
                listening.bind(str(path))
            except OSError as error:
                listening.close()
                raise FailedPrecondition(f"{path}: {error}; set TMPDIR to a shorter path") from None
            listening.listen(256)
            self._listening.append(listening)
            sockets.append((f"replica {index} of {spec.ref}", path, listening))
        for name, _, listening in sockets:
            start = partial(self._fork_replica if forked else self._spawn_replica, spec, name, listening)
            self._seats.append(Seat(name, start, self._replaced))
        seats = self._seats[-len(sockets) :]
        await together(seat.open() for seat in seats)
        if remote is None:
            child = seats[0].child
            if child is None:
                raise Unavailable(f"no replica of {spec.ref} could be started")
            info = child.loaded.result()[0]
            self.models.append(info)
            remote = Remote(info, [])
        remote.paths = [str(path) for _, path, _ in sockets]
        self._remote.append(remote)

    async def _spawn_replica(self, spec: ModelSpec, name: str, listening: socket.socket) -> Child:
        child = self._watch(await spawn("replica", name, self._hears, listening))
        child.channel.send(self._load([spec]))
        return child

    async def _fork_replica(self, spec: ModelSpec, name: str, listening: socket.socket) -> Child:
        await self._seats[0].occupant()
        return self._watch(await self._loader.fork(name, self._hears, listening, str(spec.ref)))

    def _load(self, specs: list[ModelSpec]) -> Load:
        settings = self.settings
        return Load(specs, permissions_of(settings), settings.log, settings.server.drain_timeout)

    def _replaced(self, child: Child) -> None:
        kind = child.name.partition(" ")[0]
        self._metrics.counter(
            "trivet_restarts_total", "Processes that ended and were replaced.", process=kind
        ).add()


def _name(info: ModelInfo, order: Sequence[str]) -> str:
    ref = info.spec.ref
    return str(ref) if str(ref) in order else ref.name


async def _ended(children: Sequence[Child], within: float) -> None:
    if not children:
        return
    await asyncio.wait([child.ended for child in children], timeout=within)
    for child in children:
        child.kill()
