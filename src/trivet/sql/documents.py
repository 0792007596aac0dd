"""What is kept of datasets, tables and views besides what DuckDB keeps, in a schema of each file."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

from trivet.core.errors import FailedPrecondition
from trivet.sql.failures import told
from trivet.sql.quoting import quoted
from trivet.sql.types import Field, Type

HIDDEN = "__trivet"
"""The name of that schema."""

_STEPS = (
    "CREATE TABLE {objects} (dataset VARCHAR, name VARCHAR, kind VARCHAR, document VARCHAR, "
    "created TIMESTAMPTZ, modified TIMESTAMPTZ)",
    "ALTER TABLE {objects} ADD COLUMN IF NOT EXISTS expires TIMESTAMPTZ",
)
"""What makes each version of it from the one before."""


@dataclass(frozen=True, slots=True)
class Row:
    """What is kept of one: of a dataset (`name` is empty), a table or a view."""

    dataset: str
    name: str
    kind: str
    document: dict[str, Any]
    created: datetime | None
    modified: datetime | None


class Cursor:
    """A cursor of DuckDB that raises our own errors."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def execute(self, text: str, values: list[Any] | None = None) -> Any:
        """Run a statement; what it returns has its rows."""
        with told():
            return self._cursor.execute(text, values)

    def rows(self, text: str, values: list[Any] | None = None) -> list[tuple[Any, ...]]:
        """Return all rows of a query."""
        with told():
            found: list[tuple[Any, ...]] = self._cursor.execute(text, values).fetchall()
            return found

    def sql(self, text: str) -> Any:
        """Return a query, bound."""
        with told():
            return self._cursor.sql(text)


class Documents:
    """The rows of all projects, as one cursor sees them."""

    def __init__(self, cursor: Cursor, attach: Callable[[str], str], *, read_only: bool) -> None:
        self._cursor = cursor
        self._attach = attach
        self._read_only = read_only

    def find(self, project: str, where: str, *values: str) -> list[Row]:
        """Return the rows for which a condition of SQL holds."""
        database = self._attach(project)
        if self._read_only and not self._cursor.rows(
            "SELECT 1 FROM duckdb_schemas() WHERE database_name = ? AND schema_name = ?", [database, HIDDEN]
        ):
            return []
        found = self._cursor.rows(
            "SELECT dataset, name, kind, document, created, modified "
            f"FROM {quoted(database, HIDDEN, 'objects')} WHERE {where}",
            list(values),
        )
        return [Row(one[0], one[1], one[2], json.loads(one[3]), *one[4:]) for one in found]

    def put(self, project: str, kind: str, dataset: str, name: str, document: Mapping[str, Any]) -> None:
        """Keep a document, instead of the one that there is."""
        place, now = self._place(project), datetime.now(UTC)
        text = json.dumps(document, default=str)
        due = document.get("expirationTime")  # milliseconds
        expires = datetime.fromtimestamp(int(due) / 1000, UTC) if due else None
        ((changed,),) = self._cursor.rows(
            f"UPDATE {place} SET document = ?, modified = ?, kind = ?, expires = ? "
            "WHERE dataset = ? AND name = ?",
            [text, now, kind, expires, dataset, name],
        )
        if not changed:
            values = [dataset, name, kind, text, now, now, expires]
            self._cursor.execute(f"INSERT INTO {place} VALUES (?, ?, ?, ?, ?, ?, ?)", values)

    def forget(self, project: str, dataset: str, name: str | None = None) -> None:
        """Forget what is kept of one, or of a dataset and all in it."""
        which, values = ("", [dataset]) if name is None else (" AND name = ?", [dataset, name])
        self._cursor.execute(f"DELETE FROM {self._place(project)} WHERE dataset = ?{which}", values)

    def move(self, project: str, dataset: str, name: str, to: str) -> None:
        """Have what is kept be that of another name."""
        self._cursor.execute(
            f"UPDATE {self._place(project)} SET name = ? WHERE dataset = ? AND name = ?", [to, dataset, name]
        )

    def _place(self, project: str) -> str:
        return quoted(self._attach(project), HIDDEN, "objects")


def prepare(cursor: Any, database: str, *, read_only: bool) -> None:
    """Make the place for what DuckDB does not keep, or bring it up to date.

    Raises FailedPrecondition where a newer Trivet has made it, or it may not be written.
    """
    about, objects = quoted(database, HIDDEN, "about"), quoted(database, HIDDEN, "objects")
    tables = "SELECT table_name FROM duckdb_tables() WHERE database_name = ? AND schema_name = ?"
    there = {one for (one,) in cursor.execute(tables, [database, HIDDEN]).fetchall()}
    version = 1 if "objects" in there else 0  # the first ones did not say
    if "about" in there:
        ((version,),) = cursor.execute(f"SELECT version FROM {about}").fetchall()
    if version > len(_STEPS):
        raise FailedPrecondition(
            f"project {database}: a newer Trivet has made it (version {version} of what is kept; known here: "
            f"{len(_STEPS)})"
        )
    if version == len(_STEPS) or (read_only and not there):
        return
    if read_only:
        raise FailedPrecondition(f"project {database}: was made by an older Trivet; open it once for writing")
    cursor.begin()
    cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(database, HIDDEN)}")
    for step in _STEPS[version:]:
        cursor.execute(step.format(objects=objects))
    cursor.execute(f"CREATE OR REPLACE TABLE {about} AS SELECT {len(_STEPS)} AS version")
    cursor.commit()


def etag(*parts: object) -> str:
    """Return a text that is another where anything is."""
    return blake2b(repr(parts).encode(), digest_size=12).hexdigest()


def type_json(type_: Type) -> Any:
    """Return a type as JSON."""
    if type_.item is not None:
        return ["ARRAY", type_json(type_.item)]
    if type_.kind == "STRUCT":
        return ["STRUCT", [[one.name, type_json(one.type)] for one in type_.fields]]
    return type_.kind


def type_of(said: Any) -> Type:
    """Return the type that JSON says."""
    if isinstance(said, str):
        return Type(said)  # type: ignore[arg-type]
    kind, inner = said
    if kind == "ARRAY":
        return Type("ARRAY", type_of(inner))
    return Type("STRUCT", fields=tuple(Field(name, type_of(type_)) for name, type_ in inner))
