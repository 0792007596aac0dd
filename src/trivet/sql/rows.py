"""Rows of a result: still in DuckDB, or taken out of it because its cursor is wanted for something else."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from warnings import catch_warnings, simplefilter

from trivet.core.errors import InvalidArgument
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
            with told(), held():
                rows: list[tuple[Any, ...]] = self._cursor.fetchmany(size)
            return rows
        taken, self._kept = self._kept.slice(0, size), self._kept.slice(size)
        return _tuples(taken)

    def fetchall(self) -> Sequence[tuple[Any, ...]]:
        """Return all rows that are left."""
        if self._cursor is not None:
            with told(), held():
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


class StreamRows:
    """What a query gives, made as it is taken; what has not been is lost when its cursor runs another."""

    def __init__(self, relation: Any, failing: Callable[[], AbstractContextManager[None]]) -> None:
        self._relation = relation
        self._failing = failing
        self._reader: Any = None
        self._made: Any = None
        self._left: Any = None

    def settle(self) -> None:
        """Give up what is left: the cursor is wanted."""
        if self._made is not None:
            self._made.close()
        self._made = self._relation = None

    def fetchmany(self, size: int) -> Sequence[tuple[Any, ...]]:
        """Return the next rows, none at the end."""
        if self._reader is None:
            self._reader = self.reader(2048)
        rows: list[tuple[Any, ...]] = []
        while len(rows) < size:
            if self._left is None or not self._left.num_rows:
                self._left = next(self._reader, None)
                if self._left is None:
                    break
            wanted = size - len(rows)
            rows += _tuples(self._left.slice(0, wanted))
            self._left = self._left.slice(wanted)
        return rows

    def fetchall(self) -> Sequence[tuple[Any, ...]]:
        """Return all rows that are left."""
        rows: list[tuple[Any, ...]] = []
        while more := self.fetchmany(65_536):
            rows += more
        return rows

    def arrow(self) -> Any:
        """Return all rows."""
        with self._failing():
            return self._relation.to_arrow_table()

    def reader(self, rows: int) -> Any:
        """Return all rows, to be read in batches while they are made."""
        import pyarrow

        with self._failing():
            self._made = self._relation.to_arrow_reader(rows)
        return pyarrow.RecordBatchReader.from_batches(self._made.schema, self._batches())

    def _batches(self) -> Iterator[Any]:
        while self._made is not None:
            with self._failing():
                batch = next(self._made, None)
            if batch is None:
                return
            yield batch


@contextmanager
def _quiet() -> Iterator[None]:
    """Do without DuckDB's warning that rows are copied: they have to be, as the statement has been run."""
    with catch_warnings():
        simplefilter("ignore", UserWarning)
        yield


def values(column: Any) -> list[Any]:
    """Return a column, or the rows of a batch, as Python has them; raises InvalidArgument where it cannot."""
    with held():
        found: list[Any] = column.to_pylist()
    return found


@contextmanager
def held() -> Iterator[None]:
    """Raise InvalidArgument for what Python cannot hold: files may have dates that GoogleSQL has not."""
    try:
        yield
    except (OverflowError, ValueError) as error:
        raise InvalidArgument(
            "a date or a time of the result is out of range, which is 0001-01-01 to 9999-12-31: "
            f"{error}; CAST it AS STRING to see it"
        ) from error


def _tuples(table: Any) -> list[tuple[Any, ...]]:
    columns = [values(column) for column in table.columns]
    return list(zip(*columns, strict=True)) if columns else []
