"""The replica processes of one deployed model, and the sockets at which fronts find them."""

import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path

from trivet.app.children import Child, together
from trivet.app.messages import Remote
from trivet.app.seats import Seat
from trivet.containers.life import State
from trivet.core.errors import FailedPrecondition, Unavailable
from trivet.serving.announce import Announcer
from trivet.serving.lifecycle import ModelInfo, ModelSpec

Start = Callable[[str, socket.socket], Awaitable[Child]]
"""Starts a replica with this name that listens on this socket."""


_numbers = count()


class Group:
    """As many replicas of a model as its spec says. `info` is known at first if the loader has it."""

    def __init__(self, spec: ModelSpec, info: ModelInfo | None = None) -> None:
        self.spec = spec
        self.info = info
        self.seats: list[Seat] = []
        self._sockets: list[tuple[Path, socket.socket]] = []
        self._vacancies: list[Vacancy] = []

    def __repr__(self) -> str:
        return f"<Group {self.spec.ref}, {self.seats}>"

    @property
    def remote(self) -> Remote:
        """What a front needs to know."""
        if self.info is None:
            raise Unavailable(f"no replica of {self.spec.ref} could be started")
        return Remote(self.info, [str(path) for path, _ in self._sockets])

    async def open(self, folder: Path, start: Start, replaced: Callable[[Child], None]) -> None:
        """Start them all, and wait until they serve; raises what keeps one from that.

        `start` makes each, also in place of one that ended; then `replaced` is told.
        """
        for index in range(self.spec.replicas):
            path = folder / f"replica-{next(_numbers)}.sock"
            listening = _listen(path)
            self._sockets.append((path, listening))
            name = f"replica {index} of {self.spec.ref}"
            begin = partial(start, name, listening)
            if self.spec.container is None:
                self.seats.append(Seat(name, begin, replaced))
            else:
                vacancy = Vacancy(listening, begin)
                self._vacancies.append(vacancy)
                self.seats.append(Seat(name, vacancy.start, replaced, vacancy.tell))
        await together(seat.open() for seat in self.seats)
        child = self.seats[0].child
        if self.info is None and child is not None:
            self.info = child.loaded.result()[0]

    def close(self) -> list[Child]:
        """Start none again; return the processes that are left."""
        for seat in self.seats:
            seat.close()
        for vacancy in self._vacancies:
            vacancy.close()
        for path, listening in self._sockets:
            listening.close()
            path.unlink(missing_ok=True)
        return [seat.child for seat in self.seats if seat.child is not None]


class Vacancy:
    """Tells fronts why a container could not be started again, at the socket where its keeper would."""

    def __init__(self, listening: socket.socket, begin: Callable[[], Awaitable[Child]]) -> None:
        self._listening = listening
        self._begin = begin
        self._announcer: Announcer | None = None

    def __repr__(self) -> str:
        return f"<Vacancy {self._announcer}>"

    async def start(self) -> Child:
        """Start a keeper, to which the socket is left."""
        self.close()
        return await self._begin()

    async def tell(self, error: Exception) -> None:
        """Say why there is none. What the container printed is for the log alone."""
        reason = str(error).partition("\n")[0].removesuffix("; its last lines:")
        self._announcer = Announcer(State(0, well=False, over=True, reason=reason))
        with suppress(OSError):  # too many files are open
            await self._announcer.start(self._listening.dup())

    def close(self) -> None:
        """Say nothing more."""
        if self._announcer is not None:
            self._announcer.stop()
            self._announcer = None


def _listen(path: Path) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX)
    try:
        listening.bind(str(path))
    except OSError as error:
        listening.close()
        raise FailedPrecondition(f"{path}: {error}; set TMPDIR to a shorter path") from None
    listening.listen(256)
    return listening
