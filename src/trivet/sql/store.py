"""What datasets hold besides models: tables and views, and what is said about them.

A project is a DuckDB file, a dataset one of its schemas. What DuckDB does not keep, such as labels and the
texts of views, which are BigQuery's, is in a schema of its own there. Changes are part of the transaction of
the connection that makes them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from time import time
from typing import Any, Literal, Protocol

from trivet.core.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from trivet.sql.documents import HIDDEN, Cursor, Documents, Row, etag, type_json, type_of
from trivet.sql.names import DatasetName, ObjectName
from trivet.sql.quoting import quoted
from trivet.sql.types import Field, of_duckdb

_SYSTEM = (HIDDEN, "main", "information_schema", "pg_catalog", "temp", "definitions")

Json = Mapping[str, Any]
Kind = Literal["TABLE", "VIEW"]


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset; `document` is what was said about it, with the names of BigQuery's REST resource."""

    name: DatasetName
    document: Json = field(default_factory=dict)
    created: datetime | None = None
    modified: datetime | None = None

    @property
    def etag(self) -> str:
        """A text that is another after each change."""
        return etag(self.document, self.modified)


@dataclass(frozen=True, slots=True)
class Table:
    """A table or a view.

    `document` is what was said about it, with the names of BigQuery's REST resource (`description`, `labels`,
    `friendlyName`, `expirationTime`, `timePartitioning`, `clustering`, ...). A view has a `query`, in the
    dialect and with the default dataset that it was made with.
    """

    name: ObjectName
    kind: Kind
    fields: tuple[Field, ...] = ()
    document: Json = field(default_factory=dict)
    created: datetime | None = None
    modified: datetime | None = None
    query: str = ""
    dialect: str = "bigquery"
    default: DatasetName | None = None

    @property
    def etag(self) -> str:
        """A text that is another after each change of what is said about it."""
        return etag(self.document, self.modified, str(self.fields), self.query)


class Projects(Protocol):
    """The files of projects, of one DuckDB."""

    def attach(self, project: str) -> str:
        """Return what DuckDB calls a project; raises NotFound where there is none."""
        ...

    def make(self, project: str) -> str:
        """Return what DuckDB calls a project, which is made where there is none."""
        ...

    def changed(self) -> None:
        """Know that names or columns have changed."""
        ...


