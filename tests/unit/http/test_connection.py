"""What a connection does with bytes, with callers that go, stay or do not read, and with our own bugs."""

import json
import logging
from itertools import pairwise

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.http.fakes import Hot, connect, request, server_of, turns
from trivet.http import connection as connections
from trivet.http import server as servers
from trivet.protocols.base import JSON


def answers(sent, methods=("POST",) * 100):
    """Return the answers in what was sent, as h11 reads them: status, headers, body."""
    client = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    if not sent:
        return []
    client.receive_data(sent)
    found = []
    for method in methods:
        client.send(h11.Request(method=method, target="/", headers=[("host", "a")]))
        client.send(h11.EndOfMessage())
        event = client.next_event()
        while isinstance(event, h11.InformationalResponse):
            event = client.next_event()
        if not isinstance(event, h11.Response):
            assert client.trailing_data[0] == b"", client.trailing_data
            break
        body = b""
        while not isinstance(part := client.next_event(), h11.EndOfMessage):
            body += part.data
        found.append((event.status_code, dict(event.headers), body))
        if client.our_state is h11.MUST_CLOSE:
            break
        client.start_next_cycle()
    return found


def bodies(sent):
    return [body for _, _, body in answers(sent)]


async def test_a_connection_and_its_server_print_their_state():
    server = server_of()
    connection, _ = connect(server)
    assert repr(connection) == "<Connection idle, 0 served>"
    assert repr(server) == "<HttpServer 1 connections, 0 in the application>"


async def test_an_ordinary_request_is_answered_at_once_and_without_ceremony():
    _, transport = connect(server_of())
    for _ in range(2):
        transport.protocol.data_received(request(body=b"abc"))
    status, headers, body = answers(transport.sent)[1]
    assert (status, body) == (200, b"<abc>")
    assert set(headers) == {b"date", b"content-type", b"content-length"}


CHUNKED = b"POST /hot HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
mixed = st.lists(
    st.sampled_from(
        [
            request(),
            request(body=b"abc"),
            request(body=b""),
            b"\r\n" + request(body=b"empty line before"),
            CHUNKED + b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
            request("/gone"),
            request("/hot", b"with an id", b"X-Request-Id: mine"),
            request("/hot", b"expected", b"Expect: 100-continue"),
            request(method="GET", body=b""),
            request(method="OPTIONS", body=b""),
        ]
    ),
    min_size=1,
    max_size=8,
)


def without_date_and_id(found):
    return [
        (status, {k: v for k, v in headers.items() if k not in (b"date", b"x-request-id")}, body)
        for status, headers, body in found
    ]


@given(mixed, st.lists(st.integers(0, 2000), max_size=10))
async def test_requests_are_answered_in_order_however_their_bytes_are_split(requests, cuts):
    server = server_of(log="none")
    _, one_by_one = connect(server)
    for each in requests:
        one_by_one.protocol.data_received(each)
    stream = b"".join(requests)
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    _, split = connect(server)
    for start, end in pairwise(edges):
        if start < end:
            split.protocol.data_received(stream[start:end])
    wanted, got = answers(one_by_one.sent), answers(split.sent)
    assert len(wanted) == len(requests)
    assert without_date_and_id(got) == without_date_and_id(wanted)


async def test_requests_behind_one_that_waits_are_answered_after_it():
    hot = Hot()
    connection, transport = connect(server_of(hot))
    connection.data_received(request("/later", b"1") + request(body=b"2") + request("/later", b"3"))
    connection.data_received(request(body=b"4"))
    assert transport.sent == b""
    hot.waiting[0].caller.reply(200, JSON, b"one")
    assert bodies(transport.sent) == [b"one", b"<2>"]
    hot.waiting[1].caller.reply(200, JSON, b"three")
    assert bodies(transport.sent) == [b"one", b"<2>", b"three", b"<4>"]


