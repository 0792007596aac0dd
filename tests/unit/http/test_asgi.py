"""One request to an ASGI application: whatever it does, the caller gets HTTP, or sees that there is none."""

import asyncio
import json
import logging

import pytest
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from tests.unit.http.fakes import Hot, connect, request, server_of, turns
from tests.unit.http.test_connection import answers
from trivet.app.asgi import application
from trivet.core.errors import Unavailable


def start(status=200, *headers):
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def part(body, more=False):
    return {"type": "http.response.body", "body": body, "more_body": more}


def saying(*messages, fails=False):
    """Return an application that sends these messages, and then fails."""

    async def app(scope, receive, send):
        for message in messages:
            await send(message)
        if fails:
            raise ZeroDivisionError("a bug of ours")

    return app


async def asked(app, *lines, method="GET", body=b"", version="1.1", then=b""):
    """Return the transport after one request to the application, and what followed it in the same packet."""
    connection, transport = connect(server_of(app=app))
    connection.data_received(request("/other", body, *lines, method=method, version=version) + then)
    await turns(20)
    return transport


def parts(transport):
    head, _, body = transport.sent.partition(b"\r\n\r\n")
    return head.split(b"\r\n"), body


@pytest.mark.parametrize("when", ["with the request", "later"])
async def test_the_application_is_told_that_the_caller_sends_no_more(when):
    told = []

    async def app(scope, receive, send):
        told.append(scope["state"]["ended"])
        await told[0].wait()
        await saying(start(), part(b"all"))(scope, receive, send)

    connection, transport = connect(server_of(app=app))
    whole = request("/other", method="GET")
    if when == "later":
        connection.data_received(whole)
        await turns()
        assert not told[0].is_set()
    else:
        connection.data_received(whole[:-1])
        connection.data_received(whole[-1:])
    connection.eof_received()
    await turns()
    assert told[0].is_set()
    assert parts(transport)[1] == b"all"


async def test_the_application_is_told_all_of_the_request():
    told = []

    async def app(scope, receive, send):
        told.extend([scope, await receive()])
        await saying(start(), part(b""))(scope, receive, send)

    connection, _ = connect(server_of(app=app))
    connection.data_received(request("/a%20b?c=%64", b"xyz", b"X-Y: Z"))
    await turns()
    scope, message = told
    assert message == {"type": "http.request", "body": b"xyz", "more_body": False}
    assert scope["headers"] == [(b"host", b"a"), (b"content-length", b"3"), (b"x-y", b"Z")]
    del scope["headers"]
    assert not scope["state"].pop("ended").is_set()
    assert scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/a b",
        "raw_path": b"/a%20b",
        "query_string": b"c=%64",
        "root_path": "",
        "client": ("127.0.0.1", 7),
        "server": ("", 0),
        "state": {},
    }


async def test_an_answer_in_one_part_is_sized():
    transport = await asked(saying(start(200, (b"X-A", b"b")), part(b"abc")), then=request(body=b"next"))
    (status, headers, body), following = answers(transport.sent, ("GET", "POST"))
    assert (status, body, headers[b"x-a"], headers[b"content-length"]) == (200, b"abc", b"b", b"3")
    assert following[2] == b"<next>"


@pytest.mark.parametrize("last", [part(b"c"), part(b"")])
async def test_an_answer_in_parts_is_chunked_and_the_connection_goes_on(last):
    transport = await asked(saying(start(), part(b"a", True), part(b"", True), last), then=request())
    (_, headers, body), following = answers(transport.sent, ("GET", "POST"))
    assert headers[b"transfer-encoding"] == b"chunked"
    assert (body, following[2]) == (b"a" + last["body"], b"<x>")


@pytest.mark.parametrize("line", [[], [b"Connection: keep-alive"]])
async def test_an_answer_in_parts_ends_with_the_connection_for_http_1_0(line):
    transport = await asked(
        saying(start(), part(b"a", True), part(b"b")), *line, version="1.0", then=request()
    )
    head, body = parts(transport)
    assert body == b"ab"
    assert b"connection: close" in head
    assert not any(field.startswith((b"transfer", b"content-length")) for field in head)
    assert transport.ends


