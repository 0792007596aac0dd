"""Operations: calls that take longer than their answer."""

from dataclasses import asdict
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, delete, or_, select

from trivet.catalog import tables
from trivet.catalog.listing import Field, Listed, under
from trivet.catalog.rows import Rows, name_of
from trivet.core.resources import Failure, Location, Name, Operation, Page, Query

_KIND = "Operation"


class Operations(Rows):
    """The part of a transaction that knows operations."""

    def operation(self, name: Name) -> Operation:
        """Return an operation; raises NotFound."""
        return _operation(self._find(tables.operations, name, _KIND))

    def add_operation(self, one: Operation) -> Operation:
        """Add an operation; raises AlreadyExists."""
        values = {**_values(one), "created": one.created, "updated": one.updated}
        self._add(tables.operations, one.name, _KIND, values)
        return self.operation(one.name)

    def put_operation(self, one: Operation) -> Operation:
        """Replace an operation; return it with its new `updated`. Raises NotFound."""
        stored = self.operation(one.name)
        self._put(tables.operations, one.name, {**_values(one), "updated": self._later(stored.updated)})
        return self.operation(one.name)

    def delete_operation(self, name: Name) -> None:
        """Delete an operation, whether or not it is done; raises NotFound."""
        self._delete(tables.operations, name, _KIND)

    def prune_operations(self, older_than: float, keep: int) -> None:
        """Delete the operations that have been done for so many seconds, and all but the newest done ones."""
        table = tables.operations
        done = table.c.done == 1
        newest = select(table.c.created).where(done).order_by(table.c.created.desc()).offset(keep).limit(1)
        beyond = self._connection.scalars(newest).one_or_none()
        old = table.c.updated < self._now() - timedelta(seconds=older_than)
        if beyond is not None:
            old = or_(old, table.c.created <= beyond)
        self._connection.execute(delete(table).where(done, old))

    def operations(self, parent: Location, query: Query) -> Page[Operation]:
        """List operations, by default the newest first; raises InvalidArgument.

        Filters and orders may speak of id, name, kind, target, done, create_time and update_time.
        """
        table = tables.operations
        fields = under(parent, "operations", table.c.id) | {
            "kind": Field("text", table.c.kind),
            "target": Field("text", table.c.target),
            "done": Field("flag", table.c.done),
            "create_time": Field("time", table.c.created),
            "update_time": Field("time", table.c.updated),
        }
        listed = Listed(f"operations of {parent}", table.c.parent == str(parent), fields)
        rows, token = self._page(table, listed, query)
        return Page([_operation(row) for row in rows], token)

    def unfinished(self, owner: str | None = None) -> list[Operation]:
        """Return the operations that are not done, of this owner if one is given, the oldest first."""
        table = tables.operations
        rows = select(table).where(tables.not_done).order_by(table.c.created, table.c.parent, table.c.id)
        if owner is not None:
            rows = rows.where(table.c.owner == owner)
        return [_operation(row) for row in self._connection.execute(rows)]


def _values(one: Operation) -> dict[str, Any]:
    return {
        "kind": one.kind,
        "target": one.target,
        "api": one.api,
        "request": dict(one.request),
        "owner": one.owner,
        "revision": one.revision,
        "done": int(one.done),
        "response": None if one.response is None else dict(one.response),
        "failure": None if one.failure is None else asdict(one.failure),
    }


def _operation(row: Row[Any]) -> Operation:
    return Operation(
        name=name_of(row.parent, "operations", row.id),
        kind=row.kind,
        target=row.target,
        created=row.created,
        updated=row.updated,
        api=row.api,
        request=row.request,
        owner=row.owner,
        revision=row.revision,
        done=bool(row.done),
        response=row.response,
        failure=None if row.failure is None else Failure(**row.failure),
    )