async def test_a_second_answer_goes_nowhere():
    hot = Hot()
    connection, transport = connect(server_of(hot))
    connection.data_received(request("/later"))
    for _ in range(2):
        hot.waiting[0].caller.reply(200, JSON, b"one")
    assert bodies(transport.sent) == [b"one"]


async def test_who_sends_too_far_ahead_is_not_read_until_answered():
    hot = Hot()
    connection, transport = connect(server_of(hot))
    connection.data_received(request("/later"))
    while transport.reading:
        connection.data_received(request(body=b"x" * 10_000))
    assert len(connection._buffer) < 300_000
    hot.waiting[0].caller.reply(200, JSON, b"one")
    assert transport.reading
    assert bodies(transport.sent)[1:] == [b"<" + b"x" * 10_000 + b">"] * (len(bodies(transport.sent)) - 1)


async def test_who_does_not_read_gets_no_more_answers_until_it_has():
    connection, transport = connect(server_of())
    transport.reads = False
    flood = request(body=b"x" * 10_000) * 100
    connection.data_received(flood)
    assert not transport.reading
    assert len(transport.sent) < 100_000
    before = connection.served
    transport.catch_up()
    assert connection.served == 100 > before
    assert transport.reading
    assert bodies(transport.sent) == [b"<" + b"x" * 10_000 + b">"] * 100


async def test_who_stops_reading_while_answered_is_read_again_once_it_has():
    hot = Hot()
    connection, transport = connect(server_of(hot))
    transport.reads = False
    connection.data_received(request("/later", b"1"))
    hot.waiting[0].caller.reply(200, JSON, b"x" * 100_000)
    assert not transport.reading
    transport.catch_up()
    assert transport.reading
    connection.data_received(request(body=b"2"))
    assert bodies(transport.sent)[1] == b"<2>"


async def test_who_never_reads_its_last_answer_is_cut_off(monkeypatch):
    clock = 100.0
    monkeypatch.setattr(servers, "monotonic", lambda: clock)
    server = server_of(receive_timeout=60)
    connection, transport = connect(server)
    transport.reads = False
    connection.data_received(request("/hot", b"x", b"Connection: close"))
    assert transport.ends
    server._look()
    clock += 59
    server._look()
    assert not transport.closing
    clock -= 59
    server._look()
    clock += 61
    server._look()
    await turns()
    assert transport.aborted
    assert server._connections == set()
    server.abort()


@pytest.mark.parametrize(
    ("data", "after", "ends"),
    [
        (b"", 620, "closed"),
        (b"\r\n", 620, "closed"),
        (b"POST /h", 60, "408"),
        (request(body=b"abc")[:-1], 60, "408"),
        (request(), 620, "closed"),
        (request("/later"), 100_000, "waits"),
    ],
)
async def test_time_ends_what_does_not_come_and_nothing_else(monkeypatch, data, after, ends):
    clock = 100.0
    monkeypatch.setattr(servers, "monotonic", lambda: clock)
    server = server_of()
    connection, transport = connect(server)
    if data:
        connection.data_received(data)
    server._look()
    clock += after - 1
    server._look()
    assert not transport.closing
    assert not transport.ended
    clock += 2
    server._look()
    if ends == "408":
        assert b"HTTP/1.1 408 Request Timeout\r\n" in transport.sent
        assert transport.ended
        server._look()
        clock += 3
        server._look()
    assert transport.closing == (ends != "waits")
    server.abort()


@pytest.mark.parametrize(
    ("path", "size", "accepted"),
    [
        ("/hot", 10, True),
        ("/hot", 11, False),
        ("/uploads", 11, False),
        ("/upload/hot", 11, True),
        ("/resumable/upload/hot", 20, True),
        ("/upload/hot", 21, False),
    ],
)
async def test_uploads_may_be_larger_than_other_bodies(path, size, accepted):
    server = server_of(max_body_bytes=10, max_upload_bytes=20)
    connection, transport = connect(server)
    connection.data_received(request(path, b"x" * size))
    await turns()
    refused = b"413 " in transport.sent.partition(b"\r\n")[0] if transport.sent else False
    assert refused == (not accepted)
    if refused:
        assert (b"max_upload_bytes" in transport.sent) == path.startswith("/upload/")
    server.abort()


