"""What the gRPC server asks the HTTP server with: a small client, before servers that misbehave."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from trivet.core.errors import Internal, Unavailable
from trivet.protocols.vertex.grpc_rest import Request
from trivet.protocols.vertex.grpc_upstream import Upstream

GET = Request("GET", "/v1/x?a=b", is_repeatable=True)
POST = Request("POST", "/v1/x:deploy", b"{}", "application/json")
CHUNKS = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-One:  1 \r\n\r\nok"


class Server:
    """Answers each connection with a script: for each request bytes to send, or None to close."""

    def __init__(self, *scripts):
        self.scripts = list(scripts)
        self.asked = []
        self.connections = 0
        self.arrived = asyncio.Event()
        self.closed = asyncio.Semaphore(0)

    async def __call__(self, reader, writer):
        script = self.scripts[self.connections]
        self.connections += 1
        try:
            for answer in script:
                head = await reader.readuntil(b"\r\n\r\n")
                length = [line for line in head.split(b"\r\n") if line.startswith(b"content-length: ")]
                body = await reader.readexactly(int(length[0][16:]) if length else 0)
                self.asked.append(head + body)
                self.arrived.set()
                for part in answer if isinstance(answer, list) else [answer]:
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(0)
            if script and script[-1] != OK:
                return
            await reader.read()  # until the client is gone
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.closed.release()
            writer.close()


@asynccontextmanager
async def asking(*scripts):
    server = Server(*scripts)
    listening = await asyncio.start_server(server, "127.0.0.1", 0)
    upstream = Upstream(*listening.sockets[0].getsockname())
    yield upstream, server
    upstream.close()
    listening.close()


async def ask(upstream, request=GET, **headers):
    async with upstream.ask(request, headers) as answer:
        return answer.status, await answer.read()


async def test_a_request_is_written_as_http_says():
    async with asking([OK, OK]) as (upstream, server):
        async with upstream.ask(GET, {"x-a": "b"}) as answer:
            assert (answer.status, answer.headers["x-one"]) == (200, "1")
            assert await answer.read() == b"ok"
        await ask(upstream, Request("POST", "/y", b"", "", is_repeatable=True))
        host = f"host: 127.0.0.1:{upstream._port}".encode()
        assert server.asked == [
            b"GET /v1/x?a=b HTTP/1.1\r\n" + host + b"\r\nx-a: b\r\n\r\n",
            b"POST /y HTTP/1.1\r\n" + host + b"\r\ncontent-length: 0\r\n\r\n",
        ]
        assert repr(upstream).endswith(" 1 idle>")


@pytest.mark.parametrize(
    ("sent", "body"),
    [
        (
            [
                CHUNKS,
                b"3;x=y\r\nabc\r\n2\r",
                b"\nde\r\n0\r\n\r\n",
            ],
            b"abcde",
        ),
        ([CHUNKS, b"0\r\nx: trailer\r\n\r\n"], b""),
        ([b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n", b"a"], b"a"),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], b""),
        ([b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n"], b""),
        ([b"HTTP/1.0 200 OK\r\n\r\nto the end"], b"to the end"),
        ([b"HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n"], b""),
    ],
    ids=["chunks", "trailers", "continue", "no content", "length of none", "to the end", "no phrase"],
)
async def test_bodies_of_every_kind_are_read(sent, body):
    async with asking([sent]) as (upstream, _):
        assert (await ask(upstream))[1] == body


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"HTTP/1.1 200",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"x" * 200_000,
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
        CHUNKS + b"5\r\nabc",
        CHUNKS + b"zz\r\n",
        CHUNKS + b"-1\r\n",
    ],
)
async def test_an_answer_that_is_none_is_unavailable(sent):
    async with asking([sent]) as (upstream, _):
        with pytest.raises(Unavailable, match=r"no answer from 127\.0\.0\.1|the answer broke off"):
            await ask(upstream)
        assert repr(upstream).endswith(" 0 idle>")


async def test_an_answer_without_an_end_is_not_held(monkeypatch):
    monkeypatch.setattr("trivet.protocols.vertex.grpc_upstream._MAX_BODY", 1000)
    async with asking([CHUNKS + b"400\r\n" + b"x" * 1024 + b"\r\n"]) as (upstream, _):
        with pytest.raises(Internal, match="longer than 1,000 bytes"):
            await ask(upstream)


async def test_a_server_that_is_not_there_is_unavailable():
    with pytest.raises(Unavailable, match=r"no answer from 127\.0\.0\.1:1: "):
        await ask(Upstream("127.0.0.1", 1))


async def test_connections_are_kept_and_taken_in_turns():
    async with asking([OK, OK], [OK, OK]) as (upstream, server):
        await asyncio.gather(ask(upstream), ask(upstream))
        assert repr(upstream).endswith(" 2 idle>")
        await ask(upstream)
        await ask(upstream)
        assert server.connections == 2


async def test_a_connection_that_the_server_ended_is_not_used_again():
    told = OK.replace(b"X-One:  1 ", b"Connection: close")
    async with asking([told], [b"HTTP/1.1 204 x\r\n\r\n"], [OK]) as (upstream, server):
        for _ in range(2):
            await ask(upstream)
        await server.closed.acquire()
        await server.closed.acquire()
        assert await ask(upstream) == (200, b"ok")
        assert server.connections == 3


async def test_what_may_be_repeated_is_when_an_idle_connection_fails():
    async with asking([OK, b""], [OK]) as (upstream, server):
        await ask(upstream)
        assert await ask(upstream) == (200, b"ok")  # the first connection ended instead of an answer
        assert (server.connections, len(server.asked)) == (2, 3)


async def test_what_may_not_be_repeated_is_asked_on_a_new_connection_and_once():
    async with asking([OK], [OK], [b""]) as (upstream, server):
        await ask(upstream)
        assert await ask(upstream, POST) == (200, b"ok")
        with pytest.raises(Unavailable):
            await ask(upstream, POST)
        assert (server.connections, len(server.asked)) == (3, 3)


async def test_leaving_an_answer_ends_its_connection():
    async with asking([b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc", OK]) as (upstream, server):
        async with upstream.ask(GET, {}) as answer:
            async for part in answer.parts():
                assert part == b"abc"
                break
        assert repr(upstream).endswith(" 0 idle>")
        await server.closed.acquire()


async def test_one_that_is_cancelled_while_it_waits_ends_its_connection():
    async with asking([[], OK], [OK]) as (upstream, server):
        asked = asyncio.create_task(ask(upstream))
        await server.arrived.wait()
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        await server.closed.acquire()
        assert asked.cancelled()
        assert await ask(upstream) == (200, b"ok")
