"""A real server, spoken to as nobody should: raw bytes on sockets, at any pace, and clients that vanish."""

import gzip
import http.client
import json
import random
import shutil
import socket
import struct
import subprocess
import threading
import time
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

import httpx
import pytest

from tests.integration.processes import descriptors, family, resident
from tests.integration.raw import Raw, chunked, request
from tests.integration.server import serve

ECHO = "/v1/models/e:predict"
SLOW = "/v1/models/slow:predict"
ONE = b'{"predictions":[1]}'


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    """A Python model that takes as many seconds as its instances say."""
    folder = tmp_path_factory.mktemp("slow")
    (folder / "predictor.py").write_text(
        "import time\n"
        "class Predictor:\n"
        "    def predict(self, instances, parameters):\n"
        "        time.sleep(sum(instances))\n"
        "        return instances\n"
    )
    return f"slow={folder}"


@pytest.fixture(scope="module")
def server(slow):
    with serve("e=echo:", slow, "--log-requests=none") as server:
        yield server
        assert_sound(server)


@pytest.fixture(scope="module")
def strict(slow):
    """A server with small limits and little patience."""
    limits = {
        "max_body_bytes": 100_000,
        "max_header_bytes": 2000,
        "max_instances": 10,
        "max_depth": 5,
        "receive_timeout": 1,
    }
    environment = {f"TRIVET_LIMITS_{name.upper()}": str(value) for name, value in limits.items()}
    with serve("e=echo:", slow, "--log-requests=none", **environment) as server:
        yield server
        assert_sound(server)


def assert_sound(server):
    assert server.process.poll() is None, "it still runs"
    assert server.stop() == 0
    assert "Traceback" not in server.told()


@pytest.fixture
def raw(server):
    with Raw(server.url) as raw:
        yield raw


@pytest.fixture
def hurried(strict):
    with Raw(strict.url) as raw:
        yield raw


def still_answers(server):
    return server.predict("e", [1]).json() == {"predictions": [1]}


def message(answer):
    return json.loads(answer[2])["error"]["message"]


def until(true):
    """Wait until it is so; the bound is for hangs."""
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end, "it never came true"


# One after the other, and several at once.


def test_a_connection_serves_many_requests(raw):
    for number in range(50):
        raw.send(request(body=b'{"instances":[%d]}' % number))
        assert raw.answer()[2] == b'{"predictions":[%d]}' % number


KINDS = [
    # bytes, method, status, part of the body
    (request(), "POST", 200, ONE),
    (b"\r\n" + request(), "POST", 200, ONE),
    (request(body=b'{"instances":[]}'), "POST", 200, b'{"predictions":[]}'),
    (request(body=b"{"), "POST", 400, b"the body is not valid JSON"),
    (request(body=b""), "POST", 400, b"INVALID_ARGUMENT"),
    (request("/v1/models/nope:predict"), "POST", 404, b"model 'nope' is not served here"),
    (request(SLOW, b'{"instances":[0.001]}'), "POST", 200, b'{"predictions":[0.001]}'),
    (request("/livez", b"", method="GET"), "GET", 200, b"{}"),
    (request("/livez", b"", method="HEAD"), "HEAD", 200, b""),
    (request("/livez", b"body of a GET", method="GET"), "GET", 200, b"{}"),
    (request("/v1/models", b"", method="GET"), "GET", 200, b'"name":"e"'),
    (request("/nowhere", b"", method="GET"), "GET", 404, b"there is nothing at /nowhere"),
    (request(ECHO, b"", method="GET"), "GET", 405, b"expected POST"),
    (request(ECHO, b"", method="HEAD"), "HEAD", 405, b""),
    (request(ECHO, b"", method="OPTIONS"), "OPTIONS", 200, b""),
    (request("*", b"", method="OPTIONS"), "OPTIONS", 200, b""),
    (request(ECHO, b'{"instances":[1]}', b"X-Request-Id: 7"), "POST", 200, ONE),
    (request(ECHO, b'{"instances":[1]}', b"Expect: 100-continue"), "POST", 200, ONE),
    (request(ECHO, gzip.compress(b'{"instances":[1]}'), b"Content-Encoding: gzip"), "POST", 200, ONE),
    (request("http://elsewhere" + ECHO), "POST", 200, ONE),
    (chunked(b'{"inst', b'ances"', b":[1]}"), "POST", 200, ONE),
    (chunked(b'{"instances":[1]}', extension=b';a="b"', trailers=b"X: y\r\n"), "POST", 200, ONE),
    (chunked(), "POST", 400, b"INVALID_ARGUMENT"),
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind[0][:60])
@pytest.mark.parametrize("bite", ["whole", "bytes"])
def test_every_kind_of_request_is_answered(raw, kind, bite):
    content, method, status, part = kind
    raw.send(content) if bite == "whole" else raw.send(*(content[i : i + 1] for i in range(len(content))))
    answer = raw.answer(method)
    assert answer[0] == status
    assert part in answer[2]
    raw.send(request())
    assert raw.answer()[2] == ONE


