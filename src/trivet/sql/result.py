"""What a statement has given: rows, or what it has done."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from trivet.sql.names import DatasetName, ObjectName
from trivet.sql.types import Field


@dataclass(frozen=True, slots=True)
class Planned:
    """What a statement would do, without having done it.

    `kind` is BigQuery's `statementType`; `fields` are the columns of what it gives, `tables` what it reads.
    `target` is what it changes, and `operation` how: CREATE, REPLACE, SKIP, DROP or ALTER, of DDL alone.
    """

    kind: str
    fields: tuple[Field, ...] = ()
    tables: tuple[ObjectName, ...] = ()
    target: ObjectName | DatasetName | None = None
    operation: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """What a statement has done besides giving rows; `rows` is how many it has changed, None for DDL."""

    planned: Planned
    rows: int | None = None
    message: str = ""
    changes: Mapping[str, int] = field(default_factory=dict)
    """How many rows were `inserted`, `updated` and `deleted`, where that is known."""


class Rows(Protocol):
    """Rows that are still where they were made."""

    def fetchmany(self, size: int) -> Sequence[tuple[Any, ...]]:
        """Return the next rows, none at the end."""
        ...

    def fetchall(self) -> Sequence[tuple[Any, ...]]:
        """Return all rows that are left."""
        ...

    def arrow(self) -> Any:
        """Return all rows that are left as a `pyarrow.Table`."""
        ...

    def reader(self, rows: int) -> Any:
        """Return the rows that are left as a `pyarrow.RecordBatchReader`."""
        ...


class Result:
    """What the last statement of a text has given. Rows can be taken once, in one of these ways.

    Rows that have not been taken when the connection runs its next statement are kept in memory.
    """

    def __init__(self, done: Done, rows: Rows | None = None) -> None:
        self.done = done
        self._rows = rows

    def __repr__(self) -> str:
        return f"<Result {self.kind}{f' {self.message}' if self.message else ''}>"

    @property
    def planned(self) -> Planned:
        """What the statement was."""
        return self.done.planned

    @property
    def kind(self) -> str:
        """What BigQuery calls `statementType`: SELECT, INSERT, CREATE_TABLE_AS_SELECT, CREATE_MODEL, ..."""
        return self.planned.kind

    @property
    def fields(self) -> tuple[Field, ...]:
        """The columns, with the types of GoogleSQL; none where the statement gives no rows."""
        return self.planned.fields if self._rows is not None else ()

    @property
    def rows_affected(self) -> int | None:
        """How many rows were inserted, updated or deleted; None where the statement changes none."""
        return self.done.rows

    @property
    def message(self) -> str:
        """What was done, for people, as BigQuery says it; empty where the statement gives rows."""
        return self.done.message

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        while rows := self.fetchmany(2048):
            yield from rows

    def fetchone(self) -> tuple[Any, ...] | None:
        """Return the next row, None at the end."""
        rows = self.fetchmany(1)
        return rows[0] if rows else None

    def fetchmany(self, size: int) -> list[tuple[Any, ...]]:
        """Return the next rows as tuples of Python values, none at the end."""
        return [] if self._rows is None else list(self._rows.fetchmany(size))

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return all rows that are left as tuples of Python values."""
        return [] if self._rows is None else list(self._rows.fetchall())

    def arrow(self) -> Any:
        """Return all rows that are left as a `pyarrow.Table`."""
        if self._rows is None:
            import pyarrow

            return pyarrow.table({})
        return self._rows.arrow()

    def reader(self, rows: int = 65_536) -> Any:
        """Return the rows that are left as a `pyarrow.RecordBatchReader` of batches of about so many."""
        return self.arrow().to_reader(rows) if self._rows is None else self._rows.reader(rows)

    def df(self) -> Any:
        """Return all rows that are left as a `pandas.DataFrame`."""
        from trivet.sql.rows import held

        with held():
            return self.arrow().to_pandas()

    def show(self, rows: int = 40) -> None:
        """Print the next rows as a table, or what was done."""
        import sys

        sys.stdout.write(self.text(rows) + "\n")

    def text(self, rows: int = 40) -> str:
        """Return the next rows drawn as a table, or what was done."""
        from trivet.sql.shown import table

        return table(self, rows) if self._rows is not None else self.message
