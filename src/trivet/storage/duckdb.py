"""DuckDB files: what a URI names, connections to them, and what DuckDB says."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any

from trivet.core.errors import FailedPrecondition, InvalidArgument
from trivet.storage.libraries import need

SCHEME = "duckdb:"
MEMORY = ":memory:"
_MEMORY_LIMIT = "1GB"


@dataclass(frozen=True, slots=True)
class Place:
    """A table of a DuckDB file; any where `table` is empty."""

    file: str
    table: str = ""


def place(uri: str) -> Place:
    """Return what `duckdb:FILE#TABLE` names, both without the scheme, too; raises InvalidArgument."""
    file, _, table = uri.removeprefix(SCHEME).partition("#")
    if not file:
        raise InvalidArgument(f"{uri}: expected duckdb:FILE#TABLE")
    return Place(file, table)


def quoted(table: str) -> str:
    """Return the name of a table, or SCHEMA.TABLE, as SQL has it."""
    return ".".join(f'"{part.replace(chr(34), chr(34) * 2)}"' for part in table.split("."))


def text(value: str) -> str:
    """Return a string as SQL has it."""
    return "'" + value.replace("'", "''") + "'"


@contextmanager
def connected(file: str, uri: str, *, read_only: bool, folders: Sequence[str] | None = None) -> Iterator[Any]:
    """Connect to a file, or to nothing at `:memory:`.

    Unless `folders` is None, SQL can read files in these only, and can do nothing else outside the database.
    """
    duckdb = need("duckdb", "batch")
    with TemporaryDirectory(prefix="trivet-duckdb-") as spill, failures(uri):
        connection = duckdb.connect(file, read_only=read_only and file != MEMORY)
        try:
            connection.execute(f"SET memory_limit = '{_MEMORY_LIMIT}'")
            connection.execute(f"SET temp_directory = {text(spill)}")
            connection.execute("SET autoinstall_known_extensions = false")
            if folders is not None:
                allowed = ", ".join(text(f"{folder.rstrip('/')}/") for folder in folders)
                connection.execute(f"SET allowed_directories = [{allowed}]")
                connection.execute("SET enable_external_access = false")
                connection.execute("SET lock_configuration = true")
            yield connection
        finally:
            connection.close()


@contextmanager
def failures(uri: str) -> Iterator[None]:
    """Say what DuckDB refuses."""
    duckdb = need("duckdb", "batch")
    try:
        yield
    except duckdb.Error as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise FailedPrecondition(f"{uri}: DuckDB says: {lines[0][:400]}") from None
