"""The control process as the supervisor sees it: what it wishes, and what it is told."""

import asyncio
import socket
from collections.abc import Mapping
from pathlib import Path

from trivet.app.children import Child, Hears, Seat, spawn
from trivet.app.messages import Applied, Manage
from trivet.config import Settings
from trivet.core.errors import ServingError
from trivet.core.resources import Failure
from trivet.serving.wish import Wish

_ENDS_WITHIN = 3.0  # seconds


class Manager:
    """The process that has the catalog. It listens for the fronts' calls at `path`, a unix socket's."""

    def __init__(self, folder: Path, node: str, data: Path, tls: str = "") -> None:
        self.path = str(folder / "control.sock")
        self._node = node
        self._data = data
        self._tls = tls
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(self.path)
        self._listening.listen(256)
        self._seat: Seat
        self._wish: Wish | None = None
        self._changed = asyncio.Event()
        self._stale = False

    def __repr__(self) -> str:
        return f"<Manager {self._wish.revision if self._wish else 'without a wish'}>"

    async def open(self, settings: Settings, hears: Hears) -> None:
        """Start the process, and wait until it answers; raises what keeps it from that."""

        async def start() -> Child:
            child = await spawn("control", "control", hears, self._listening)
            child.channel.send(Manage(settings, self._node, str(self._data), self._tls))
            return child

        self._seat = Seat("control", start, lambda child: None)
        await self._seat.open()

    def wished(self, wish: Wish) -> None:
        """Take note of what the process says."""
        self._wish = wish
        self._stale = True
        self._changed.set()

    async def wish(self) -> Wish:
        """Return what is wished now, as soon as that is known."""
        while self._wish is None:
            await self._changed.wait()
        self._stale = False
        self._changed.clear()
        return self._wish

    async def next_wish(self) -> Wish:
        """Wait until something is wished that was not returned before."""
        while not self._stale:
            self._changed.clear()
            await self._changed.wait()
        return await self.wish()

    def again(self) -> None:
        """Return the newest wish once more: it could not be applied."""
        self._stale = True
        self._changed.set()

    def applied(self, revision: int, failures: Mapping[str, ServingError]) -> None:
        """Tell the process what is served now."""
        told = {id_: Failure(error.code.value, str(error)) for id_, error in failures.items()}
        if (child := self._seat.child) is not None:
            child.channel.send(Applied(revision, told))

    async def close(self) -> None:
        """Let the process end."""
        self._listening.close()
        if not hasattr(self, "_seat"):
            return
        self._seat.close()
        if (child := self._seat.child) is not None:
            child.channel.finish()
            await asyncio.wait([child.ended], timeout=_ENDS_WITHIN)
            child.kill()

    def kill(self) -> None:
        """End the process at once."""
        if hasattr(self, "_seat"):
            self._seat.close()
            if self._seat.child is not None:
                self._seat.child.kill()
