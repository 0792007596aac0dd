"""Bodies as they come: in pieces, in chunks, compressed, and never more of one than the limit."""

import gc
import gzip
import weakref
import zlib
from itertools import pairwise

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.http.body import ChunkedBody, SizedBody, unzip
from trivet.http.refusal import Refusal

LIMIT = 1000


def feed(body, stream, cuts=()):
    """Feed a stream in pieces; return the body and what follows it, None and None while it is incomplete."""
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    pieces = [stream[a:b] for a, b in pairwise(edges)]
    for number, piece in enumerate(pieces):
        rest = body.feed(piece)
        if rest is not None:
            return body.whole(), rest + b"".join(pieces[number + 1 :])
    return None, None


def outcome(body, stream, cuts=()):
    """Return the same, or the status of the refusal."""
    try:
        return feed(body, stream, cuts)
    except Refusal as refusal:
        return refusal.status


def chunked(chunks, extension=b"", trailers=b""):
    parts = [b"%x%b\r\n%b\r\n" % (len(chunk), extension, chunk) for chunk in chunks if chunk]
    return b"".join(parts) + b"0" + extension + b"\r\n" + trailers + b"\r\n"


splits = st.lists(st.integers(0, 10_000), max_size=8)


@given(st.binary(max_size=200), st.binary(max_size=50), splits)
def test_a_sized_body_is_the_same_however_it_is_split(content, rest, cuts):
    assert feed(SizedBody(len(content)), content + rest, cuts) == (content, rest)


@given(
    st.lists(st.binary(max_size=60), max_size=8),
    st.sampled_from([b"", b";x", b" ;x=1", b';x="\xe9y";z', b"  "]),
    st.sampled_from([b"", b"X: y\r\n", b"X: y\r\nZ:\r\n"]),
    st.binary(max_size=50),
    splits,
)
def test_a_chunked_body_is_the_same_however_it_is_split(chunks, extension, trailers, rest, cuts):
    stream = chunked(chunks, extension, trailers) + rest
    assert feed(ChunkedBody(LIMIT), stream, cuts) == (b"".join(chunks), rest)


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=4))
def test_a_chunked_body_may_come_byte_by_byte(chunks):
    stream = chunked(chunks, b";a", b"B: c\r\n") + b"GET"
    assert feed(ChunkedBody(LIMIT), stream, range(len(stream))) == (b"".join(chunks), b"GET")


garbled = st.lists(
    st.sampled_from(
        [
            b"0", b"1", b"3", b"a", b"F", b"G", b"\r\n", b"\n", b"\r", b"abc", b";", b";x=y", b" ", b"\t",
            b"X: y",
            b"X : y", b" y", b":", b"-1", b"+1", b"0x3", b"\x00", b"\xff", b'"', b"3\r\nabc\r\n",
            b"0\r\n\r\n",
        ]
    ),
    max_size=14,
).map(b"".join)  # fmt: skip


@given(garbled, splits)
def test_whatever_comes_the_outcome_does_not_depend_on_how_it_is_split(stream, cuts):
    assert outcome(ChunkedBody(LIMIT), stream, cuts) == outcome(ChunkedBody(LIMIT), stream)


@given(garbled)
def test_a_chunked_body_that_is_accepted_is_the_one_that_h11_reads(stream):
    got = outcome(ChunkedBody(LIMIT), stream)
    if isinstance(got, int) or got[0] is None:
        return
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + stream)
    body = b""
    while not isinstance(event := connection.next_event(), h11.EndOfMessage):
        assert event is not h11.NEED_DATA
        body += event.data if isinstance(event, h11.Data) else b""
    assert got == (body, connection.trailing_data[0])


@pytest.mark.parametrize(
    "stream",
    [
        b"\r\n", b"g\r\n", b"-1\r\n", b"+1\r\n", b"0x1\r\n", b" 1\r\n", b"1 1\r\n", b"1_0\r\n", b"\xb2\r\n",
        b";x\r\n",
        b"1\n", b"1\n\r\n", b"1\r \r\n", b"1;x\ny\r\n", b"1;x\ry\r\n", b"1;\x00\r\n", b"1" * 17 + b"\r\n",
        b"3\r\nabcd\r\n", b"3\r\nabc\n0\r\n", b"3\r\nabc0\r\n\r\n", b"3\r\nab\r\n0\r\n\r\n",
        b"1;" + b"x" * 1100, b"1;" + b"x" * 1100 + b"\r\n", b"0\r\nX\r\n\r\n", b"0\r\nX : y\r\n\r\n",
        b"0\r\nX: y\nZ: 1\r\n\r\n", b"0\r\n X: y\r\n\r\n", b"0\r\n: y\r\n\r\n", b"0\r\nX: \x00\r\n\r\n",
        b"0\r\nX: " + b"y" * 1100,
    ],
)  # fmt: skip
def test_what_is_no_chunk_is_refused(stream):
    assert outcome(ChunkedBody(LIMIT), stream + b" " * 2000) == 400


