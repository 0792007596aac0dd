"""One connection to an application: what is HTTP, and what is not."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.serving.upstream import CHUNKED, TO_THE_END, Chunks, Connection, parse


class Transport:
    def __init__(self):
        self.written, self.aborted = [], False

    def write(self, data):
        self.written.append(data)

    def abort(self):
        self.aborted = True


class Heard:
    """A reader and an owner that note what they are told."""

    def __init__(self):
        self.told = []

    def head(self, head):
        self.told.append(head.status)

    def body(self, data):
        assert data
        self.told.append(data)

    def end(self):
        self.told.append("end")

    def free(self, connection, reader):
        self.told.append("free")

    def lost(self, connection, reader, reason):
        self.told.append(("lost", reader is self, reason))

    @property
    def content(self):
        return b"".join(one for one in self.told if isinstance(one, bytes))


def asked(**options):
    heard = Heard()
    connection = Connection(heard)
    connection.connection_made(Transport())
    connection.ask(b"POST ...", heard, **options)
    return heard, connection


SIZED = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nA: b\r\n\r\n"


@given(st.sampled_from([SIZED, CHUNKS]), st.lists(st.integers(0, len(CHUNKS)), max_size=8))
def test_an_answer_in_pieces_is_the_same_answer(answer, cuts):
    heard, connection = asked()
    bounds = [0, *sorted(cut for cut in cuts if cut < len(answer)), len(answer)]
    for start, stop in pairwise(bounds):
        if start < stop:
            connection.data_received(answer[start:stop])
    assert heard.content == b"hello"
    assert heard.told[0] == 200
    assert heard.told[-2:] == ["free", "end"]
    assert not connection.transport.aborted


def test_a_connection_asks_again():
    heard, connection = asked()
    connection.data_received(SIZED)
    connection.ask(b"POST ...", heard)
    connection.data_received(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")
    assert heard.told == [200, b"hello", "free", "end", 204, "free", "end"]


def test_an_answer_to_head_has_no_body():
    heard, connection = asked(bare=True)
    connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
    assert heard.told == [200, "free", "end"]


def test_a_body_without_a_length_ends_with_the_connection():
    heard, connection = asked()
    connection.data_received(b"HTTP/1.0 200 OK\r\n\r\nhe")
    connection.data_received(b"llo")
    connection.connection_lost(None)
    assert heard.told == [200, b"he", b"llo", ("lost", False, ""), "free", "end"]


@pytest.mark.parametrize(
    ("came", "reason"),
    [
        (b"", "it was closed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", "it was closed"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n", "it was closed"),
    ],
)
def test_an_answer_that_breaks_off_is_none(came, reason):
    heard, connection = asked()
    if came:
        connection.data_received(came)
    connection.connection_lost(None)
    assert heard.told[-1] == ("lost", True, reason)


def test_what_follows_an_answer_ends_the_connection():
    heard, connection = asked()
    connection.data_received(SIZED + b"HTTP/1.1 200 OK\r\n")
    assert heard.told == [200, b"hello", "free", "end"]
    assert connection.transport.aborted


@pytest.mark.parametrize("line", [b"Connection: close\r\n", b"connection: x, Close\r\n"])
def test_a_connection_that_the_application_closes_is_not_kept(line):
    _, connection = asked()
    connection.data_received(SIZED.replace(b"Content", line + b"Content"))
    assert connection.transport.aborted


def test_an_answer_to_nothing_ends_the_connection():
    connection = Connection(Heard())
    connection.connection_made(Transport())
    connection.data_received(SIZED)
    assert connection.transport.aborted


@pytest.mark.parametrize(
    "came",
    [
        b"hello\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nName : value\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n folded: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 2000,
        b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70_000,
        b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70_000 + b"\r\n\r\n",
        pytest.param(b"HTTP/1.1 200 OK\r\nA: " + b" " * 60_000 + b"\0\r\n\r\n", id="takes no time"),
    ],
)
def test_what_is_not_http_ends_the_connection(came):
    heard, connection = asked()
    connection.data_received(came)
    assert connection.malformed
    assert connection.transport.aborted
    assert "end" not in heard.told


def test_nothing_is_told_of_what_was_dropped():
    heard, connection = asked()
    connection.drop()
    connection.data_received(SIZED)
    connection.connection_lost(None)
    assert heard.told == [("lost", False, "it was closed")]


def test_a_head_says_how_long_its_body_is():
    assert parse(SIZED[:-5]).length == 5
    assert parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n").length == CHUNKED
    head = parse(b"HTTP/1.0 503\r\nRetry-After:  7 \r\n\r\n")
    assert (head.status, head.length, head.keeps) == (503, TO_THE_END, False)
    assert head.value(b"retry-after") == b"7"
    assert head.value(b"age") is None
    twice = parse(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nA: b\r\nContent-Length: 5\r\nA: b\r\n\r\n")
    assert twice.fields == ((b"content-length", b"5"), (b"a", b"b"), (b"a", b"b"))


@given(st.lists(st.binary(min_size=1, max_size=20)), st.integers(1, 7))
def test_chunks_are_put_together(chunks, size):
    wire = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\nrest"
    reader, found = Chunks(), b""
    for start in range(0, len(wire), size):
        piece = wire[start : start + size]
        if reader.over:
            break
        found += b"".join(reader.feed(piece))
    assert found == b"".join(chunks)
    assert reader.over
