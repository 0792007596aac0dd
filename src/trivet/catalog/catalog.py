"""The catalog: a database that is opened, brought to this version's schema, and changed in transactions."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime

from trivet.catalog.transaction import Transaction


class Catalog:
    """All resources, durably. `url` is `sqlite:////abs/path` or `postgresql+psycopg://...`.

    Opening creates the tables or migrates them. It is used from several threads, not across a fork.
    `clock` gives the time of changes in UTC; by default that is the database server's clock, or this machine's for SQLite.

    Raises InvalidArgument for another kind of URL, Unavailable if the database does not answer,
    FailedPrecondition if it was written by a newer Trivet.
    """

    def __init__(self, url: str, clock: Callable[[], datetime] | None = None) -> None:
        raise NotImplementedError

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Return a context to read and write in; one at a time, whichever process asks.

        It commits at exit, so that a crash afterwards loses nothing, and rolls back on an exception.
        Raises Unavailable if others have been writing for too long, or the database is lost.
        """
        raise NotImplementedError

    def reading(self) -> AbstractContextManager[Transaction]:
        """Return a context to read one consistent snapshot in; it neither waits for writers nor stops them."""
        raise NotImplementedError

    def revision(self) -> int:
        """Return the revision of the wishes."""
        raise NotImplementedError

    def close(self) -> None:
        """Close all connections. Transactions must have ended."""
        raise NotImplementedError