@pytest.mark.parametrize("seed", range(6))
def test_requests_in_one_packet_or_torn_apart_are_answered_in_order(raw, seed):
    chance = random.Random(seed)
    kinds = [chance.choice(KINDS) for _ in range(200)]
    stream = b"".join(content for content, *_ in kinds)
    size = {0: len(stream), 1: 1, 2: 7}.get(seed)
    pieces, start = [], 0
    while start < len(stream):
        end = start + (size or chance.choice((1, 3, 50, 500, 5000)))
        pieces.append(stream[start:end])
        start = end
    sender = threading.Thread(target=raw.send, args=pieces)
    sender.start()
    for number, (_, method, status, part) in enumerate(kinds):
        answer = raw.answer(method)
        assert (answer[0], part in answer[2]) == (status, True), (number, answer)
    sender.join()


def test_options_and_wrong_methods_are_told_what_is_allowed(raw):
    for path, method, status, allow in [
        (ECHO, "OPTIONS", 200, b"POST, OPTIONS"),
        (ECHO, "GET", 405, b"POST, OPTIONS"),
        (ECHO, "DELETE", 405, b"POST, OPTIONS"),
        ("/v1/models", "OPTIONS", 200, b"GET, HEAD, OPTIONS"),
        ("/v1/models", "PUT", 405, b"GET, HEAD, OPTIONS"),
        ("*", "OPTIONS", 200, b"GET, HEAD, POST, OPTIONS"),
    ]:
        answer = raw.send(request(path, b"", method=method)).answer(method)
        assert (answer[0], answer[1][b"allow"]) == (status, allow), path


def test_head_tells_what_get_would(raw):
    got, head = (raw.send(request("/v1/models", b"", method=m)).answer(m) for m in ("GET", "HEAD"))
    assert {**got[1], b"date": b""} == {**head[1], b"date": b""}
    assert (head[2], int(head[1][b"content-length"])) == (b"", len(got[2]))


@pytest.mark.parametrize(
    ("version", "lines", "said"),
    [
        ("1.1", [b"Connection: close"], b"close"),
        ("1.1", [b"Connection: x, Close"], b"close"),
        ("1.0", [], b"close"),
        ("1.0", [b"Connection: keep-alive"], b"keep-alive"),
        ("1.1", [], None),
    ],
)
@pytest.mark.parametrize(("path", "method"), [(ECHO, "POST"), ("/livez", "GET"), ("/nowhere", "GET")])
def test_a_connection_lasts_as_its_caller_asks(raw, version, lines, said, path, method):
    raw.send(request(path, b'{"instances":[1]}', *lines, method=method, version=version))
    assert raw.answer(method)[1].get(b"connection") == said
    if said == b"close":
        assert raw.is_over()
    else:
        assert raw.send(request()).status() == 200


def test_what_follows_the_last_request_is_not_answered(raw):
    raw.send(request(ECHO, b'{"instances":[1]}', b"Connection: close") + request())
    assert raw.status() == 200
    assert raw.is_over()


# Expect: 100-continue.


def test_who_waits_to_be_told_to_go_on_is_told(raw):
    content = request(ECHO, b'{"instances":[1]}', b"Expect: 100-continue")
    raw.send(content[:-17])
    assert raw.socket.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
    raw.send(content[-17:])
    assert raw.answer()[2] == ONE


def test_who_sends_at_once_is_not_told(raw):
    assert raw.send(request(ECHO, b'{"instances":[1]}', b"Expect: 100-continue")).status() == 200
    assert raw.informed == []


