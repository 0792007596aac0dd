"""One request to the ASGI application: every route that is not hot.

Implements the HTTP part of https://asgi.readthedocs.io/en/latest/specs/www.html for a body read whole.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from trivet.core.errors import Internal
from trivet.http.head import FIELD, Head
from trivet.protocols.base import BrokenOff, Headers, error_reply

if TYPE_CHECKING:
    from trivet.http.connection import Connection

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

FAULT = Internal("the server failed; its log says why, under this request's id")

_FRAMING = (b"connection", b"transfer-encoding")  # the listener's own
_LENGTH = re.compile(rb"[0-9]{1,18}")

log = logging.getLogger("trivet")


class Exchange:
    """Carries a request to the application and its answer back, streamed if it comes in several parts.

    `ended`, which is in the state of the scope, tells that the caller sends no more; it has left, or waits.
    """

    def __init__(self, connection: "Connection", head: Head, body: bytes) -> None:
        self._connection = connection
        self._head = head
        self._body: bytes | None = body
        self.ended = asyncio.Event()
        self._left = asyncio.Event()
        self._start: tuple[int, Headers] | None = None
        self._missing: int | None = None  # bytes of a body of the length that the application told
        self._begun = False  # the head of the answer has been sent
        self._done = False
        self._chunked = False

    async def run(self, app: App, server: tuple[str, int]) -> None:
        """Have the application answer; if it fails to, answer for it."""
        connection, head = self._connection, self._head
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.0" if head.http_1_0 else "1.1",
            "method": head.method,
            "scheme": "http",
            "path": head.path,
            "raw_path": head.target,
            "query_string": head.query,
            "root_path": "",
            "headers": list(head.headers),
            "client": connection.peer,
            "server": server,
            "state": {"ended": self.ended},
        }
        try:
            await app(scope, self.receive, self.send)
            if not self._done and not self._left.is_set():
                raise RuntimeError("an ASGI application must answer before it returns")
        except BrokenOff as error:
            extra = {"request_id": connection.request_id(), "path": head.target.decode()}
            log.error("an answer broke off: %s", error, extra=extra)
        except Exception:
            if self._done:  # the connection may be at another request already
                log.exception("the server failed after its answer", extra={"path": head.target.decode()})
                return
            connection.fault()
        if self._done or self._left.is_set():
            return
        if self._begun:
            connection.abort()  # the caller must not take a part for the whole
        else:
            connection.reply(*error_reply(FAULT))

    def leave(self) -> None:
        """The caller has left."""
        self._left.set()

    async def receive(self) -> dict[str, Any]:
        """Return the body, and after it that the caller has left, once it has."""
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        """Take a part of the answer; it goes nowhere if the caller has left."""
        if self._done or self._left.is_set():
            return
        if message["type"] == "http.response.start":
            self._start = message["status"], self._headers(message["headers"])
            return
        if self._start is None:
            raise RuntimeError("an ASGI application must start its answer before it sends a body")
        body, more = message.get("body", b""), message.get("more_body", False)
        self._write(body, more)
        if more:
            await self._connection.written()
        else:
            self._done = True
            self._connection.served += 1
            self._connection.answered()

    def _headers(self, given: Any) -> Headers:
        """Return the headers as lines; raises where what the application gives would be no header, or two."""
        lines = []
        for name, value in given:
            line = b"%b: %b\r\n" % (name, value)
            if not FIELD.fullmatch(line):
                raise ValueError(f"an ASGI application sent a header that HTTP does not allow: {line!r}")
            lower = name.lower()
            if lower == b"content-length":
                if not _LENGTH.fullmatch(value):
                    raise ValueError(
                        f"an ASGI application sent a content-length that is no number: {value!r}"
                    )
                self._missing = int(value)
            if lower not in _FRAMING:
                lines.append(line)
        return b"".join(lines)

    def _write(self, body: bytes, more: bool) -> None:
        assert self._start is not None
        status, headers = self._start
        bare = self._head.method == "HEAD" or status in (204, 304)  # has no body, whatever is said of one
        if self._missing is not None and not bare:
            self._missing -= len(body)
            if self._missing < 0 or (self._missing and not more):
                raise RuntimeError("an ASGI application's answer is not as long as it said")
        parts = []
        if not self._begun:
            parts.append(self._framed(status, headers, more=more, size=len(body)))
            self._begun = True
        if not bare:
            if self._chunked and body:
                parts += [b"%x\r\n" % len(body), body, b"\r\n"]
            elif not self._chunked:
                parts.append(body)
            if self._chunked and not more:
                parts.append(b"0\r\n\r\n")
        self._connection.write(b"".join(parts))

    def _framed(self, status: int, headers: Headers, *, more: bool, size: int) -> bytes:
        """Return the head of the answer, which says where its body will end."""
        if self._missing is not None or status in (204, 304):
            return self._connection.head_of(status, headers)
        if not more:
            return self._connection.head_of(status, headers + b"content-length: %d\r\n" % size)
        if self._head.http_1_0:
            return self._connection.head_of(status, headers, sized=False)
        self._chunked = True
        return self._connection.head_of(status, headers + b"transfer-encoding: chunked\r\n")
