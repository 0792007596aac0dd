"""What the connections of one front share: hot routes, heads seen before, limits, the clock."""

import asyncio
import logging
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from email.utils import formatdate
from http import HTTPStatus
from itertools import count
from time import monotonic

from trivet.http import head as heads
from trivet.http.asgi import App, Exchange
from trivet.http.connection import Connection
from trivet.http.handover import HandOver, TakeOver
from trivet.http.head import Head
from trivet.http.refusal import Refusal, too_large
from trivet.http.states import ANSWERING, CLOSING, HEAD, IDLE, LINGERING, MOVING
from trivet.protocols.base import HotRoute, HttpProtocol, RequestHead
from trivet.serving.plane import DataPlane
from trivet.settings import Limits, Log

log = logging.getLogger("trivet")

_HEADS = 512
_HEAD_BYTES = 2048  # longer ones are not remembered
_PATHS = 4096
_PATH_BYTES = 512  # neither are these
_LINGERS = 2.0  # seconds without a byte

UPLOADS = ("/upload/", "/resumable/")
"""How the paths begin to which files are uploaded."""


class HttpServer:
    """Listens on sockets and answers: hot paths by the protocols, all others by an ASGI application.

    That a path among `probes` says no is no error to be logged.
    """

    def __init__(
        self,
        plane: DataPlane,
        protocols: Sequence[HttpProtocol],
        app: App,
        limits: Limits,
        requests: Log,
        probes: frozenset[str] = frozenset(),
    ) -> None:
        self.limits = limits
        self.loop = asyncio.get_running_loop()
        self.heads: dict[bytes, Head] = {}
        self.no_head = Head("", "", b"", b"", ())
        self.status_lines: dict[int, bytes] = {}
        self.ok = self.status_line(200)
        self.log_all = requests.requests == "all"
        self.plain = not self.log_all  # an ordinary answer needs nothing but its body
        self.retiring = False  # connections end with their next answer
        self.moving: HandOver | None = None  # no request is begun with
        self._log_errors = requests.requests != "none"
        self._probes = probes
        self.plane = plane
        self._protocols = protocols
        self._app = app
        self._hot: dict[str, HotRoute | None] = {}
        self._hot_of: object = None
        self._connections: set[Connection] = set()
        self._none_left = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._retires = False  # has been told to
        self._handed_over = False  # no request is to be begun with, whatever becomes of connections
        self._taking = 0  # other servers of which connections may come
        self._listening: list[asyncio.Server] = []
        self._address = ("", 0)
        self._id_prefix, self._ids = os.urandom(6).hex(), count(1)
        self._every = min(1.0, limits.receive_timeout / 4, limits.idle_timeout / 4)
        self._next_look: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<HttpServer {len(self._connections)} connections, {len(self._tasks)} in the application>"

    async def listen(self, listening: socket.socket) -> None:
        """Accept connections from now on."""
        server = await self.loop.create_server(lambda: Connection(self), sock=listening, backlog=2048)
        self._listening.append(server)
        self._address = listening.getsockname()[:2]
        if self._next_look is None:
            self._look()

    def stop_listening(self) -> None:
        """Accept no more; connections there are go on."""
        for server in self._listening:
            server.close()
        self._listening.clear()

    async def retire(self, idle_for: float, within: float) -> None:
        """Let every connection end with its next answer, or when it has been idle for these seconds.

        Returns when all have ended, or after `within` seconds. After `hand_over` they go instead of ending.
        """
        self._retires = True
        if not self._moves:
            self._drain(min(idle_for, within))
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                while self._connections or (self._moves and self._taking):
                    self._none_left.clear()
                    await self._none_left.wait()
                if self.moving is not None:
                    with suppress(ConnectionError):
                        await self.moving.sent()  # to the end: the last one may be long

    async def hand_over(self, to: socket.socket) -> None:
        """Accept no more, and give all connections to the server that takes over from the other end of `to`.

        Returns when no request will be begun with here any more: every connection has gone, or one is being
        answered on it, or it ends. Those that are being answered go once they have been; `retire` waits for
        that. Should the other side end meanwhile, they are kept, unread, for another call, or `retire`.

        Raises ConnectionError if the other side ends before; connections that it was not sent are then
        served on, and can be handed over again, as when this is cancelled. RuntimeError, if others still go
        to where they were handed over before. ValueError, if `to`, which the server owns from now on, is not
        a socket of the kind SOCK_SEQPACKET.
        """
        if self._moves:
            raise RuntimeError("connections still go to where they were handed over before")
        self.moving = moving = HandOver(self.loop, to, self._lost)
        self.stop_listening()
        self.retiring = self.plain = False
        try:
            for connection in list(self._connections):
                connection.move()
            await asyncio.sleep(0)  # for those that have been accepted, and are about to say so
            await moving.sent()
        except BaseException:
            moving.end()
            if not self._handed_over:
                self._stay()
            raise
        self._handed_over = True
        self._finish()

    async def take_over(self, from_: socket.socket) -> None:
        """Go on with the connections that another server hands over at the other end of `from_`.

        Returns when it has handed over the last, or has ended. When this is cancelled, it can hand over no
        more. Raises ValueError if `from_`, which the server owns from now on, is not a socket of the kind
        SOCK_SEQPACKET.
        """
        taking = TakeOver(self, from_)
        if self._next_look is None:
            self._look()
        self._taking += 1
        try:
            await taking.run()
        finally:
            self._taking -= 1
            self._none_left.set()
            self._finish()

    def abort(self) -> None:
        """End every connection at once."""
        if self._next_look is not None:
            self._next_look.cancel()
        if self.moving is not None:
            self.moving.close()
        for connection in list(self._connections):
            connection.abort()

    # What a connection asks.

    def find(self, head: Head) -> None:
        """Find what answers predictions on a path; it is remembered until the routes are replaced."""
        if self._hot_of is not self.plane.routes:
            self._hot, self._hot_of = {}, self.plane.routes
            self.heads.clear()  # since they would keep the routes that were replaced
        if head.path not in self._hot:
            found = (protocol.hot(head.path) for protocol in self._protocols)
            head.hot = next((route for route in found if route is not None), None)
            if len(head.path) <= _PATH_BYTES:
                if len(self._hot) >= _PATHS:
                    self._hot.clear()
                self._hot[head.path] = head.hot
        else:
            head.hot = self._hot[head.path]
        head.hot_of = self._hot_of

    def head(self, raw: bytes) -> Head:
        """Return a head, parsed or remembered; raises Refusal."""
        head = self.heads.get(raw)
        if head is None:
            head = heads.parse(raw)
            if len(raw) <= _HEAD_BYTES and not head.request_id:
                if len(self.heads) >= _HEADS:
                    self.heads.clear()
                self.heads[raw] = head
            if head.plain > self.limits.max_body_bytes:
                head.plain = -1
        return head

    def admit_upload(self, path: str, length: int) -> None:
        """Raise Refusal for a body of a length that only uploads may have."""
        limits = self.limits
        if not path.startswith(UPLOADS):
            raise too_large(limits.max_body_bytes)
        if length > (limit := max(limits.max_upload_bytes, limits.max_body_bytes)):
            raise too_large(limit, "max_upload_bytes")

    def start(self, exchange: Exchange) -> None:
        """Let the application answer."""
        task = self.loop.create_task(exchange.run(self._app, self._address))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def next_request_id(self) -> str:
        """Make one up."""
        return f"{self._id_prefix}{next(self._ids):x}"

    def status_line(self, status: int) -> bytes:
        """Return the first line of an answer, and the date below it."""
        try:
            phrase = HTTPStatus(status).phrase
        except ValueError:
            if not 200 <= status < 600:
                raise
            phrase = "Client Closed Request" if status == 499 else ""  # or a container's own
        line = f"HTTP/1.1 {status} {phrase}\r\ndate: {formatdate(usegmt=True)}\r\n".encode()
        self.status_lines[status] = line
        return line

    def logs(self, status: int, path: str) -> bool:
        """Whether a request is worth a line in the log."""
        return self.log_all or (status >= 400 and self._log_errors and path not in self._probes)

    def log(self, head: RequestHead, status: int, request_id: str, seconds: float) -> None:
        """Write that line, with the path as it was sent: no escape in it can break the line."""
        log.log(
            logging.ERROR if status >= 500 else logging.WARNING if status >= 400 else logging.INFO,
            "request",
            extra={
                "request_id": request_id,
                "method": head.method,
                "path": head.target.decode(),
                "status": status,
                "duration_ms": round(seconds * 1000, 3),
            },
        )

    def connected(self, connection: Connection) -> None:
        """Know of a connection; refuse one too many."""
        self._connections.add(connection)
        if len(self._connections) > self.limits.max_connections:
            limit = self.limits.max_connections
            connection.refuse(Refusal(503, f"more than {limit} connections (limits.max_connections)"))
        else:
            connection.move()

    def disconnected(self, connection: Connection) -> None:
        """Forget a connection."""
        self._connections.discard(connection)
        if not self._connections:
            self._none_left.set()
            self._finish()

    # Connections that go to another process.

    @property
    def _moves(self) -> bool:
        return self.moving is not None and self.moving.open

    def _finish(self) -> None:
        """Tell whoever takes over that nothing more comes, once that is so."""
        if self.moving is not None and self._handed_over and not (self._connections or self._taking):
            self.moving.end()

    def _lost(self) -> None:
        """Whoever takes over has ended."""
        self._none_left.set()
        if self._retires and self._handed_over:
            self._drain(0)

    def _stay(self) -> None:
        self.moving, self.plain = None, not self.log_all
        for connection in list(self._connections):
            connection.stay()
        if self._retires:
            self._drain(0)

    def _drain(self, idle_for: float) -> None:
        """Let connections end with their next answer, or when they have been idle for these seconds."""
        self.retiring, self.plain = True, False
        self.loop.call_later(idle_for, self._end_idle)

    # Time: one timer for all connections, so that none has its own.

    def _look(self) -> None:
        """End connections that have been in the same state for too long."""
        self._next_look = self.loop.call_later(self._every, self._look)
        self.status_lines.clear()  # the date has changed
        self.ok = self.status_line(200)
        now = monotonic()
        for connection in list(self._connections):
            is_now = (connection.state, connection.served, connection.blocked)
            since, was = connection.mark
            if was != is_now:
                connection.mark = now, is_now
            elif now - since >= self._allowed(connection):
                self._end(connection)

    def _allowed(self, connection: Connection) -> float:
        if connection.state is LINGERING and not connection.unsent:
            return _LINGERS
        if connection.blocked or connection.state in (CLOSING, LINGERING):
            return self.limits.receive_timeout
        if connection.state in (IDLE, MOVING):
            return self.limits.idle_timeout
        if connection.state is ANSWERING:
            return float("inf")  # the deadline of the request counts
        return self.limits.receive_timeout

    def _end(self, connection: Connection) -> None:
        if connection.blocked or connection.state in (CLOSING, LINGERING):
            connection.abort()
        elif connection.state in (IDLE, MOVING):
            connection.end()
        else:
            limit = self.limits.receive_timeout
            what = "head" if connection.state is HEAD else "body"
            connection.refuse(
                Refusal(408, f"the request's {what} did not come within {limit:g} s (limits.receive_timeout)")
            )

    def _end_idle(self) -> None:
        for connection in list(self._connections):
            if connection.state is IDLE or (connection.state is MOVING and not self._moves):
                connection.end()
