"""Rows of a result: still in DuckDB, or taken out of it because its cursor is wanted for something else."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from warnings import catch_warnings, simplefilter

from trivet.sql.failures import told


class CursorRows:
    """What a cursor has executed, until it executes something else: `settle` is called before that."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor
        self._kept: Any = None

    def settle(self) -> None:
        """Take what is left out of the cursor."""
        if self._cursor is not None:
            with told(), _quiet():
                self._kept = self._cursor.to_arrow_table()
            self._cursor = None

    def fetchmany(self, size: int) -> Sequence[tuple[Any, ...]]:
        """Return the next rows, none at the end."""
        if self._cursor is not None:
            with told():
                rows: list[tuple[Any, ...]] = self._cursor.fetchmany(size)
            return rows
        taken, self._kept = self._kept.slice(0, size), self._kept.slice(size)
        return _tuples(taken)

    def fetchall(self) -> Sequence[tuple[Any, ...]]:
        """Return all rows that are left."""
        if self._cursor is not None:
            with told():
                rows: list[tuple[Any, ...]] = self._cursor.fetchall()
            return rows
        taken, self._kept = self._kept, self._kept.slice(0, 0)
        return _tuples(taken)

    def arrow(self) -> Any:
        """Return all rows that are left."""
        if self._cursor is not None:
            with told(), _quiet():
                return self._cursor.to_arrow_table()
        taken, self._kept = self._kept, self._kept.slice(0, 0)
        return taken

    def reader(self, rows: int) -> Any:
        """Return the rows that are left, to be read in batches."""
        if self._cursor is not None:
            with told(), _quiet():
                return self._cursor.to_arrow_reader(rows)
        return self.arrow().to_reader(rows)


@contextmanager
def _quiet() -> Iterator[None]:
    """Do without DuckDB's warning that rows are copied: they have to be, as the statement has been run."""
    with catch_warnings():
        simplefilter("ignore", UserWarning)
        yield


def _tuples(table: Any) -> list[tuple[Any, ...]]:
    columns = [column.to_pylist() for column in table.columns]
    return list(zip(*columns, strict=True)) if columns else []
