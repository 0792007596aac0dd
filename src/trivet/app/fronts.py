"""The fronts of a server: one for each socket, replaced by others as what they serve changes."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from itertools import count
from pathlib import Path

from trivet.app.children import Child, together
from trivet.app.messages import HandOver, Listen, Retire, Serving
from trivet.app.seats import Seat
from trivet.core.errors import FailedPrecondition, ServingError
from trivet.http import handover

LINGERS_IDLE = 5.0
"""Seconds for which an idle connection of a front that is replaced may still bring one request: a client
that believes its connection open must not find it closed under its hands."""

HEIR = handover.KIND

Fork = Callable[[str, socket.socket, socket.socket], Awaitable[Child]]
"""Forks a front with this name, a socket to listen on and one for its predecessor; tells it what to serve."""


class Fronts:
    """A front for each slot. `fork` makes one, `serving` says what all are to serve now.

    `replaced` is told when another takes the place of one; `before` is awaited before one listens. `failures`
    are the models, by their ids, that the fronts last begun with could not load themselves.
    """

    def __init__(
        self,
        folder: Path,
        fork: Fork,
        serving: Callable[[], Serving],
        replaced: Callable[[Child], None],
        before: Callable[[], Awaitable[None]],
    ) -> None:
        self.failures: dict[str, ServingError] = {}
        self.old: set[Child] = set()
        """Those that were replaced and have not ended."""

        self._folder = folder
        self._fork = fork
        self._serving = serving
        self._replaced = replaced
        self._before = before
        self._seats: dict[int, Seat] = {}
        self._heirs: dict[int, tuple[Path, socket.socket]] = {}
        self._numbers = count()

    def __repr__(self) -> str:
        return f"<Fronts {list(self._seats.values())}>"

    def __iter__(self) -> Iterator[Child]:
        """Yield those that have not ended, the ones that were replaced as well."""
        yield from (seat.child for seat in self._seats.values() if seat.child is not None)
        yield from self.old

    async def open(self, sockets: Sequence[socket.socket]) -> None:
        """Start a front for each socket, and wait until all serve."""
        await together(self._open(slot, one) for slot, one in enumerate(sockets))

    async def replace(self, sockets: Sequence[socket.socket], within: float) -> None:
        """Start others, and have those there are give them their connections.

        When this returns, no request that comes is answered by an old one. What those have begun with they
        finish, within so many seconds. If one cannot be started, the old ones serve on.
        """
        seats, heirs = dict(self._seats), dict(self._heirs)
        self.failures = {}
        try:
            await self.open(sockets)
        except BaseException:
            for slot, seat in self._seats.items():
                if seat is not seats.get(slot):
                    seat.close()
                    if seat.child is not None:
                        seat.child.kill()
                    _forget(self._heirs[slot])
            self._seats, self._heirs = seats, heirs
            raise
        await self._give_way(seats, self._heirs, within)
        for heir in heirs.values():
            _forget(heir)

    async def give_way(self, to: "Fronts", within: float) -> None:
        """Have all of these give their connections to the ones of another generation, and go."""
        await self._give_way(self._seats, to._heirs, within)

    async def update(self) -> None:
        """Have all serve what is to be served now."""
        serving = self._serving()
        behind = [one for one in self if one not in self.old and one.up.done() and one.state < serving.state]
        for child in behind:
            child.channel.send(serving)
        await asyncio.gather(*(child.reach(serving.state) for child in behind))

    def retire(self, asked: Retire) -> None:
        """Let all of them go."""
        self.close()
        for child in self:
            child.channel.send(asked)

    def close(self) -> None:
        """Start none again."""
        for seat in self._seats.values():
            seat.close()

    async def _give_way(
        self, seats: dict[int, Seat], heirs: dict[int, tuple[Path, socket.socket]], within: float
    ) -> None:
        old = {slot: seat.child for slot, seat in seats.items() if seat.child is not None}
        for slot, child in old.items():
            seats[slot].close()
            self.old.add(child)
            child.ended.add_done_callback(partial(self._gone, child))
            child.channel.send(HandOver(str(heirs[slot][0])))
        await asyncio.gather(*(one.is_silent() for one in old.values()))
        for child in old.values():
            child.channel.send(Retire(0, LINGERS_IDLE, within))

    async def _open(self, slot: int, listening: socket.socket) -> None:
        path = self._folder / f"front-{next(self._numbers)}.sock"
        heir = socket.socket(socket.AF_UNIX, HEIR)
        try:
            heir.bind(str(path))
        except OSError as error:
            heir.close()
            raise FailedPrecondition(f"{path}: {error}; set TMPDIR to a shorter path") from None
        heir.listen(1)
        seat = Seat(f"front {slot}", partial(self._start, f"front {slot}", listening, heir), self._replaced)
        self._seats[slot] = seat
        self._heirs[slot] = path, heir
        await seat.open()

    async def _start(self, name: str, listening: socket.socket, heir: socket.socket) -> Child:
        front = await self._fork(name, listening, heir)
        try:
            await front.wait_until(front.up)
            await self._before()
            while front.state < (serving := self._serving()).state:  # something changed meanwhile
                front.channel.send(serving)
                await front.reach(serving.state)
                if front.ended.done():
                    break
        except BaseException as error:
            self.failures |= front.failures
            if front.loading is not None and isinstance(error, ServingError):  # it was the last thing it did
                self.failures.setdefault(front.loading.id, error)
            front.kill()
            raise
        front.channel.send(Listen())
        return front

    def _gone(self, child: Child, _: object) -> None:
        self.old.discard(child)


def _forget(heir: tuple[Path, socket.socket]) -> None:
    path, listening = heir
    listening.close()
    path.unlink(missing_ok=True)
