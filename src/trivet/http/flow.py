"""What a connection does with its transport whatever it is doing: it writes, and waits for a slow reader."""

import asyncio


class Flow(asyncio.Protocol):
    """Holds the transport. `blocked` says that the caller does not read what it was sent."""

    __slots__ = ("_paused", "_transport", "_waiter", "blocked")

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None
        self.blocked = False

    @property
    def peer(self) -> tuple[str, int] | None:
        """Address and port of the caller."""
        address = self._transport.get_extra_info("peername")
        return tuple(address[:2]) if isinstance(address, tuple) else None

    @property
    def unsent(self) -> int:
        """Bytes that the system has not taken yet."""
        return self._transport.get_write_buffer_size()

    @property
    def closing(self) -> bool:
        """Whether it ends, or has ended."""
        return self._transport.is_closing()

    def fileno(self) -> int:
        """Return the descriptor of its socket."""
        number: int = self._transport.get_extra_info("socket").fileno()
        return number

    def write(self, data: bytes) -> None:
        """Send a part of an answer."""
        self._transport.write(data)

    async def written(self) -> None:
        """Wait while the caller reads too slowly."""
        if self.blocked:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    def pause_writing(self) -> None:
        """The caller reads more slowly than it is sent to: take no more of its requests until it has."""
        self.blocked = True
        self._pause()

    def resume_writing(self) -> None:
        """It has caught up, or nobody is left to wait for."""
        self.blocked = False
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _pause(self) -> None:
        self._paused = True
        self._transport.pause_reading()  # again, too: before the first read, uvloop does not heed it

    def _resume(self) -> None:
        if self._paused and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()