async def test_what_a_refused_caller_still_sends_is_read_for_a_while_but_not_for_ever(monkeypatch):
    clock = 100.0
    for module in (servers, connections):
        monkeypatch.setattr(module, "monotonic", lambda: clock)
    server = server_of(max_body_bytes=10)
    connection, transport = connect(server)
    connection.data_received(request(body=b"x" * 11))
    assert answers(transport.sent)[0][0] == 413
    for _ in range(20):
        clock += 1
        connection.data_received(b"x" * 1000)
        server._look()
    assert not transport.closing
    clock += 11
    connection.data_received(b"x")
    assert transport.aborted
    server.abort()


async def test_a_refused_caller_that_has_ended_its_side_is_closed_at_once():
    hot = Hot()
    connection, transport = connect(server_of(hot))
    connection.data_received(request("/later") + b"BAD\r\n\r\n")
    connection.eof_received()
    hot.waiting[0].caller.reply(200, JSON, b"one")
    assert [status for status, _, _ in answers(transport.sent)] == [200, 400]
    assert transport.ends


async def test_nothing_after_a_refusal_is_a_request():
    hot = Hot()
    connection, transport = connect(server_of(hot))
    connection.data_received(b"BAD\r\n\r\n" + request(body=b"smuggled"))
    connection.data_received(request(body=b"smuggled"))
    status, headers, _ = answers(transport.sent)[0]
    assert (status, headers[b"connection"]) == (400, b"close")
    assert transport.sent.count(b"HTTP/1.1") == 2  # one of them is in the message
    assert hot.heads == []


async def test_empty_lines_between_requests_cost_nothing():
    connection, transport = connect(server_of())
    for data in (b"\r\n" * 100_000, b"\r", b"\n" + request(), b"\r\n"):
        connection.data_received(data)
    assert bodies(transport.sent) == [b"<x>"]
    assert connection.state == "idle"
    connection.data_received(b"\n" + request())
    assert answers(transport.sent)[1][0] == 400


async def test_a_head_has_its_limit_however_it_comes():
    for data in (b"POST /" + b"a" * 400, b"POST / HTTP/1.1\r\nX: " + b"a" * 300 + b"\r\n\r\n"):
        for size in (1, len(data)):
            connection, transport = connect(server_of(max_header_bytes=256))
            for start in range(0, len(data), size):
                connection.data_received(data[start : start + size])
            assert answers(transport.sent)[0][0] == 431


@pytest.mark.parametrize(
    ("sent", "told", "status"),
    [
        ([b"3", b"abc"], True, 200),
        ([b"3abc"], False, 200),
        ([b"0"], False, 200),
        ([b"11"], False, 413),
    ],
)
async def test_who_expects_to_be_told_to_go_on_is_told_only_if_it_waits(sent, told, status):
    connection, transport = connect(server_of(max_body_bytes=10))
    length, body = sent[0].rstrip(b"abc"), sent[0].lstrip(b"0123456789")
    connection.data_received(
        b"POST /hot HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: %b\r\n\r\n%b"
        % (length, body)
    )
    assert transport.sent.startswith(b"HTTP/1.1 100 Continue\r\n\r\n") == told
    for more in sent[1:]:
        connection.data_received(more)
    assert answers(transport.sent)[0][0] == status
    assert transport.sent.count(b"100 Continue") == told


@pytest.mark.parametrize(
    ("version", "line", "said", "ends"),
    [
        ("1.1", None, None, False),
        ("1.1", b"Connection: close", b"close", True),
        ("1.0", None, b"close", True),
        ("1.0", b"Connection: keep-alive", b"keep-alive", False),
    ],
)
@pytest.mark.parametrize("body", [b"", b"x"])
async def test_an_answer_says_whether_the_connection_lasts(version, line, said, ends, body):
    connection, transport = connect(server_of())
    connection.data_received(request("/hot", body, *([line] if line else []), version=version) + request())
    assert answers(transport.sent)[0][1].get(b"connection") == said
    assert transport.ends == ends
    assert transport.sent.count(b"HTTP/1.1 200") == (1 if ends else 2)


