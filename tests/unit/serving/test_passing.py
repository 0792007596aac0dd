"""A request of a caller's own: what goes to the application, and its answer at the pace of the caller."""

import asyncio

import pytest

from tests.unit.serving.applications import Application, replicas
from tests.unit.serving.processes import on_both_loops, soon, until
from trivet.core.errors import Cancelled, DeadlineExceeded, ResourceExhausted, Unavailable
from trivet.serving.passing import Request


async def whole(passing):
    return b"".join([piece async for piece in passing.pieces()])


@on_both_loops
async def test_a_request_goes_on_as_it_is_and_so_does_the_answer(tmp_path):
    application = await Application(tmp_path / "a").start()
    front = replicas(tmp_path / "a")
    passing = front.pass_on(Request("PUT", b"/x?y", [(b"a", b"b"), (b"a", b"c")], b"\xff"))
    assert front.passing == 1
    begun = asyncio.create_task(passing.begin(9))
    request = await application.request()
    assert (request.line, request.body) == ("PUT /x?y HTTP/1.1", b"\xff")
    assert [one for one in request.fields if one.startswith("a:")] == ["a: b", "a: c"]
    request.answer(b"no", 418, b"X-Y: z")
    await soon(begun)
    assert (passing.answer.status, passing.answer.value(b"x-y")) == (418, b"z")
    assert await soon(whole(passing)) == b"no"
    passing.leave()
    passing.leave()
    assert front.passing == 0
    front.close()
    await application.close()


@on_both_loops
async def test_an_application_waits_for_a_caller_who_is_slow(tmp_path):
    application = await Application(tmp_path / "a").start()
    front = replicas(tmp_path / "a")
    passing = front.pass_on(Request("GET", b"/", [], b""))
    begun = asyncio.create_task(passing.begin(9))
    request = await application.request()
    size = 64 << 20
    request.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size, bytes(size))
    await soon(begun)
    await until(lambda: passing.connection is not None and not passing.connection.transport.is_reading())
    assert request.connection.transport.get_write_buffer_size() > size // 2
    assert len(await asyncio.wait_for(whole(passing), 30)) == size
    passing.leave()
    front.close()
    await application.close()


@on_both_loops
async def test_what_may_do_harm_is_sent_once_and_on_a_new_connection(tmp_path):
    application = await Application(tmp_path / "a").start()
    front = replicas(tmp_path / "a")
    for method, connections in (("GET", 1), ("GET", 1), ("POST", 2), ("POST", 3)):
        passing = front.pass_on(Request(method, b"/", [], b""))
        begun = asyncio.create_task(passing.begin(9))
        (await application.request()).answer(b"{}")
        await soon(begun)
        assert await soon(whole(passing)) == b"{}"
        passing.leave()
        assert len(application.connections) == connections
    for _ in range(12):
        passing = front.pass_on(Request("POST", b"/", [], b""))
        begun = asyncio.create_task(passing.begin(9))
        (await application.request()).answer(b"{}")
        await soon(begun)
        passing.leave()
    await until(lambda: len(application.connections) == 8)
    passing = front.pass_on(Request("POST", b"/", [], b""))
    begun = asyncio.create_task(passing.begin(9))
    (await application.request()).die()
    application.tell(well=False, over=True, reason="the container ended with 3")
    with pytest.raises(Unavailable, match="ended with 3"):
        await soon(begun)
    assert application.asked.empty()
    assert front.passing == 0
    front.close()
    await application.close()


@on_both_loops
async def test_a_stream_that_breaks_off_is_not_begun_again(tmp_path):
    application = await Application(tmp_path / "a").start()
    front = replicas(tmp_path / "a")
    passing = front.pass_on(Request("GET", b"/", [], b""))
    begun = asyncio.create_task(passing.begin(9))
    request = await application.request()
    request.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n")
    await soon(begun)
    pieces = passing.pieces()
    assert await soon(anext(pieces)) == b"hi"
    request.connection.transport.close()
    application.tell(well=False, over=True, reason="the container ended with 3")
    with pytest.raises(Unavailable, match="ended with 3"):
        await soon(anext(pieces))
    passing.leave()
    front.close()
    await application.close()


@on_both_loops
async def test_a_caller_who_leaves_ends_it(tmp_path):
    application = await Application(tmp_path / "a").start()
    front = replicas(tmp_path / "a")
    passing = front.pass_on(Request("GET", b"/", [], b""))
    begun = asyncio.create_task(passing.begin(9))
    await application.request()
    passing.leave()
    with pytest.raises(Cancelled):
        await soon(begun)
    await soon(application.left.get())
    assert front.passing == 0
    front.close()
    await application.close()


async def test_there_is_a_time_for_the_first_byte_and_a_bound(tmp_path):
    application = await Application(tmp_path / "a").start(well=False)
    front = replicas(tmp_path / "a", concurrency=1)
    await until(lambda: front.upstreams.why == "it is starting")
    passing = front.pass_on(Request("GET", b"/", [], b""))
    with pytest.raises(ResourceExhausted, match=r"1 requests are .* \(containers.concurrency\)"):
        front.pass_on(Request("GET", b"/", [], b""))
    with pytest.raises(DeadlineExceeded, match="waiting for the container: it is starting"):
        await passing.begin(0.05)
    assert front.passing == 0
    assert not front.upstreams.waiting
    front.close()
    await application.close()
