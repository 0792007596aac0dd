"""One connection: reads requests, has them answered one after the other, writes the answers.

The ordinary prediction costs no more than this file shows: its head is looked up, its body cut off, the
hot route called, the answer written. No task, no scope, no timer. Everything that HTTP asks for beyond
that (bodies in pieces, in chunks or compressed, pipelining, refusals, closing in good order) takes the
long way round, and other routes go on to the ASGI application.
"""

import asyncio
import logging
import re
from time import monotonic
from typing import TYPE_CHECKING, cast

from trivet.core.errors import ServingError, Unimplemented
from trivet.http import head as heads
from trivet.http.asgi import FAULT, Exchange
from trivet.http.body import ChunkedBody, SizedBody, unzip
from trivet.http.head import Head
from trivet.http.movable import Movable
from trivet.http.refusal import Refusal
from trivet.http.states import ANSWERING, BODY, CLOSED, HEAD, IDLE, LINGERING, MOVING
from trivet.protocols.base import Headers, error_reply
from trivet.serving.batching import Pending

if TYPE_CHECKING:
    from trivet.http.server import HttpServer

_LEAVES_WITHIN = 0.05
"""Seconds that a request of a caller who has ended its side may still wait for a replica. One who only
half-closed gets its answer from a server that is not overloaded; one who left costs no work on one that
is."""

_LINGERS_AT_MOST = 30.0
"""Seconds for which what a caller goes on sending is read and thrown away."""

_MAX_PIPELINED = 256 * 1024
_EMPTY_LINES = re.compile(rb"(?:\r\n)*")

log = logging.getLogger("trivet")


