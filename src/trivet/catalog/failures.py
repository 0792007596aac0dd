"""What a database says went wrong, as one of Trivet's errors."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import exc

from trivet.core.errors import (
    Aborted,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    ResourceExhausted,
    ServingError,
    Unavailable,
)

_ADVICE: tuple[tuple[type[ServingError], str, tuple[str, ...]], ...] = (
    (Aborted, "somebody else changed the same first; try again", ("40001", "40P01")),
    (Unavailable, "others have been writing for too long; try again", ("55P03", "SQLITE_BUSY")),
    (Unavailable, "this took too long between two steps", ("25P03",)),
    (ResourceExhausted, "make room", ("53100", "SQLITE_FULL")),
    (FailedPrecondition, "it is no database", ("SQLITE_NOTADB",)),
    (FailedPrecondition, "give the user that right", ("42501",)),
    (FailedPrecondition, "check the folder and the rights", ("SQLITE_CANTOPEN", "SQLITE_READONLY")),
    (InvalidArgument, "this cannot be kept", ("22001", "22003", "22021", "22P05")),
)


@contextmanager
def told(catalog: str) -> Iterator[None]:
    """Raise a ServingError for what SQLAlchemy raises, saying which catalog it is about."""
    try:
        yield
    except exc.TimeoutError as error:
        raise Unavailable(f"{catalog}: all connections are in use; try again") from error
    except exc.StatementError as error:
        raise _failure(error, catalog) from error


def _failure(error: exc.StatementError, catalog: str) -> ServingError:
    cause = error.orig
    if isinstance(cause, ServingError):  # of a value that cannot be stored
        return cause
    code = _code(cause)
    text = f"{catalog}: {str(cause).strip() or type(cause).__name__}"
    for kind, advice, codes in _ADVICE:
        if code in codes:
            return kind(f"{text}; {advice}")
    if isinstance(error, exc.OperationalError) and not code.startswith("SQLITE"):
        return Unavailable(f"{text}; check that the database is running, and its URL")
    return Internal(text)


def _code(cause: BaseException | None) -> str:
    """Return PostgreSQL's SQLSTATE or SQLite's name of the error, without what that says in detail."""
    state = getattr(cause, "sqlstate", None) or ""
    name = getattr(cause, "sqlite_errorname", None) or ""
    return state or "_".join(name.split("_")[:2])