async def test_a_retiring_server_ends_each_connection_with_its_next_answer():
    hot = Hot()
    server = server_of(hot)
    connection, transport = connect(server)
    connection.data_received(request("/later") + request())
    _, idle = connect(server)
    server.retiring, server.plain = True, False
    server._end_idle()
    assert idle.closing
    hot.waiting[0].caller.reply(200, JSON, b"one")
    assert answers(transport.sent)[0][1][b"connection"] == b"close"
    assert transport.ended
    connection.eof_received()
    await server.retire(0, 5)
    assert server._connections == set()


async def test_who_half_closed_gets_its_answers_and_is_closed():
    hot = Hot()
    connection, transport = connect(server_of(hot))
    connection.data_received(request("/later", b"1") + request("/later", b"2") + request()[:-1])
    connection.eof_received()
    hot.waiting[0].taken = 1.0
    hot.waiting[0].caller.reply(200, JSON, b"one")
    assert not transport.closing
    hot.waiting[1].caller.reply(200, JSON, b"two")
    assert transport.ends
    assert bodies(transport.sent) == [b"one", b"two"]


@pytest.mark.parametrize("data", [b"", b"POST", request(body=b"abc")[:-1], request()])
async def test_who_ends_without_a_whole_request_is_closed(data):
    connection, transport = connect(server_of())
    if data:
        connection.data_received(data)
    connection.eof_received()
    await turns()
    assert transport.over


@pytest.mark.parametrize("taken", [None, 1.0])
async def test_a_request_whose_caller_ended_its_side_waits_only_a_little(monkeypatch, taken):
    monkeypatch.setattr(connections, "_LEAVES_WITHIN", 0)
    hot = Hot()
    connection, _ = connect(server_of(hot))
    connection.data_received(request("/later"))
    hot.waiting[0].taken = taken
    connection.eof_received()
    await turns()
    assert hot.waiting[0].abandoned == (taken is None)


async def test_a_request_whose_caller_is_gone_is_abandoned_at_once():
    hot = Hot()
    server = server_of(hot)
    connection, transport = connect(server)
    connection.data_received(request("/later"))
    transport.abort()
    await turns()
    assert hot.waiting[0].abandoned
    assert server._connections == set()
    hot.waiting[0].caller.reply(200, JSON, b"to nobody")
    assert transport.sent == b""


async def test_one_connection_too_many_is_told_so():
    server = server_of(max_connections=2)
    connects = [connect(server) for _ in range(3)]
    status, headers, body = answers(connects[2][1].sent)[0]
    assert (status, headers[b"connection"]) == (503, b"close")
    assert "limits.max_connections" in json.loads(body)["error"]["message"]
    connects[0][1].close()
    connects[2][1].close()
    await turns()
    assert connect(server)[1].sent == b""


async def test_a_bug_of_ours_is_told_without_details_and_logged_with_them(caplog):
    logging.getLogger("trivet").propagate = True
    connection, transport = connect(server_of())
    for body in (b"bad", b"good"):
        connection.data_received(request("/hot", body))
    (status, headers, body), good = answers(transport.sent)
    error = json.loads(body)["error"]
    assert (status, error["status"]) == (500, "INTERNAL")
    assert "bug" not in error["message"]
    logged = next(record for record in caplog.records if record.exc_info)
    assert "a bug of ours" in str(logged.exc_info[1])
    assert logged.request_id.encode() == headers[b"x-request-id"]
    assert good[2] == b"<good>"


