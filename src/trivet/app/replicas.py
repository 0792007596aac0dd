"""The replica processes of one deployed model, and the sockets at which fronts find them."""

import socket
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count
from pathlib import Path

from trivet.app.children import Child, together
from trivet.app.messages import (
    Remote,
)
from trivet.app.seats import Seat
from trivet.core.errors import FailedPrecondition, Unavailable
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
            self.seats.append(Seat(name, partial(start, name, listening), replaced))
        await together(seat.open() for seat in self.seats)
        child = self.seats[0].child
        if self.info is None and child is not None:
            self.info = child.loaded.result()[0]

    def close(self) -> list[Child]:
        """Start none again; return the processes that are left."""
        for seat in self.seats:
            seat.close()
        for path, listening in self._sockets:
            listening.close()
            path.unlink(missing_ok=True)
        return [seat.child for seat in self.seats if seat.child is not None]


def _listen(path: Path) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX)
    try:
        listening.bind(str(path))
    except OSError as error:
        listening.close()
        raise FailedPrecondition(f"{path}: {error}; set TMPDIR to a shorter path") from None
    listening.listen(256)
    return listening
