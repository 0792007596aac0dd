"""Hands open connections from one process to another, over a socket between the two.

A connection is one message or several: its socket with the first, and what has been read from it. A message
is a byte of flags and a piece of that. Nothing is ever answered: what was sent is the other side's, whatever
becomes of it.
"""

import array
import asyncio
import errno
import logging
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from trivet.http.connection import Connection
from trivet.http.movable import Movable
from trivet.http.states import MOVING

if TYPE_CHECKING:
    from trivet.http.server import HttpServer

KIND = socket.SOCK_SEQPACKET
"""The kind of the sockets over which connections are handed over."""

_FIRST, _LAST, _CONTINUED = 1, 2, 4
_PIECE = 32 * 1024  # well below what fits into a message
_AT_ONCE = 64  # messages in one turn of the loop
_ROOM = socket.CMSG_SPACE(array.array("i").itemsize)
_FULL = (errno.ETOOMANYREFS, errno.ENOBUFS, errno.ENOMEM)  # the system has too much under way
_LATER = 0.01  # seconds

log = logging.getLogger("trivet")


class HandOver:
    """Sends connections to another process as fast as that takes them; `open` while it may."""

    def __init__(self, loop: asyncio.AbstractEventLoop, to: socket.socket, lost: Callable[[], None]) -> None:
        if to.type != KIND:
            raise ValueError("connections are handed over on sockets of the kind SOCK_SEQPACKET")
        self._loop = loop
        self._to = socket.socket(fileno=to.detach())
        self._to.setblocking(False)
        self._lost = lost
        self._waiting: dict[Movable, None] = {}
        self._pieces: deque[bytes] = deque()  # of the connection whose socket was sent last
        self._all_sent = asyncio.Event()
        self._all_sent.set()
        self._error: OSError | None = None
        self.open = True

    def __repr__(self) -> str:
        return f"<HandOver {'open' if self.open else 'closed'}, {len(self._waiting)} connections wait>"

    def add(self, connection: Movable) -> None:
        """Send this one, once those before it have been sent; it ends here then."""
        if not self.open:
            return
        self._waiting[connection] = None
        if self._all_sent.is_set():
            self._all_sent.clear()
            self._loop.add_writer(self._to, self._send)

    async def sent(self) -> None:
        """Wait until none waits; raises ConnectionError if the other side has ended."""
        await self._all_sent.wait()
        if self._error is not None:
            raise ConnectionResetError("the process that takes connections over ended") from self._error

    def end(self) -> None:
        """Send no other connection, and tell the other side so."""
        self.open = False
        self._waiting.clear()
        if not self._pieces:
            self.close()

    def close(self) -> None:
        """Send nothing more."""
        self.open = False
        if self._to.fileno() >= 0:
            self._loop.remove_writer(self._to)
            self._to.close()
        self._all_sent.set()

    def _send(self) -> None:
        try:
            for _ in range(_AT_ONCE):
                if not self._send_one():
                    self._rest()
                    return
        except BlockingIOError:
            return  # called again when there is room
        except OSError as error:
            if error.errno in _FULL:
                self._loop.remove_writer(self._to)
                self._loop.call_later(_LATER, self._go_on)
                return
            self._error = error
            self._pieces.clear()
            self.end()
            self._lost()

    def _send_one(self) -> bool:
        """Send a message; False if there is none."""
        if self._pieces:
            self._to.send(self._pieces[0])
            self._pieces.popleft()
            return True
        connection = next(iter(self._waiting), None)
        if connection is None:
            return False
        if connection.state is MOVING and not connection.closing:
            first, *others = _messages(connection.received, continued=connection.continued)
            socket.send_fds(self._to, [first], [connection.fileno()])
            self._pieces.extend(others)
            connection.end()
        del self._waiting[connection]
        return True

    def _rest(self) -> None:
        if self.open:
            self._loop.remove_writer(self._to)
            self._all_sent.set()
        else:
            self.close()

    def _go_on(self) -> None:
        if self._to.fileno() >= 0:
            self._loop.add_writer(self._to, self._send)


def _messages(received: bytes, *, continued: bool) -> list[bytes]:
    pieces = [received[start : start + _PIECE] for start in range(0, len(received), _PIECE)] or [b""]
    last = len(pieces) - 1
    flags = _CONTINUED if continued else 0
    return [
        bytes([flags | (_FIRST if number == 0 else 0) | (_LAST if number == last else 0)]) + piece
        for number, piece in enumerate(pieces)
    ]


class TakeOver:
    """Receives connections from another process, for a server that goes on with them."""

    def __init__(self, server: "HttpServer", given: socket.socket) -> None:
        if given.type != KIND:
            raise ValueError("connections are taken over on sockets of the kind SOCK_SEQPACKET")
        self._server = server
        self._from = socket.socket(fileno=given.detach())
        self._from.setblocking(False)
        self._socket: socket.socket | None = None  # of the connection at hand
        self._received = bytearray()
        self._over = asyncio.Event()
        self._begun: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Take over until the other side says that this was all, or ends.

        When cancelled, what has been sent is taken over still, and the other side sends nothing more.
        """
        loop = self._server.loop
        loop.add_reader(self._from, self._receive)
        try:
            await self._over.wait()
        finally:
            loop.remove_reader(self._from)
            with suppress(OSError):  # it has ended
                self._from.shutdown(socket.SHUT_RD)
            with suppress(BlockingIOError):
                while self._receive_one():
                    pass
            self._from.close()
            if self._socket is not None:
                self._socket.close()
        while self._begun:
            await asyncio.wait(self._begun)

    def _receive(self) -> None:
        try:
            for _ in range(_AT_ONCE):
                if not self._receive_one():
                    self._over.set()
                    return
        except BlockingIOError:
            return

    def _receive_one(self) -> bool:
        """Receive a message; False where none will come any more. Raises BlockingIOError."""
        try:
            message, sent, flags, _ = self._from.recvmsg(1 + _PIECE, _ROOM, socket.MSG_CMSG_CLOEXEC)
        except ConnectionResetError:
            return False
        if message:
            self._take(message, sent, flags)
        return bool(message)

    def _take(self, message: bytes, sent: list[tuple[int, int, bytes]], flags: int) -> None:
        if message[0] & _FIRST:
            self._received.clear()
            numbers = array.array("i", b"".join(data for _, _, data in sent))
            self._socket = socket.socket(fileno=numbers[0]) if numbers else None
            if flags & socket.MSG_CTRUNC:
                log.error("a connection was lost: this process may open no more files")
        self._received += message[1:]
        if message[0] & _LAST and self._socket is not None:
            task = self._server.loop.create_task(
                self._begin(self._socket, bytes(self._received), continued=bool(message[0] & _CONTINUED))
            )
            self._begun.add(task)
            task.add_done_callback(self._begun.discard)
            self._socket = None

    async def _begin(self, taken: socket.socket, received: bytes, *, continued: bool) -> None:
        try:
            await self._server.loop.connect_accepted_socket(
                lambda: Connection(self._server, received, continued=continued), taken
            )
        except OSError as error:
            log.warning("a connection was lost: %s", error)
            taken.close()
