"""Parquet files: rows of typed columns, cut at row groups.

A page that cannot be read costs the rows of its row group that come after; they are counted, as all are.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import IO, Any, BinaryIO

import msgspec

from trivet.codecs.arrow_cells import Cells, matrix, texts
from trivet.core.batch import Kind, Shard
from trivet.core.errors import FailedPrecondition, ServingError
from trivet.sources.base import Inputs, Records, Table, Unreadable
from trivet.storage.inputs import Files
from trivet.storage.libraries import need

_BATCH_BYTES, _BATCH_ROWS = 2 << 20, 8192
_MOST_UNREADABLE = 10_000_000
"""Rows that are given up one by one; a damaged file can claim to have any number."""

_DAMAGE = (OSError, ValueError, LookupError, ArithmeticError)
"""What the library raises besides its own errors, where it does not expect a file to be damaged."""

_encode = msgspec.json.Encoder().encode


class ParquetSource:
    """Reads Parquet files; `start` and `stop` of a shard are rows, `details` its row groups."""

    kind: Kind = "rows"

    def plan(self, inputs: Inputs) -> Iterator[Shard]:
        """Cut every file at row groups, joined up to `shard_rows`."""
        index = 0
        files = Files(inputs.buckets, inputs.folders)
        for found in files.find(inputs.uris):
            with opened(files, found.uri, found.version) as file:
                for shard in cut(file, found.uri, inputs.shard_rows, {"version": found.version}):
                    yield replace(shard, index=index)
                    index += 1

    def read(self, shard: Shard, inputs: Inputs) -> Iterator[Records]:
        """Read row group by row group."""
        files, version = Files(inputs.buckets, inputs.folders), shard.details["version"]
        with opened(files, shard.uri, version) as file:
            yield from read_groups(file, shard)
        files.verify(shard.uri, version)


@contextmanager
def opened(files: Files, uri: str, version: str, shown: str = "") -> Iterator[Any]:
    """Open a Parquet file; raises FailedPrecondition, which names `shown`, where it is none."""
    pa, pq = need("pyarrow", "batch"), need("pyarrow.parquet", "batch")
    with files.open(uri, 0, version) as stream:
        try:
            file = pq.ParquetFile(_Watched(stream, shown or uri))
        except (pa.ArrowException, *_DAMAGE) as error:
            raise FailedPrecondition(
                f"{shown or uri}: not a Parquet file, or damaged: {reason(error)}"
            ) from None
        yield file


def cut(file: Any, uri: str, shard_rows: int, details: Mapping[str, Any]) -> Iterator[Shard]:
    """Yield the shards of an open Parquet file; one where it has no rows."""
    names = file.schema_arrow.names
    if wrong := sorted({name or "''" for name in names if not name or names.count(name) > 1}):
        raise FailedPrecondition(
            f"{uri}: columns without a name, or of the same name: {', '.join(wrong)}; expected one for each"
        )
    details = {**details, "header": names}
    metadata = file.metadata
    counts = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    first = start = rows = index = 0
    for group, count in enumerate(counts):
        if rows and rows + count > shard_rows:
            yield _shard(index, uri, first, rows, {**details, "groups": [start, group]})
            first, start, rows, index = first + rows, group, 0, index + 1
        rows += count
    yield _shard(index, uri, first, rows, {**details, "groups": [start, len(counts)]})


def _shard(index: int, uri: str, first: int, rows: int, details: Mapping[str, Any]) -> Shard:
    return Shard(index, uri, first, first + rows, first, rows, details)


def read_groups(file: Any, shard: Shard) -> Iterator[Records]:
    """Read the row groups of a shard from an open Parquet file."""
    begin, end = shard.details["groups"]
    first = shard.first
    for group in range(begin, end):
        count = file.metadata.row_group(group).num_rows
        yield from _read_group(file, group, first, shard.uri)
        first += count


def _read_group(file: Any, group: int, first: int, uri: str) -> Iterator[Records]:
    pa = need("pyarrow", "batch")
    about = file.metadata.row_group(group)
    count, done, why = about.num_rows, 0, ""
    size = min(max(_BATCH_BYTES * count // max(about.total_byte_size, 1), 64), _BATCH_ROWS)
    try:
        for read in file.iter_batches(batch_size=size, row_groups=[group], use_threads=False):
            batch = read.slice(0, count - done)
            if batch.num_rows:
                yield rows_of(batch, first + done)
                done += batch.num_rows
    except ServingError:
        raise
    except (pa.ArrowException, *_DAMAGE) as error:
        why = f": {reason(error)}"
    missing = count - done
    if missing > _MOST_UNREADABLE:
        raise FailedPrecondition(f"{uri}: row group {group} of {count} rows cannot be read{why}")
    for start in range(first + done, first + count, _BATCH_ROWS):
        stop = min(start + _BATCH_ROWS, first + count)
        message = f"row group {group} cannot be read from row {first + done} on{why}"
        yield Records((), [Unreadable(offset, b"", message) for offset in range(start, stop)], stop - start)


def rows_of(batch: Any, first: int) -> Table:
    """Make records of a record batch of Arrow's; rows that are not valid (text that is no UTF-8) are none."""
    pa = need("pyarrow", "batch")
    offsets: Any = range(first, first + batch.num_rows)
    unreadable: list[Unreadable] = []
    size = batch.num_rows
    try:
        batch.validate(full=True)
    except pa.ArrowInvalid:
        good = []
        for index in range(size):
            row = batch.slice(index, 1)
            try:
                # copied, since a slice is checked with the rows around it
                pa.concat_batches([row, row]).validate(full=True)
                good.append(index)
            except pa.ArrowInvalid as error:
                unreadable.append(Unreadable(first + index, _as_it_is(row), reason(error)))
        offsets = [first + index for index in good]
        batch = batch.take(pa.array(good, pa.int64()))
    columns = batch.columns
    names = tuple(batch.schema.names)
    return Table(offsets, unreadable, size, names, Cells(columns, texts), matrix(columns))


def _as_it_is(row: Any) -> bytes:
    """Return a row that is not valid as a JSON object, as far as it goes."""
    cells = []
    for name, column in zip(row.schema.names, row.columns, strict=True):
        try:
            text = texts(column)[0]
        except (UnicodeDecodeError, ValueError):
            try:
                text = _encode(column.cast("binary").to_pylist()[0].decode("utf-8", "backslashreplace"))
            except (ValueError, NotImplementedError, AttributeError):  # it is deeper inside
                text = b"null"
        cells.append(_encode(name) + b":" + text)
    return b"{" + b",".join(cells)[: 64 << 10] + b"}"


def reason(error: BaseException) -> str:
    """Return the first line of what a library says."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]


class _Watched:
    """A file whose own failures are told apart from those of who makes sense of its bytes."""

    def __init__(self, file: BinaryIO | IO[bytes], uri: str) -> None:
        self._file = file
        self._uri = uri

    @property
    def closed(self) -> bool:
        return self._file.closed

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        try:
            return self._file.read(size)
        except ServingError:
            raise
        except Exception as error:
            raise FailedPrecondition(f"{self._uri}: cannot be read: {reason(error)}") from error

    def close(self) -> None:
        """Leave that to who has opened it."""

    def flush(self) -> None:
        """Nothing is written."""


SOURCE = ParquetSource()