async def test_what_comes_behind_an_answer_that_ends_with_the_connection_is_no_request():
    go_on = asyncio.Event()

    async def app(scope, receive, send):
        await send(start())
        await send(part(b"a", True))
        await go_on.wait()
        await send(part(b"b"))

    connection, transport = connect(server_of(app=app))
    connection.data_received(request("/other", b"", b"Connection: keep-alive", version="1.0"))
    await turns()
    connection.data_received(request())
    go_on.set()
    await turns()
    assert parts(transport)[1] == b"ab"
    assert transport.ends


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize(
    "messages",
    [
        (start(), part(b"abc")),
        (start(), part(b"a", True), part(b"bc")),
        (start(200, (b"content-length", b"3")), part(b"abc")),
        (start(200, (b"content-length", b"3")), part(b"")),
    ],
)
async def test_head_gets_no_body_and_the_connection_goes_on(messages, version):
    keep = b"Connection: keep-alive"
    transport = await asked(saying(*messages), keep, method="HEAD", version=version, then=request(body=b"n"))
    if version == "1.0" and len(messages) == 3:
        assert parts(transport)[1] == b""
        return
    (status, _, body), following = answers(transport.sent, ("HEAD", "POST"))
    assert (status, body, following[2]) == (200, b"", b"<n>")


@pytest.mark.parametrize("status", [204, 304])
async def test_answers_that_have_no_body_have_no_length(status):
    transport = await asked(saying(start(status), part(b"")), then=request())
    assert b"content-length" not in b"".join(parts(transport)[0])
    assert [found[0] for found in answers(transport.sent, ("GET", "POST"))] == [status, 200]


async def test_the_application_does_not_decide_on_framing():
    app = saying(start(200, (b"Transfer-Encoding", b"chunked"), (b"connection", b"upgrade")), part(b"abc"))
    (_, headers, body), _ = answers((await asked(app, then=request())).sent, ("GET", "POST"))
    assert (body, headers.keys() & {b"transfer-encoding", b"connection"}) == (b"abc", set())


@pytest.mark.parametrize(
    "app",
    [
        saying(fails=True),
        saying(start(), fails=True),
        saying(),
        saying(start()),
        saying(part(b"no start")),
        saying(start(799), part(b"")),
        saying(start(200, (b"x", b"a\r\nset-cookie: b")), part(b"")),
        saying(start(200, (b"x", b"a\n")), part(b"")),
        saying(start(200, (b"x: y\r\nz", b"a")), part(b"")),
        saying(start(200, (b"x", b"\0")), part(b"")),
        saying(start(200, (b"content-length", b"-3")), part(b"abc")),
        saying(start(200, (b"content-length", b"2")), part(b"abc")),
        saying(start(200, (b"content-length", b"4")), part(b"abc")),
    ],
)
async def test_an_application_that_fails_before_its_answer_is_answered_for(caplog, app):
    logging.getLogger("trivet").propagate = True
    transport = await asked(app, then=request())
    (status, headers, body), following = answers(transport.sent, ("GET", "POST"))
    error = json.loads(body)["error"]
    assert (status, error["status"], following[2]) == (500, "INTERNAL", b"<x>")
    assert "bug" not in error["message"]
    logged = [record for record in caplog.records if record.exc_info]
    assert [record.request_id.encode() for record in logged] == [headers[b"x-request-id"]]


@pytest.mark.parametrize(
    "app",
    [
        saying(start(), part(b"abc", True), fails=True),
        saying(start(), part(b"abc", True)),
        saying(start(200, (b"content-length", b"5")), part(b"abc", True), fails=True),
        saying(start(200, (b"content-length", b"5")), part(b"abc", True)),
        saying(start(200, (b"content-length", b"5")), part(b"abc", True), part(b"d")),
        saying(start(200, (b"content-length", b"5")), part(b"abc", True), part(b"def")),
    ],
)
async def test_an_application_that_fails_amid_its_answer_leaves_it_visibly_cut_off(caplog, app):
    logging.getLogger("trivet").propagate = True
    transport = await asked(app, then=request())
    assert transport.aborted
    assert not transport.sent.endswith(b"0\r\n\r\n")
    assert b"<x>" not in transport.sent
    assert [record.path for record in caplog.records if record.exc_info] == ["/other"]


async def test_an_application_that_fails_after_its_answer_is_only_logged(caplog):
    logging.getLogger("trivet").propagate = True
    transport = await asked(saying(start(), part(b"abc"), fails=True), then=request())
    assert [found[2] for found in answers(transport.sent, ("GET", "POST"))] == [b"abc", b"<x>"]
    assert [record.path for record in caplog.records] == ["/other"]


async def test_a_caller_that_half_closed_is_answered_even_where_the_application_fails():
    connection, transport = connect(server_of(app=saying(fails=True)))
    connection.data_received(request("/other", method="GET", body=b""))
    connection.eof_received()
    await turns()
    assert answers(transport.sent)[0][0] == 500
    assert transport.ends