def test_who_would_send_too_much_is_told_so_instead(hurried):
    hurried.send(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 100001\r\n\r\n")
    answer = hurried.answer()
    assert (answer[0], answer[1][b"connection"], hurried.informed) == (413, b"close", [])
    assert hurried.half_close().is_over()


# Limits.


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        (request(body=b"x" * 100_001), 413, "the body exceeds 100000 bytes (limits.max_body_bytes)"),
        (chunked(b"x" * 60_000, b"x" * 60_000), 413, "the body exceeds 100000 bytes (limits.max_body_bytes)"),
        (
            request(ECHO, gzip.compress(b" " * 100_001), b"Content-Encoding: gzip"),
            413,
            "exceeds 100000 bytes",
        ),
        (
            request(ECHO, gzip.compress(b" " * (1 << 26)), b"Content-Encoding: gzip"),
            413,
            "exceeds 100000 bytes",
        ),
        (request(ECHO, b"x", b"X: " + b"y" * 2000), 431, "head exceeds 2000 bytes (limits.max_header_bytes)"),
        (request("/" + "y" * 2000), 431, "head exceeds 2000 bytes (limits.max_header_bytes)"),
        (b"y" * 2001, 431, "head exceeds 2000 bytes"),
    ],
)
def test_what_exceeds_a_limit_of_the_listener_is_refused_and_the_connection_ends(
    strict, hurried, content, status, said
):
    answer = hurried.send(content).answer()
    assert (answer[0], answer[1][b"connection"]) == (status, b"close")
    assert said in message(answer)
    assert hurried.half_close().is_over()
    assert still_answers(strict)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"instances":[%b]}' % b",".join([b"1"] * 11), "at most 10"),
        (b'{"instances":[' + b"[" * 5 + b"]" * 5 + b"]}", "5"),
    ],
)
def test_what_exceeds_a_limit_of_the_body_is_refused_and_the_connection_goes_on(hurried, body, said):
    answer = hurried.send(request(body=body)).answer()
    assert answer[0] == 400
    assert said in message(answer)
    assert hurried.send(request()).status() == 200


def test_what_is_just_within_the_limits_is_answered(hurried):
    body = b'{"instances":[1]}'
    padded = body + b" " * (100_000 - len(body))
    assert hurried.send(request(body=padded)).answer()[2] == ONE
    assert hurried.send(chunked(padded)).answer()[2] == ONE
    assert hurried.send(request(ECHO, gzip.compress(padded), b"Content-Encoding: gzip")).answer()[2] == ONE
    short = len(request(ECHO, body, b"X: ")) - len(body)
    assert hurried.send(request(ECHO, body, b"X: " + b"y" * (2000 - short))).answer()[2] == ONE


@pytest.mark.parametrize("form", ["sized", "chunked"])
def test_who_is_refused_while_still_sending_can_read_why(hurried, form):
    """A reset would take the answer away before it is read."""
    length = b"Content-Length: 30000000" if form == "sized" else b"Transfer-Encoding: chunked"
    hurried.send(b"POST / HTTP/1.1\r\nHost: a\r\n" + length + b"\r\n\r\n")
    piece = b"x" * 100_000 if form == "sized" else b"186a0\r\n" + b"x" * 100_000 + b"\r\n"
    hurried.send(*([piece] * 300))
    assert hurried.status() == 413
    assert hurried.half_close().is_over()


# Time.


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"P", "head"),
        (request()[:60], "head"),
        (request()[:-1], "body"),
        (chunked(b'{"instances":')[:-7], "body"),
        (request() + b"POST", "head"),
    ],
)
def test_a_request_that_does_not_come_whole_is_refused_in_time(hurried, sent, said):
    hurried.send(sent)
    if sent.endswith(b"}POST"):
        assert hurried.status() == 200
    answer = hurried.answer()
    assert (answer[0], answer[1][b"connection"]) == (408, b"close")
    assert f"the request's {said} did not come within 1 s" in message(answer)
    assert hurried.is_over()


@pytest.mark.parametrize("content", [b"GET / HTTP/1.1\r\nX: " + b"y" * 1900, request(body=b"x" * 90_000)])
def test_who_drips_gets_no_more_time_than_who_is_silent(hurried, content):
    start = time.monotonic()
    hurried.socket.settimeout(0.02)
    received = b""
    for byte in content:
        hurried.send(bytes([byte]))
        try:
            received = hurried.socket.recv(1000)
            break
        except TimeoutError:
            continue
    assert received.startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - start < 15


def test_an_answer_may_take_longer_than_a_request_may(hurried):
    assert hurried.send(request(SLOW, b'{"instances":[1.5]}')).answer()[2] == b'{"predictions":[1.5]}'


