"""How a wire protocol plugs in, and what all of those over HTTP share.

A protocol answers its hot paths (predictions) from bytes to bytes, without a web framework, so that the
listener may call it from wherever it has read a request. Everything else it serves is ordinary ASGI.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
from starlette.routing import Route as AsgiRoute

from trivet.core.errors import Code, ResourceExhausted, ServingError
from trivet.serving.batching import Pending
from trivet.serving.plane import DataPlane

Headers = Sequence[tuple[bytes, bytes]]
Reply = Callable[[int, Headers, bytes], None]

JSON: Headers = ((b"content-type", b"application/json"),)
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
    max_instances: int
    container: ContainerRoutes = field(default_factory=ContainerRoutes)


@dataclass(frozen=True, slots=True)
class HotRequest:
    """A prediction request as the listener has read it; header names are lower case.

    `request_id` is the caller's, or one made up to find the request in the log.
    """

    body: bytes
    headers: Headers
    request_id: str

    def header(self, name: bytes) -> bytes:
        """Return the first value of a header, or nothing."""
        return next((value for key, value in self.headers if key == name), b"")


class HotRoute(Protocol):
    """Answers POST requests to one path."""

    def answer(self, request: HotRequest, reply: Reply) -> Pending | None:
        """Call `reply` once, now or later in the event loop.

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
    headers = list(JSON)
    if isinstance(error, ResourceExhausted):
        seconds = max(1, round(error.retry_after or 0))
        headers.append((b"retry-after", str(seconds).encode()))
    return status, headers, encode_json({"error": content})


def json_reply(content: Any, status: int = 200) -> tuple[int, Headers, bytes]:
    """Return anything as JSON."""
    return status, JSON, encode_json(content)
