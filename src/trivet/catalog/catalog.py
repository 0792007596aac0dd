"""The catalog: a database that is opened, brought to this version's schema, and changed in transactions."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from trivet.catalog import engine
from trivet.catalog.failures import told
from trivet.catalog.migrations import migrate
from trivet.catalog.transaction import Transaction
from trivet.core.errors import Unavailable

_WHAT = "the catalog"  # callers need not know where it is


class Catalog:
    """All resources, durably. `url` is `sqlite:////abs/path` or `postgresql+psycopg://...`.

    Opening creates the tables or migrates them. It is used from several threads, not across a fork.
    `clock` gives the time of changes in UTC: by default the database server's, or this machine's for SQLite.
    `patience` is for how many seconds to wait for others to finish writing.

    Raises InvalidArgument for another kind of URL, Unavailable if the database does not answer,
    FailedPrecondition if it cannot be used or was written by a newer Trivet.
    """

    def __init__(self, url: str, clock: Callable[[], datetime] | None = None, patience: float = 30.0) -> None:
        address = engine.check_url(url)
        self._url = address.render_as_string()  # without the password
        self._clock = clock
        self._patience = patience
        self._writing = threading.Lock()  # threads queue here, rather than each with a connection
        self._engine = engine.make_engine(address, patience)
        self._watch = engine.Watch(self._engine)
        try:
            with told(f"catalog {self._url}"), self._engine.connect() as connection:
                engine.to_migrate(connection)
                migrate(connection)
                connection.commit()
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"<Catalog {self._url}>"

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Give a transaction to read and write in; one at a time, whichever process asks.

        It commits at exit, so that a crash afterwards loses nothing, and rolls back on an exception.
        Raises Unavailable if others have been writing for too long, or the database is lost.
        """
        if not self._writing.acquire(timeout=self._patience):
            raise Unavailable(f"{_WHAT}: others have been writing for too long; try again")
        try:
            with told(_WHAT), self._engine.connect() as connection:
                engine.to_write(connection)
                yield Transaction(connection, self._clock)
                connection.commit()
        finally:
            self._writing.release()

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """Give a transaction that sees one snapshot; it neither waits for writers nor holds them up."""
        with told(_WHAT), self._engine.connect() as connection:
            engine.to_read(connection)
            yield Transaction(connection, self._clock)

    def revision(self) -> int:
        """Return the revision of the wishes."""
        with self.reading() as catalog:
            return catalog.revision()

    def stamp(self) -> int | None:
        """Return what is another number after whatever anybody has changed; it takes microseconds.

        None where only reading tells, as with PostgreSQL.
        """
        with told(_WHAT):
            return self._watch.stamp()

    def close(self) -> None:
        """Close all connections. Transactions must have ended."""
        self._watch.close()
        self._engine.dispose()
