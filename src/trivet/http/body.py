"""A request's body, gathered piece by piece as it comes: bounded, out of its chunks, decompressed, whole."""

import re
import zlib
from typing import Protocol

from trivet.http.head import FIELD
from trivet.http.refusal import Refusal, too_large

_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?")
_MAX_LINE = 1024
_MAX_TRAILERS = 8192
_MAX_CHUNKS = 65536


class Body(Protocol):
    """Gathers one body."""

    def feed(self, data: bytes) -> bytes | None:
        """Take what has come; return what follows the body, or None while it is incomplete.

        Raises Refusal.
        """
        ...

    def whole(self) -> bytes:
        """Return the body, once it is complete."""
        ...

    def so_far(self) -> bytes:
        """Return what brings another such body to where this one is, which is not complete."""
        ...


class SizedBody:
    """A body whose length in bytes is known."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._body = bytearray()  # one object, however small the pieces

    def feed(self, data: bytes) -> bytes | None:
        """Take what has come."""
        missing = self._length - len(self._body)
        self._body += data[:missing]
        return None if len(data) < missing else data[missing:]

    def whole(self) -> bytes:
        """Return the body."""
        return bytes(self._body)

    def so_far(self) -> bytes:
        """Return what has come."""
        return bytes(self._body)


class ChunkedBody:
    """A body in chunks (RFC 9112, 7.1), of at most `limit` bytes. Extensions and trailers are dropped."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._body = bytearray()
        self._rest = bytearray()
        self._step = ChunkedBody._size  # not bound: in a cycle, bodies would stay until the next collection
        self._left = 0  # of this chunk
        self._chunks = self._trailers = 0

    def feed(self, data: bytes) -> bytes | None:
        """Take what has come."""
        self._rest += data
        while self._step(self):
            if self._step is ChunkedBody._end:
                return bytes(self._rest)
        return None

    def whole(self) -> bytes:
        """Return the body."""
        return bytes(self._body)

    def so_far(self) -> bytes:
        """Return what has come, as one chunk; that may be one of which more is to come."""
        chunk = b"%x\r\n" % (len(self._body) + self._left) + self._body
        if self._step is ChunkedBody._data:
            return chunk + self._rest
        chunk = chunk + b"\r\n" if self._body else b""
        return chunk + (b"0\r\n" if self._step is ChunkedBody._trailer else b"") + self._rest

    def _line(self) -> bytes | None:
        end = self._rest.find(b"\r\n", 0, _MAX_LINE + 2)
        if end >= 0:
            line = bytes(self._rest[:end])
            del self._rest[: end + 2]
            return line
        if len(self._rest) > _MAX_LINE + 1:  # the line feed may be all that is missing
            raise Refusal(400, "chunked body: a line is too long")
        return None

    def _size(self) -> bool:
        line = self._line()
        if line is None:
            return False
        match = _SIZE_LINE.fullmatch(line)
        if match is None:
            raise Refusal(400, f"chunked body: expected a chunk's size; got {line[:40].decode('latin-1')!r}")
        self._left = int(match[1], 16)
        self._chunks += 1
        if self._chunks > _MAX_CHUNKS:
            raise Refusal(400, f"chunked body: more than {_MAX_CHUNKS} chunks")
        if len(self._body) + self._left > self._limit:
            raise too_large(self._limit)
        self._step = ChunkedBody._data if self._left else ChunkedBody._trailer
        return True

    def _data(self) -> bool:
        piece = self._rest[: self._left]
        self._body += piece
        del self._rest[: len(piece)]
        self._left -= len(piece)
        if self._left or len(self._rest) < 2:
            return False
        if self._rest[:2] != b"\r\n":
            raise Refusal(400, "chunked body: a chunk is longer than it says")
        del self._rest[:2]
        self._step = ChunkedBody._size
        return True

    def _trailer(self) -> bool:
        line = self._line()
        if line is None:
            return False
        self._trailers += len(line)
        if self._trailers > _MAX_TRAILERS:
            raise Refusal(431, f"the trailers exceed {_MAX_TRAILERS} bytes")
        if not line:
            self._step = ChunkedBody._end
        elif not FIELD.fullmatch(line + b"\r\n"):
            raise Refusal(400, f"chunked body: expected a trailer; got {line[:40].decode('latin-1')!r}")
        return True

    def _end(self) -> bool:
        return False


def unzip(body: bytes, limit: int) -> bytes:
    """Decompress, but never hold more than the limit; raises Refusal."""
    unpacked = zlib.decompressobj(wbits=31)
    try:
        plain = unpacked.decompress(body, limit + 1)
    except zlib.error as error:
        raise Refusal(400, f"the body is not valid gzip: {error}") from None
    if len(plain) > limit:
        raise too_large(limit)
    if not unpacked.eof or unpacked.unused_data:
        raise Refusal(400, "the body is not valid gzip: it is cut off, or more follows")
    return plain
