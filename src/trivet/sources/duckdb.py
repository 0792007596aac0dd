"""Tables of DuckDB files, and whatever SQL makes of them.

A result has no order that it would have again, so it is asked for once, when the job is planned, and kept as
Parquet in the job's scratch folder. From there its shards are read.
"""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

from trivet.core.batch import Kind, Shard
from trivet.core.errors import FailedPrecondition, InvalidArgument, NotFound
from trivet.sources.base import Inputs, Records
from trivet.sources.parquet import cut, opened, read_groups, reason
from trivet.storage import duckdb
from trivet.storage.inputs import Files
from trivet.storage.libraries import need
from trivet.storage.sources import locate
from trivet.storage.targets import target

_SQL = "sql:"
_ROWS = 61_440  # of a row group: thirty of DuckDB's vectors
_TEXT = ("INTERVAL", "BIT", "UNION", "TIME WITH TIME ZONE", "VARIANT", "GEOMETRY")
"""Types that Parquet does not have, or not as anybody would read them."""


class DuckDBSource:
    """Reads `duckdb:FILE#TABLE`, or the result of a query.

    The query is the URI, as `sql:SELECT ...`, which may name any files that it may read, or is the option
    `sql`, and asks the file of the URI. A file with one table needs no name of it.
    """

    kind: Kind = "rows"

    def plan(self, inputs: Inputs) -> Iterator[Shard]:
        """Ask for the rows, keep them, and cut what is kept."""
        index = 0
        for number, uri in enumerate(inputs.uris):
            file = _keep(uri, f"source-{number:05}.parquet", inputs)
            files = Files(inputs.buckets)
            version = files.look(file).version
            with opened(files, file, version, uri) as kept:
                for shard in cut(kept, uri, inputs.shard_rows, {"file": file, "version": version}):
                    yield replace(shard, index=index)
                    index += 1

    def read(self, shard: Shard, inputs: Inputs) -> Iterator[Records]:
        """Read what was kept."""
        files, details = Files(inputs.buckets), shard.details
        with opened(files, details["file"], details["version"], shard.uri) as file:
            yield from read_groups(file, shard)


def _keep(uri: str, name: str, inputs: Inputs) -> str:
    """Write rows to the scratch folder; returns where they are."""
    need("pyarrow", "batch")
    if not inputs.scratch:
        raise FailedPrecondition(f"{uri}: a job that reads it needs a scratch folder")
    folder = target(inputs.scratch, inputs.buckets).at("sources")
    folders = None if inputs.folders is None else [str(Path(one).resolve()) for one in inputs.folders]
    with ExitStack() as stack:
        if uri.startswith(_SQL):
            database, sql = duckdb.MEMORY, uri.removeprefix(_SQL)
        else:
            of = duckdb.place(uri)
            database, sql = stack.enter_context(_local(of.file, inputs)), inputs.options.get("sql", "")
        connection = stack.enter_context(duckdb.connected(database, uri, read_only=True, folders=folders))
        if not uri.startswith(_SQL) and (of.table or not sql):
            if of.table and sql:
                raise InvalidArgument(f"{uri}: names a table, and there is a query; expected one of them")
            sql = f"FROM {_table(connection, uri, of.table)}"
        relation = _relation(connection, uri, sql)
        upload = folder.open(name)
        stack.callback(upload.discard)
        _write(relation, upload.file, uri)
        upload.commit()
    return f"{folder.location.rstrip('/')}/{name}"


@contextmanager
def _local(uri: str, inputs: Inputs) -> Iterator[str]:
    """Give a file's path on this machine, where it is copied if it is elsewhere."""
    files = Files(inputs.buckets, inputs.folders)
    version = files.look(uri).version
    path, _ = locate(uri, inputs.buckets)
    if path is not None:
        yield str(path)
        return
    with TemporaryDirectory(prefix="trivet-duckdb-") as folder:
        copy = Path(folder) / "copy.duckdb"
        with files.open(uri, 0, version) as source, copy.open("wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
        files.verify(uri, version)
        yield str(copy)


def _table(connection: Any, uri: str, wanted: str) -> str:
    """Return a table's name as SQL has it."""
    rows = connection.execute(
        "SELECT table_schema, table_name FROM information_schema.tables "
        "WHERE table_catalog = current_database() ORDER BY ALL"
    ).fetchall()
    if not wanted:
        if len(rows) != 1:
            listed = ", ".join(name for _, name in rows[:20]) or "none"
            raise InvalidArgument(f"{uri}: expected the name of a table, as {uri}#TABLE; there are: {listed}")
        return _quoted(*rows[0])
    for schema, name in rows:
        if wanted.lower() in (name.lower(), f"{schema}.{name}".lower()):
            return _quoted(schema, name)
    listed = ", ".join(name for _, name in rows[:20]) or "none"
    raise NotFound(f"{uri}: there is no such table; there are: {listed}")


def _quoted(*names: str) -> str:
    return ".".join(duckdb.quoted(name) if "." not in name else f'"{name}"' for name in names)


def _relation(connection: Any, uri: str, sql: str) -> Any:
    """Return what SQL selects, in types that Parquet has."""
    library = need("duckdb", "batch")
    with duckdb.failures(uri):
        statements = connection.extract_statements(sql)
        if len(statements) != 1 or statements[0].type != library.StatementType.SELECT:
            raise InvalidArgument(f"{uri}: expected one SELECT")
        relation = connection.sql(statements[0].query)
        if any(str(kind).startswith(_TEXT) for kind in relation.types):
            columns = zip(relation.columns, relation.types, strict=True)
            relation = relation.project(", ".join(_column(name, str(kind)) for name, kind in columns))
        return relation


def _column(name: str, kind: str) -> str:
    quoted = '"' + name.replace('"', '""') + '"'
    return f"CAST({quoted} AS VARCHAR) AS {quoted}" if kind.startswith(_TEXT) else quoted


def _write(relation: Any, file: IO[bytes], uri: str) -> None:
    """Write rows as Parquet, as they come."""
    import pyarrow as pa
    from pyarrow import parquet

    json = [index for index, kind in enumerate(relation.types) if str(kind) == "JSON"]
    reader = getattr(relation, "to_arrow_reader", None) or relation.fetch_arrow_reader
    batches = reader(_ROWS)
    schema = batches.schema
    if json and hasattr(pa, "json_"):  # so that their texts are read as what they are
        for index in json:
            schema = schema.set(index, schema.field(index).with_type(pa.json_(schema.field(index).type)))
    try:
        with parquet.ParquetWriter(file, schema) as writer:
            for batch in batches:
                columns = [
                    pa.ExtensionArray.from_storage(field.type, column)
                    if field.type != column.type
                    else column
                    for field, column in zip(schema, batch.columns, strict=True)
                ]
                writer.write_batch(pa.record_batch(columns, schema=schema))
    except (pa.ArrowException, OSError) as error:  # of the query, too, once it gives rows
        raise FailedPrecondition(f"{uri}: its rows cannot be kept: {reason(error)}") from None


SOURCE = DuckDBSource()