@pytest.mark.parametrize("pipelined", [False, True])
def test_who_never_reads_its_answers_is_cut_off(strict, pipelined):
    """The server must neither keep what cannot be sent for ever, nor make ever more of it."""
    content = request(body=b'{"instances":["' + b"x" * 90_000 + b'"]}')
    before = resident(strict.process.pid)
    with Raw(strict.url, receive_buffer=4096) as deaf:
        deaf.socket.settimeout(0.2)
        end = time.monotonic() + 20
        sent = 0
        cut_off = False
        while not cut_off and time.monotonic() < end:
            try:
                sent += deaf.socket.send(content * (20 if pipelined else 1))
            except TimeoutError:
                continue
            except ConnectionError:
                cut_off = True
        assert cut_off
    assert sent < 50_000_000, "it was not read on for ever"
    assert resident(strict.process.pid) - before < 50_000_000
    assert still_answers(strict)


def test_who_reads_slowly_gets_all(server):
    body = b'{"instances":["' + b"x" * 200_000 + b'"]}'
    with Raw(server.url, receive_buffer=4096) as raw:
        sender = threading.Thread(target=raw.send, args=[request(body=body)] * 20)
        sender.start()
        for _ in range(20):
            assert raw.answer()[2] == body.replace(b"instances", b"predictions")
        sender.join()


# Who goes, and how.


@pytest.mark.parametrize("body", [b'{"instances":[1]}', b"{"])
def test_who_half_closes_reads_its_answer(raw, body):
    raw.send(request(body=body)).half_close()
    assert raw.status() == (200 if len(body) > 1 else 400)
    assert raw.is_over()


@pytest.mark.parametrize(("path", "method"), [("/livez", "GET"), ("/nowhere", "GET"), (ECHO, "OPTIONS")])
def test_who_half_closes_reads_its_answer_from_any_route(raw, path, method):
    raw.send(request(path, b"", method=method)).half_close()
    assert raw.status(method) in (200, 404)
    assert raw.is_over()


def test_who_half_closes_reads_the_answer_of_a_slow_model(raw):
    raw.send(request(SLOW, b'{"instances":[0.3]}')).half_close()
    assert raw.answer()[2] == b'{"predictions":[0.3]}'
    assert raw.is_over()


def test_who_half_closes_reads_all_its_answers(raw):
    raw.send(*[request(SLOW, b'{"instances":[0.02]}'), request(), request("/livez", b"", method="GET")] * 10)
    raw.half_close()
    for _ in range(10):
        assert raw.answer()[2] == b'{"predictions":[0.02]}'
        assert raw.answer()[2] == ONE
        assert raw.answer("GET")[2] == b"{}"
    assert raw.is_over()


def test_who_half_closes_amid_a_request_gets_no_answer_to_it(raw):
    raw.send(request() + request()[:-1]).half_close()
    assert raw.status() == 200
    assert raw.is_over()


def reset(client):
    """Close so that the other side is told at once, and unread data is lost."""
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.socket.close()


@pytest.mark.parametrize("leave", [reset, lambda client: client.socket.close()], ids=["reset", "close"])
def test_clients_that_vanish_at_any_point_harm_nobody(server, leave):
    chance = random.Random(7)
    before = descriptors(server.process.pid)
    wrong = []

    def ask():
        with httpx.Client(base_url=server.url, timeout=20) as client:
            for number in range(60):
                path, body = (ECHO, {"instances": [number]}) if number % 6 else (SLOW, {"instances": [0.003]})
                if client.post(path, json=body).json() != {"predictions": body["instances"]}:
                    wrong.append(number)

    others = [threading.Thread(target=ask) for _ in range(4)]
    for other in others:
        other.start()
    batch = request(SLOW, b'{"instances":[0.01]}')
    for number in range(150):
        content = b"".join(chance.choice([batch, chance.choice(KINDS)[0]]) for _ in range(3))
        client = Raw(server.url).send(content[: chance.randrange(len(content) + 1)])
        if number % 3 == 0:
            client.socket.settimeout(0.01)
            with suppress(TimeoutError):
                client.socket.recv(chance.choice((1, 1000)))
        leave(client)
    for other in others:
        other.join()
    assert wrong == []
    assert still_answers(server)
    until(lambda: sum(descriptors(server.process.pid).values()) <= sum(before.values()) + 8)


