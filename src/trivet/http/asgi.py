"""One request to the ASGI application: every route that is not hot.

Implements the HTTP part of https://asgi.readthedocs.io/en/latest/specs/www.html for a body read whole.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from trivet.core.errors import Internal
from trivet.http.head import Head
from trivet.protocols.base import error_reply

if TYPE_CHECKING:
    from trivet.http.connection import Connection

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
FAULT = Internal("the server failed; its log says why, under this request's id")

App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Exchange:
    """Carries a request to the application and its answer back, streamed if it comes in several parts."""

    def __init__(self, connection: "Connection", head: Head, body: bytes) -> None:
        self._connection = connection
        self._head = head
        self._body: bytes | None = body
        self._left = asyncio.Event()
        self._start: tuple[int, bytes, bool] | None = None
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
            "state": {},
        }
        try:
            await app(scope, self.receive, self.send)
        except Exception:
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
        """Take a part of the answer."""
        if self._done:
            return
        if message["type"] == "http.response.start":
            lines = [b"%b: %b\r\n" % (name, value) for name, value in message["headers"]]
            sized = any(name.lower() == b"content-length" for name, _ in message["headers"])
            self._start = message["status"], b"".join(lines), sized
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

    def _write(self, body: bytes, more: bool) -> None:
        assert self._start is not None
        parts = []
        if not self._begun:
            status, headers, sized = self._start
            self._begun = True
            if not sized and not more:
                headers += b"content-length: %d\r\n" % len(body)
            elif not sized and not self._head.http_1_0:
                self._chunked = True
                headers += b"transfer-encoding: chunked\r\n"
            parts.append(self._connection.head_of(status, headers, sized=sized or not more or self._chunked))
        if self._head.method != "HEAD":
            if self._chunked and body:
                parts += [b"%x\r\n" % len(body), body, b"\r\n"]
            elif not self._chunked:
                parts.append(body)
            if self._chunked and not more:
                parts.append(b"0\r\n\r\n")
        self._connection.write(b"".join(parts))
