"""One request to an endpoint on another server, over the standard library's HTTP, and what its answer means.

What concerns the instances of a request is told apart from what concerns every request, since the former
costs a row and the latter a job.
"""

import http.client
import re
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, Protocol
from urllib.parse import quote, urlsplit

import msgspec

from trivet.core.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    ServingError,
    Unavailable,
    Unimplemented,
)

GONE = (OSError, http.client.HTTPException)
"""What a connection raises where no answer comes."""

ENDED = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)
"""The same where the other side has just ended it."""


class Asked(Protocol):
    """An endpoint, as `jobs.work` has it."""

    @property
    def url(self) -> str:
        """Its URL up to `:predict`."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """What goes with each request, such as who asks."""
        ...

    @property
    def timeout(self) -> float:
        """Seconds that a request may take."""
        ...

    @property
    def concurrency(self) -> int:
        """Requests under way at once, at most."""
        ...


Concerns = Literal["rows", "doubtful", "full", "away", "lost", "job"]
"""What an error is about: its own instances; they or the endpoint, which only other requests can tell; a
server that has enough for now; one that is not there for now; an answer that did not come though somebody was
there; everything that will ever be asked."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that was not answered with predictions. Unless `sent`, no server has seen it."""

    concerns: Concerns
    error: ServingError
    sent: bool = True


