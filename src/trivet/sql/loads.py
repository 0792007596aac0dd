"""What is loaded, and what is the same for every kind of file that is."""

import gzip
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from trivet.core.errors import InvalidArgument
from trivet.sql import json_values
from trivet.sql.json_values import Misfit
from trivet.sql.names import ObjectName
from trivet.sql.tables import Write
from trivet.sql.types import Field
from trivet.storage.inputs import Files

if TYPE_CHECKING:
    from trivet.sql.session import Connection

ROWS = 10_000
"""Rows that are read at once, and from which columns are found."""

Batches = tuple[Sequence[Field], Iterator[Any]]
"""Columns, and `pyarrow.RecordBatch`es of them."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is loaded, from where and how: files at `uris`, or one local `file`.

    `fields` are the columns where they are given. `detects` says that they are found from the rows
    otherwise, `adds` that the table may get new ones, `bad` how many rows may be left out.
    """

    table: ObjectName
    format: str
    uris: Sequence[str] = ()
    file: Path | None = None
    fields: tuple[Field, ...] = ()
    detects: bool = False
    how: Write = "WRITE_APPEND"
    creates: bool = True
    adds: bool = False
    bad: int = 0
    ignore_unknown: bool = False
    skip: int = 0
    delimiter: str = ","
    quote: str = '"'
    newlines: bool = False
    null: str = ""
    encoding: str = "utf-8"


@dataclass(slots=True)
class Loaded:
    """How much was loaded."""

    files: int = 0
    size: int = 0
    rows: int = 0
    bad: int = 0
    closing: ExitStack = field(default_factory=ExitStack, repr=False)
    """Closes the files in the end: after an error, who reads them has not come to that."""


def opened(connection: "Connection", asked: Load, done: Loaded) -> Iterator[tuple[str, BinaryIO]]:
    """Yield every file with the name that messages call it by."""
    if asked.file is not None:
        done.files, done.size = 1, asked.file.stat().st_size
        with asked.file.open("rb") as file:
            done.closing.callback(file.close)
            yield "the data", file
        return
    place = connection.database.place
    files = Files(place.buckets, place.folders)
    for found in files.find(asked.uris):
        done.files += 1
        done.size += found.size
        with files.open(found.uri, version=found.version) as file:
            done.closing.callback(file.close)
            yield found.uri, file


def plain(file: BinaryIO) -> BinaryIO:
    """Return the content of a file, decompressed."""
    packed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    return cast(BinaryIO, gzip.open(file) if packed else file)


def take(rows: Iterator[Any], most: int) -> Iterator[Any]:
    """Yield so many, and leave the rest."""
    for _, one in zip(range(most), rows, strict=False):
        yield one


def of_rows(
    rows: Iterator[tuple[str, Any]], asked: Load, fields: Sequence[Field], done: Loaded, *, texts: bool
) -> Batches:
    """Return batches of rows, whose columns are found from the first of them where they are not given."""
    if not fields:
        first = list(take(rows, ROWS))
        fields = json_values.detect([one for _, one in first if isinstance(one, dict)], texts=texts)
        rows = chain(first, rows)
    columns = tuple(fields)

    def batches() -> Iterator[Any]:
        kept: list[dict[str, Any]] = []
        for where, one in rows:
            try:
                kept.append(json_values.row(one, columns, ignore_unknown=asked.ignore_unknown))
            except Misfit as error:
                if not forgiven(asked, done):
                    raise InvalidArgument(
                        f"Error while reading data, error message: {where}: {error}"
                    ) from None
            if len(kept) >= ROWS:
                yield json_values.batch(kept, columns)
                kept = []
        if kept:
            yield json_values.batch(kept, columns)

    return columns, batches()


def forgiven(asked: Load, done: Loaded) -> bool:
    """Count a row that is wrong; says whether it may be left out."""
    done.bad += 1
    return done.bad <= asked.bad
