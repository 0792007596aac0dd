"""The rows of a table, as files: Parquet, JSON by lines and CSV, as BigQuery exports them.

https://cloud.google.com/bigquery/docs/exporting-data
"""

import base64
import csv
import gzip
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from math import isfinite
from typing import TYPE_CHECKING, Any, cast

from trivet.core.errors import InvalidArgument, Unimplemented
from trivet.sql.names import ObjectName
from trivet.sql.quoting import quoted
from trivet.sql.types import Field, Type
from trivet.storage.targets import Target, target

if TYPE_CHECKING:
    from trivet.sql.session import Connection

_ROWS = 50_000
_SHARD_ROWS = 5_000_000
"""Rows of one of several files, which a name with a wildcard asks for."""


@dataclass(frozen=True, slots=True)
class Extract:
    """What goes where: the rows of a table to files, each URI's name with a `*` for a number or without."""

    table: ObjectName
    uris: Sequence[str]
    format: str = "CSV"
    compression: str = "NONE"
    delimiter: str = ","
    header: bool = True


def extract(connection: "Connection", asked: Extract, check: Callable[[], None]) -> list[int]:
    """Write the files; returns how many there are for each URI.

    `check` is called now and then, and may raise. Raises InvalidArgument for a place or a format that is
    not possible, NotFound for a table that is not there, Unimplemented for a format.
    """
    table = connection.store.table(asked.table)
    if table.kind == "VIEW":
        raise InvalidArgument(f"{asked.table} is a view; expected a table to export")
    opens = _FORMATS.get(asked.format)
    if opens is None:
        raise Unimplemented(f"destinationFormat {asked.format}: expected one of {', '.join(_FORMATS)}")
    if asked.format == "CSV":
        for one in table.fields:
            if one.type.kind in ("ARRAY", "STRUCT"):
                raise InvalidArgument(f"Operation cannot be performed on a nested schema. Field: {one.name}")
    if asked.compression not in _COMPRESSIONS[asked.format]:
        known = ", ".join(_COMPRESSIONS[asked.format])
        raise InvalidArgument(f"compression {asked.compression}: expected one of {known} for {asked.format}")
    columns = ", ".join(quoted(one.name) for one in table.fields)
    place, rows = connection.store.place(asked.table), connection.store.rows(asked.table)
    counts = []
    shares = len(asked.uris)
    for at, uri in enumerate(asked.uris):  # several URIs share the rows
        start, end = rows * at // shares, rows * (at + 1) // shares
        folder, name = _target(connection, uri)
        shards = max(1, -(-(end - start) // _SHARD_ROWS)) if "*" in name else 1
        for shard in range(shards):
            first = start + (end - start) * shard // shards
            last = start + (end - start) * (shard + 1) // shards
            part = f"SELECT {columns} FROM {place} LIMIT {last - first} OFFSET {first}"
            reader = connection.cursor.execute(part).to_arrow_reader(_ROWS)
            upload = folder.open(name.replace("*", f"{shard:012d}"))
            try:
                with opens(upload.file, reader.schema, table.fields, asked) as put:
                    for batch in reader:
                        check()
                        put(batch)
                upload.commit()
            finally:
                upload.discard()
        counts.append(shards)
    return counts


def _target(connection: "Connection", uri: str) -> tuple[Target, str]:
    """Return the folder of a URI, and the name of a file in it."""
    folder, slash, name = uri.rpartition("/")
    if not slash or not name or name.count("*") > 1 or "*" in folder:
        raise InvalidArgument(f"{uri}: expected the URI of a file, with at most one * in its name")
    place = connection.database.place
    return target(folder or "/", place.buckets, place.folders), name


Put = Callable[[Any], object]


@contextmanager
def _parquet(file: Any, schema: Any, fields: Sequence[Field], asked: Extract) -> Iterator[Put]:
    import pyarrow.parquet as pq

    with pq.ParquetWriter(file, schema, compression=asked.compression.lower()) as writer:
        yield writer.write_batch


@contextmanager
def _json(file: Any, schema: Any, fields: Sequence[Field], asked: Extract) -> Iterator[Put]:
    import msgspec

    encode = msgspec.json.Encoder().encode_lines

    with _packed(file, asked) as out:

        def put(batch: Any) -> None:
            columns = [_values(column, one) for column, one in zip(batch.columns, fields, strict=True)]
            names = [one.name for one in fields]
            rows = zip(*columns, strict=True)
            out.write(
                encode([{n: v for n, v in zip(names, row, strict=True) if v is not None} for row in rows])
            )

        yield put


@contextmanager
def _csv(file: Any, schema: Any, fields: Sequence[Field], asked: Extract) -> Iterator[Put]:
    with _packed(file, asked) as out:
        text = io.TextIOWrapper(cast(Any, out), encoding="utf-8", newline="", write_through=True)
        writer = csv.writer(text, delimiter=asked.delimiter, lineterminator="\n")
        if asked.header:
            writer.writerow([one.name for one in fields])

        def put(batch: Any) -> None:
            columns = [_values(column, one) for column, one in zip(batch.columns, fields, strict=True)]
            writer.writerows(zip(*([_cell(v) for v in values] for values in columns), strict=True))

        yield put
        text.detach()


@contextmanager
def _packed(file: Any, asked: Extract) -> Iterator[Any]:
    if asked.compression == "GZIP":
        with gzip.GzipFile(fileobj=file, mode="wb", mtime=0) as packed:
            yield packed
    else:
        yield file


def _cell(value: Any) -> Any:
    return ("true" if value else "false") if isinstance(value, bool) else value


def _values(column: Any, field: Field) -> list[Any]:
    """Return the values of a column as JSON files have them: whole numbers and times are texts."""
    return [None if one is None else _written(one, field.type) for one in column.to_pylist()]


def _written(value: Any, type_: Type) -> Any:  # noqa: PLR0911 - one for each type
    if value is None:
        return None
    if type_.item is not None:
        return [_written(one, type_.item) for one in value]
    match type_.kind:
        case "STRUCT":
            parts = {one.name: _written(value[one.name], one.type) for one in type_.fields}
            return {name: one for name, one in parts.items() if one is not None}
        case "BOOL" | "STRING":
            return value
        case "FLOAT64":
            return value if isfinite(value) else _odd(value)
        case "BYTES":
            return base64.b64encode(value).decode()
        case "TIMESTAMP":
            return f"{_clock(value.astimezone(UTC).replace(tzinfo=None), ' ')} UTC"
        case "DATETIME":
            return _clock(value, "T")
        case "NUMERIC" | "BIGNUMERIC":
            return f"{Decimal(value):f}".rstrip("0").rstrip(".") if value else "0"
    return str(value)


def _odd(value: float) -> str:
    return {float("inf"): "Infinity", float("-inf"): "-Infinity"}.get(value, "NaN")


def _clock(moment: datetime, between: str) -> str:
    return moment.isoformat(sep=between).removesuffix(".000000")


_FORMATS: dict[str, Any] = {"CSV": _csv, "NEWLINE_DELIMITED_JSON": _json, "PARQUET": _parquet}
_COMPRESSIONS = {
    "CSV": ("NONE", "GZIP"),
    "NEWLINE_DELIMITED_JSON": ("NONE", "GZIP"),
    "PARQUET": ("NONE", "GZIP", "SNAPPY", "ZSTD"),
}
