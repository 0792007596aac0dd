"""What the parts of a transaction share: the connection, the clock, and resources found by their names."""

import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Table, and_, delete, func, insert, select, update

from trivet.catalog import tables
from trivet.catalog.listing import Listed, page
from trivet.core.errors import Aborted, AlreadyExists, NotFound
from trivet.core.resources import Location, Name, Query

SQL = "sql"
"""The number of the changes after which a name in a statement may mean another model."""


class Rows:
    """A connection in a transaction, and what is asked of tables that are keyed by parent and id."""

    def __init__(self, connection: Connection, clock: Callable[[], datetime] | None) -> None:
        self._connection = connection
        self._clock = clock

    def _now(self) -> datetime:
        """Return the time, by one clock for all who use this database."""
        if self._clock is not None:
            return self._clock()
        if self._connection.dialect.name == "postgresql":
            now: datetime = self._connection.scalars(select(func.clock_timestamp())).one()
            return now
        return datetime.now(UTC)

    def _later(self, than: datetime) -> datetime:
        """Return the time, but one that is later than this, whatever the clock says."""
        return max(self._now(), than + timedelta(microseconds=1))

    def _count(self, key: str) -> int:
        """Return one of the numbers that count changes."""
        meta = tables.meta
        return int(self._connection.scalars(select(meta.c.value).where(meta.c.key == key)).one())

    def _bump(self, key: str) -> None:
        meta = tables.meta
        self._connection.execute(update(meta).where(meta.c.key == key).values(value=meta.c.value + 1))

    def _find(self, table: Table, name: Name, kind: str) -> Row[Any]:
        row = self._connection.execute(select(table).where(named(table, name))).one_or_none()
        if row is None:
            raise missing(kind, name)
        return row

    def _add(self, table: Table, name: Name, kind: str, values: Mapping[str, Any]) -> None:
        # Nobody else writes in the meantime, so looking first is enough.
        if self._connection.execute(select(table.c.id).where(named(table, name))).first() is not None:
            raise AlreadyExists(f"{kind} {name.at('')} already exists.")
        key = {"parent": str(name.parent), "id": name.id}
        self._connection.execute(insert(table).values(**key, **values))

    def _put(self, table: Table, name: Name, values: Mapping[str, Any]) -> None:
        self._connection.execute(update(table).where(named(table, name)).values(**values))

    def _delete(self, table: Table, name: Name, kind: str) -> None:
        if self._connection.execute(delete(table).where(named(table, name))).rowcount == 0:
            raise missing(kind, name)

    def _page(self, table: Table, listed: Listed, query: Query) -> tuple[list[Row[Any]], str]:
        return page(self._connection, select(table), listed, query)


def named(table: Table, name: Name) -> ColumnElement[bool]:
    """Return what is true of the row of this name."""
    return and_(table.c.parent == str(name.parent), table.c.id == name.id)


def name_of(parent: str, collection: str, id_: str) -> Name:
    """Return the name of a row."""
    return Location.parse(parent).child(collection, id_)


def missing(kind: str, name: Name) -> NotFound:
    """Return the error that there is no such thing."""
    return NotFound(f"{kind} {name} is not found.")


def new_etag() -> str:
    """Return an etag that nothing has had."""
    return secrets.token_hex(8)


def check_etag(kind: str, name: Name, given: str, stored: str) -> None:
    """Raise Aborted unless the caller has seen what is stored."""
    if given != stored:
        raise Aborted(
            f"{kind} {name} has been changed by somebody else: its etag is {stored!r}, not {given!r}; "
            "get it again and repeat the change"
        )