@pytest.mark.parametrize("cuts", [(), (1025,), (1024, 1025, 1026)])
@pytest.mark.parametrize(("length", "expected"), [(1024, (b"a", b"")), (1025, 400)])
def test_a_long_line_is_taken_or_refused_however_it_is_split(length, expected, cuts):
    stream = (b"1;" + b"x" * 2000)[:length] + b"\r\na\r\n0\r\n\r\n"
    assert outcome(ChunkedBody(LIMIT), stream, cuts) == expected


@pytest.mark.parametrize(
    ("stream", "status"),
    [
        (b"3e9\r\n", 413),
        (b"f" * 16 + b"\r\n", 413),
        (chunked([b"x" * 600, b"x" * 600]), 413),
        (b"0\r\n" + b"X: y\r\n" * 2100 + b"\r\n", 431),
        (b"1\r\nx\r\n" * 70_000, 400),
    ],
)
def test_a_chunked_body_has_its_limits(stream, status):
    assert outcome(ChunkedBody(1000 if status == 413 else 1 << 20), stream) == status


def test_a_body_of_exactly_the_limit_is_taken():
    assert outcome(ChunkedBody(1000), chunked([b"x" * 1000])) == (b"x" * 1000, b"")
    assert outcome(ChunkedBody(1000), chunked([b"x"] * 1000)) == (b"x" * 1000, b"")
    assert unzip(gzip.compress(b"x" * 1000), 1000) == b"x" * 1000


def test_a_body_is_gone_once_nobody_holds_it():
    """Not when the collector next comes by: bodies are large, and it comes seldom."""
    body = ChunkedBody(LIMIT)
    body.feed(b"1\r\nx\r\n")
    alive = weakref.ref(body)
    gc.disable()
    del body
    gc.enable()
    assert alive() is None


def test_gzip_is_undone():
    assert unzip(gzip.compress(b"abc"), LIMIT) == b"abc"
    assert unzip(gzip.compress(b""), LIMIT) == b""


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (gzip.compress(b"x" * 1001), 413),
        (gzip.compress(b"x" * (1 << 24)), 413),
        (gzip.compress(b"abc")[:-1], 400),
        (gzip.compress(b"abc")[:-8], 400),
        (gzip.compress(b"abc")[:5], 400),
        (gzip.compress(b"abc") + b"more", 400),
        (gzip.compress(b"abc") + gzip.compress(b"def"), 400),
        (gzip.compress(b"abc")[:-8] + b"\0" * 8, 400),
        (zlib.compress(b"abc"), 400),
        (b"abc", 400),
        (b"", 400),
    ],
)
def test_what_does_not_unzip_within_the_limit_is_refused_with_its_own_status(content, status):
    with pytest.raises(Refusal) as caught:
        unzip(content, LIMIT)
    assert caught.value.status == status


@given(st.binary(max_size=300))
def test_any_bytes_are_unzipped_or_refused(content):
    for stream in (content, gzip.compress(b"abc")[: len(content)] + content):
        try:
            plain = unzip(stream, LIMIT)
        except Refusal as refused:
            assert refused.status in (400, 413)  # noqa: PT017 - which of both it is, is not known before
        else:
            assert gzip.decompress(stream) == plain


@given(
    st.lists(st.binary(max_size=60), max_size=8),
    st.sampled_from([b"", b"X: y\r\n", b"X: y\r\nZ:\r\n"]),
    st.binary(max_size=50),
    st.lists(st.integers(0, 10_000), max_size=3),
)
def test_a_body_that_is_cut_goes_on_as_another(chunks, trailers, rest, cuts):
    content = b"".join(chunks)
    for stream, new in (
        (chunked(chunks, b";a", trailers), lambda: ChunkedBody(len(content))),
        (content, lambda: SizedBody(len(content))),
    ):
        edges = [0, *sorted(cut % max(1, len(stream)) for cut in cuts), len(stream)]
        body = new()
        for start, end in pairwise(edges):
            if start < end < len(stream):
                assert body.feed(stream[start:end]) is None
                so_far = body.so_far()
                body = new()
                assert not so_far or body.feed(so_far) is None
        if stream:
            assert body.feed(stream[edges[-2] :] + rest) == rest
            assert body.whole() == content
