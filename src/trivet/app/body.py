"""Reads a request's body: bounded, decompressed, whole."""

import zlib
from collections.abc import Awaitable, Callable
from typing import Any

from trivet.core.errors import InvalidArgument
from trivet.protocols.base import Headers

Receive = Callable[[], Awaitable[Any]]


class BodyRefused(InvalidArgument):
    """A body that is refused with a status of its own."""

    def __init__(self, status: int, message: str, headers: Headers = ()) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


class CallerLeft(Exception):
    """The connection was closed before the request was complete."""


async def read(receive: Receive, headers: Headers, limit: int) -> bytes:
    """Return the body; raises BodyRefused (413, 415 or 400) or CallerLeft."""
    given = dict(headers)
    encoding = given.get(b"content-encoding", b"identity").strip().lower()
    if encoding not in (b"identity", b"gzip", b""):
        raise BodyRefused(
            415,
            f"Content-Encoding: expected gzip or none; got {encoding[:40].decode('latin-1')!r}",
            [(b"accept-encoding", b"gzip")],
        )
    body = await _whole(receive, int(given.get(b"content-length", b"0")), limit)
    return _unzip(body, limit) if encoding == b"gzip" else body


async def _whole(receive: Receive, announced: int, limit: int) -> bytes:
    if announced > limit:
        raise _too_large(limit)
    pieces, size = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise CallerLeft
        piece = message.get("body", b"")
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            raise _too_large(limit)
        if not message.get("more_body"):
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _unzip(body: bytes, limit: int) -> bytes:
    """Decompress, but never hold more than the limit."""
    unzip = zlib.decompressobj(wbits=31)
    try:
        plain = unzip.decompress(body, limit + 1)
    except zlib.error as error:
        raise BodyRefused(400, f"the body is not valid gzip: {error}") from None
    if len(plain) > limit:
        raise _too_large(limit)
    if not unzip.eof or unzip.unused_data:
        raise BodyRefused(400, "the body is not valid gzip: it is cut off, or more follows")
    return plain


def _too_large(limit: int) -> BodyRefused:
    return BodyRefused(413, f"the body exceeds {limit} bytes (limits.max_body_bytes)")
