"""Rows that BigQuery gives, fetched page by page as they are taken."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any


class ClientRows:
    """What a job of BigQuery's client has given; `failing` tells what fails while they are."""

    def __init__(self, rows: Any, failing: Callable[[], AbstractContextManager[None]]) -> None:
        self._rows = rows
        self._failing = failing
        self._iterator: Iterator[Any] | None = None

    def fetchmany(self, size: int) -> Sequence[tuple[Any, ...]]:
        """Return the next rows, none at the end."""
        if self._iterator is None:
            self._iterator = iter(self._rows)
        with self._failing():
            return [tuple(row.values()) for row in islice(self._iterator, size)]

    def fetchall(self) -> Sequence[tuple[Any, ...]]:
        """Return all rows that are left."""
        rows: list[tuple[Any, ...]] = []
        while more := self.fetchmany(10_000):
            rows += more
        return rows

    def arrow(self) -> Any:
        """Return all rows."""
        with self._failing():
            return self._rows.to_arrow(create_bqstorage_client=False)

    def reader(self, rows: int) -> Any:
        """Return all rows, to be read in batches."""
        return self.arrow().to_reader(rows)