def test_thousands_of_connections_come_and_go_and_leave_nothing(server):
    def come_and_go(number):
        for client in [Raw(server.url) for _ in range(100)]:
            with client:
                if number % 2:
                    client.send(request())
                    assert client.answer()[2] == ONE
                elif number % 4:
                    client.send(request()[:-1])

    for number in range(4):
        come_and_go(number)
    assert still_answers(server)
    before, memory = descriptors(server.process.pid), resident(server.process.pid)
    for number in range(20):
        come_and_go(number)
    assert family(server.process.pid) == list(before)
    until(lambda: sum(descriptors(server.process.pid).values()) <= sum(before.values()))
    assert resident(server.process.pid) - memory < 8_000_000
    assert still_answers(server)


def test_idle_connections_are_closed_and_one_too_many_is_refused():
    limits = {"TRIVET_LIMITS_IDLE_TIMEOUT": "1", "TRIVET_LIMITS_MAX_CONNECTIONS": "5"}
    with serve("e=echo:", TRIVET_SERVER_WORKERS="1", **limits) as server, ExitStack() as stack:
        held = [stack.enter_context(Raw(server.url)).send(request()) for _ in range(5)]
        assert [client.status() for client in held] == [200] * 5
        with Raw(server.url) as one_too_many:
            answer = one_too_many.send(request()).answer()
            assert answer[0] == 503
            assert "more than 5 connections (limits.max_connections)" in message(answer)
            assert one_too_many.half_close().is_over()
        start = time.monotonic()
        assert [client.is_over() for client in held] == [True] * 5
        assert time.monotonic() - start < 10
        with Raw(server.url) as fits:
            assert fits.send(request()).status() == 200


# What two servers in a row might read differently.

INNER = request("/v1/models/smuggled:predict")


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5",
        b"Content-Length: 5\r\nContent-Length: 500",
        b"Content-Length: 5\r\ncontent-length: 5",
        b"Content-Length: 5, 5",
        b"Content-Length: +5",
        b"Content-Length : 5",
        b"Content-Length: 5\r\n ignored",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding: chunked, identity",
        b"Transfer-Encoding : chunked",
        b"Transfer-Encoding:\x0bchunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
        b"X: y\nTransfer-Encoding: chunked",
        b"X: y\rTransfer-Encoding: chunked",
        b"X: \0",
        b"Host: b",
        b" Content-Length: 5",
        b"X\r\nContent-Length: 5",
        b": x",
    ],
)
def test_what_could_be_read_in_two_ways_is_refused_and_nothing_after_it_is_a_request(server, raw, head):
    raw.send(
        b"POST %b HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n0\r\n\r\n" % (ECHO.encode(), head) + INNER + request()
    )
    answer = raw.answer()
    assert (answer[0], answer[1][b"connection"]) in ((400, b"close"), (501, b"close"))
    assert raw.half_close().is_over()
    assert still_answers(server)


@pytest.mark.parametrize(
    "body",
    [
        b"5\n12345\r\n0\r\n\r\n",
        b"0\n\r\n",
        b"5\r\n12345x\r\n0\r\n\r\n",
        b"0x5\r\n12345\r\n0\r\n\r\n",
        b"-1\r\n\r\n",
        b"fffffffffffffffff\r\n",
        b"5;a\nb\r\n12345\r\n0\r\n\r\n",
        b"0\r\nX: y\nZ: w\r\n\r\n",
        b"0\r\nX : y\r\n\r\n",
    ],
)
def test_a_body_in_wrong_chunks_is_refused_and_nothing_after_it_is_a_request(raw, body):
    raw.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body + INNER + request())
    answer = raw.answer()
    assert (answer[0], answer[1][b"connection"]) == (400, b"close")
    assert raw.half_close().is_over()


def test_a_body_that_looks_like_a_request_is_none(raw):
    for content in (request(body=INNER), chunked(INNER), request("/livez", INNER, method="GET")):
        raw.send(content)
    assert [raw.status(), raw.status(), raw.status("GET")] == [400, 400, 200]
    assert raw.send(request()).answer()[2] == ONE


def test_no_upgrade_is_followed(raw):
    lines = [
        b"Connection: Upgrade, HTTP2-Settings",
        b"Upgrade: h2c",
        b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
    ]
    assert raw.send(request(ECHO, b'{"instances":[1]}', *lines)).answer()[2] == ONE
    raw.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert raw.status("GET") == 505
    assert raw.half_close().is_over()


