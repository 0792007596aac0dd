"""CSV files that are loaded: texts between delimiters, of which the columns' types make values.

https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-csv
"""

import io
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from trivet.core.errors import InvalidArgument
from trivet.sql import json_values
from trivet.sql.loads import ROWS, Batches, Load, Loaded, forgiven, of_rows, opened, plain, take
from trivet.sql.types import Field, Type

if TYPE_CHECKING:
    from trivet.sql.session import Connection


def read(connection: "Connection", asked: Load, fields: Sequence[Field], done: Loaded) -> Batches:
    """Return the columns and rows of CSV files; an empty text that is quoted is no NULL."""
    header: list[str] = []
    sources = opened(connection, asked, done)

    def lists() -> Iterator[tuple[str, list[Any]]]:
        for name, file in sources:
            yield from _csv_rows(name, plain(file), asked, done)

    every = lists()
    names = [one.name for one in fields]
    if not fields:
        first = list(take(every, ROWS))
        header, first = _header(first, asked)
        names = header
        every = chain(first, every)
    elif asked.skip == 0 and asked.detects:
        first = list(take(every, 2))
        every = chain(first[1:] if first and [str(one) for one in first[0][1]] == names else first, every)

    def rows() -> Iterator[tuple[str, Any]]:
        for where, values in every:
            if len(values) > len(names) and not asked.ignore_unknown:
                if not forgiven(asked, done):
                    raise InvalidArgument(
                        f"Error while reading data, error message: {where}: too many values: "
                        f"{len(values)}; expected {len(names)}"
                    )
                continue
            yield where, dict(zip(names, values, strict=False))

    return of_rows(rows(), asked, fields, done, texts=True)


def _csv_rows(name: str, file: BinaryIO, asked: Load, done: Loaded) -> Iterator[tuple[str, list[Any]]]:
    import pyarrow as pa
    from pyarrow import csv

    def odd(row: Any) -> str:
        if not forgiven(asked, done):
            return "error"
        return "skip"

    skipped = asked.skip - 1 if asked.skip and not asked.fields and asked.detects else asked.skip
    options = csv.ReadOptions(autogenerate_column_names=True, encoding=asked.encoding, skip_rows=skipped)
    parsing = csv.ParseOptions(
        delimiter=asked.delimiter,
        quote_char=asked.quote or False,
        newlines_in_values=asked.newlines,
        invalid_row_handler=odd,
    )
    head = file.read(1 << 20)
    if not head.strip():
        return
    whole = io.BufferedReader(cast(Any, _Rest(head, file)))
    width = _width(head, asked, skipped)
    texts = csv.ConvertOptions(
        column_types={f"f{at}": pa.string() for at in range(width)},
        null_values=[asked.null],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        check_utf8=True,
    )
    try:
        number = skipped
        for batch in csv.open_csv(whole, options, parsing, texts):
            columns = [column.to_pylist() for column in batch.columns]
            for values in zip(*columns, strict=True):
                number += 1
                yield f"{name}, row {number}", list(values)
    except pa.ArrowInvalid as error:
        raise InvalidArgument(f"Error while reading data, error message: {name}: {error}") from None


class _Rest(io.RawIOBase):
    """A file of which the beginning was read already."""

    def __init__(self, head: bytes, file: BinaryIO) -> None:
        super().__init__()
        self._head, self._file = head, file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._head[: len(buffer)] or self._file.read(len(buffer))
        self._head = self._head[len(buffer) :]
        buffer[: len(data)] = data
        return len(data)


def _width(head: bytes, asked: Load, skipped: int) -> int:
    """Return how many columns the first row has."""
    import csv

    text = head.decode(asked.encoding, errors="replace")
    lines, delimiter = io.StringIO(text, newline=""), asked.delimiter
    if asked.quote:
        rows = csv.reader(lines, delimiter=delimiter, quotechar=asked.quote)
    else:
        rows = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    try:
        for number, row in enumerate(rows):
            if number >= skipped and row:
                return len(row)
    except csv.Error:
        pass
    return 1


def _header(rows: list[tuple[str, list[Any]]], asked: Load) -> tuple[list[str], list[tuple[str, list[Any]]]]:
    """Return the names of the columns, and the rows below them: by the first row, if that can be a header."""
    if not rows:
        return [], rows
    first = rows[0][1]
    is_names = all(isinstance(one, str) and one.strip() for one in first)
    types, own = _types(rows[1:]), _types(rows[:1])
    if asked.skip or (is_names and set(own) == {Type("STRING")} and (types != own or len(rows) == 1)):
        return [_name(one, at) for at, one in enumerate(first)], rows[1:]
    return [f"{one.kind.lower()}_field_{at}" for at, one in enumerate(_types(rows))], rows


def _types(rows: Sequence[tuple[str, Sequence[Any]]]) -> list[Type]:
    named = [{str(at): value for at, value in enumerate(values)} for _, values in rows]
    return [one.type for one in json_values.detect(named, texts=True)]


def _name(text: Any, at: int) -> str:
    cleaned = "".join(one if one.isalnum() or one == "_" else "_" for one in str(text or "").strip())
    return cleaned or f"field_{at}"
