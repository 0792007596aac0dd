"""How the two databases are opened and asked, so that the rest need not know which one it is.

A transaction that writes has the database to itself: SQLite's BEGIN IMMEDIATE, a lock in PostgreSQL. Changes
of a catalog are few and short, so nothing has to be tried again, and nobody finds that another was first.
"""

import json
import re
import sqlite3
import threading
from collections.abc import Mapping
from time import monotonic
from typing import Any

from sqlalchemy import URL, Connection, Engine, PoolProxiedConnection, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from trivet.core.errors import InvalidArgument

_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_BEGIN = "trivet_begin"
_IDLE_MS = 60_000


def check_url(url: str) -> URL:
    """Read the address of a catalog; raises InvalidArgument."""
    expected = "expected sqlite:////absolute/path or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"
    try:
        read = make_url(url)
    except ArgumentError:
        raise InvalidArgument(f"the catalog's URL cannot be read: {expected}") from None
    if read.drivername == "postgresql":
        read = read.set(drivername="postgresql+psycopg")
    on_disk = read.drivername == "sqlite" and read.database not in (None, "", ":memory:")
    if not on_disk and read.drivername != "postgresql+psycopg":
        raise InvalidArgument(f"the catalog's URL {read.render_as_string()}: {expected}")
    return read


def make_engine(url: URL, patience: float) -> Engine:
    """Return the engine of a catalog, which waits so many seconds for others to finish writing."""
    common: Mapping[str, Any] = {
        "hide_parameters": True,  # errors are shown to callers
        "json_serializer": _to_json,
        "pool_size": 8,
        "max_overflow": 56,
        "pool_timeout": patience,
    }
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, connect_args={"timeout": patience}, **common)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    settings = {
        "application_name": "trivet",
        "connect_timeout": str(max(2, round(patience))),
        "options": f"-c lock_timeout={round(patience * 1000)} "
        # A machine that stops in the middle of writing must not stop all others.
        f"-c idle_in_transaction_session_timeout={_IDLE_MS} "
        "-c jit=off "  # it costs more than any query of ours
        f"{url.query.get('options', '')}",
    }
    asked = url.update_query_dict(settings)
    return create_engine(asked, isolation_level="REPEATABLE READ", pool_pre_ping=True, **common)


class Watch:
    """A connection that sees whether others have changed something. May be used by several threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._connection: PoolProxiedConnection | None = None

    def stamp(self) -> int | None:
        """Return a number that is another after each commit of any other; None where there is none."""
        if self._engine.dialect.name != "sqlite":
            return None
        with self._lock:
            if self._connection is None:
                self._connection = self._engine.raw_connection()
            cursor = self._connection.cursor()
            try:
                cursor.execute("PRAGMA data_version")
                (version,) = cursor.fetchone() or (None,)
            finally:
                cursor.close()
            return version

    def close(self) -> None:
        """Give the connection back."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None


def to_write(connection: Connection) -> None:
    """Begin a transaction that has the database to itself."""
    connection.begin()
    if connection.dialect.name == "postgresql":
        # Before the first query, which is what fixes the snapshot.
        connection.exec_driver_sql("LOCK TABLE meta IN EXCLUSIVE MODE")


def to_read(connection: Connection) -> None:
    """Begin a transaction that sees one snapshot, and cannot write."""
    connection.execution_options(**{_BEGIN: "DEFERRED", "postgresql_readonly": True})
    connection.begin()


def to_migrate(connection: Connection) -> None:
    """Begin a transaction that may find no tables yet; see `migrations` for who waits for whom."""
    if connection.dialect.name == "postgresql":
        connection.execution_options(isolation_level="READ COMMITTED")
    connection.begin()


def _begin_sqlite(connection: Connection) -> None:
    mode = connection.get_execution_options().get(_BEGIN, "IMMEDIATE")
    connection.exec_driver_sql(f"PRAGMA query_only = {int(mode == 'DEFERRED')}")
    connection.exec_driver_sql(f"BEGIN {mode}")


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # the driver would begin transactions by itself, and too late
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")  # a commit is on the disk when it returns
    (patience,) = connection.execute("PRAGMA busy_timeout").fetchone()
    until, pause = monotonic() + patience / 1000, threading.Event()
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            # SQLite does not wait when two make the same new file a WAL one.
            if error.sqlite_errorname != "SQLITE_BUSY" or monotonic() > until:
                raise
            pause.wait(0.01)


def _to_json(value: object) -> str:
    """Write JSON that both databases keep; raises InvalidArgument for what they would not."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        text.encode()
    except ValueError as error:
        raise InvalidArgument(f"this cannot be kept as JSON: {error}") from None
    if _NUL.search(text):
        raise InvalidArgument("this cannot be kept as JSON: there is a NUL in a text")
    return text