async def test_a_request_id_is_made_up_and_only_told_where_it_helps():
    connection, transport = connect(server_of())
    for _ in range(2):
        connection.data_received(request("/id"))
    one, other = answers(transport.sent)
    assert one[2] != other[2]
    assert b"x-request-id" not in one[1]


@pytest.mark.parametrize("given", [b"mine-7", b"a" * 128])
async def test_a_callers_request_id_is_kept(given):
    connection, transport = connect(server_of())
    connection.data_received(request("/id", b"x", b"X-Request-Id: " + given))
    _, headers, body = answers(transport.sent)[0]
    assert (body, headers[b"x-request-id"]) == (given, given)


@pytest.mark.parametrize("given", [b"a b", b"a" * 129, b"", b"\xe9", b"a,\tb"])
async def test_a_request_id_that_would_garble_a_log_is_not_taken(given):
    connection, transport = connect(server_of())
    connection.data_received(request("/id", b"x", b"X-Request-Id: " + given))
    _, headers, body = answers(transport.sent)[0]
    assert body != given
    assert b"x-request-id" not in headers


async def test_a_refusal_is_logged_under_the_id_it_tells_and_with_a_time_that_can_be(caplog):
    logging.getLogger("trivet").propagate = True
    server = server_of(max_connections=1)
    connect(server)
    sent = [connect(server)[1].sent]
    server.limits = type(server.limits)()
    connection, transport = connect(server)
    connection.data_received(b"GET /a%0d%0ab HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n")
    sent.append(transport.sent)
    logged = [record for record in caplog.records if record.msg == "request"]
    for record, told in zip(logged, sent, strict=True):
        assert record.request_id.encode() == answers(told)[0][1][b"x-request-id"]
        assert 0 <= record.duration_ms < 10_000


async def test_no_escape_in_a_path_breaks_a_line_of_the_log(caplog):
    logging.getLogger("trivet").propagate = True
    caplog.set_level("INFO", "trivet")
    connection, _ = connect(server_of(log="all"))
    for path in ("/hot?secret=1", "/gone", "/hot%0aforged"):
        connection.data_received(request(path))
        await turns()
    assert [record.path for record in caplog.records] == ["/hot", "/gone", "/hot%0aforged"]


@pytest.mark.parametrize("log", ["errors", "none"])
async def test_only_errors_are_logged_and_no_probe_that_says_no(caplog, log):
    logging.getLogger("trivet").propagate = True
    connection, _ = connect(server_of(log=log, probes=["/probe"]))
    for path in ("/hot", "/gone", "/probe"):
        connection.data_received(request(path))
        await turns()
    assert [record.path for record in caplog.records] == (["/gone"] if log == "errors" else [])


async def test_routes_that_are_replaced_answer_no_more():
    hot = Hot()
    server = server_of(hot)
    connection, transport = connect(server)
    connection.data_received(request())
    server.plane.routes = {}
    hot.hot = lambda path: None
    asked = []
    server.start = asked.append
    connection.data_received(request())
    assert len(asked) == 1
    assert bodies(transport.sent) == [b"<x>"]
    assert all(head.hot is None for head in server.heads.values())


async def test_paths_that_callers_make_up_are_not_kept_without_end():
    server = server_of()
    for number in range(5000):
        server.find(server.head(request(f"/{number}").partition(b"\r\n\r\n")[0] + b"\r\n\r\n"))
    long = server.head(request("/" + "a" * 20_000).partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
    server.find(long)
    assert len(server._hot) <= 4096
    assert max(map(len, server._hot)) < 600


@given(
    st.lists(st.binary(max_size=40) | st.sampled_from([request(), request()[:-1], b"\r\n\r\n"]), max_size=8)
)
async def test_any_bytes_get_answers_that_are_http(pieces):
    server = server_of(log="none", app=None)
    server.start = lambda exchange: None
    connection, transport = connect(server)
    for piece in pieces:
        if piece and transport.reading and not transport.closing:
            connection.data_received(piece)
    statuses = [status for status, _, _ in answers(transport.sent)]
    assert 500 not in statuses
