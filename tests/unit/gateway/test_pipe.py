import asyncio
import ssl

import pytest

from tests.unit.gateway.wires import wire
from trivet.gateway import pipe
from trivet.gateway.authority import prepare
from trivet.gateway.contexts import Contexts
from trivet.gateway.pipe import Pipe
from trivet.gateway.streams import TlsStream


@pytest.fixture(scope="module")
def contexts(tmp_path_factory):
    authority = prepare(tmp_path_factory.mktemp("data"), "http://127.0.0.1:1")
    return Contexts(authority, ["http/1.1"]), ssl.create_default_context(cafile=authority.ca)


async def settled(task):
    """Let a task do all that it can do now."""
    for _ in range(50):
        await asyncio.sleep(0)
    return task.done()


async def test_bytes_go_both_ways():
    client, ours = wire()
    theirs, server = wire()
    running = asyncio.create_task(Pipe(ours, theirs).run())
    await client.write(b"question")
    assert await server.read() == b"question"
    await server.write(b"answer")
    assert await client.read() == b"answer"
    await server.end()
    await client.end()
    await running


async def test_a_client_that_has_said_all_still_gets_the_answer():
    client, ours = wire()
    theirs, server = wire()
    running = asyncio.create_task(Pipe(ours, theirs).run())
    await client.write(b"question")
    await client.end()
    assert await server.read_all() == b"question"
    assert not await settled(running)
    await server.write(b"answer")
    await server.end()
    assert await client.read_all() == b"answer"
    await running


async def test_an_answer_that_comes_early_is_not_lost_to_a_client_that_still_sends():
    client, ours = wire()
    theirs, server = wire()
    running = asyncio.create_task(Pipe(ours, theirs).run())
    await client.write(b"a body that is too ")
    await settled(running)
    theirs.refused = BrokenPipeError()
    await server.write(b"413")
    await server.end()
    assert await client.read_all() == b"413"
    await client.write(b"long")
    assert not await settled(running)
    await client.end()
    await running


async def test_a_client_that_sends_for_ever_is_left_in_the_end(monkeypatch):
    monkeypatch.setattr(pipe, "LINGERS", 0)
    client, ours = wire()
    theirs, server = wire()
    running = asyncio.create_task(Pipe(ours, theirs).run())
    await server.end()
    await running
    assert await client.read_all() == b""


@pytest.mark.parametrize("who", ["client", "server"])
async def test_when_one_side_fails_the_pipe_ends_at_once(who):
    _, ours = wire()
    theirs, _ = wire()
    running = asyncio.create_task(Pipe(ours, theirs).run())
    await settled(running)
    await (ours if who == "client" else theirs).fail(ConnectionResetError())
    with pytest.raises(ConnectionResetError):
        await running


async def test_a_side_that_takes_nothing_holds_up_the_other():
    client, ours = wire(room=10)
    theirs, server = wire(room=10)
    running = asyncio.create_task(Pipe(ours, theirs).run())
    sent = 0

    async def send():
        nonlocal sent
        for _ in range(100):
            await client.write(b"0123456789")
            sent += 10
        await client.end()

    sending = asyncio.create_task(send())
    await settled(running)
    assert sent <= 60
    assert len(await server.read_all()) == 1000
    await server.end()
    await asyncio.gather(sending, running)


async def test_a_pipe_is_idle_after_an_answer_and_not_while_one_is_awaited():
    client, ours = wire()
    theirs, server = wire()
    both = Pipe(ours, theirs)
    running = asyncio.create_task(both.run())
    await settled(running)
    assert not both.is_idle(0)
    assert repr(both) == "<Pipe asking>"
    await client.write(b"question")
    await server.read()
    assert not both.is_idle(0)
    await server.write(b"answer")
    await client.read()
    assert both.is_idle(0)
    assert not both.is_idle(60)
    assert repr(both) == "<Pipe answered>"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


class Client:
    """The client's side of TLS over one end of a wire."""

    def __init__(self, context, below):
        self.below = below
        self.coming, self.going = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.coming, self.going, server_hostname="localhost")

    async def do(self, what, *arguments):
        while True:
            try:
                return what(*arguments)
            except ssl.SSLWantReadError:
                await self.flush()
                self.coming.write(await self.below.read())
            finally:
                await self.flush()

    async def flush(self):
        if self.going.pending:
            await self.below.write(self.going.read())

    async def say_all(self):
        """Send close_notify, and wait for no answer to it."""
        with pytest.raises(ssl.SSLWantReadError):
            self.tls.unwrap()
        await self.flush()


async def secure(contexts, **options):
    server, client = contexts
    one, other = wire(**options)
    ours, theirs = TlsStream(server.main, one), Client(client, other)
    protocol, _ = await asyncio.gather(ours.handshake(), theirs.do(theirs.tls.do_handshake))
    assert protocol == ""
    return ours, theirs


async def test_tls_carries_more_than_a_record(contexts):
    ours, theirs = await secure(contexts)
    text = bytes(range(256)) * 1000
    await ours.write(text)
    found = b""
    while len(found) < len(text):
        found += await theirs.do(theirs.tls.read, 1 << 20)
    assert found == text
    theirs.tls.write(text[:16000])
    theirs.tls.write(text[16000:32000])
    await theirs.flush()
    assert await ours.read() == text[:32000]  # several records at once


async def test_a_tls_client_that_has_said_all_still_hears(contexts):
    ours, theirs = await secure(contexts)
    theirs.tls.write(b"question")
    await theirs.say_all()
    assert await ours.read() == b"question"
    assert await ours.read() == b""
    await ours.write(b"answer")
    await ours.end()
    assert await theirs.do(theirs.tls.read, 100) == b"answer"
    with pytest.raises(ssl.SSLZeroReturnError):  # close_notify
        await theirs.do(theirs.tls.read, 100)
    assert await theirs.below.read() == b""


async def test_the_end_of_what_is_below_is_the_end(contexts):
    ours, theirs = await secure(contexts)
    await theirs.below.end()
    assert await ours.read() == b""


async def test_a_client_that_leaves_during_the_handshake_is_an_error(contexts):
    one, other = wire()
    await other.end()
    with pytest.raises(ConnectionResetError, match="during the handshake"):
        await TlsStream(contexts[0].main, one).handshake()


@pytest.mark.parametrize(
    "hello", [b"\x00" * 100, b"SSH-2.0-x\r\n", b"\x16\x03\x01\xff\xff"], ids=["zeros", "ssh", "long"]
)
async def test_what_is_no_handshake_is_an_error_and_is_told(contexts, hello):
    one, other = wire()
    await other.write(hello)
    await other.end()
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        await TlsStream(contexts[0].main, one).handshake()