@pytest.mark.parametrize(
    "path",
    [
        "/v1/projects/a%0d%0aX:%20y/locations/l/endpoints/e:rawPredict",
        "/v1/projects/a/locations/l%0d%0a%0d%0aHTTP/1.1%20200%20OK/endpoints/e:rawPredict",
        "/v1/projects/a%0aX:%20y/locations/l/endpoints/e:rawPredict",
        "/v1/projects/%c3%a9/locations/l/endpoints/e:rawPredict",
        "/v1/projects/a%00/locations/l/endpoints/e:rawPredict",
    ],
)
def test_no_escape_in_a_path_becomes_a_header(raw, path):
    answer = raw.send(request(path)).answer()
    assert answer[0] in (403, 404)  # what could be the control plane's is refused for the name in Host
    assert b"x" not in answer[1]
    assert raw.send(request()).answer()[2] == ONE


def test_an_ordinary_parent_is_given_back_in_headers(raw):
    answer = raw.send(request("/v1/projects/p-1/locations/l/endpoints/e:rawPredict")).answer()
    assert answer[1][b"x-vertex-ai-model"] == b"projects/p-1/locations/l/models/e"


@pytest.mark.parametrize("value", [b"soon", b"-1", b"0", b"nan", b"inf", b"1e400", b"1;2", b"0x10"])
def test_a_timeout_that_is_none_is_refused(raw, value):
    answer = raw.send(request(ECHO, b'{"instances":[1]}', b"X-Server-Timeout: " + value)).answer()
    assert answer[0] == 400
    assert "X-Server-Timeout" in message(answer)


def test_a_timeout_is_kept(raw):
    answer = raw.send(request(SLOW, b'{"instances":[1]}', b"X-Server-Timeout: 0.1")).answer()
    assert answer[0] == 504
    assert raw.send(request(ECHO, b'{"instances":[1]}', b"X-Server-Timeout: 1e2")).status() == 200


@pytest.mark.parametrize(
    "packed",
    [
        gzip.compress(b'{"instances":[1]}')[:-1],
        gzip.compress(b'{"instances":[1]}') + b"more",
        b'{"instances":[1]}',
    ],
)
def test_what_is_no_gzip_is_refused(server, raw, packed):
    answer = raw.send(request(ECHO, packed, b"Content-Encoding: gzip")).answer()
    assert answer[0] == 400
    assert "not valid gzip" in message(answer)
    assert still_answers(server)


def test_a_bomb_takes_no_memory(server):
    bomb = gzip.compress(b" " * (1 << 28), 9)
    server.predict("e", ["x" * (1 << 24)])
    before = resident(server.process.pid)
    for _ in range(3):
        answer = server.client.post(ECHO, content=bomb, headers={"content-encoding": "gzip"})
        assert answer.status_code == 413
    assert resident(server.process.pid) - before < 100_000_000
    assert still_answers(server)


# Clients as people have them.


def test_http_client(server):
    address = urlsplit(server.url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=20)
    for encode in (False, True):
        body = iter([b'{"instances":', b"[1]}"]) if encode else b'{"instances":[1]}'
        connection.request("POST", ECHO, body, encode_chunked=encode)
        assert connection.getresponse().read() == ONE
    connection.close()


def test_httpx_streams_and_pools(server):
    def pieces():
        yield b'{"instances":'
        yield b"[1]}"

    with httpx.Client(base_url=server.url, timeout=20) as client:
        for _ in range(5):
            assert client.post(ECHO, content=pieces()).content == ONE
            assert client.get("/livez").json() == {}
            assert client.post(ECHO, content=b"{").status_code == 400


def test_a_head_and_a_body_in_two_packets(raw):
    """As `requests` and urllib3 send them."""
    for _ in range(20):
        content = request()
        raw.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.send(content[:-17], content[-17:])
        assert raw.answer()[2] == ONE


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--http1.0"],
        ["--http1.0", "-H", "Connection: keep-alive"],
        ["--compressed"],
        ["-H", "Expect: 100-continue"],
        ["-H", "Transfer-Encoding: chunked"],
        ["-H", "Transfer-Encoding: chunked", "-H", "Expect: 100-continue"],
        ["--http2"],
    ],
    ids=" ".join,
)
def test_curl(server, tmp_path, options):
    body = tmp_path / "body.json"
    body.write_bytes(b'{"instances":["' + b"x" * 2_000_000 + b'"]}')
    for data, wanted in (('{"instances":[1]}', ONE), (f"@{body}", None)):
        url = server.url + ECHO
        asked = subprocess.run(
            ["curl", "-sS", "--max-time", "20", *options, "-d", data, url, url],
            capture_output=True,
            timeout=60,
            check=True,
        )
        assert asked.stdout == (wanted or body.read_bytes().replace(b"instances", b"predictions")) * 2
        assert asked.stderr == b""
