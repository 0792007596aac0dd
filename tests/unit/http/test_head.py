"""What a head means, and what no head may say: two servers in a row must not read it differently."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.http.head import parse
from trivet.http.refusal import Refusal
from trivet.http.server import HttpServer
from trivet.serving.plane import DataPlane
from trivet.settings import Limits, Log
from trivet.telemetry import Metrics

FIRST = b"POST /v1/models/m:predict HTTP/1.1\r\n"


def head(*lines, first=FIRST, host=b"Host: a\r\n"):
    return first + host + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def test_an_ordinary_head_is_read_whole():
    parsed = parse(
        b"POST /v1/models/a%20b:predict?x=%31&y HTTP/1.1\r\nHost: a:80\r\nX-Empty:\r\n"
        b"Content-Length: 12\r\nX-Request-ID:  mine-7\t\r\nX-Server-Timeout: 2.5\r\nx-latin: \xe9\r\n\r\n"
    )
    assert (parsed.method, parsed.path) == ("POST", "/v1/models/a b:predict")
    assert (parsed.target, parsed.query) == (b"/v1/models/a%20b:predict", b"x=%31&y")
    assert (parsed.length, parsed.request_id, parsed.timeout) == (12, "mine-7", 2.5)
    assert parsed.headers == (
        (b"host", b"a:80"),
        (b"x-empty", b""),
        (b"content-length", b"12"),
        (b"x-request-id", b"mine-7"),
        (b"x-server-timeout", b"2.5"),
        (b"x-latin", b"\xe9"),
    )


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([b"Content-Length: 3", b"Transfer-Encoding: chunked"], 400),
        ([b"Transfer-Encoding: chunked", b"Content-Length: 3"], 400),
        ([b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"], 400),
        ([b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked"], 400),
        ([b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"], 400),
        ([b"X-Empty:", b"Transfer-Encoding:", b"Content-Length: 3"], 400),
        *(
            ([b"Transfer-Encoding: " + coding], 501)
            for coding in (
                b"", b"gzip", b"identity", b"xchunked", b"chunkedx", b"chunked,", b",chunked", b'"chunked"',
                b"chunked;q=1", b"gzip, chunked", b"chunked, chunked", b"\xa0chunked", b"c hunked",
            )
        ),
        ([b"Content-Length: 3", b"Content-Length: 3"], 400),
        ([b"Content-Length: 3", b"content-length: 4"], 400),
        *(
            ([b"Content-Length: " + length], 400)
            for length in (
                b"", b"+3", b"-3", b"3,3", b"3 3", b"0x3", b"3_0", b"3.0", b"1e3", b"\xb2", b"three",
                b"9" * 19,
                b"9" * 5000,
            )
        ),
        ([b"X: a", b" folded"], 400),
        ([b"X: a", b"\tfolded"], 400),
        ([b"Transfer-Encoding:", b" chunked"], 400),
        ([b" X: before any"], 400),
        ([b"Content-Length : 3"], 400),
        ([b"Content-Length\t: 3"], 400),
        ([b"Transfer-Encoding\x0b: chunked"], 400),
        ([b"Transfer-Encoding: \x0bchunked"], 400),
        ([b"X: a\nContent-Length: 3"], 400),
        ([b"X: a\rContent-Length: 3"], 400),
        ([b"X: a\n"], 400),
        ([b"X: a\r"], 400),
        ([b"X: a\n\nGET /b HTTP/1.1", b"Host: b"], 400),
        ([b"X: a\x00b"], 400),
        ([b"X\x00: a"], 400),
        ([b"X: \x7f"], 400),
        ([b": nameless"], 400),
        ([b"valueless"], 400),
        ([b"\xe9: a"], 400),
        ([b"X(: a"], 400),
        ([b"Host: a"], 400),
        ([b"Host: b"], 400),
        ([b"Content-Encoding: br"], 415),
        ([b"Content-Encoding: gzip, gzip"], 415),
        ([b"Content-Encoding: gzip", b"Content-Encoding: gzip"], 400),
        ([b"Expect: 200-maybe"], 417),
        *(([b"X-Server-Timeout: " + t], 400) for t in (b"soon", b"0", b"-1", b"nan", b"inf", b"1e999",
        b"1,5")),
    ],
)  # fmt: skip
def test_what_could_be_read_in_two_ways_or_not_at_all_is_refused(lines, status):
    with pytest.raises(Refusal) as caught:
        parse(head(*lines))
    assert caught.value.status == status
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("host", [b"", b"Host: a b\r\n", b"Host: a/b\r\n", b"Host: a@b\r\n",
b"Host: \xff\r\n",
                                  b"Host: a,b\r\n", b"Host: a\r\nhOST: a\r\n", b"Host : a\r\n"])  # fmt: skip
def test_a_request_names_one_host(host):
    with pytest.raises(Refusal) as caught:
        parse(head(host=host))
    assert caught.value.status == 400


@pytest.mark.parametrize("host", [b"", b"a", b"a.b:80", b"127.0.0.1:1", b"[::1]:8080", b"x_y-z~", b"%41"])
def test_any_sensible_host_is_taken(host):
    assert parse(head(host=b"Host: %b\r\n" % host)).headers == ((b"host", host),)


@pytest.mark.parametrize(
    ("first", "status"),
    [
        (b"GET / HTTP/2.0", 505),
        (b"PRI * HTTP/2.0", 505),
        (b"GET / HTTP/1.2", 505),
        (b"GET / HTTP/0.9", 505),
        (b"GET / HTTP/3.1", 505),
        (b"GET /", 400),
        (b"GET", 400),
        (b"", 400),
        (b"GET / HTTP/11", 400),
        (b"GET / HTTP/1.10", 400),
        (b"GET / HTTP/1.1 ", 400),
        (b"GET / HTTP/1.1\r", 400),
        (b"GET / http/1.1", 400),
        (b"GET / ICE/1.0", 400),
        (b"GET / RTSP/1.0", 400),
        (b"GET  / HTTP/1.1", 400),
        (b"GET\t/ HTTP/1.1", 400),
        (b"GET /  HTTP/1.1", 400),
        (b" GET / HTTP/1.1", 400),
        (b"\nGET / HTTP/1.1", 400),
        (b"GET /a b HTTP/1.1", 400),
        (b"GET /\x00 HTTP/1.1", 400),
        (b"GET /\xff HTTP/1.1", 400),
        (b"GET / HTTP/1.1\nHost: b", 400),
        (b"G=T / HTTP/1.1", 400),
        (b"get / HTTP/1.1", 501),
        (b"BREW / HTTP/1.1", 501),
        (b"X" * 3000 + b" / HTTP/1.1", 501),
        (b"CONNECT a:80 HTTP/1.1", 400),
        (b"GET * HTTP/1.1", 400),
        (b"GET a HTTP/1.1", 400),
        (b"GET a:80 HTTP/1.1", 400),
        (b"GET ftp://a/b HTTP/1.1", 400),
        (b"GET http:///b HTTP/1.1", 400),
        (b"GET ?a HTTP/1.1", 400),
    ],
)
def test_a_first_line_is_method_target_and_version_and_no_more(first, status):
    with pytest.raises(Refusal) as caught:
        parse(head(first=first + b"\r\n"))
    assert caught.value.status == status
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("target", "path", "raw", "query"),
    [
        (b"/a%2Fb%20c", "/a/b c", b"/a%2Fb%20c", b""),
        (b"/%252e", "/%2e", b"/%252e", b""),  # once, never twice
        (b"/%zz%4", "/%zz%4", b"/%zz%4", b""),
        (b"/%ff", "/\ufffd", b"/%ff", b""),
        (b"/%0d%0aX:%20y", "/\r\nX: y", b"/%0d%0aX:%20y", b""),
        (b"/..%2f..", "/../..", b"/..%2f..", b""),
        (b"//a", "//a", b"//a", b""),
        (b"/?", "/", b"/", b""),
        (b"/a?b?c=%20", "/a", b"/a", b"b?c=%20"),
        (b"http://x/a?b", "/a", b"/a", b"b"),
        (b"HTTPS://x:1/a", "/a", b"/a", b""),
        (b"http://x", "/", b"/", b""),
        (b"http://x?b", "/", b"/", b"b"),
    ],
)
def test_a_path_is_unescaped_once_and_kept_as_sent(target, path, raw, query):
    parsed = parse(head(first=b"GET %b HTTP/1.1\r\n" % target))
    assert (parsed.path, parsed.target, parsed.query) == (path, raw, query)


def test_options_may_ask_about_everything():
    assert parse(head(first=b"OPTIONS * HTTP/1.1\r\n")).path == "*"


@pytest.mark.parametrize(
    ("version", "lines", "keeps"),
    [
        (b"1.1", [], True),
        (b"1.1", [b"Connection: close"], False),
        (b"1.1", [b"Connection: Close"], False),
        (b"1.1", [b"Connection: keep-alive, close"], False),
        (b"1.1", [b"Connection: x", b"connection: y ,\tclose"], False),
        (b"1.1", [b"Connection: closed"], True),
        (b"1.0", [], False),
        (b"1.0", [b"Connection: Keep-Alive"], True),
        (b"1.0", [b"Connection: keep-alive, close"], False),
    ],
)
@pytest.mark.parametrize("length", [0, 3])
def test_a_connection_lasts_as_its_caller_asks(version, lines, keeps, length):
    first = b"POST / HTTP/%b\r\n" % version
    assert parse(head(*lines, b"Content-Length: %d" % length, first=first)).keep_alive is keeps


def test_http_1_0_needs_no_host_and_knows_no_chunks_and_no_100():
    first = b"POST / HTTP/1.0\r\n"
    assert parse(head(first=first, host=b"")).http_1_0
    assert not parse(head(b"Expect: 100-continue", first=first)).expects_continue
    with pytest.raises(Refusal) as caught:
        parse(head(b"Transfer-Encoding: chunked", first=first))
    assert caught.value.status == 400


def test_an_upgrade_is_ignored():
    parsed = parse(head(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AA",
                        b"Content-Length: 3"))  # fmt: skip
    assert (parsed.length, parsed.keep_alive, parsed.plain) == (3, True, 3)


@pytest.mark.parametrize(
    ("lines", "plain"),
    [
        ([], 0),
        ([b"Content-Length: 3"], 3),
        ([b"Content-Length: 007"], 7),
        ([b"Transfer-Encoding: ChunkeD "], -1),
        ([b"Content-Length: 3", b"Content-Encoding: GZIP"], -1),
        ([b"Content-Length: 3", b"Expect: 100-Continue"], -1),
        ([b"Content-Length: 3", b"Connection: close"], -1),
        ([b"Content-Length: 3", b"X-Request-Id: a"], -1),
        ([b"Content-Length: 3", b"X-Request-Id: a b"], 3),
        ([b"Content-Length: 3", b"X-Request-Id: " + b"a" * 129], 3),
        ([b"Content-Length: 3", b"X-Request-Id:"], 3),
    ],
)
def test_only_what_asks_for_nothing_else_is_plain(lines, plain):
    assert parse(head(*lines)).plain == plain


def server_of(**limits):
    return HttpServer(DataPlane(Metrics()), [], lambda *_: None, Limits(**limits), Log())


FIELDS = st.sampled_from(
    [
        b"Content-Length: 3", b"Content-Length: 0", b"Transfer-Encoding: chunked", b"Connection: close",
        b"Content-Encoding: gzip", b"Expect: 100-continue", b"X-Request-Id: 7", b"Accept: */*",
        b"X-Server-Timeout: 1",
    ]
)  # fmt: skip


@given(st.lists(FIELDS, max_size=4, unique=True))
async def test_a_remembered_head_is_the_same_as_a_parsed_one(lines):
    server = server_of()
    raw = head(*lines)
    try:
        first = server.head(raw)
    except Refusal:
        assert raw not in server.heads
        return
    second, fresh = server.head(raw), parse(raw)
    for name in MEANING:
        assert getattr(first, name) == getattr(second, name) == getattr(fresh, name)
    assert (second is first) is (b"X-Request-Id: 7" not in lines)


MEANING = (
    "method", "path", "target", "query", "headers", "request_id", "timeout", "length", "keep_alive",
    "http_1_0",
    "expects_continue", "gzip", "plain",
)  # fmt: skip


async def test_few_heads_are_remembered_and_no_long_ones():
    server = server_of()
    for number in range(2000):
        server.head(head(b"X: %d" % number))
    server.head(head(b"X: " + b"a" * 3000))
    assert len(server.heads) <= 512
    assert all(len(raw) <= 2048 for raw in server.heads)


async def test_a_body_over_the_limit_is_never_plain():
    assert server_of(max_body_bytes=5).head(head(b"Content-Length: 6")).plain == -1
    assert server_of(max_body_bytes=5).head(head(b"Content-Length: 6", b"X: " + b"a" * 3000)).plain == -1


def read(raw):
    """Return a head, or the status of its refusal."""
    try:
        return parse(raw)
    except Refusal as refusal:
        return refusal.status


def by_h11(raw):
    """Return a head as h11 reads it, or None."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(raw)
    try:
        event = connection.next_event()
    except h11.RemoteProtocolError:
        return None
    return event if isinstance(event, h11.Request) else None


