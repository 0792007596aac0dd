"""A table of a DuckDB file, and one of errors where there are some, both made by one transaction.

Parts are Parquet files in the job's scratch folder, until then. The table carries a comment that says which
job made it, so that finishing again does nothing.
"""

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from trivet.core.batch import ShardResult
from trivet.core.errors import AlreadyExists, FailedPrecondition, InvalidArgument
from trivet.sinks.base import Outputs, Writer
from trivet.sinks.files import ERRORS, FileSink, places
from trivet.sinks.parquet import Parquet
from trivet.storage import duckdb
from trivet.storage.libraries import need
from trivet.storage.sources import locate
from trivet.storage.targets import LocalFolder, Target, target

_LONGEST = 256 << 20  # bytes of a line of errors


class DuckDBSink:
    """Writes to `duckdb:FILE#TABLE`; the table is called `predictions` where nothing is said."""

    tabular = True

    def __init__(self) -> None:
        self._files = FileSink(Parquet())

    def check(self, outputs: Outputs) -> None:
        """Refuse a file that is none of DuckDB's, or has such a table."""
        need("duckdb", "batch")
        path, table = _place(outputs)
        self._files.check(_hidden(outputs))
        for name in (table, f"{table}_errors"):
            if path.exists() and _made_by(outputs, path, name) not in (None, _mark(outputs)):
                raise AlreadyExists(f"{outputs.uri}: there is a table {name}; expected the name of a new one")

    def open(self, outputs: Outputs, shard: int) -> Writer:
        """Begin the parts of a shard."""
        return self._files.open(_hidden(outputs), shard)

    def missing(self, outputs: Outputs, results: Sequence[ShardResult]) -> list[int]:
        """Return the shards whose parts are gone, unless they are in the table already."""
        gone = self._files.missing(_hidden(outputs), results)
        return [] if gone and _is_shown(outputs) else gone

    def finish(self, outputs: Outputs, results: Sequence[ShardResult]) -> dict[str, Any]:
        """Make the tables, unless that was done."""
        hidden = _hidden(outputs)
        _, folder = places(hidden)
        path, table = _place(outputs)
        if not _is_shown(outputs):
            self._files.finish(hidden, results)
            with _local(folder) as parts, duckdb.connected(str(path), outputs.uri, read_only=False) as made:
                _make(made, table, parts, outputs)
        self._files.discard(hidden)
        folder.remove()
        return {"gcsOutputDirectory": f"{duckdb.SCHEME}{duckdb.place(outputs.uri).file}#{table}"}

    def discard(self, outputs: Outputs) -> None:
        """Remove the parts."""
        hidden = _hidden(outputs)
        _, folder = places(hidden)
        folder.remove()
        self._files.discard(hidden)


def _place(outputs: Outputs) -> tuple[Path, str]:
    """Return the file and the table; raises InvalidArgument for what is elsewhere, or not allowed."""
    to = duckdb.place(outputs.uri)
    path, _ = locate(to.file, outputs.buckets)
    if path is None:
        raise InvalidArgument(f"{outputs.uri}: expected a file of this machine")
    if path.is_dir():
        raise InvalidArgument(f"{outputs.uri}: {path} is a folder; expected a file")
    parent = to.file.rpartition("/")[0] if "://" in to.file else str(path.absolute().parent)
    target(parent, outputs.buckets, outputs.folders).probe()
    if outputs.folders is not None and path.is_symlink():
        raise InvalidArgument(f"{outputs.uri}: is a link; expected a file")
    return path, to.table or "predictions"


def _hidden(outputs: Outputs) -> Outputs:
    """Return where parts are kept until the end."""
    if not outputs.scratch:
        raise FailedPrecondition(f"{outputs.uri}: a job that writes there needs a scratch folder")
    return replace(outputs, uri=outputs.scratch, name="results", folders=None)


def _mark(outputs: Outputs) -> str:
    identity = "\n".join((outputs.uri, outputs.name, Path(outputs.scratch).name)).encode()
    return f"trivet {outputs.name} {hashlib.sha256(identity).hexdigest()[:24]}"


def _is_shown(outputs: Outputs) -> bool:
    path, table = _place(outputs)
    return path.exists() and _made_by(outputs, path, table) == _mark(outputs)


def _made_by(outputs: Outputs, path: Path, table: str) -> str | None:
    """Return the comment of a table, empty where it has none; None where there is no such table."""
    with duckdb.connected(str(path), outputs.uri, read_only=True) as connection:
        for schema, name, comment in connection.execute(
            "SELECT schema_name, table_name, comment FROM duckdb_tables() UNION ALL "
            "SELECT schema_name, view_name, comment FROM duckdb_views() WHERE NOT internal"
        ).fetchall():
            if table.lower() in (f"{schema}.{name}".lower(), name.lower() if schema == "main" else ""):
                return comment or ""
    return None


@contextmanager
def _local(folder: Target) -> Iterator[Path]:
    """Give the folder's files as files of this machine."""
    if isinstance(folder, LocalFolder):
        yield folder.path
        return
    with TemporaryDirectory(prefix="trivet-duckdb-") as copies, folder.failures():
        for name in folder.sizes():
            with folder.read(name) as source, (Path(copies) / name).open("wb") as file:
                shutil.copyfileobj(source, file, 1 << 20)
        yield Path(copies)


def _make(connection: Any, table: str, parts: Path, outputs: Outputs) -> None:
    results = sorted(str(path) for path in parts.glob("prediction.results-*"))
    tables = {table: f"read_parquet([{', '.join(map(duckdb.text, results))}])"}
    if columns := _error_columns(parts / ERRORS, native=outputs.native):
        tables[f"{table}_errors"] = (
            f"read_json({duckdb.text(str(parts / ERRORS))}, format = 'newline_delimited', "
            f"columns = {{{columns}}}, maximum_object_size = {_LONGEST})"
        )
    connection.execute("BEGIN")
    schema, dot, _ = table.rpartition(".")
    if dot:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {duckdb.quoted(schema)}")
    for name, rows in tables.items():
        connection.execute(f"CREATE TABLE {duckdb.quoted(name)} AS FROM {rows}")
        connection.execute(f"COMMENT ON TABLE {duckdb.quoted(name)} IS {duckdb.text(_mark(outputs))}")
    connection.execute("COMMIT")


def _error_columns(path: Path, *, native: bool) -> str:
    """Return the columns of the table of errors; none where there are no errors."""
    with path.open("rb") as file:
        begins = {line[:5] for line in file}
    columns = {}
    if b'{"ins' in begins:
        columns["instance"] = "JSON"
    if b'{"key' in begins:
        columns["key"] = "JSON"
    if not columns:
        return ""
    columns["error"] = "STRUCT(code INTEGER, message VARCHAR)"
    if native:
        columns |= {"source": "VARCHAR", "offset": "BIGINT"}
    return ", ".join(f"'{name}': '{kind}'" for name, kind in columns.items())


SINK = DuckDBSink()
