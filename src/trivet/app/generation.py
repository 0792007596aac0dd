"""One generation of processes: those that serve one reading of the settings, whatever they come to serve."""

import asyncio
import logging
import shutil
import socket
from collections.abc import Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

from trivet.app import memory
from trivet.app.children import Child, Hears, Loader, Seat, spawn, together
from trivet.app.fronts import LINGERS_IDLE, Fronts
from trivet.app.messages import (
    Listen,
    Load,
    Preload,
    Retire,
    Serve,
    Serving,
)
from trivet.app.models import Where, permissions_of, where
from trivet.app.replicas import Group
from trivet.core.errors import ResourceExhausted, ServingError
from trivet.serving.lifecycle import ModelInfo, ModelSpec
from trivet.serving.wish import Wish
from trivet.settings import Settings
from trivet.telemetry import Metrics

log = logging.getLogger("trivet")

_CLOSES_WITHIN = 1.0
"""Seconds for replicas to end once no front is left that could ask them, and for the loader."""


class Generation:
    """A loader, the replicas of models that run in processes of their own, and a front for each socket.

    `folder` is for the sockets of its processes; `hears` is told what they say; at `control` the control
    plane listens, if anywhere. What becomes of processes is counted in `metrics`.
    """

    def __init__(
        self, settings: Settings, folder: Path, hears: Hears, metrics: Metrics, control: str = ""
    ) -> None:
        self.settings = settings
        self._folder = folder
        self._hears = hears
        self._metrics = metrics
        self._control = control
        self._wish = Wish(0)
        self._state = 1
        self._where: dict[str, Where] = {}
        self._infos: dict[str, ModelInfo] = {}  # of those that the loader has
        self._groups: dict[str, Group] = {}
        self._loader: Loader
        self._seat: Seat
        self.fronts = Fronts(folder, self._fork_front, self._serving, self._replaced, self._end_waiting)
        self._sockets: Sequence[socket.socket] = ()
        self._waiting: Child | None = None
        self._alive: set[Child] = set()  # from birth on, so that none is forgotten
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False
        self._expected: list[str] = []

    def __repr__(self) -> str:
        return f"<Generation {len(self._wish.models)} models, {self.fronts!r}>"

    @property
    def models(self) -> list[ModelInfo]:
        """What there is to know of every model served, as far as it is known here."""
        groups = {id_: group.info for id_, group in self._groups.items()}
        found = (groups.get(spec.id) or self._infos.get(spec.id) for spec in self._wish.models)
        return [info for info in found if info is not None]

    async def wait(self, room: socket.socket) -> None:
        """Start the loader, and a front without models that answers probes on this socket for now."""
        self._folder.mkdir(parents=True, exist_ok=True)
        await self._new_loader()
        heir, unused = socket.socketpair()
        with heir, unused:
            self._waiting = self._watch(await self._loader.fork_front("front", self._hears, room, heir))
        nothing = Serving(0, [], [], [], [])
        self._waiting.channel.send(Serve(self.settings, nothing, ready=False, control=self._control))
        await self._waiting.wait_until(self._waiting.up)
        self._waiting.channel.send(Listen())

    async def load(self, wish: Wish) -> None:
        """Load everything for the first time; raises what keeps a model from being loaded."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._where = {spec.id: _where(spec) for spec in wish.models}
        self._wish = wish
        self._seat = Seat("loader", self._start_loader, self._replaced)
        apart = [spec for spec in wish.models if self._where[spec.id] == "apart"]
        await together([self._seat.open(), *(self._open_group(spec) for spec in apart)])
        for info in list(self._infos.values()):
            if info.placement.where == "process":
                await self._open_group(info.spec, info)

    async def open_fronts(self, sockets: Sequence[socket.socket]) -> None:
        """Start a front for each socket, and wait until all serve."""
        self._sockets = sockets
        await self.fronts.open(sockets)

    async def apply(self, wish: Wish) -> dict[str, ServingError]:
        """Serve this wish instead: all of it but those models that cannot be loaded, which are returned.

        When it returns, every request that comes is answered by it alone. Nothing that is served before and
        after is disturbed.
        """
        before = {spec.id: spec for spec in self._wish.models}
        wanted = {spec.id: spec for spec in wish.models}
        changed = [spec for spec in wish.models if before.get(spec.id) != spec]
        failures: dict[str, ServingError] = {}
        places: dict[str, Where] = {}
        for spec in changed:
            try:
                place = where(spec)
                memory.check(spec, spec.replicas if place == "apart" else 1)
                places[spec.id] = place
            except ServingError as error:
                failures[spec.id] = error
        shared = [spec for spec in changed if places.get(spec.id) == "shared"]
        dropped = [id_ for id_ in self._infos if id_ not in wanted or places.get(id_, "shared") != "shared"]
        loader = await self._succeed(shared, dropped, failures) if shared or dropped else None
        groups = dict(self._groups)
        opening = [(spec, None) for spec in changed if places.get(spec.id) == "apart"]
        forked = [self._infos[spec.id] for spec in shared if spec.id not in failures]
        await asyncio.gather(
            *(self._try_group(spec, info, failures) for spec, info in opening),
            *(self._try_group(i.spec, i, failures) for i in forked if i.placement.where == "process"),
        )
        here = {i.spec.id for i in forked if i.placement.where != "process"}
        for id_ in groups:
            if id_ not in wanted or id_ in here or (places.get(id_) == "own" and id_ not in failures):
                del self._groups[id_]
        self._where |= {id_: place for id_, place in places.items() if id_ not in failures}
        served = [before.get(id_) if id_ in failures else spec for id_, spec in wanted.items()]
        self._wish = Wish(wish.revision, tuple(one for one in served if one is not None), wish.addresses)
        self._state += 1
        if loader is not None:
            await self.fronts.replace(self._sockets, self.settings.server.drain_timeout)
        else:
            await self.fronts.update()
        over = [group for id_, group in groups.items() if self._groups.get(id_) is not group]
        self._later(self._dismiss(over, loader))
        return failures

    def expect(self, frameworks: Sequence[str]) -> None:
        """Know that models of these frameworks may be deployed at any time."""
        self._expected = list(frameworks)
        self._loader.child.channel.send(Preload(self._expected))

    def children(self) -> Iterator[Child]:
        """Yield every process that has not ended."""
        yield from list(self._alive)

    async def fronts_ended(self, within: float) -> None:
        """Wait until every front has gone; those that have not by then are ended."""
        await _ended([*self.fronts, *([self._waiting] if self._waiting else [])], within)

    async def close(self) -> None:
        """End the processes that are left, and forget their sockets."""
        self._closed = True
        self._stop()
        for task in self._closing:
            task.cancel()
        left = list(self.children())
        for child in left:
            child.channel.finish()
        await _ended(left, _CLOSES_WITHIN)
        shutil.rmtree(self._folder, ignore_errors=True)

    def kill(self) -> None:
        """End every process at once."""
        self._closed = True
        self._stop()
        for child in self.children():
            child.kill()

    def _stop(self) -> None:
        self.fronts.close()
        for group in self._groups.values():
            group.close()
        if hasattr(self, "_seat"):
            self._seat.close()

    # What is served, as a front is told.

    def _serving(self) -> Serving:
        own = [spec for spec in self._wish.models if self._where[spec.id] == "own"]
        remote = [group.remote for group in self._groups.values()]
        here = [id_ for id_, info in self._infos.items() if info.placement.where != "process"]
        served = {*here, *self._groups, *(spec.id for spec in own)}
        addresses = [one.only(served) for one in self._wish.addresses]
        return Serving(self._state, remote, own, here, addresses)

    async def _fork_front(self, name: str, listening: socket.socket, heir: socket.socket) -> Child:
        await self._seat.occupant()
        front = self._watch(await self._loader.fork_front(name, self._hears, listening, heir))
        front.channel.send(Serve(self.settings, self._serving(), ready=True, control=self._control))
        return front

    async def _end_waiting(self) -> None:
        """Let the front without models go: it must accept nothing once another could answer."""
        if self._waiting is not None:
            self._waiting.channel.send(Retire(0, LINGERS_IDLE, self.settings.server.drain_timeout))
            await self._waiting.is_silent()

    # The loader.

    async def _new_loader(self) -> None:
        self._loader = await Loader.start(self._hears)
        self._watch(self._loader.child)

    async def _start_loader(self) -> Child:
        """Start the loader, again where it has ended: with all that it had."""
        if not hasattr(self, "_loader") or self._loader.child.ended.done() or self._loader.child.up.done():
            await self._new_loader()
        loader = self._loader
        specs = [spec for spec in self._wish.models if self._where[spec.id] == "shared"]
        try:
            infos = await loader.load(self._load(specs))
            for failure in loader.child.failures.values():
                if not self._infos:  # for the first time
                    raise failure
                log.error("%s is served no more: %s", ", ".join(failure.__notes__), failure)
        except BaseException:
            loader.child.kill()
            raise
        self._infos = {info.spec.id: info for info in infos}
        loader.child.channel.send(Preload(self._expected))
        return loader.child

    async def _succeed(
        self, specs: Sequence[ModelSpec], dropped: Sequence[str], failures: dict[str, ServingError]
    ) -> Seat:
        """Have a fork of the loader load more, and be the loader from now on; returns the old one's seat.

        A model that ends the process that loads it harms nobody else.
        """
        wanted = list(specs)
        while True:
            await self._seat.occupant()
            loader = await self._loader.fork_loader(self._hears)
            self._watch(loader.child)
            try:
                infos = await loader.load(self._load(wanted, dropped))
            except ServingError as error:
                loader.child.kill()
                culprit = loader.child.loading
                if culprit is None:
                    raise
                failures[culprit.id] = error
                wanted = [spec for spec in wanted if spec.id != culprit.id]
                continue
            failures |= loader.child.failures
            break
        old, self._loader = self._seat, loader
        old.close()
        for id_ in dropped:
            self._infos.pop(id_, None)
        self._infos |= {info.spec.id: info for info in infos}
        self._seat = Seat("loader", self._start_loader, self._replaced)
        await self._seat.take(loader.child)
        return old

    def _load(self, specs: Sequence[ModelSpec], drop: Sequence[str] = ()) -> Load:
        settings = self.settings
        permissions, grace = permissions_of(settings), settings.server.drain_timeout
        return Load(list(specs), permissions, settings.log, grace, list(drop))

    # Replicas.

    async def _open_group(self, spec: ModelSpec, info: ModelInfo | None = None) -> None:
        """Start the replicas of a model: forks of the loader if it has the model, else on their own."""

        async def start(name: str, listening: socket.socket) -> Child:
            if info is None:
                child = self._watch(await spawn("replica", name, self._hears, listening))
                child.channel.send(self._load([spec]))
                return child
            await self._seat.occupant()
            return self._watch(await self._loader.fork_replica(name, self._hears, listening, spec.id))

        group = Group(spec, info)
        try:
            await group.open(self._folder, start, self._replaced)
        except BaseException:
            for child in group.close():
                child.kill()
            raise
        self._groups[spec.id] = group

    async def _try_group(
        self, spec: ModelSpec, info: ModelInfo | None, failures: dict[str, ServingError]
    ) -> None:
        try:
            await self._open_group(spec, info)
        except ServingError as error:
            failures[spec.id] = error
        except OSError as error:  # too many files or processes
            failures[spec.id] = ResourceExhausted(f"{spec.ref} cannot be given its processes: {error}")

    async def _dismiss(self, groups: Sequence[Group], loader: Seat | None) -> None:
        """End replicas and a loader that nobody needs, once those that used them have gone."""
        before = [child for child in self.fronts if child.state < self._state]
        await _ended(before, LINGERS_IDLE + self.settings.server.drain_timeout + 5)
        left = [child for group in groups for child in group.close()]
        if loader is not None and loader.child is not None:
            left.append(loader.child)
        for child in left:
            child.channel.finish()

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _watch(self, child: Child) -> Child:
        self._alive.add(child)
        child.ended.add_done_callback(lambda _: self._alive.discard(child))
        if self._closed:
            child.kill()
        return child

    def _replaced(self, child: Child) -> None:
        kind = child.name.partition(" ")[0]
        self._metrics.counter(
            "trivet_restarts_total", "Processes that ended and were replaced.", process=kind
        ).add()


def _where(spec: ModelSpec) -> Where:
    try:
        return where(spec)
    except ServingError as error:
        error.add_note(str(spec.ref))
        raise


async def _ended(children: Sequence[Child], within: float) -> None:
    if not children:
        return
    await asyncio.wait([child.ended for child in children], timeout=within)
    for child in children:
        child.kill()
