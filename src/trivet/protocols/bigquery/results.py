"""Rows that are read page by page: what a query has given, and what a table holds."""

from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from trivet.core.errors import InvalidArgument, NotFound
from trivet.protocols.bigquery.cells import expect_results, rows_json
from trivet.sql.types import Field

IN_MEMORY = 8 << 20
"""Bytes of rows up to which they are kept in memory; more are in a file."""

PAGE_ROWS = 100_000
PAGE_BYTES = 10 << 20

_GROWS = 2.5
"""How many times longer rows are on the wire than in memory."""


class Rows(Protocol):
    """Rows in an order that stays the same."""

    @property
    def fields(self) -> Sequence[Field]:
        """Their columns."""
        ...

    @property
    def total(self) -> int:
        """How many there are."""
        ...

    def slice(self, start: int, count: int) -> Any:
        """Return some of them as a `pyarrow.Table`."""
        ...


class KeptRows:
    """What a query has given, in memory while that is little, else in a file."""

    def __init__(self, fields: Sequence[Field], file: Path) -> None:
        self.fields = fields
        self.total = 0
        self._file = file
        self._batches: list[Any] = []
        self._starts: list[int] = []
        self._reader: Any = None
        self.size = 0
        """Bytes of all rows."""

    def fill(self, reader: Any) -> None:
        """Take all rows of a `pyarrow.RecordBatchReader`.

        Raises InvalidArgument for what BigQuery's results cannot have, and what the reader raises.
        """
        import pyarrow as pa

        writer = None
        self._schema = reader.schema
        try:
            for batch in reader:
                if not batch.num_rows:
                    continue
                expect_results(batch, self.fields)
                self._starts.append(self.total)
                self.total += batch.num_rows
                self.size += batch.nbytes
                if writer is not None:
                    writer.write_batch(batch)
                    continue
                self._batches.append(batch)
                if self.size > IN_MEMORY:
                    self._file.parent.mkdir(parents=True, exist_ok=True)
                    writer = pa.ipc.new_file(str(self._file), reader.schema)
                    for one in self._batches:
                        writer.write_batch(one)
                    self._batches = []
        finally:
            if writer is not None:
                writer.close()
        if writer is not None:
            self._reader = pa.ipc.open_file(pa.memory_map(str(self._file)))

    def slice(self, start: int, count: int) -> Any:
        """Return some of them."""
        import pyarrow as pa

        found, at = [], max(0, bisect_right(self._starts, start) - 1)
        while count > 0 and at < len(self._starts) and start < self.total:
            batch = self._batches[at] if self._reader is None else self._reader.get_batch(at)
            part = batch.slice(start - self._starts[at], count)
            found.append(part)
            start, count, at = start + part.num_rows, count - part.num_rows, at + 1
        return pa.Table.from_batches(found, self._schema)

    def drop(self) -> None:
        """Forget them."""
        self._batches, self._starts, self._reader, self.total = [], [], None, 0
        self._file.unlink(missing_ok=True)


def page(
    rows: Rows, start: int, most: int | None, *, micros: bool, columns: Sequence[str] = ()
) -> tuple[bytes, int | None]:
    """Return a page of rows as JSON, and where the next one starts, None at the end.

    Only some `columns` are in it, where they are named. Raises InvalidArgument for an unknown one.
    """
    fields = list(rows.fields)
    count = max(0, min(PAGE_ROWS if most is None else most, PAGE_ROWS, rows.total - start))
    table = rows.slice(start, count)
    if columns:
        wanted = {name.partition(".")[0].lower() for name in columns}
        if unknown := sorted(wanted - {field.name.lower() for field in fields}):
            raise InvalidArgument(f"selectedFields: there is no column {unknown[0]!r}")
        kept = [at for at, field in enumerate(fields) if field.name.lower() in wanted]
        fields, table = [fields[at] for at in kept], table.select(kept)
    if (size := table.nbytes * _GROWS) > PAGE_BYTES:
        table = table.slice(0, max(1, int(table.num_rows * PAGE_BYTES / size)))
    end = start + table.num_rows
    return rows_json(table, fields, micros=micros), end if table.num_rows and end < rows.total else None


def read_token(token: str) -> int:
    """Return where the page of a token starts; raises NotFound."""
    if not token.isascii() or not token.isdigit() or len(token) > 18:
        raise NotFound(f"pageToken {token[:40]!r}: expected one that a page before has given")
    return int(token)