async def test_the_application_waits_for_a_caller_that_does_not_read():
    sent = []

    async def app(scope, receive, send):
        await send(start())
        for number in range(10):
            await send(part(b"x" * 50_000, number < 9))
            sent.append(number)

    connection, transport = connect(server_of(app=app))
    transport.reads = False
    connection.data_received(request("/other"))
    await turns()
    assert sent == [0]
    while len(sent) < 10:
        transport.catch_up()
        await turns()
    assert answers(transport.sent)[0][2] == b"x" * 500_000


@pytest.mark.parametrize("blocked", [False, True])
async def test_the_application_is_told_that_its_caller_has_left_and_may_go_on_sending(caplog, blocked):
    logging.getLogger("trivet").propagate = True
    told = []

    async def app(scope, receive, send):
        await receive()
        await send(start())
        await send(part(b"x" * (100_000 if blocked else 1), True))
        told.append(await receive())
        await send(part(b"y", True))
        await send(part(b"z"))
        told.append("done")

    server = server_of(app=app)
    connection, transport = connect(server)
    transport.reads = not blocked
    connection.data_received(request("/other"))
    await turns()
    transport.abort()
    await turns()
    assert told == [{"type": "http.disconnect"}, "done"]
    assert connection.state == "closed"
    assert caplog.records == []
    assert repr(server) == "<HttpServer 0 connections, 0 in the application>"


# The application that Trivet has: Starlette's router, and our words.


def routes():
    async def fail(request):
        raise ZeroDivisionError("a bug of ours")

    async def refuse(request):
        raise Unavailable("not yet")

    async def teapot(request):
        raise HTTPException(418)

    async def stream(request):
        async def content():
            yield b"a"
            yield b"b"

        return StreamingResponse(content())

    async def echo(request):
        return Response(await request.body())

    handlers = {"/fail": fail, "/refuse": refuse, "/teapot": teapot, "/stream": stream}
    return [
        *(Route(path, handler) for path, handler in handlers.items()),
        Route("/echo", echo, methods=["POST"]),
    ]


async def ours(path, method="GET", body=b"", *lines):
    hot = Hot(other=routes())
    connection, transport = connect(server_of(hot, app=application([hot])))
    connection.data_received(request(path, body, *lines, method=method))
    await turns(50)
    return answers(transport.sent, (method,))[0]


@pytest.mark.parametrize(
    ("path", "method", "status", "said"),
    [
        ("/echo", "POST", 200, b"abc"),
        ("/stream", "GET", 200, b"ab"),
        ("/fail", "GET", 500, b"its log says why"),
        ("/refuse", "GET", 503, b"not yet"),
        ("/teapot", "GET", 418, b"there is nothing at /teapot"),
        ("/nowhere", "GET", 404, b"there is nothing at /nowhere"),
        ("/stream/", "GET", 404, b"there is nothing at /stream/"),
        ("/stream", "POST", 405, b"method POST is not allowed here; expected GET or HEAD"),
        ("/stream", "OPTIONS", 200, b""),
        ("*", "OPTIONS", 200, b""),
        ("/nowhere", "HEAD", 404, b""),
    ],
)
async def test_what_is_wrong_is_said_in_our_words(path, method, status, said):
    got, headers, body = await ours(path, method, b"abc")
    assert got == status
    assert said in body
    assert (b"allow" in headers) == (status == 405 or method == "OPTIONS")
    assert (b"x-request-id" in headers) == (status >= 400)


@pytest.mark.parametrize("host", [b"[", b"]", b"[::1", b"a:b:c", b":99999", b"%", b""])
async def test_no_host_header_upsets_the_application(host):
    hot = Hot(other=routes())
    connection, transport = connect(server_of(hot, app=application([hot])))
    for path in (b"/nowhere", b"/stream/", b"/stream"):
        connection.data_received(b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (path, host))
        await turns(50)
    assert [status for status, _, _ in answers(transport.sent, ("GET",) * 3)] == [404, 404, 200]


async def test_a_bug_in_a_route_is_logged_under_the_id_that_is_told(caplog):
    logging.getLogger("trivet").propagate = True
    _, headers, body = await ours("/fail")
    assert b"bug" not in body
    logged = next(record for record in caplog.records if record.exc_info)
    assert "a bug of ours" in str(logged.exc_info[1])
    assert logged.request_id.encode() == headers[b"x-request-id"]
