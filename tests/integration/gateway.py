"""A gateway in a thread of its own, before a plain HTTP server that answers what a test tells it to."""

import asyncio
import json
import queue
import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import grpc

from trivet.gateway.authority import prepare
from trivet.gateway.server import Gateway, Options

ENDS_WITHIN = 30  # seconds; a bound for hangs, not a measurement


@dataclass
class Asked:
    """A request that the plain HTTP server got."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes
    connection: int

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Answered:
    """What it answers: a whole body with its length, or parts as chunks."""

    content: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    parts: Iterable[bytes] | None = None


class Upstream:
    """A plain HTTP server on loopback. `answers` are by method and path, an answer or a function of Asked."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.answers: dict[tuple[str, str], Answered | Callable[[Asked], Answered]] = {}
        self.left = threading.Event()  # set when a client leaves before its answer has ended
        self.arrived = threading.Semaphore(0)
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle_any(self) -> None:
                url = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                asked = Asked(
                    self.command,
                    unquote(url.path),
                    parse_qs(url.query),
                    headers,
                    body,
                    self.client_address[1],
                )
                upstream.asked.append(asked)
                upstream.arrived.release()
                answer = upstream.answers.get((asked.method, asked.path))
                if answer is None:
                    answer = refused(404, "NOT_FOUND", f"{asked.method} {asked.path}: not recorded")
                self.give(answer(asked) if callable(answer) else answer)

            do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = handle_any

            def give(self, answer: Answered) -> None:
                raw = isinstance(answer.content, bytes)
                body = answer.content if raw else json.dumps(answer.content).encode()
                self.send_response(answer.status)
                for name, value in ({"content-type": "application/json"} | answer.headers).items():
                    self.send_header(name, value)
                if answer.parts is None:
                    self.send_header("content-length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                    return
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()
                for part in answer.parts:
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
                self.wfile.write(b"0\r\n\r\n")

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.handle_error = lambda *_: self.left.set()  # which is not an error here
        self.address = self._server.server_address
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def await_asked(self, many: int) -> None:
        """Wait until so many requests are here."""
        for _ in range(many):
            assert self.arrived.acquire(timeout=ENDS_WITHIN)

    def forget(self) -> None:
        self.asked.clear()
        self.answers.clear()
        self.left.clear()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def refused(status: int, name: str, message: str, **more: Any) -> Answered:
    return Answered({"error": {"code": status, "message": message, "status": name, **more}}, status)


@dataclass
class Running:
    """A gateway that serves, and what it asks."""

    upstream: Upstream
    data: Path
    tls: str
    proxy: str
    stop: Callable[[], None]

    @property
    def ca(self) -> bytes:
        return (self.data / "tls" / "ca.pem").read_bytes()

    def channel(self, **options: Any) -> grpc.Channel:
        """Return a gRPC channel to the TLS port."""
        credentials = grpc.ssl_channel_credentials(self.ca)
        return grpc.secure_channel(self.tls, credentials, options=list(options.items()))

    def client(self, kind: Any) -> Any:
        """Return one of Google's clients, by its class, over gRPC; to be used as a context."""
        return kind(transport=kind.get_transport_class("grpc")(channel=self.channel()))

    @property
    def bundle(self) -> str:
        return str(self.data / "tls" / "bundle.pem")


@contextmanager
def running(data: Path, run: Callable[[Any], Any] = asyncio.run, **options: Any):
    """Run a gateway until the context ends."""
    upstream = Upstream()
    prepare(data, f"http://127.0.0.1:{upstream.address[1]}")  # so that clients can trust it at once
    sockets = [socket.create_server(("127.0.0.1", 0), backlog=128) for _ in range(2)]
    tls, proxy = (one.getsockname()[1] for one in sockets)
    stop, loops = asyncio.Event(), queue.SimpleQueue()

    async def main() -> None:
        loops.put(asyncio.get_running_loop())
        await Gateway(upstream.address, data, Options(**{"drain_timeout": 5, **options})).run(*sockets, stop)

    thread = threading.Thread(target=run, args=(main(),))
    thread.start()
    loop = loops.get(timeout=ENDS_WITHIN)

    def end() -> None:
        if thread.is_alive():
            loop.call_soon_threadsafe(stop.set)
        thread.join(ENDS_WITHIN)
        assert not thread.is_alive()

    try:
        yield Running(upstream, data, f"localhost:{tls}", f"http://127.0.0.1:{proxy}", end)
    finally:
        end()
        upstream.close()