class Connection(Movable):
    """Speaks HTTP/1.1 on one transport; a `Caller` to the hot route that answers it.

    `state` says what it is doing; `served` counts requests: when both stay the same for too long, the
    server ends it. One that was another process's begins with what that has `received` from it.
    """

    __slots__ = (
        "_ended", "_in_order", "_last", "_pending", "_request_id", "_started", "exchange", "mark", "served",
    )  # fmt: skip

    def __init__(self, server: "HttpServer", received: bytes = b"", *, continued: bool = False) -> None:
        super().__init__(server, received, continued=continued)
        self._pending: Pending | None = None
        self._request_id = (-1, "")  # with the number of the request that has it
        self._started = monotonic()
        self._ended = False  # the caller will send no more
        self._last = False  # nothing can follow the answer at hand
        self._in_order = False  # requests that wait behind one another are being served
        self.exchange: Exchange | None = None
        self.served = 0
        self.mark: tuple[float, object] = (0.0, None)

    def __repr__(self) -> str:
        return f"<Connection {self.state}, {self.served} served>"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless there are too many connections."""
        self._transport = cast(asyncio.Transport, transport)
        self._server.connected(self)
        if self._buffer:
            self._server.loop.call_soon(self._read)  # when it can be paused, which it cannot here

    def data_received(self, data: bytes) -> None:
        """Serve the request at once if it is an ordinary one."""
        if self.state is IDLE and not self._buffer:
            head: Head | None = self._head  # callers send the same one again and again
            if not data.startswith(self._head.raw) or len(data) - self._head.plain != len(self._head.raw):
                head = self._server.heads.get(data[: data.find(heads.END) + 4])
            if head is not None and head.plain == len(data) - len(head.raw):
                self._head = head
                self._serve(data[len(head.raw) :])
                return
        self._buffer += data
        if self.state is ANSWERING:
            if len(self._buffer) > _MAX_PIPELINED:
                self._pause()
        else:
            self._read()

    def eof_received(self) -> bool:
        """Let who has only ended its own side have its answers; others have left."""
        self._ended = True
        if self._buffer and self.state is not ANSWERING:
            self._read()  # what is whole in it is answered before the end
        elif self.state not in (ANSWERING, MOVING):
            self._close()
        elif self._pending is not None:
            self._server.loop.call_later(_LEAVES_WITHIN, self._leave, self._pending)
        elif self.exchange is not None:
            self.exchange.ended.set()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        """Nobody waits any more."""
        self.state = CLOSED
        self._buffer, self._body = b"", None
        self._server.disconnected(self)
        pending, self._pending = self._pending, None
        exchange, self.exchange = self.exchange, None
        if pending is not None:
            pending.abandon()
        if exchange is not None:
            exchange.leave()
        self.resume_writing()

    def resume_writing(self) -> None:
        """The caller has caught up: go on."""
        super().resume_writing()
        if self.state is MOVING:
            self.move()
        elif self.state is IDLE and self._buffer:
            self._read()
        elif self.state is not ANSWERING or len(self._buffer) <= _MAX_PIPELINED:
            self._resume()

    # What a hot route, the ASGI exchange and the server call.

    def reply(self, status: int, headers: Headers, body: bytes) -> None:
        """Give the answer to the request at hand."""
        if self.state is not ANSWERING:
            return
        server = self._server
        if status == 200 and self._head.plain >= 0 and server.plain and not self._ended:
            self._transport.write(b"%b%bcontent-length: %d\r\n\r\n%b" % (server.ok, headers, len(body), body))
            self._pending = None
            self.served += 1
            self.state = IDLE
            if self._buffer:
                self.answered()
            return
        length = b"content-length: %d\r\n" % len(body)
        if self._head.method == "HEAD":
            body = b""
        self._transport.write(self.head_of(status, headers + length) + body)
        self.served += 1
        self.answered()

    def head_of(self, status: int, headers: Headers, *, sized: bool = True) -> bytes:
        """Return the head of the answer at hand; one of unknown size ends with the connection."""
        head = self._head
        if status >= 400 or head.request_id or self._server.log_all:
            headers += self._told(status)
        if not sized:
            self._last = True
        if self.ends:
            headers += b"connection: close\r\n"
        elif head.http_1_0:
            headers += b"connection: keep-alive\r\n"
        line = self._server.status_lines.get(status) or self._server.status_line(status)
        return b"%b%b\r\n" % (line, headers)

    def request_id(self) -> str:
        """Return the id of the request at hand."""
        if self._request_id[0] != self.served:
            self._request_id = self.served, self._head.request_id or self._server.next_request_id()
        return self._request_id[1]

    @property
    def ends(self) -> bool:
        """Whether the connection ends with the answer at hand."""
        ended = self._last or (self._ended and not self._buffer)
        return ended or not self._head.keep_alive or self._server.retiring

    def answered(self) -> None:
        """Go on with what has come meanwhile, once an answer has been written whole."""
        ends = self.ends
        self._pending = self.exchange = None
        self.state = IDLE
        if ends:
            self._linger()
        elif self._server.moving is not None:
            self.move()
        elif self._buffer and not self.blocked:
            self._read()

    def stay(self) -> None:
        """Move no more: go on here."""
        if not self.closing:
            self._transport.set_write_buffer_limits()
        if self.state is MOVING:
            self.state = IDLE if self._body is None else BODY
            self._read()

    def fault(self) -> None:
        """Log the exception at hand, which is a bug of ours, under the request's id."""
        extra = {"request_id": self.request_id(), "path": self._head.target.decode()}
        log.exception("the server failed", extra=extra)

    def refuse(self, error: Refusal) -> None:
        """Answer with an error, and close once the caller has had time to read it."""
        self.state = ANSWERING
        self._last = True  # what follows would not be understood
        self._buffer = b""
        status, headers, body = error_reply(error, error.status)
        length = b"content-length: %d\r\n" % len(body)
        if self._head.method == "HEAD":
            body = b""
        self._transport.write(self.head_of(status, headers + error.headers + length) + body)
        self._linger()

    # From bytes to a request.

    def _read(self) -> None:
        """Serve what the buffer holds, one request after the other."""
        if self._in_order:
            return  # called back by an answer that came at once: the loop below goes on
        if self.state is MOVING:
            self.move()  # more came, since it could not be paused before
            return
        self._in_order = True
        try:
            while self._buffer and self.state is not ANSWERING and not self.blocked and self._step():
                pass
        except Refusal as error:
            self.refuse(error)
        finally:
            self._in_order = False
        if self.state is ANSWERING or self.blocked:
            return
        self._resume()
        if self._ended and self.state is not LINGERING:
            self._close()  # what it sent is no whole request

    def _step(self) -> bool:
        """Take a head or a body from the buffer; False where it needs more, or nothing can follow."""
        if self.state is LINGERING:
            self._throw_away()
            return False
        if self._transport.is_closing():
            self._buffer = b""
            return False
        if self._body is None:
            return self._take_head()
        rest = self._body.feed(self._buffer)
        if rest is None:
            self._buffer = b""
            return False
        self._buffer = rest
        body, self._body = self._body.whole(), None
        if self._head.gzip:
            body = unzip(body, self._server.limits.max_body_bytes)
        self._serve(body)
        return True

    def _take_head(self) -> bool:
        if self._buffer.startswith(b"\r\n"):  # which some clients send after a body
            empty = _EMPTY_LINES.match(self._buffer)
            self.state, self._buffer = IDLE, self._buffer[empty.end() if empty else 0 :]
            return True
        if self.state is IDLE:
            self.state, self._head, self._started = HEAD, self._server.no_head, monotonic()
        end = self._buffer.find(heads.END) + 4
        limit = self._server.limits.max_header_bytes
        if end > limit or (end < 4 and len(self._buffer) > limit):
            raise Refusal(431, f"the request's head exceeds {limit} bytes (limits.max_header_bytes)")
        if end < 4:
            return False
        self._head = head = self._server.head(self._buffer[:end])
        continued, self._continued = self._continued, False
        limit, length = self._server.limits.max_body_bytes, head.length
        if length is not None and length > limit:
            self._server.admit_upload(head.path, length)
        if length is not None and length <= len(self._buffer) - end and not head.gzip:
            body, self._buffer = self._buffer[end : end + length], self._buffer[end + length :]
            self._serve(body)
            return True
        self.state, self._buffer = BODY, self._buffer[end:]
        self._body = ChunkedBody(limit) if length is None else SizedBody(length)
        if head.expects_continue and not (self._buffer or continued):
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return True

    # From a request to its answer.

    def _serve(self, body: bytes) -> None:
        head = self._head
        self.state = ANSWERING
        self._started = now = monotonic()
        try:
            if head.hot_of is not self._server.plane.routes:
                self._server.find(head)
            hot = head.hot
            if hot is None:
                self.exchange = Exchange(self, head, body)
                if self._ended:
                    self.exchange.ended.set()
                self._server.start(self.exchange)
            elif head.method == "POST":
                pending = hot.answer(self, head, body, now)
                if self.state is ANSWERING:
                    self._pending = pending
            else:
                self._refuse_method()
        except ServingError as error:
            self.reply(*error_reply(error))
        except Exception:  # noqa: BLE001 - whatever it is, others are served on; `fault` logs it
            self.fault()
            self.reply(*error_reply(FAULT))

    def _refuse_method(self) -> None:
        allow = b"allow: POST, OPTIONS\r\n"
        if self._head.method == "OPTIONS":
            self.reply(200, allow, b"")
            return
        error = Unimplemented(f"method {self._head.method} is not allowed here; expected POST")
        status, headers, body = error_reply(error, 405)
        self.reply(status, headers + allow, body)

    def _told(self, status: int) -> Headers:
        """Log the answer if it is to be, and return the request's id as a header if that helps."""
        if self._server.logs(status, self._head.path):
            seconds = monotonic() - self._started
            self._server.log(self._head, status, self.request_id(), seconds)
        if self._head.request_id or status >= 400:  # so that the caller can name it to the operator
            return b"x-request-id: %b\r\n" % self.request_id().encode()
        return b""

    def _leave(self, pending: Pending) -> None:
        if pending.taken is None:
            pending.abandon()

    def _linger(self) -> None:
        """End our side, and read on until the caller ends its own: a reset could take our answer away."""
        if self._ended:
            self._close()
            return
        self.state, self._started = LINGERING, monotonic()
        self._buffer, self._body, self._pending = b"", None, None
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()

    def _throw_away(self) -> None:
        self._buffer = b""
        self.mark = (0.0, None)  # it still sends: the time that it may linger begins anew, within bounds
        if monotonic() - self._started > _LINGERS_AT_MOST:
            self.abort()
