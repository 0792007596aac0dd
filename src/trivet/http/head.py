"""The head of a request: parsed once, then remembered.

A client sends the same head with every request, but for a few values, so a front keeps those it has seen:
what follows from a head's bytes is found by one look into a dict. The grammar is that of RFC 9112 without
its leniencies (line folding, bare line feeds, space before a colon): what two servers in a row might read
differently is refused, since that is how requests are smuggled past the first.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from trivet.http.refusal import Refusal
from trivet.protocols.base import HotRoute, RequestHead

END = b"\r\n\r\n"
TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
FIELD = re.compile(rb"(%b):([\t\x20-\x7e\x80-\xff]*)\r\n" % TOKEN)
_FIRST = re.compile(rb"(%b) ([\x21-\x7e]+) HTTP/([0-9]\.[0-9])\r\n" % TOKEN)
_METHODS = frozenset(
    (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH")
)
_HOST = re.compile(rb"[0-9A-Za-z\-._~!$&'()*+;=:%\[\]]*")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_ABSOLUTE = re.compile(rb"https?://[^/?#]+(/[^?#]*)?(?:\?([^#]*))?", re.IGNORECASE)  # as proxies send it
_SAFE_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_ONCE = (b"host", b"content-length", b"transfer-encoding", b"content-encoding", b"expect")
_ENCODINGS = (b"identity", b"gzip", b"")


@dataclass(slots=True, eq=False)
class Head(RequestHead):
    """A head with what the listener needs of it.

    `length` is that of the body in bytes, None where it comes in chunks. `plain` is the same where the
    request asks for nothing out of the ordinary, and -1 otherwise. `raw` is all of it as it came.
    """

    length: int | None = 0
    keep_alive: bool = True
    http_1_0: bool = False
    expects_continue: bool = False
    gzip: bool = False
    plain: int = -1
    raw: bytes = b""
    hot: HotRoute | None = None
    hot_of: object = None  # the routes among which it was found


def parse(raw: bytes) -> Head:
    """Parse a head, which ends with its first empty line; raises Refusal."""
    first = _FIRST.match(raw)
    if first is None:
        raise _invalid("METHOD /path HTTP/1.1", raw)
    method, target, version = first.groups()
    if version not in (b"1.1", b"1.0"):
        raise Refusal(505, f"HTTP version: expected 1.1 or 1.0; got {version.decode()}")
    if method not in _METHODS:
        raise Refusal(501, f"this is not a method that HTTP has: {method[:40].decode()}")
    position, fields = first.end(), []
    for field in FIELD.finditer(raw, position):
        if field.start() != position:
            break
        position = field.end()
        fields.append((field[1].lower(), field[2].strip(b" \t")))
    if position != len(raw) - 2:
        raise _invalid("Name: value", raw[position:])
    head = _head(method.decode(), target, tuple(fields), http_1_0=version == b"1.0")
    head.raw = raw
    return head


def _invalid(expected: str, line: bytes) -> Refusal:
    got = line[:80].partition(b"\r\n")[0][:40].decode("latin-1")
    return Refusal(400, f"this is not a valid HTTP request: expected {expected!r}; got {got!r}")


def _head(method: str, target: bytes, fields: tuple[tuple[bytes, bytes], ...], *, http_1_0: bool) -> Head:
    values = dict(reversed(fields))  # the first of several counts
    names = [name for name, _ in fields]
    for name in _ONCE:
        if names.count(name) > 1:
            raise Refusal(400, f"{name.decode().title()}: expected at most one; got {names.count(name)}")
    host = values.get(b"host")
    if host is None and not http_1_0:
        raise Refusal(400, "Host: expected exactly one; got 0")
    if not _HOST.fullmatch(host or b""):
        raise Refusal(400, "Host: expected a name or an address, and a port")
    path, query = _target(method, target)
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
        path=unquote_to_bytes(path).decode("utf-8", "replace"),
        target=path,
        query=query,
        headers=fields,
        request_id=given_id.decode() if _SAFE_ID.fullmatch(given_id) else "",
        timeout=_timeout(values.get(b"x-server-timeout", b"")),
        length=length,
        keep_alive=_keep_alive(fields, http_1_0),
        http_1_0=http_1_0,
        expects_continue=expects != b"" and not http_1_0,
        gzip=encoding == b"gzip",
    )
    ordinary = not (http_1_0 or head.expects_continue or head.gzip or head.request_id)
    if length is not None and head.keep_alive and ordinary:
        head.plain = length
    return head


def _target(method: str, target: bytes) -> tuple[bytes, bytes]:
    if target.startswith(b"/") or (target == b"*" and method == "OPTIONS"):
        path, _, query = target.partition(b"?")
        return path, query
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        raise Refusal(400, "the request's target: expected a path")
    return absolute[1] or b"/", absolute[2] or b""


def _length(values: dict[bytes, bytes], http_1_0: bool) -> int | None:
    """Return the body's length in bytes, None for chunks."""
    encoding, length = values.get(b"transfer-encoding"), values.get(b"content-length")
    if encoding is None:
        if length is None:
            return 0
        if not _LENGTH.fullmatch(length):
            raise Refusal(400, f"Content-Length: expected a number; got {length[:40].decode('latin-1')!r}")
        return int(length)
    if length is not None or http_1_0:
        beside = "Content-Length" if length is not None else "HTTP/1.0"
        raise Refusal(400, f"Transfer-Encoding: not together with {beside}")
    if encoding.lower() != b"chunked":
        raise Refusal(501, f"Transfer-Encoding: expected chunked; got {encoding[:40].decode('latin-1')!r}")
    return None


def _keep_alive(fields: tuple[tuple[bytes, bytes], ...], http_1_0: bool) -> bool:
    asked = b",".join(value.lower() for name, value in fields if name == b"connection")
    options = {option.strip(b" \t") for option in asked.split(b",")}
    return b"close" not in options and (not http_1_0 or b"keep-alive" in options)


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
