"""The head of a request: parsed once by llhttp, then remembered.

A client sends the same head with every request, but for a few values, so a front keeps those it has seen:
what follows from a head's bytes is found by one look into a dict. The strict parser alone decides what a
head means.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

import httptools

from trivet.http.refusal import Refusal
from trivet.protocols.base import HotRoute, RequestHead

END = b"\r\n\r\n"
_SAFE_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_ENCODINGS = (b"identity", b"gzip", b"")


@dataclass(slots=True, eq=False)
class Head(RequestHead):
    """A head with what the listener needs of it.

    `length` is that of the body in bytes, None where it comes in chunks. `plain` is the same where the
    request asks for nothing out of the ordinary, and -1 otherwise.
    """

    length: int | None = 0
    keep_alive: bool = True
    http_1_0: bool = False
    expects_continue: bool = False
    gzip: bool = False
    plain: int = -1
    hot: HotRoute | None = None
    hot_of: object = None  # the routes among which it was found


def parse(raw: bytes) -> Head:
    """Parse a head, whose end must be its first empty line; raises Refusal."""
    seen = _Seen()
    parser = httptools.HttpRequestParser(seen)
    try:
        parser.feed_data(raw)
    except httptools.HttpParserUpgrade:
        pass  # nothing to upgrade to here: HTTP lets a server ignore that (RFC 9110, 7.8)
    except httptools.HttpParserInvalidMethodError:
        raise Refusal(501, "this is not a method that HTTP has") from None
    except httptools.HttpParserError as error:
        raise Refusal(400, f"this is not a valid HTTP request: {error}") from None
    if seen.heads != 1 or seen.has_body:
        raise Refusal(400, "this is not a valid HTTP request: its head ends too early")
    version = parser.get_http_version()
    if version not in ("1.0", "1.1"):
        raise Refusal(505, f"HTTP version: expected 1.1 or 1.0; got {version}")
    method = parser.get_method().decode()
    return _head(method, version == "1.0", seen, keep_alive=parser.should_keep_alive())


class _Seen:
    """What llhttp reports of a head."""

    def __init__(self) -> None:
        self.target = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.heads = 0
        self.has_body = False

    def on_message_begin(self) -> None:
        self.heads += 1

    def on_url(self, piece: bytes) -> None:
        self.target += piece

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value.strip()))

    def on_body(self, piece: bytes) -> None:
        self.has_body = True


def _head(method: str, http_1_0: bool, seen: _Seen, *, keep_alive: bool) -> Head:
    values: dict[bytes, bytes] = {}
    for name, value in reversed(seen.headers):
        values[name] = value  # the first of several counts
    hosts = sum(name == b"host" for name, _ in seen.headers)
    if hosts > 1 or (hosts == 0 and not http_1_0):
        raise Refusal(400, f"Host: expected exactly one; got {hosts}")
    target, query = _target(method, seen.target)
    length = _length(values, http_1_0)
    encoding = values.get(b"content-encoding", b"").lower()
    if encoding not in _ENCODINGS:
        got = encoding[:40].decode("latin-1")
        raise Refusal(
            415, f"Content-Encoding: expected gzip or none; got {got!r}", b"accept-encoding: gzip\r\n"
        )
    expects = values.get(b"expect", b"").lower()
    if expects not in (b"", b"100-continue"):
        raise Refusal(417, f"Expect: expected 100-continue; got {expects[:40].decode('latin-1')!r}")
    given_id = values.get(b"x-request-id", b"")
    head = Head(
        method=method,
        path=unquote_to_bytes(target).decode("utf-8", "replace"),
        target=target,
        query=query,
        headers=tuple(seen.headers),
        request_id=given_id.decode() if _SAFE_ID.fullmatch(given_id) else "",
        timeout=_timeout(values.get(b"x-server-timeout", b"")),
        length=length,
        keep_alive=keep_alive,
        http_1_0=http_1_0,
        expects_continue=expects != b"" and not http_1_0,
        gzip=encoding == b"gzip",
    )
    if (
        length is not None
        and keep_alive
        and not (http_1_0 or head.expects_continue or head.gzip or head.request_id)
    ):
        head.plain = length
    return head


def _target(method: str, target: bytes) -> tuple[bytes, bytes]:
    if target.startswith(b"/") or (target == b"*" and method == "OPTIONS"):
        path, _, query = target.partition(b"?")
        return path, query
    try:
        url = httptools.parse_url(target)  # a proxy's form, with scheme and host
    except httptools.HttpParserInvalidURLError:
        url = None
    if url is None or url.schema not in (b"http", b"https"):
        raise Refusal(400, "the request's target: expected a path")
    return url.path or b"/", url.query or b""


def _length(values: dict[bytes, bytes], http_1_0: bool) -> int | None:
    """Return the body's length, None for chunks; llhttp has refused whatever has both or is no number."""
    encoding = values.get(b"transfer-encoding")
    if encoding is None:
        return int(values.get(b"content-length") or 0)
    if encoding.lower() != b"chunked" or http_1_0:
        raise Refusal(501, f"Transfer-Encoding: expected chunked; got {encoding[:40].decode('latin-1')!r}")
    return None


def _timeout(value: bytes) -> float | None:
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        got = value[:40].decode("latin-1")
        raise Refusal(400, f"X-Server-Timeout: expected a number of seconds above 0; got {got!r}")
    return seconds
