"""One connection to an application: a request is written as it is given, and its answer read as it comes.

HTTP/1.1 as far as a client on the same machine needs it (RFC 9112), and without its leniencies. A request
costs no task, no timer and no look at headers that have been seen before.
"""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

CHUNKED, TO_THE_END = -1, -2
"""Lengths of bodies of which the head does not say how long they are."""

_END = b"\r\n\r\n"
_MAX_HEAD = 64 * 1024
_MAX_LINE = 1024
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_FIRST = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?\r\n")
_FIELD = re.compile(rb"(%b):([\t\x20-\x7e\x80-\xff]*)\r\n" % _TOKEN)  # each byte is looked at once
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?")
_LENGTH = re.compile(rb"[0-9]{1,15}")
_HEADS = 256  # that are remembered: an application sends the same again and again, for a second at least


class Malformed(Exception):
    """What came is not HTTP; only the connection can be closed."""


@dataclass(frozen=True, slots=True)
class Head:
    """The head of an answer; names of `fields` are lower case.

    `length` is the body's in bytes, or one of the constants above. The connection may be used again where
    it `keeps`.
    """

    status: int
    fields: tuple[tuple[bytes, bytes], ...]
    length: int
    keeps: bool

    def value(self, name: bytes) -> bytes | None:
        """Return the first value of a field."""
        return next((value for one, value in self.fields if one == name), None)


class Reader(Protocol):
    """Who takes the answer to one request: its head once, its body in pieces, and that it has ended."""

    def head(self, head: Head) -> None:
        """Take the head."""
        ...

    def body(self, data: bytes) -> None:
        """Take a piece of the body, which is not empty."""
        ...

    def end(self) -> None:
        """The answer is whole."""
        ...


class Owner(Protocol):
    """Who has the connection; it is told of its end, and when it can be asked again."""

    def free(self, connection: "Connection", reader: Reader) -> None:
        """The answer is whole, and the connection can be asked the next: called before `end`."""
        ...

    def lost(self, connection: "Connection", reader: Reader | None, reason: str) -> None:
        """The connection has ended, and with it an answer that was not whole."""
        ...


