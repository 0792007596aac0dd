"""Every failure a caller can see, named by its canonical code (google.rpc.Code).

Codes are the vocabulary of the domain; HTTP and gRPC statuses are chosen by the protocols. A message
is written for the caller: what happened, to which name, and what to do about it.
"""

from enum import Enum
from typing import ClassVar


class Code(Enum):
    """The canonical codes that Trivet uses, with their numbers in google.rpc.Code."""

    CANCELLED = 1
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14

    @property
    def retriable(self) -> bool:
        """Whether the same request may succeed later without a change."""
        return self in (Code.UNAVAILABLE, Code.RESOURCE_EXHAUSTED, Code.ABORTED)


class ServingError(Exception):
    """The base of all failures that Trivet reports to a caller."""

    code: ClassVar[Code] = Code.INTERNAL


class InvalidArgument(ServingError):
    """The request is wrong, whatever the state of the server."""

    code = Code.INVALID_ARGUMENT


class NotFound(ServingError):
    """There is nothing of that name."""

    code = Code.NOT_FOUND


class AlreadyExists(ServingError):
    """There is something of that name already."""

    code = Code.ALREADY_EXISTS


class PermissionDenied(ServingError):
    """The operator has not allowed this."""

    code = Code.PERMISSION_DENIED


class FailedPrecondition(ServingError):
    """The request is right, but something must be changed here first."""

    code = Code.FAILED_PRECONDITION


class ResourceExhausted(ServingError):
    """A queue or quota is full; `retry_after` seconds is when there should be room again."""

    code = Code.RESOURCE_EXHAUSTED

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message, retry_after)
        self.retry_after = retry_after

    def __str__(self) -> str:
        return str(self.args[0])


class DeadlineExceeded(ServingError):
    """There was no answer in the time that the caller gave."""

    code = Code.DEADLINE_EXCEEDED


class Cancelled(ServingError):
    """The caller has gone away."""

    code = Code.CANCELLED


class Aborted(ServingError):
    """Somebody else changed the same thing first."""

    code = Code.ABORTED


class Unimplemented(ServingError):
    """Trivet cannot do this."""

    code = Code.UNIMPLEMENTED


class Unavailable(ServingError):
    """The server is not ready or is going away; try again."""

    code = Code.UNAVAILABLE


class Internal(ServingError):
    """The model, or Trivet itself, failed."""

    code = Code.INTERNAL


def model_error(error: BaseException) -> ServingError:
    """Return what a caller may know of an exception raised by a model: its type and its message."""
    if isinstance(error, ServingError):
        return error
    return Internal(f"the model failed: {type(error).__name__}: {error}")