pieces = st.sampled_from(
    [
        b"GET ", b"POST ", b"OPTIONS ", b"/", b"/a", b"*", b"http://a/b", b" HTTP/1.1\r\n",
        b" HTTP/1.0\r\n", b"\r\n",
        b"Host: a\r\n", b"host: b\r\n", b"Content-Length: 3\r\n", b"Content-Length: ", b"3", b"03", b",",
        b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: ", b"chunked", b"identity", b" ", b"\t",
        b"\n", b"\r",
        b"\x00", b":", b"X: y\r\n", b"Connection: close\r\n", b"\x0b", b"\xff", b"%41",
        b"Expect: 100-continue\r\n",
    ]
)  # fmt: skip
ordinary = st.sampled_from([b"GET / HTTP/1.1\r\nHost: a\r\n", b"POST /a HTTP/1.1\r\nHost: a\r\n", b""])


@given(ordinary, st.lists(pieces, max_size=12).map(b"".join))
def test_whatever_is_accepted_h11_reads_in_the_same_way(start, more):
    raw = (start + more + b"\r\n\r\n").partition(b"\r\n\r\n")
    raw = raw[0] + raw[1]
    parsed = read(raw)
    if isinstance(parsed, int):
        assert parsed in (400, 415, 417, 501, 505)
        return
    theirs = by_h11(raw)
    assert theirs is not None
    assert (parsed.method.encode(), parsed.headers) == (theirs.method, tuple(theirs.headers))
    framing = h11._connection._body_framing(b"GET", theirs)
    assert framing == (("chunked", ()) if parsed.length is None else ("content-length", (parsed.length,)))


@pytest.mark.parametrize("before", [b"", FIRST, FIRST + b"Host: a\r\nX: "])
@given(content=st.binary(max_size=300))
def test_any_bytes_are_a_head_or_refused(before, content):
    whole = before + content + b"\r\n\r\n"
    raw = whole[: whole.index(b"\r\n\r\n") + 4]
    parsed = read(raw)
    if isinstance(parsed, int):
        assert parsed >= 400
    else:
        assert by_h11(raw) is not None
        assert parsed.length is None or parsed.length >= 0
