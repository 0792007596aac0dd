"""How an application is, told by the process that keeps it to every front: states on a unix stream socket.

The path outlives the keeper: whoever listens connects again when it has ended, and hears of the application
that another keeper has started. A state is its length (four bytes, little-endian) and one msgpack map. That a
listener is connected says that it may still have something to ask.
"""

import asyncio
import logging
import socket
import sys
from collections.abc import Callable
from os import PathLike
from typing import Any

import msgspec

from trivet.containers.life import State
from trivet.serving.hop import HEADER, Frames, Malformed

log = logging.getLogger("trivet")

SHORTEST_PAUSE, LONGEST_PAUSE = 0.01, 1.0
"""Seconds between attempts to connect."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(State).decode

# from 3.13 on asyncio would remove the path, at which the supervisor still listens
_KEEP_PATH: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}


class Announcer:
    """Tells every listener how an application is, at once and whenever that changes.

    `alone` is set while nobody listens.
    """

    def __init__(self, state: State) -> None:
        self.state = state
        self.alone = asyncio.Event()
        self.alone.set()
        self._listeners: set[asyncio.Transport] = set()
        self._server: asyncio.Server | None = None

    def __repr__(self) -> str:
        return f"<Announcer {self.state}, {len(self._listeners)} listen>"

    async def start(self, listening: socket.socket) -> None:
        """Tell whoever connects to a unix socket that listens; `stop` closes it, and leaves its path."""
        loop = asyncio.get_running_loop()
        listening.setblocking(False)
        self._server = await loop.create_unix_server(lambda: _Told(self), sock=listening, **_KEEP_PATH)

    def tell(self, state: State) -> None:
        """Say that this is how the application is from now on."""
        self.state = state
        for transport in self._listeners:
            transport.write(_written(state))

    def stop(self) -> None:
        """Tell nobody more; what was told still arrives."""
        if self._server is not None:
            self._server.close()
        for transport in list(self._listeners):
            transport.close()

    def joined(self, transport: asyncio.Transport) -> None:
        """Somebody listens."""
        self._listeners.add(transport)
        self.alone.clear()
        transport.write(_written(self.state))

    def left(self, transport: asyncio.Transport) -> None:
        """Somebody listens no more."""
        self._listeners.discard(transport)
        if not self._listeners:
            self.alone.set()


class _Told(asyncio.Protocol):
    """A connection from somebody who listens, and says nothing."""

    def __init__(self, announcer: Announcer) -> None:
        self._announcer = announcer
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Tell it how the application is."""
        self._transport = transport
        self._announcer.joined(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """It has left."""
        self._announcer.left(self._transport)


class Listener:
    """Hears how the application is whose keeper listens at a path, from now on until it is closed.

    `told` is called with each state, and with None whenever a keeper that had told one has ended.
    """

    def __init__(self, path: str | PathLike[str], told: Callable[[State | None], None]) -> None:
        self._path = path
        self.told = told
        self._hearing: _Hearing | None = None
        self._task = asyncio.get_running_loop().create_task(self._stay_connected())

    def close(self) -> None:
        """Listen no more."""
        self._task.cancel()
        self.told = _nobody
        if self._hearing is not None:
            self._hearing.close()

    async def _stay_connected(self) -> None:
        pause = SHORTEST_PAUSE
        loop = asyncio.get_running_loop()
        while True:
            try:
                _, self._hearing = await loop.create_unix_connection(lambda: _Hearing(self), str(self._path))
            except OSError as error:
                log.debug("nobody announces an application at %s: %s", self._path, error)
            else:
                if await self._hearing.ended:
                    pause = SHORTEST_PAUSE
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


class _Hearing(asyncio.Protocol):
    """A connection to one keeper. `ended` is whether it had ever said anything."""

    def __init__(self, listener: Listener) -> None:
        self.ended: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._listener = listener
        self._frames = Frames(1 << 20)
        self._heard = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first state."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Give on the states that are complete."""
        try:
            for frame in self._frames.feed(data):
                state = _decode(frame)
                self._heard = True
                self._listener.told(state)
        except (Malformed, msgspec.MsgspecError) as error:
            log.error("a keeper at %s is not understood: %s", self._listener, error)
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The keeper has ended, or nobody listens any more."""
        if self._heard:
            self._listener.told(None)
        if not self.ended.done():
            self.ended.set_result(self._heard)

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.abort()


def _nobody(state: State | None) -> None:
    """Hear nothing more."""


def _written(state: State) -> bytes:
    content = _encode(state)
    return len(content).to_bytes(HEADER, "little") + content
