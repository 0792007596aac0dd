"""How a wire protocol plugs in, and what all of those over HTTP share.

A protocol answers its hot paths (predictions) from bytes to bytes, without a web framework, so that the
listener may call it from wherever it has read a request. Everything else it serves is ordinary ASGI.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Protocol

import msgspec
from msgspec import Struct
from starlette.responses import Response
from starlette.routing import Route as AsgiRoute

from trivet.codecs.json_body import BodyLimits
from trivet.core.errors import Code, ResourceExhausted, ServingError, Unavailable
from trivet.serving.batching import Pending
from trivet.serving.plane import DataPlane
from trivet.telemetry import Sample

Headers = bytes
"""Header lines as they are sent, each with its CRLF; the listener adds those of framing."""

JSON: Headers = b"content-type: application/json\r\n"
encode_json = msgspec.json.Encoder().encode

STATUS = {
    Code.INVALID_ARGUMENT: 400,
    Code.FAILED_PRECONDITION: 400,
    Code.PERMISSION_DENIED: 403,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.ABORTED: 409,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.CANCELLED: 499,
    Code.INTERNAL: 500,
    Code.UNIMPLEMENTED: 501,
    Code.UNAVAILABLE: 503,
    Code.DEADLINE_EXCEEDED: 504,
}
"""The HTTP status of each code, as Google's APIs have it (google/rpc/code.proto)."""


@dataclass(frozen=True, slots=True)
class ContainerRoutes:
    """The paths that a platform told this server to answer as a prediction container."""

    predict: str = ""
    health: str = ""


@dataclass(frozen=True, slots=True)
class Services:
    """What a protocol may use."""

    plane: DataPlane
    limits: BodyLimits
    container: ContainerRoutes
    measured: Callable[[], Awaitable[list[Sample]]]
    """What all processes of the server have measured."""

    control: "Callable[[Call], Awaitable[Reply]] | None" = None
    """What answers calls of the control plane; None where there is none."""

    remote: bool = False
    """Whether callers on other machines may call it."""

    names: tuple[str, ...] = ()
    """Names of this server, besides those that are this machine's own."""

    sql: "Callable[[Call], Awaitable[Reply]] | None" = None
    """What answers calls that concern SQL; None where nothing does."""


@dataclass(slots=True, eq=False)
class RequestHead:
    """The head of a request, as a pure function of its bytes: shared by all requests with the same one.

    Header names are lower case; `path` has its escapes undone, `target` is as sent. `request_id` is the
    caller's, or empty; `timeout` is in seconds (`X-Server-Timeout`, as Google's APIs take it).
    """

    method: str
    path: str
    target: bytes
    query: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    request_id: str = ""
    timeout: float | None = None


class Call(Struct, array_like=True):
    """A request that is answered by the control plane, wherever that runs.

    `path` has its escapes undone; `query` is as sent; header names are lower case. `address` is the URL at
    which the caller found the server, `bound` the one at which the server took the connection.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    address: str = ""
    bound: str = ""


class Reply(Struct, array_like=True):
    """The answer to a call: a status, a body of a media type, and further headers."""

    status: int
    body: bytes = b""
    media_type: str = "application/json"
    headers: dict[str, str] = {}


class BrokenOff(Exception):
    """An answer of which a part was sent cannot be continued: its caller must see that it breaks off."""


class Unanswered(Unavailable):
    """Whoever was asked ended before it answered: what was asked may be done."""


class Caller(Protocol):
    """Who waits for the answer to one request."""

    def reply(self, status: int, headers: Headers, body: bytes) -> None:
        """Give the answer; it goes nowhere if the caller has left."""
        ...

    def request_id(self) -> str:
        """Return what finds this request in the log: the caller's own id, or one made up now."""
        ...


class HotRoute(Protocol):
    """Answers POST requests to one path."""

    def answer(self, caller: Caller, head: RequestHead, body: bytes, now: float) -> Pending | None:
        """Reply to the caller once, now or later in the event loop; `now` is when the request was read.

        Returns what to abandon if the caller leaves before, or None where the reply was given. Raises
        nothing that a request can cause.
        """
        ...


class HttpProtocol(Protocol):
    """A protocol over HTTP. A module of this package makes one with `PROTOCOL(services)`."""

    def hot(self, path: str) -> HotRoute | None:
        """Return what answers predictions on a path; None for other paths.

        Raises NotFound or Unavailable for a prediction path whose model is not here. The answer holds
        until the data plane's routes are replaced.
        """
        ...

    def routes(self) -> Sequence[AsgiRoute]:
        """Return the routes that are not hot."""
        ...


def error_reply(error: ServingError, status: int = 0) -> tuple[int, Headers, bytes]:
    """Return an error as Google's APIs write it: `{"error": {"code", "message", "status"}}`."""
    status = status or STATUS[error.code]
    content = {"code": status, "message": str(error), "status": error.code.name}
    headers = JSON
    if isinstance(error, ResourceExhausted):
        headers += b"retry-after: %d\r\n" % max(1, ceil(error.retry_after or 0))
    return status, headers, encode_json({"error": content})


def error_response(error: ServingError, status: int = 0, **headers: str) -> Response:
    """Return the same for a route that is not hot."""
    status, _, body = error_reply(error, status)
    return Response(body, status, headers, media_type="application/json")


def json_response(content: Any, status: int = 200) -> Response:
    """Return anything as JSON, for a route that is not hot."""
    return Response(encode_json(content), status, media_type="application/json")
