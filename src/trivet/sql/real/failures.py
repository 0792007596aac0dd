"""What BigQuery's client raises, as our errors, with what the service says."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from trivet.core.errors import (
    Aborted,
    AlreadyExists,
    Cancelled,
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

_REASONS: Mapping[str, type[ServingError]] = {
    "stopped": Cancelled,
    "timeout": DeadlineExceeded,
    "notFound": NotFound,
    "duplicate": AlreadyExists,
    "invalidQuery": InvalidArgument,
    "invalid": InvalidArgument,
    "accessDenied": PermissionDenied,
    "quotaExceeded": ResourceExhausted,
    "rateLimitExceeded": ResourceExhausted,
    "resourcesExceeded": ResourceExhausted,
    "notImplemented": Unimplemented,
}
_STATUSES: Mapping[int, type[ServingError]] = {
    400: InvalidArgument,
    401: PermissionDenied,
    403: PermissionDenied,
    404: NotFound,
    409: AlreadyExists,
    412: Aborted,
    429: ResourceExhausted,
    499: Cancelled,
    500: Internal,
    501: Unimplemented,
    502: Unavailable,
    503: Unavailable,
    504: DeadlineExceeded,
}


@contextmanager
def told(project: str) -> Iterator[None]:
    """Raise what the client raises as one of our errors."""
    try:
        yield
    except ServingError:
        raise
    except Exception as error:  # the client raises errors of many libraries
        raise error_of(error, project) from error


def error_of(error: Exception, project: str) -> ServingError:
    """Return our error for one of the client's."""
    status: Any = getattr(error, "code", None)
    reasons = [one.get("reason", "") for one in getattr(error, "errors", None) or () if isinstance(one, dict)]
    text = _message(error)
    for reason in reasons:
        if reason in _REASONS:
            return _REASONS[reason](text)
    if isinstance(status, int):
        return _STATUSES.get(status, Internal)(text)
    kind = type(error)
    return FailedPrecondition(f"BigQuery cannot be asked about project {project}: {kind.__name__}: {text}")


def _message(error: Exception) -> str:
    """Return what is said, without the request that it was the answer to."""
    text = str(getattr(error, "message", "") or error).strip()
    _, separator, said = text.partition("prettyPrint=false: ")
    said = said if separator else text
    lines = said.split("\n\nLocation: ")[0].split("; reason: ")[0].strip()
    return lines[:2000] or type(error).__name__