class Calls(Protocol):
    """Asks, over one connection that is kept; not for several threads, but for `end`."""

    def ask(self, body: bytes, count: int) -> list[Any] | Refusal:
        """Return one prediction for each of `count` instances, or why there are none."""
        ...

    def end(self) -> None:
        """Ask nothing more; may be called from any thread, and breaks the connection of one that asks."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


class _Answer(msgspec.Struct):
    predictions: list[Any]


class _Problem(msgspec.Struct):
    message: str = ""
    status: str = ""


class _Problems(msgspec.Struct):
    error: _Problem | str


_answer = msgspec.json.Decoder(_Answer)
_problems = msgspec.json.Decoder(_Problems)

_ROWS: Mapping[int, type[ServingError]] = {
    400: InvalidArgument, 413: InvalidArgument, 422: InvalidArgument, 500: Internal,
}  # fmt: skip
_AWAY = (502, 503)
_LOST = (408, 499, 504)
_JOB: Mapping[int, type[ServingError]] = {
    401: PermissionDenied, 403: PermissionDenied, 404: NotFound, 501: Unimplemented,
}  # fmt: skip


class Caller:
    """Asks one endpoint of a server. See `Calls`."""

    def __init__(self, asked: Asked) -> None:
        url = urlsplit(asked.url)
        self._url = asked.url
        self._ended = False
        self._path = f"{url.path}:predict" + (f"?{url.query}" if url.query else "")
        self._headers = {"Content-Type": "application/json", **asked.headers}
        self._connection = _connection(url.scheme, url.hostname or "", url.port, asked.timeout)

    def ask(self, body: bytes, count: int) -> list[Any] | Refusal:
        """Return one prediction for each of `count` instances, or why there are none."""
        kept = connected = self._connection.sock is not None
        try:
            if self._connection.sock is None:
                self._connection.connect()
                connected = True
            try:
                status, headers, content = self._post(body)
            except ENDED:
                if not kept or self._ended:
                    raise
                # the server had ended a connection that was idle, which says nothing about this request
                connected = False
                self._connection.connect()
                connected = True
                status, headers, content = self._post(body)
        except GONE as error:
            self.close()
            return self._gone(error, connected=connected)
        if status == 200:
            return self._predictions(content, count)
        return self._refusal(status, headers, content)

    def end(self) -> None:
        """Ask nothing more; may be called from any thread, and breaks the connection of one that asks."""
        self._ended = True
        connected = self._connection.sock
        if connected is not None:
            with suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()

    def _post(self, body: bytes) -> tuple[int, http.client.HTTPMessage, bytes]:
        try:
            self._connection.request("POST", self._path, body, self._headers)
            response = self._connection.getresponse()
            return response.status, response.headers, response.read()
        except ENDED:
            self._connection.close()
            raise

    def _gone(self, error: Exception, *, connected: bool) -> Refusal:
        reason = f"no answer from {self._url}: {error or type(error).__name__}"
        if isinstance(error, ssl.SSLCertVerificationError):
            return Refusal("job", FailedPrecondition(reason), sent=False)
        if not connected:
            return Refusal("away", Unavailable(reason), sent=False)
        kind = DeadlineExceeded if isinstance(error, TimeoutError) else Unavailable
        return Refusal("lost", kind(reason))

    def _predictions(self, content: bytes, count: int) -> list[Any] | Refusal:
        try:
            predictions = _answer.decode(content).predictions
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return Refusal("doubtful", Internal(f"{self._url} answered {_cut(content)}: not predictions"))
        if len(predictions) != count:
            told = f"{self._url} gave {len(predictions)} predictions for {count} instances"
            return Refusal("doubtful", Internal(told))
        return predictions

    def _refusal(self, status: int, headers: http.client.HTTPMessage, content: bytes) -> Refusal:
        problem = _problem(content)
        message = problem.message or f"{self._url} answered {status}: {_cut(content)}"
        if status == 429:
            return Refusal("full", ResourceExhausted(message, _seconds(headers.get("Retry-After"))))
        if status in _AWAY:
            return Refusal("away", Unavailable(message))
        if status in _LOST:
            return Refusal("lost", DeadlineExceeded(message))
        if status in _ROWS:
            # Google's services say so of containers that fail, and ours of an endpoint without models
            doubtful = problem.status == "FAILED_PRECONDITION"
            return Refusal("doubtful" if doubtful else "rows", _ROWS[status](message))
        kind = _JOB.get(status, FailedPrecondition)
        where = headers.get("Location", "") if 300 <= status < 400 else ""
        return Refusal("job", kind(f"{message} ({self._url}: {status}{where and f', which is at {where}'})"))


def _connection(scheme: str, host: str, port: int | None, timeout: float) -> http.client.HTTPConnection:
    if scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(host, port, timeout=timeout, context=context)
    return http.client.HTTPConnection(host, port, timeout=timeout)


def _problem(content: bytes) -> _Problem:
    try:
        error = _problems.decode(content).error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _Problem()
    return _Problem(error) if isinstance(error, str) else error


def _seconds(given: str | None) -> float | None:
    """Read Retry-After, of which a minute is believed; a date is taken for no statement."""
    try:
        return min(60.0, max(0.0, float(given or "")))
    except ValueError:
        return None


def _cut(content: bytes) -> str:
    return repr(content[:200].decode("utf-8", "replace"))


_FULL = re.compile(r"projects/[^/]+/locations/[^/]+/endpoints/[^/]+")


def endpoint_url(given: str, server: str, project: str = "local", location: str = "us-central1") -> str:
    """Return the URL, up to `:predict`, of the endpoint that somebody means.

    It may be given as URL, as full resource name or as plain id, the last two being at `server`. Raises
    InvalidArgument for what is none of them.
    """
    name = given
    if "://" in given:
        url = given.rstrip("/").removesuffix(":predict")
    elif _FULL.fullmatch(given):
        url = f"{server.rstrip('/')}/v1/{given}"
    else:
        name = "" if "/" in given else quote(given)
        url = f"{server.rstrip('/')}/v1/projects/{project}/locations/{location}/endpoints/{name}"
    if not name or not _is_endpoint(url):
        raise InvalidArgument(
            f"endpoint: {given!r}: expected the URL of an endpoint up to `:predict`, its full name "
            "projects/P/locations/L/endpoints/E, or its id"
        )
    return url


def _is_endpoint(url: str) -> bool:
    try:
        address = urlsplit(url)
        good = address.scheme in ("http", "https") and bool(address.hostname) and (address.port or 1) > 0
    except ValueError:
        return False
    return good and url.isascii() and url.isprintable() and " " not in url and bool(address.path.strip("/"))
