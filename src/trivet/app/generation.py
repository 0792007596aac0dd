"""One generation of processes: those that serve one reading of the settings, whatever they come to serve."""

import asyncio
import logging
import shutil
import socket
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from trivet.app import memory
from trivet.app.children import Child, Hears, together
from trivet.app.fronts import LINGERS_IDLE, Fronts
from trivet.app.loaders import Loaders
from trivet.app.messages import Doors, Listen, Retire, Serve, Serving
from trivet.app.models import Where, where
from trivet.app.openings import Opener, Openings
from trivet.app.replicas import Group
from trivet.app.seats import Seat
from trivet.core.errors import ServingError, Unavailable
from trivet.serving.lifecycle import ModelInfo, ModelSpec
from trivet.serving.wish import Wish
from trivet.settings import Settings
from trivet.telemetry import Metrics

log = logging.getLogger("trivet")

_HANGS_AFTER = 10.0  # seconds beyond what is in flight; an application may take half of them to end
_CLOSES_WITHIN = 1.0
"""Seconds for replicas to end once no front is left that could ask them, and for the loader."""


class Generation:
    """A loader, the replicas of models that run in processes of their own, and a front for each socket.

    `folder` is for the sockets of its processes; `hears` is told what they say; at `doors` others listen
    for what the fronts do not answer. What becomes of processes is counted in `metrics`. Deployed models that
    are wished, and still being started, are among the `openings`.
    """

    def __init__(
        self, settings: Settings, folder: Path, hears: Hears, metrics: Metrics, doors: Doors
    ) -> None:
        self.settings = settings
        self._folder = folder
        self._hears = hears
        self._metrics = metrics
        self._doors = doors
        self._wish = Wish(0)
        self._state = 1
        self._where: dict[str, Where] = {}
        self._groups: dict[str, Group] = {}
        self._loaders = Loaders(settings, hears, self._shared, self._watch, self._replaced)
        self._opener = Opener(settings, folder, self._loaders, hears, self._watch, self._replaced)
        self.openings = Openings(self._opener.opened)
        self._outdated: list[Seat] = []  # loaders that fronts are forks of, which are to be replaced
        self._leaving: list[Group] = []  # what those fronts ask, and the next ones do not
        self._must_replace = False
        self.fronts = Fronts(folder, self._fork_front, self._serving, self._replaced, self._end_waiting)
        self._sockets: Sequence[socket.socket] = ()
        self._waiting: Child | None = None
        self._alive: set[Child] = set()  # from birth on, so that none is forgotten
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    def __repr__(self) -> str:
        return f"<Generation {len(self._wish.models)} models, {self.fronts!r}>"

    @property
    def ids(self) -> set[str]:
        """The deployed models that are served."""
        return {spec.id for spec in self._wish.models}

    @property
    def models(self) -> list[ModelInfo]:
        """What there is to know of every model served, as far as it is known here."""
        groups = {id_: group.info for id_, group in self._groups.items()}
        found = (groups.get(spec.id) or self._loaders.infos.get(spec.id) for spec in self._wish.models)
        return [info for info in found if info is not None]

    async def wait(self, room: socket.socket) -> None:
        """Start the loader, and a front without models that answers probes on this socket for now."""
        self._folder.mkdir(parents=True, exist_ok=True)
        await self._loaders.begin()
        heir, unused = socket.socketpair()
        with heir, unused:
            self._waiting = await self._loaders.fork_front("front", room, heir)
        nothing = Serving(0, [], [], [], [])
        self._waiting.channel.send(Serve(self.settings, nothing, ready=False, doors=self._doors))
        await self._waiting.wait_until(self._waiting.up)
        self._waiting.channel.send(Listen())

    async def load(self, wish: Wish) -> None:
        """Load everything for the first time; raises what keeps a model from being loaded."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._where = {spec.id: _where(spec) for spec in wish.models}
        self._wish = wish
        apart = [spec for spec in wish.models if self._where[spec.id] == "apart"]
        await together([self._loaders.open(), *(self._add_group(spec) for spec in apart)])
        for info in list(self._loaders.infos.values()):
            if info.placement.where == "process":
                await self._add_group(info.spec, info)

    async def open_fronts(self, sockets: Sequence[socket.socket]) -> None:
        """Start a front for each socket, and wait until all serve."""
        self._sockets = sockets
        await self.fronts.open(sockets)

    async def apply(
        self, wish: Wish, sockets: Sequence[socket.socket] = (), again: Callable[[], None] | None = None
    ) -> dict[str, ServingError]:
        """Serve this wish instead: all of it but those models that cannot be loaded, which are returned.

        When it returns, every request that comes is answered by it alone. Nothing that is served before and
        after is disturbed. With `sockets`, fronts are started on them, as `open_fronts` does. With `again`,
        containers are among the `openings` meanwhile, and it is called when this is worth another call.
        Raises what may be gone at another try: a process ended in the middle.
        """
        self._sockets = sockets or self._sockets
        self._must_replace |= bool(sockets)
        before = {spec.id: spec for spec in self._wish.models}
        wanted = {spec.id: spec for spec in wish.models}
        changed = [spec for spec in wish.models if before.get(spec.id) != spec or not self._has(spec.id)]
        failures: dict[str, ServingError] = {}
        places = memory.places(changed, failures)
        await self._load_changed(changed, places, [id_ for id_ in before if id_ not in wanted], failures)
        groups = dict(self._groups)
        await self._open_groups(changed, places, failures, again)
        for id_, group in groups.items():
            kept = self._groups[id_] is group  # and no other took its place
            if id_ not in wanted or (kept and self._is_elsewhere(id_, places, failures)):
                del self._groups[id_]
        self._where |= {id_: place for id_, place in places.items() if id_ not in failures}
        self._must_replace |= any(place == "own" for id_, place in places.items() if id_ not in failures)
        held = {*failures, *self.openings.ids}
        served = [before.get(id_) if id_ in held else spec for id_, spec in wanted.items()]
        self._wish = Wish(wish.revision, tuple(one for one in served if one is not None), wish.addresses)
        self._where = {id_: place for id_, place in self._where.items() if id_ in self.ids}
        self._leaving += [group for id_, group in groups.items() if self._groups.get(id_) is not group]
        await self._renew_fronts(before, failures)
        self._later(self._dismiss(self._leaving, self._outdated, list(self.fronts.old)))
        self._leaving, self._outdated = [], []
        if lost := [str(spec.ref) for spec in self._wish.models if not self._has(spec.id)]:
            raise Unavailable(f"{', '.join(lost)}: the loader ended in the middle")
        return failures

    def expect(self, frameworks: Sequence[str]) -> None:
        """Know that models of these frameworks may be deployed at any time."""
        self._loaders.preload(frameworks)

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
        for id_ in list(self.openings.ids):
            self.openings.drop(id_)
        self._loaders.close()

    # What is served, as a front is told.

    def _shared(self) -> Sequence[ModelSpec]:
        return [spec for spec in self._wish.models if self._where[spec.id] == "shared"]

    def _has(self, id_: str) -> bool:
        """Whether a model is really there, wherever it runs."""
        info = self._loaders.infos.get(id_)
        in_fronts = info is not None and info.placement.where != "process"
        return id_ in self._groups or in_fronts or self._where.get(id_) == "own"

    def _serving(self) -> Serving:
        own = [spec for spec in self._wish.models if self._where[spec.id] == "own"]
        remote = [group.remote for group in self._groups.values()]
        infos = self._loaders.infos
        in_fronts = [id_ for id_, info in infos.items() if info.placement.where != "process"]
        here = [id_ for id_ in in_fronts if id_ not in self._groups]
        served = {*here, *self._groups, *(spec.id for spec in own)}
        addresses = [one.only(served) for one in self._wish.addresses]
        return Serving(self._state, remote, own, here, addresses)

    async def _renew_fronts(self, before: dict[str, ModelSpec], failures: dict[str, ServingError]) -> None:
        """Have the fronts serve what is wished now: others, where these lack a model, without those that
        they cannot load themselves."""
        while True:
            self._state += 1
            if not self._must_replace:
                await self.fronts.update()
                return
            try:
                await self.fronts.replace(self._sockets, self.settings.server.drain_timeout)
            except ServingError:
                own = {i: e for i, e in self.fronts.failures.items() if self._where.get(i) == "own"}
                new = {id_: error for id_, error in own.items() if id_ not in failures}
                if not new:
                    raise
                failures |= new
                models = (before.get(one.id) if one.id in new else one for one in self._wish.models)
                self._wish = replace(self._wish, models=tuple(one for one in models if one is not None))
            else:
                self._must_replace = False
                return

    async def _fork_front(self, name: str, listening: socket.socket, heir: socket.socket) -> Child:
        front = await self._loaders.fork_front(name, listening, heir)
        front.channel.send(Serve(self.settings, self._serving(), ready=True, doors=self._doors))
        return front

    async def _end_waiting(self) -> None:
        """Let the front without models go: it must accept nothing once another could answer."""
        if self._waiting is not None:
            self._waiting.channel.send(Retire(0, LINGERS_IDLE, self.settings.server.drain_timeout))
            await self._waiting.is_silent()

    # Loading.

    async def _load_changed(
        self,
        changed: Sequence[ModelSpec],
        places: dict[str, Where],
        gone: Sequence[str],
        failures: dict[str, ServingError],
    ) -> None:
        """Have the loader load and drop; what it drops, the fronts lose when they are replaced."""
        shared = [spec for spec in changed if places.get(spec.id) == "shared"]
        dropped = [id_ for id_ in gone if id_ in self._loaders.infos]
        if shared or dropped:
            self._outdated.append(await self._loaders.succeed(shared, dropped, failures))
            self._must_replace = True

    async def _open_groups(
        self,
        changed: Sequence[ModelSpec],
        places: dict[str, Where],
        failures: dict[str, ServingError],
        again: Callable[[], None] | None,
    ) -> None:
        """Open the replicas of all that run in processes; what fails is among the failures."""
        opening: list[tuple[ModelSpec, ModelInfo | None]] = []
        self.openings.keep({spec.id for spec in changed if spec.id not in failures})
        for spec in changed:
            if spec.id in failures:
                continue
            info = self._loaders.infos.get(spec.id)
            if places.get(spec.id) == "apart":
                opening.append((spec, None))
            elif places.get(spec.id) == "shared" and info is not None and info.placement.where == "process":
                opening.append((spec, info))
        await together(self._try_group(spec, info, failures, again) for spec, info in opening)

    def _is_elsewhere(self, id_: str, places: dict[str, Where], failures: dict[str, ServingError]) -> bool:
        """Whether a model that had replicas runs in the fronts now."""
        return id_ in places and id_ not in failures and places[id_] != "apart"

    async def _add_group(self, spec: ModelSpec, info: ModelInfo | None = None) -> None:
        self._groups[spec.id] = await self._opener.once(spec, info)

    async def _try_group(
        self,
        spec: ModelSpec,
        info: ModelInfo | None,
        failures: dict[str, ServingError],
        again: Callable[[], None] | None,
    ) -> None:
        try:
            if again is None or spec.container is None:
                self._groups[spec.id] = await self._opener.opened(spec, info)
            elif (group := self.openings.take(spec, again)) is not None:
                self._groups[spec.id] = group
        except ServingError as error:
            failures[spec.id] = error

    async def _dismiss(
        self, groups: Sequence[Group], loaders: Sequence[Seat], fronts: Sequence[Child]
    ) -> None:
        """End replicas and loaders that nobody needs, once the fronts that used them have gone."""
        for group in groups:
            for seat in group.seats:
                seat.close()
        await _ended(fronts, LINGERS_IDLE + self.settings.server.drain_timeout + 5)
        left = [child for group in groups for child in group.close()]
        left += [seat.child for seat in loaders if seat.child is not None]
        for child in left:
            child.channel.finish()
        await _ended(left, self.settings.server.drain_timeout + _HANGS_AFTER)

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