class Connection(asyncio.Protocol):
    """Asks for one thing at a time.

    `malformed` says what came that is not HTTP, for which it was closed.
    """

    __slots__ = (
        "_bare", "_buffer", "_chunks", "_head", "_left", "_owner", "_reader", "malformed", "transport",
    )  # fmt: skip

    def __init__(self, owner: Owner) -> None:
        self.transport: asyncio.Transport
        self.malformed = ""
        self._owner = owner
        self._reader: Reader | None = None
        self._head: Head | None = None
        self._bare = False
        self._buffer = b""
        self._left = 0
        self._chunks: Chunks | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Be ready to ask."""
        self.transport = transport

    def ask(self, written: bytes, reader: Reader, *, bare: bool = False) -> None:
        """Send a whole request; `bare` says that its answer has no body (HEAD)."""
        self._reader, self._head, self._bare = reader, None, bare
        self.transport.write(written)

    def drop(self) -> None:
        """End the connection; nobody is told of what was asked."""
        self._reader = None
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Give on what has come."""
        reader = self._reader
        if reader is None:  # nobody has asked for anything
            self.transport.abort()
            return
        try:
            if self._head is None:
                self._begin(reader, data)
            else:
                self._go_on(reader, self._head, data)
        except Malformed as error:
            self.malformed = str(error)
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side has gone, or this one."""
        reader, self._reader = self._reader, None
        if reader is not None and self._head is not None and self._head.length == TO_THE_END and not exc:
            self._owner.lost(self, None, "")
            self._owner.free(self, reader)
            reader.end()
        else:
            self._owner.lost(self, reader, str(exc) if exc else "it was closed")

    def _begin(self, reader: Reader, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        while True:
            end = data.find(_END) + 4
            if end > _MAX_HEAD or (end < 4 and len(data) > _MAX_HEAD):
                raise Malformed(f"a head of more than {_MAX_HEAD} bytes")
            if end < 4:
                self._buffer = data
                return
            head = _heads.get(data[:end]) or _remembered(data[:end])
            data = data[end:]
            if head.status >= 200:
                break
            if head.status == 101:
                raise Malformed("it switches to another protocol, for which nobody asked")
        self._head = head
        length = 0 if self._bare or head.status in (204, 304) else head.length
        self._left, self._chunks = length, Chunks() if length == CHUNKED else None
        reader.head(head)
        if data or not length:
            self._go_on(reader, head, data)

    def _go_on(self, reader: Reader, head: Head, data: bytes) -> None:
        if self._reader is not reader:
            return  # it has had enough
        if self._left > len(data) or self._left == TO_THE_END:
            if self._left > 0:
                self._left -= len(data)
            if data:
                reader.body(data)
            return
        if self._chunks is None:
            rest = data[self._left :]
            if self._left:
                reader.body(data[: self._left] if rest else data)
        else:
            for piece in self._chunks.feed(data):
                reader.body(piece)
            if not self._chunks.over:
                return
            rest = self._chunks.rest
        if self._reader is reader:
            self._end(reader, keeps=head.keeps and not rest)

    def _end(self, reader: Reader, *, keeps: bool) -> None:
        self._reader = None
        if not keeps:  # what follows an answer unasked for might be taken for the next one
            self.transport.abort()
        self._owner.free(self, reader)
        reader.end()


class Chunks:
    """Takes a body out of its chunks as they come. Extensions and trailers are dropped."""

    __slots__ = ("_buffer", "_left", "_step", "over", "rest")

    def __init__(self) -> None:
        self.over = False
        self.rest = b""
        self._buffer = b""
        self._left = 0
        self._step = "size"

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the pieces of the body; what follows it is the `rest`. Raises Malformed."""
        data = self._buffer + data
        start = 0
        while start < len(data) and not self.over:
            if self._step == "data":
                piece = data[start : start + self._left]
                start += len(piece)
                self._left -= len(piece)
                yield piece
                if not self._left:
                    self._step = "after"
                continue
            end = data.find(b"\r\n", start)
            if end < 0:
                if len(data) - start > _MAX_LINE:
                    raise Malformed("a line of a chunked body is too long")
                break
            self._line(data[start:end])
            start = end + 2
        self._buffer = b"" if self.over else data[start:]
        self.rest = data[start:] if self.over else b""

    def _line(self, line: bytes) -> None:
        if self._step == "size":
            match = _SIZE.fullmatch(line)
            if match is None:
                raise Malformed(f"expected the size of a chunk; got {line[:40]!r}")
            self._left = int(match[1], 16)
            self._step = "data" if self._left else "trailer"
        elif self._step == "after":
            if line:
                raise Malformed("a chunk is longer than it says")
            self._step = "size"
        elif not line:
            self.over = True


_heads: dict[bytes, Head] = {}


def _remembered(raw: bytes) -> Head:
    head = parse(raw)
    if len(_heads) >= _HEADS:
        _heads.clear()
    _heads[raw] = head
    return head


def parse(raw: bytes) -> Head:
    """Read the head of an answer, which ends with an empty line; raises Malformed."""
    first = _FIRST.match(raw)
    if first is None:
        raise Malformed(f"expected `HTTP/1.1 200 OK`; got {raw[:40]!r}")
    position, fields = first.end(), []
    for field in _FIELD.finditer(raw, position):
        if field.start() != position:
            break
        position = field.end()
        one = field[1].lower(), field[2].strip(b" \t")
        if one[0] != b"content-length" or one not in fields:  # a length is said once to whoever is next
            fields.append(one)
    if position != len(raw) - 2:
        raise Malformed(f"expected `Name: value`; got {raw[position : position + 40]!r}")
    options = {
        option.strip().lower()
        for name, value in fields
        if name == b"connection"
        for option in value.split(b",")
    }
    length = _length(fields)
    keeps = first[1] == b"1" and b"close" not in options and length != TO_THE_END
    return Head(int(first[2]), tuple(fields), length, keeps)


def _length(fields: list[tuple[bytes, bytes]]) -> int:
    lengths = {value for name, value in fields if name == b"content-length"}
    codings = [value.lower() for name, value in fields if name == b"transfer-encoding"]
    if codings:
        if codings != [b"chunked"]:
            raise Malformed(f"Transfer-Encoding: expected chunked; got {codings[0][:40]!r}")
        if lengths:
            raise Malformed("Transfer-Encoding: not together with Content-Length")
        return CHUNKED
    if not lengths:
        return TO_THE_END
    if len(lengths) > 1 or not _LENGTH.fullmatch(one := lengths.pop()):
        raise Malformed("Content-Length: expected one number")
    return int(one)
