"""Asks an application once how it is: a GET, a command beside it, or a connection."""

import http
import socket
from time import monotonic

from trivet.containers.base import Application
from trivet.core.containers import Probe

_HOST = "127.0.0.1"
_LONGEST = 8192  # bytes of a status line


def look(probe: Probe, application: Application) -> str:
    """Return why a probe fails, as `GET /health answered 503 (Service Unavailable)`; empty if it does not.

    It is over after `probe.timeout` seconds, however slowly an answer comes.
    """
    port = probe.port or application.port
    if probe.path:
        return _get(port, probe.path, probe.timeout)
    if probe.command:
        if application.run(probe.command, probe.timeout):
            return ""
        return f"`{' '.join(probe.command)}` failed, or took longer than {probe.timeout:g} s"
    try:
        socket.create_connection((_HOST, port), probe.timeout).close()
    except OSError as error:
        return _gone(f"a connection to port {port}", error, probe.timeout)
    return ""


def _get(port: int, path: str, timeout: float) -> str:
    """Read no more than the status line: the body says nothing."""
    asked = f"GET {path}"
    until = monotonic() + timeout
    request = f"GET {path} HTTP/1.1\r\nHost: {_HOST}:{port}\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    answer = b""
    try:
        with socket.create_connection((_HOST, port), timeout) as connection:
            connection.sendall(request.encode())
            while b"\n" not in answer and len(answer) < _LONGEST:
                left = until - monotonic()
                if left <= 0:
                    raise TimeoutError
                connection.settimeout(left)
                data = connection.recv(_LONGEST)
                if not data:
                    break
                answer += data
    except OSError as error:
        return _gone(asked, error, timeout)
    status = _status(answer)
    if status is None:
        return f"{asked} was not answered in HTTP: {answer[:80]!r}"
    return "" if status == 200 else f"{asked} answered {_named(status)}"


def _status(answer: bytes) -> int | None:
    version, _, rest = answer.partition(b" ")
    digits = rest[:3]
    return int(digits) if version.startswith(b"HTTP/") and len(digits) == 3 and digits.isdigit() else None


def _named(status: int) -> str:
    try:
        return f"{status} ({http.HTTPStatus(status).phrase})"
    except ValueError:
        return str(status)


def _gone(asked: str, error: OSError, timeout: float) -> str:
    if isinstance(error, TimeoutError):
        return f"{asked} was not answered within {timeout:g} s"
    return f"{asked} failed: {error.strerror or error or type(error).__name__}"
