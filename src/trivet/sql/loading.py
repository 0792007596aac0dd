"""Files whose rows go into a table: Parquet, JSON by lines and CSV, plain or compressed by gzip.

https://cloud.google.com/bigquery/docs/reference/rest/v2/Job#JobConfigurationLoad
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from trivet.core.errors import InvalidArgument, ServingError, Unimplemented
from trivet.sql import csv_files, json_values
from trivet.sql.arrow_types import of_arrow
from trivet.sql.loads import ROWS, Batches, Load, Loaded, forgiven, of_rows, opened, plain
from trivet.sql.tables import fits, write
from trivet.sql.types import Field

if TYPE_CHECKING:
    from trivet.sql.session import Connection

_LONGEST_LINE = 100 << 20


def load(connection: "Connection", asked: Load, check: Callable[[], None]) -> Loaded:
    """Put the rows of files into a table; all or nothing.

    `check` is called now and then, and may raise. Raises InvalidArgument for what is wrong in a file, with
    the row, NotFound for a file or dataset that is not there, Unimplemented for a format.
    """
    done = Loaded()
    with done.closing:
        _load(connection, asked, check, done)
    return done


def _load(connection: "Connection", asked: Load, check: Callable[[], None], done: Loaded) -> None:
    import pyarrow as pa

    batches_of = _FORMATS.get(asked.format)
    if batches_of is None:
        known = ", ".join(_FORMATS)
        raise Unimplemented(f"sourceFormat {asked.format}: is not supported; expected one of {known}")
    fields = _expected(connection, asked)
    found, batches = batches_of(connection, asked, fields, done)

    raised: list[ServingError] = []

    def checked() -> Iterator[Any]:
        try:
            for batch in batches:
                check()
                yield batch
        except ServingError as error:  # DuckDB would keep its text alone
            raised.append(error)
            raise

    if not found:
        raise InvalidArgument(
            f"{asked.table}: no columns are given, and the files have no rows to find them from"
        )
    schema, rest = _peeked(checked(), found)
    reader = pa.RecordBatchReader.from_batches(schema, rest)
    try:
        done.rows = write(
            connection, asked.table, found, reader, asked.how, creates=asked.creates, adds=asked.adds
        )
    except ServingError:
        if raised:
            raise raised[0] from None
        raise


def _peeked(batches: Iterator[Any], fields: Sequence[Field]) -> tuple[Any, Iterator[Any]]:
    """Read the first rows, so that what is wrong with them is raised here and not within DuckDB."""
    first = next(batches, None)
    if first is None:
        return json_values.schema_of(fields), iter(())
    return first.schema, chain([first], batches)


def _expected(connection: "Connection", asked: Load) -> tuple[Field, ...]:
    """Return the columns that are known before a file is read: those given, or those of the table."""
    if asked.fields or asked.detects:
        return asked.fields
    if connection.store.kind(asked.table) == "TABLE" and asked.format != "PARQUET":
        return connection.store.table(asked.table).fields
    return ()


def _parquet(connection: "Connection", asked: Load, fields: Sequence[Field], done: Loaded) -> Batches:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sources = opened(connection, asked, done)

    def parts() -> Iterator[tuple[str, Any]]:
        for name, file in sources:
            try:
                yield name, pq.ParquetFile(file)
            except pa.ArrowInvalid as error:
                raise InvalidArgument(f"{name}: {error}") from None

    files = parts()
    first = next(files)
    schema = first[1].schema_arrow
    there = [Field(one.name, of_arrow(one.type, one.name)) for one in schema]
    wanted = {one.name.lower(): one for one in fields}
    unknown = [one.name for one in there if fields and one.name.lower() not in wanted]
    if unknown and not asked.ignore_unknown:
        raise InvalidArgument(f"no such field: {unknown[0]}; the schema has {', '.join(wanted)}")
    kept = [one for one in there if not fields or one.name.lower() in wanted]

    def batches() -> Iterator[Any]:
        for name, file in chain([first], files):
            if file.schema_arrow.names != schema.names:
                raise InvalidArgument(f"{name}: has other columns than {first[0]}")
            for batch in file.iter_batches(ROWS, columns=[one.name for one in kept]):
                yield batch.cast(pa.schema([schema.field(one.name) for one in kept]))

    return [_typed(one, wanted.get(one.name.lower())) for one in kept], batches()


def _typed(there: Field, wanted: Field | None) -> Field:
    """Return a column of a file as it is to be in the table; raises InvalidArgument."""
    if wanted is None:
        return there
    if not fits(there.type, wanted.type):
        raise InvalidArgument(f"field {wanted.name}: expected type {wanted.type}; the file has {there.type}")
    return wanted


def _json(connection: "Connection", asked: Load, fields: Sequence[Field], done: Loaded) -> Batches:
    def rows() -> Iterator[tuple[str, Any]]:
        import msgspec

        decode = msgspec.json.Decoder().decode
        for name, file in opened(connection, asked, done):
            lines = plain(file)
            number = 0
            while line := lines.readline(_LONGEST_LINE):
                number += 1
                if not line.strip():
                    continue
                where = f"{name}, line {number}"
                try:
                    yield where, decode(line)
                except msgspec.DecodeError as error:
                    if not forgiven(asked, done):
                        raise InvalidArgument(
                            f"Error while reading data, error message: {where}: JSON parsing error: {error}"
                        ) from None

    return of_rows(rows(), asked, fields, done, texts=False)


_FORMATS: dict[str, Callable[["Connection", Load, Sequence[Field], Loaded], Batches]] = {
    "PARQUET": _parquet,
    "NEWLINE_DELIMITED_JSON": _json,
    "CSV": csv_files.read,
}
