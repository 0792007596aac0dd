"""Requests that the listener refuses itself, with a status of their own."""

from trivet.core.errors import InvalidArgument


class Refusal(InvalidArgument):
    """A request that HTTP or the limits do not allow. The connection is closed after it."""

    def __init__(self, status: int, message: str, headers: bytes = b"") -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers

    def __reduce__(self) -> tuple[type["Refusal"], tuple[int, str, bytes]]:
        return Refusal, (self.status, str(self), self.headers)


def too_large(limit: int, name: str = "max_body_bytes") -> Refusal:
    """Say that a body is; `name` is the limit's."""
    return Refusal(413, f"the body exceeds {limit} bytes (limits.{name})")
