"""Asks an application about instances, over one connection that is kept."""

import http.client
import socket
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any

from trivet.containers import answers
from trivet.containers.started import Started
from trivet.core.errors import DeadlineExceeded, FailedPrecondition, Internal, Unavailable

_GONE = (OSError, http.client.HTTPException)
_ENDED = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)

_PIECE = 1 << 20  # bytes that are read at once

_END_WITHIN = 2.0
"""Seconds after a connection broke in which the end of the application is what broke it."""


class Lost(Unavailable):
    """The application had a request, and did not answer."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, whatever it says."""

    status: int
    retry_after: str | None
    content: bytes


class Asking:
    """One connection; for one thread at a time, but for `end`. A request may take `timeout` seconds."""

    def __init__(self, started: Started, timeout: float) -> None:
        self._started = started
        self._timeout = timeout
        self._connection: _Connection | None = None
        self._ended = False

    def post(self, body: bytes) -> Reply:
        """Post a body to the predict route, and return the answer.

        Raises Unavailable and FailedPrecondition as `Started.application` does, where nothing was sent; Lost
        where no answer came, DeadlineExceeded where it was not whole in time, Internal where it has no end.
        """
        if not self._started.spec.predict_route:
            raise FailedPrecondition("the container has no predict route, but an invoke route prefix")
        application = self._started.application()
        port = application.state.port
        if self._connection is None or self._connection.port != port:
            self.close()
            self._connection = _Connection("127.0.0.1", port, timeout=self._timeout)
        try:
            return self._sent(self._connection, body)
        except _Refused as error:
            self.close()
            over = application.is_over(_END_WITHIN)
            raise Unavailable(application.state.reason if over else f"the container: {error}") from None
        except _GONE as error:
            self.close()
            if isinstance(error, TimeoutError):
                told = f"the container gave no answer within {self._timeout:g} s"
                raise DeadlineExceeded(told) from None
            told = f"the container gave no answer: {error or type(error).__name__}"
            if isinstance(error, http.client.BadStatusLine) and not isinstance(error, _ENDED):
                told = f"the container's answer is not HTTP: {str(error)[:40]!r}"
            # of this one: another may have been started since, for another thread
            over = application.is_over(_END_WITHIN)
            raise Lost(application.state.reason if over else told) from None
        except Internal:
            self.close()
            raise

    def end(self) -> None:
        """Break the connection; may be called by any thread."""
        self._ended = True
        connected = None if self._connection is None else self._connection.sock
        if connected is not None:
            with suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _sent(self, connection: "_Connection", body: bytes) -> Reply:
        kept = connection.sock is not None
        try:
            return self._post(connection, body)
        except _ENDED:
            if not kept or self._ended or self._started.state.port != connection.port:
                raise
        # it had ended a connection that was idle, which says nothing about this request
        connection.close()
        try:
            return self._post(connection, body)
        except _Refused as error:  # or it ended with this request
            raise ConnectionResetError(str(error)) from None

    def _post(self, connection: "_Connection", body: bytes) -> Reply:
        headers = {"Content-Type": "application/json"}
        connection.until = monotonic() + self._timeout
        connection.request("POST", self._started.spec.predict_route, body, headers)
        response = connection.getresponse()
        pieces, size = [], 0
        while piece := response.read(_PIECE):
            pieces.append(piece)
            if (size := size + len(piece)) > answers.MAX_BODY:
                raise answers.too_long()
        if response.length:  # of which `read` says nothing where it is told how much to read
            raise http.client.IncompleteRead(b"", response.length)
        return Reply(response.status, response.headers.get("Retry-After"), b"".join(pieces))


class _Refused(OSError):
    """Nobody listens: nothing was sent."""


class _Connection(http.client.HTTPConnection):
    """Its timeout is that of a whole answer, which is there `until` then or raises TimeoutError."""

    until = 0.0

    def connect(self) -> None:
        """Connect by a socket that knows how long it may wait."""
        self.sock = _Socket(self)
        self.sock.settimeout(self.timeout)
        try:
            self.sock.connect((self.host, self.port))
        except OSError as error:
            raise _Refused(str(error)) from None
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class _Socket(socket.socket):
    def __init__(self, connection: _Connection) -> None:
        super().__init__()
        self._of = connection

    def recv_into(self, *given: Any) -> int:
        """Wait no longer than is left, however often something comes."""
        left = self._of.until - monotonic()
        if left <= 0:
            raise TimeoutError
        self.settimeout(left)
        return super().recv_into(*given)
