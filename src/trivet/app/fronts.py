"""The fronts of a server: one for each socket, replaced by others as what they serve changes."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from itertools import count
from pathlib import Path

from trivet.app.children import Child, Seat, together
from trivet.app.messages import (
    HandOver,
    Listen,
    Retire,
    Serving,
)
from trivet.core.errors import FailedPrecondition
from trivet.http import handover

LINGERS_IDLE = 5.0
"""Seconds for which an idle connection of a front that is replaced may still bring one request: a client
that believes its connection open must not find it closed under its hands."""

HEIR = handover.KIND

Fork = Callable[[str, socket.socket, socket.socket], Awaitable[Child]]
"""Forks a front with this name, a socket to listen on and one for its predecessor; tells it what to serve."""


class Fronts:
    """A front for each slot. `fork` makes one, `serving` says what all are to serve now.

    `replaced` is told when another takes the place of one; `before` is awaited before one listens.
    """

    def __init__(
        self,
        folder: Path,
        fork: Fork,
        serving: Callable[[], Serving],
        replaced: Callable[[Child], None],
        before: Callable[[], Awaitable[None]],
    ) -> None:
        self._folder = folder
        self._fork = fork
        self._serving = serving
        self._replaced = replaced
        self._before = before
        self._seats: dict[int, Seat] = {}
        self._heirs: dict[int, Path] = {}
        self._numbers = count()
        self._old: set[Child] = set()

    def __repr__(self) -> str:
        return f"<Fronts {list(self._seats.values())}>"

    def __iter__(self) -> Iterator[Child]:
        """Yield those that have not ended, the ones that were replaced as well."""
        yield from (seat.child for seat in self._seats.values() if seat.child is not None)
        yield from self._old

    async def open(self, sockets: Sequence[socket.socket]) -> None:
        """Start a front for each socket, and wait until all serve."""
        await together(self._open(slot, one) for slot, one in enumerate(sockets))

    async def replace(self, sockets: Sequence[socket.socket], within: float) -> None:
        """Start others, and have those there are give them their connections.

        When this returns, no request that comes is answered by an old one. What those have begun with they
        finish, within so many seconds.
        """
        seats, heirs = dict(self._seats), dict(self._heirs)
        try:
            await self.open(sockets)
        except BaseException:
            for slot, seat in self._seats.items():
                if seat is not seats.get(slot):
                    seat.close()
                    if seat.child is not None:
                        seat.child.kill()
            self._seats, self._heirs = seats, heirs
            raise
        old = {slot: seat.child for slot, seat in seats.items() if seat.child is not None}
        for slot, child in old.items():
            seats[slot].close()
            self._old.add(child)
            child.ended.add_done_callback(partial(self._gone, child))
            child.channel.send(HandOver(str(self._heirs[slot])))
        await asyncio.gather(*(one.is_silent() for one in old.values()))
        for child in old.values():
            child.channel.send(Retire(0, LINGERS_IDLE, within))

    async def update(self) -> None:
        """Have all serve what is to be served now."""
        serving = self._serving()
        for child in list(self):
            if child not in self._old and child.up.done() and child.state < serving.state:
                child.channel.send(serving)
                await child.reach(serving.state)

    def retire(self, asked: Retire) -> None:
        """Let all of them go."""
        for seat in self._seats.values():
            seat.close()
        for child in self:
            child.channel.send(asked)

    def close(self) -> None:
        """Start none again."""
        for seat in self._seats.values():
            seat.close()

    async def _open(self, slot: int, listening: socket.socket) -> None:
        number = next(self._numbers)
        path = self._folder / f"front-{number}.sock"
        heir = socket.socket(socket.AF_UNIX, HEIR)
        try:
            heir.bind(str(path))
        except OSError as error:
            heir.close()
            raise FailedPrecondition(f"{path}: {error}; set TMPDIR to a shorter path") from None
        heir.listen(1)
        seat = Seat(f"front {slot}", partial(self._start, f"front {slot}", listening, heir), self._replaced)
        self._seats[slot] = seat
        self._heirs[slot] = path
        await seat.open()

    async def _start(self, name: str, listening: socket.socket, heir: socket.socket) -> Child:
        front = await self._fork(name, listening, heir)
        try:
            await front.wait_until(front.up)
            while front.state < (serving := self._serving()).state:  # something changed meanwhile
                front.channel.send(serving)
                await front.reach(serving.state)
                if front.ended.done():
                    break
            await self._before()
        except BaseException:
            front.kill()
            raise
        front.channel.send(Listen())
        return front

    def _gone(self, child: Child, _: object) -> None:
        self._old.discard(child)