class Store:
    """The datasets, tables and views that a connection sees.

    Everything raises NotFound for what is not
    there, with BigQuery's text.
    """

    def __init__(
        self,
        cursor: Any,
        projects: Projects,
        *,
        read_only: bool = False,
    ) -> None:
        self._cursor = Cursor(cursor)
        self._projects = projects
        self._attach = projects.attach
        self._changed = projects.changed
        self._documents = Documents(self._cursor, projects.attach, read_only=read_only)
        self._read_only = read_only

    def datasets(self, project: str) -> Sequence[Dataset]:
        """Return the datasets of a project in the order of their names; a project need not be there."""
        try:
            schemas = set(self._schemas(project))
        except NotFound:
            return []
        known = {one.dataset: one for one in self._documents.find(project, "kind = 'DATASET'")}
        names = schemas - (set(_SYSTEM) - set(known))
        return [self._dataset(DatasetName(project, name), known.get(name)) for name in sorted(names)]

    def dataset(self, name: DatasetName) -> Dataset:
        """Return a dataset; raises NotFound `Not found: Dataset p:ds`, or `Project p`."""
        found = next((one for one in self.datasets(name.project) if one.name == name), None)
        if found is None:
            self._attach(name.project)
            raise NotFound(f"Not found: Dataset {name}")
        return found

    def has_dataset(self, name: DatasetName) -> bool:
        """Whether there is a dataset of this name, in exactly these letters."""
        return any(one.name == name for one in self.datasets(name.project))

    def create_dataset(self, name: DatasetName, document: Json | None = None) -> Dataset:
        """Make a dataset; raises AlreadyExists."""
        database = self._projects.make(name.project)
        for there in self._schemas(name.project):
            if there.lower() == name.dataset.lower() and there not in _SYSTEM:
                differs = "" if there == name.dataset else f", and {name.dataset} differs in case alone"
                raise AlreadyExists(f"Already Exists: Dataset {DatasetName(name.project, there)}{differs}")
        if name.dataset.lower() in (HIDDEN, "information_schema", "pg_catalog", "temp"):
            raise InvalidArgument(f"dataset {name.dataset!r}: the name is taken by the database itself")
        self._cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(database, name.dataset)}")
        self._documents.put(name.project, "DATASET", name.dataset, "", document or {})
        self._changed()
        return self.dataset(name)

    def update_dataset(self, name: DatasetName, document: Json) -> Dataset:
        """Replace what is said about a dataset."""
        self.dataset(name)
        self._documents.put(name.project, "DATASET", name.dataset, "", document)
        self._changed()
        return self.dataset(name)

    def delete_dataset(self, name: DatasetName, *, cascade: bool = False) -> None:
        """Delete a dataset; raises FailedPrecondition where it holds something and is not to `cascade`.

        Models are deleted before, by whoever knows them.
        """
        self.dataset(name)
        if not cascade and self.tables(name):
            raise FailedPrecondition(f"Dataset {name} is still in use")
        self._cursor.execute(f"DROP SCHEMA {quoted(self._attach(name.project), name.dataset)} CASCADE")
        self._documents.forget(name.project, name.dataset)
        self._changed()

    def tables(self, name: DatasetName) -> Sequence[Table]:
        """Return the tables and views of a dataset in the order of their names, without their columns."""
        self.dataset(name)
        self._sweep(name)
        rows = {
            one.name: one
            for one in self._documents.find(name.project, "dataset = ? AND name <> ''", name.dataset)
        }
        names = {one: "TABLE" for one in self._tables(name)}
        names |= {one.name: "VIEW" for one in rows.values() if one.kind == "VIEW"}
        return [self._table(name.child(one), names[one], rows.get(one)) for one in sorted(names)]

    def kind(self, name: ObjectName) -> Kind | None:
        """Return what there is of this name, in exactly these letters, if anything."""
        if not self.has_dataset(name.parent):
            return None
        self._sweep(name.parent)
        if name.name in self._tables(name.parent):
            return "TABLE"
        rows = self._documents.find(
            name.project, "dataset = ? AND name = ? AND kind = 'VIEW'", name.dataset, name.name
        )
        return "VIEW" if rows else None

    def alike(self, name: ObjectName) -> str:
        """Return the name of what differs in case alone, or an empty text."""
        there = [*self._tables(name.parent), *(one.name for one in self._documents.find(
            name.project, "dataset = ? AND kind = 'VIEW'", name.dataset))]  # fmt: skip
        return next((one for one in there if one.lower() == name.name.lower() and one != name.name), "")

    def table(self, name: ObjectName) -> Table:
        """Return a table or view, with its columns; raises NotFound `Not found: Table p:ds.t`."""
        self.dataset(name.parent)
        self._sweep(name.parent)
        rows = self._documents.find(name.project, "dataset = ? AND name = ?", name.dataset, name.name)
        row = rows[0] if rows else None
        if row is not None and row.kind == "VIEW":
            return self._table(name, "VIEW", row)
        if name.name not in self._tables(name.parent):
            raise NotFound(f"Not found: Table {name}")
        fields = self._columns(name, (row.document if row else {}).get("fields", {}))
        return self._table(name, "TABLE", row, fields)

    def rows(self, name: ObjectName) -> int:
        """Return how many rows a table has."""
        ((count,),) = self._cursor.rows(f"SELECT count(*) FROM {self.place(name)}")
        return int(count)

    def create_table(self, name: ObjectName, fields: Sequence[Field], document: Json | None = None) -> Table:
        """Make an empty table; raises AlreadyExists."""
        self.expect_free(name)
        columns = ", ".join(
            f"{quoted(one.name)} {one.type.duckdb}{' NOT NULL' if one.required else ''}" for one in fields
        )
        if not fields:
            raise InvalidArgument(f"Table {name} must have at least one column")
        self._cursor.execute(f"CREATE TABLE {self.place(name)} ({columns})")
        said = {one.name: one.description for one in fields if one.description}
        self.describe(name, self.lasting(name.parent, document or {}), said)
        return self.table(name)

    def lasting(self, name: DatasetName, document: Json) -> Json:
        """Return the document of a new table, which lasts as its dataset says if it does not say so."""
        lasts = self.dataset(name).document.get("defaultTableExpirationMs")
        if not lasts or "expirationTime" in document:
            return document
        return {**document, "expirationTime": str(int(time() * 1000) + int(lasts))}

    def create_view(self, view: Table, *, replace: bool = False) -> Table:
        """Keep a view: its name, query, dialect, default dataset, columns and document; AlreadyExists."""
        if not (replace and self.kind(view.name) == "VIEW"):
            self.expect_free(view.name)
        default = [view.default.project, view.default.dataset] if view.default else None
        columns = [[one.name, type_json(one.type), one.description] for one in view.fields]
        about = {"query": view.query, "dialect": view.dialect, "default": default, "columns": columns}
        self._documents.put(
            view.name.project, "VIEW", view.name.dataset, view.name.name, {**view.document, "view": about}
        )
        self._changed()
        return self.table(view.name)

    def describe(self, name: ObjectName, document: Json, columns: Mapping[str, str] | None = None) -> None:
        """Replace what is said about a table or view, and, where given, about its columns by their names."""
        rows = self._documents.find(name.project, "dataset = ? AND name = ?", name.dataset, name.name)
        was = rows[0].document if rows else {}
        kept: dict[str, Any] = {key: was[key] for key in ("view", "fields") if key in was}
        if columns is not None:
            kept["fields"] = dict(columns)
        kind = rows[0].kind if rows else "TABLE"
        self._documents.put(name.project, kind, name.dataset, name.name, {**document, **kept})
        self._changed()

    def delete_table(self, name: ObjectName) -> None:
        """Delete a table or view."""
        self._delete(name, self.table(name).kind)

    def _delete(self, name: ObjectName, kind: str) -> None:
        if kind == "TABLE":
            self._cursor.execute(f"DROP TABLE IF EXISTS {self.place(name)}")
        self._documents.forget(name.project, name.dataset, name.name)
        self._changed()

    def _sweep(self, name: DatasetName) -> None:
        """Delete what has expired."""
        if not self._read_only:
            due = "dataset = ? AND expires <= now() AND name <> ''"
            for one in self._documents.find(name.project, due, name.dataset):
                self._delete(name.child(one.name), one.kind)

    def moved(self, old: ObjectName, new: ObjectName) -> None:
        """Have what is said about a table be said about another name, which it has now."""
        self._documents.move(old.project, old.dataset, old.name, new.name)
        self._changed()

    def expect_free(self, name: ObjectName) -> None:
        """Raise AlreadyExists where a table or view has this name, or one that differs in case alone."""
        self.dataset(name.parent)
        if self.kind(name) is not None:
            raise AlreadyExists(f"Already Exists: Table {name}")
        if there := self.alike(name):
            other = ObjectName(name.project, name.dataset, there)
            raise AlreadyExists(f"Already Exists: Table {other}, and {name.name} differs in case alone")

    def place(self, name: ObjectName) -> str:
        """Return what DuckDB calls a table, quoted."""
        return quoted(self._attach(name.project), name.dataset, name.name)

    def _schemas(self, project: str) -> list[str]:
        database = self._attach(project)
        found = self._cursor.rows(
            "SELECT schema_name FROM duckdb_schemas() WHERE database_name = ?", [database]
        )
        return [one for (one,) in found]

    def _tables(self, name: DatasetName) -> list[str]:
        found = self._cursor.rows(
            "SELECT table_name FROM duckdb_tables() WHERE database_name = ? AND schema_name = ?",
            [self._attach(name.project), name.dataset],
        )
        return [one for (one,) in found]

    def _columns(self, name: ObjectName, said: Mapping[str, str]) -> tuple[Field, ...]:
        relation = self._cursor.sql(f"SELECT * FROM {self.place(name)} LIMIT 0")
        types, names = relation.types, relation.columns
        needed = self._cursor.rows(
            "SELECT column_name FROM duckdb_columns() WHERE database_name = ? AND schema_name = ? AND "
            "table_name = ? AND NOT is_nullable",
            [self._attach(name.project), name.dataset, name.name],
        )
        required = {one for (one,) in needed}
        return tuple(
            Field(one, of_duckdb(type_), one in required, said.get(one, ""))
            for one, type_ in zip(names, types, strict=True)
        )

    def _dataset(self, name: DatasetName, row: Row | None) -> Dataset:
        return Dataset(name, row.document, row.created, row.modified) if row else Dataset(name)

    def _table(self, name: ObjectName, kind: str, row: Row | None, fields: tuple[Field, ...] = ()) -> Table:
        if row is None:
            return Table(name, "TABLE", fields)
        document = {key: value for key, value in row.document.items() if key not in ("view", "fields")}
        if kind == "TABLE":
            return Table(name, "TABLE", fields, document, row.created, row.modified)
        about = row.document["view"]
        columns = tuple(Field(one, type_of(type_), False, said) for one, type_, said in about["columns"])
        default = DatasetName(*about["default"]) if about["default"] else None
        return Table(
            name, "VIEW", columns, document, row.created, row.modified,
            query=about["query"], dialect=about["dialect"], default=default,
        )  # fmt: skip
