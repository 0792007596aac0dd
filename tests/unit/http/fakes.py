"""A transport without a socket, a clock that is turned by hand, and what a front needs around it."""

import asyncio
from dataclasses import dataclass, field

from trivet.core.errors import NotFound
from trivet.http.connection import Connection
from trivet.http.server import HttpServer
from trivet.protocols.base import JSON
from trivet.serving.plane import DataPlane
from trivet.settings import Limits, Log
from trivet.telemetry import Metrics

HIGH_WATER = 64 * 1024


class Transport(asyncio.Transport):
    """Keeps what is written. While its peer does not read, it says so as asyncio does."""

    def __init__(self, protocol):
        super().__init__()
        self.protocol = protocol
        self.sent = b""
        self.unread = 0
        self.reads = True  # the peer does
        self.reading = True
        self.closing = self.aborted = self.ended = False
        self.over = False

    def get_extra_info(self, name, default=None):
        return ("127.0.0.1", 7) if name == "peername" else default

    def write(self, data):
        assert not self.over, "nothing may be written to a connection that is over"
        assert not self.ended, "nothing may be written after the end"
        if self.closing:
            return
        self.sent += data
        if not self.reads:
            self.unread += len(data)
            if self.unread > HIGH_WATER and not self.protocol.blocked:
                self.protocol.pause_writing()

    @property
    def ends(self):
        """Whether the peer sees an end."""
        return self.ended or self.closing

    def get_write_buffer_size(self):
        return self.unread

    def can_write_eof(self):
        return True

    def write_eof(self):
        self.ended = True

    def is_closing(self):
        return self.closing

    def close(self):
        self.closing = True
        if self.reads:
            self.lose()

    def abort(self):
        self.aborted = self.closing = True
        self.lose()

    def pause_reading(self):
        self.reading = False

    def resume_reading(self):
        assert not self.closing
        self.reading = True

    def lose(self):
        """Let the connection be over at the end of the loop's turn, as asyncio does."""

        def lost():
            if not self.over:
                self.over = True
                self.protocol.connection_lost(None)

        asyncio.get_running_loop().call_soon(lost)

    def catch_up(self):
        """Let the peer read everything."""
        self.reads, self.unread = True, 0
        if self.protocol.blocked:
            self.protocol.resume_writing()
        if self.closing:
            self.lose()


@dataclass
class Waiting:
    """A request that a replica has not answered yet."""

    caller: object
    body: bytes
    taken: float | None = None
    abandoned: bool = False

    def abandon(self):
        self.abandoned = True


@dataclass
class Hot:
    """A protocol whose hot paths do what their name says; what is written to `later` waits for the test."""

    waiting: list = field(default_factory=list)
    other: list = field(default_factory=list)  # ASGI routes
    heads: list = field(default_factory=list)

    def hot(self, path):
        if path == "/gone":
            raise NotFound("it is not here")
        return self if path in ("/hot", "/later", "/id") else None

    def answer(self, caller, head, body, now):
        self.heads.append(head)
        if b"bad" in body:
            raise ZeroDivisionError("a bug of ours")
        if head.path == "/later":
            self.waiting.append(Waiting(caller, body))
            return self.waiting[-1]
        caller.reply(200, JSON, caller.request_id().encode() if head.path == "/id" else b"<%b>" % body)
        return None

    def routes(self):
        return self.other


async def nothing(scope, receive, send):
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def server_of(hot=None, app=nothing, log="errors", probes=(), **limits):
    plane = DataPlane(Metrics())
    return HttpServer(plane, [hot or Hot()], app, Limits(**limits), Log(requests=log), frozenset(probes))


def connect(server):
    connection = Connection(server)
    transport = Transport(connection)
    connection.connection_made(transport)
    return connection, transport


def request(path="/hot", body=b"x", *lines, method="POST", version="1.1"):
    head = [f"{method} {path} HTTP/{version}".encode(), b"Host: a", b"Content-Length: %d" % len(body), *lines]
    return b"\r\n".join([*head, b"", body])


async def turns(number=5):
    """Let the loop turn a few times."""
    for _ in range(number):
        await asyncio.sleep(0)
