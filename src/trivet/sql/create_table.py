"""CREATE TABLE: of columns that are declared, or of a query."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from trivet.core.errors import AlreadyExists, InvalidArgument
from trivet.sql import options
from trivet.sql.alter import TABLE_OPTIONS
from trivet.sql.definitions import Column, columns_of, document_of, partitioning
from trivet.sql.names import ObjectName
from trivet.sql.plan import Plan
from trivet.sql.positions import at
from trivet.sql.quoting import quoted
from trivet.sql.result import Done, Planned
from trivet.sql.types import Field

if TYPE_CHECKING:
    from trivet.sql.plan import Planner
    from trivet.sql.session import Connection


@dataclass(frozen=True, slots=True)
class _Making:
    """A table that is to be made. `text` is a query of DuckDB that fills it, with its `values`."""

    connection: "Connection"
    planned: Planned
    name: ObjectName
    given: Sequence[Column]
    document: Mapping[str, Any]
    written: exp.Expression
    text: str = ""
    values: Mapping[str, Any] | None = None

    def act(self) -> Done:
        """Make it."""
        name = self.name.name if self._temporary else self.name
        if self.planned.operation == "SKIP":
            return Done(self.planned, message=f"Skipped: Table {name} exists.")
        rows = self._temporarily() if self._temporary else self._durably()
        counted = "" if rows is None else f" with {rows:,} row{'' if rows == 1 else 's'}"
        return Done(self.planned, None, f"Created table {name}{counted}.")

    @property
    def _temporary(self) -> bool:
        return not self.name.dataset

    def _temporarily(self) -> int | None:
        if self.planned.operation == "REPLACE":
            self.connection.forget_temporary(self.name.name)
        rows = self._filled("CREATE TEMP TABLE", f"temp.main.{quoted(self.name.name)}")
        self.connection.temporary[self.name.name] = "TABLE"
        self.connection.database.changed()
        return rows

    def _durably(self) -> int | None:
        store, name = self.connection.store, self.name
        self.connection.require_dataset(name.parent, make=True)
        replaces = "OR REPLACE " if self.planned.operation == "REPLACE" else ""  # its query may read it
        rows = self._filled(f"CREATE {replaces}TABLE", store.place(name))
        said = {one.field.name: one.field.description for one in self.given if one.field.description}
        store.describe(name, store.lasting(name.parent, self.document), said)
        return rows

    def _filled(self, made: str, place: str) -> int | None:
        """Make the table, and return how many rows the query has put into it, None without one."""
        cursor = self.connection.cursor
        with self.connection.failing(self.written):
            if not self.given:
                cursor.execute(f"{made} {place} AS {self.text}", self.values)
                return int(cursor.fetchone()[0])
            columns = ", ".join(one.text for one in self.given)
            if not self.text:
                cursor.execute(f"{made} {place} ({columns})")
                return None
            first = quoted("__rows")
            cursor.execute(f"CREATE TEMP TABLE {first} AS {self.text}", self.values)
            cursor.execute(f"{made} {place} ({columns})")
            cursor.execute(f"INSERT INTO {place} SELECT * FROM temp.main.{first}")
            rows = int(cursor.fetchone()[0])
            cursor.execute(f"DROP TABLE temp.main.{first}")
            return rows


def create_table(planner: "Planner", tree: exp.Create, written: exp.Expression) -> Plan:
    """Return how to run it; raises AlreadyExists, InvalidArgument and Unimplemented."""
    connection = planner.connection
    schema = tree.this if isinstance(tree.this, exp.Schema) else None
    table = schema.this if schema is not None else tree.this
    query = _source(tree)
    temporary = tree.find(exp.TemporaryProperty) is not None
    name = ObjectName("", "", table.name) if temporary else planner.names.full(table)
    given = columns_of(planner, schema)
    said = options.read(tree, TABLE_OPTIONS, "CREATE TABLE", planner.value)
    document = {**document_of(said.values), **partitioning(tree, said.values)}
    operation = operation_of(planner, tree, name, table)
    if query is None:
        if not given:
            raise InvalidArgument(f"CREATE TABLE {name}: expected columns, or AS and a query{at(table)}")
        planned = Planned("CREATE_TABLE", target=name, operation=operation)
        return Plan(planned, written, act=_Making(connection, planned, name, given, document, written).act)
    text, fields, parameters = planner.query(query)
    if given:
        text = _as_declared(text, fields, given, tree)
        fields = tuple(one.field for one in given)
    planned = Planned("CREATE_TABLE_AS_SELECT", fields, tuple(planner.names.tables), name, operation)
    values = {one: planner.parameters[one].value for one in parameters} or None
    making = _Making(connection, planned, name, given, document, written, text, values)
    return Plan(planned, written, models=tuple(planner.used), act=making.act)


def _source(tree: exp.Create) -> exp.Expression | None:
    """Return the query that a table is made from, if any; COPY, CLONE and LIKE are ones, too."""
    query = tree.args.get("expression")
    if query is not None:
        copied: exp.Expression = query.copy()
        return copied
    if clone := tree.args.get("clone"):
        return exp.select("*").from_(clone.this.copy())
    if like := tree.find(exp.LikeProperty):
        source = like.this if isinstance(like.this, exp.Table) else exp.Table(this=like.this)
        return exp.select("*").from_(source.copy()).limit(0)
    return None


def _as_declared(text: str, fields: Sequence[Field], given: Sequence[Column], tree: exp.Expression) -> str:
    """Return a query whose columns, in order, are of the types declared."""
    if len(fields) != len(given):
        raise InvalidArgument(
            f"CREATE TABLE: {len(given)} columns are declared, and the query has {len(fields)}{at(tree)}"
        )
    columns = ", ".join(quoted(field.name) for field in fields)
    return f"SELECT {columns} FROM ({text})"


def operation_of(planner: "Planner", tree: exp.Create, name: ObjectName, table: exp.Table) -> str:
    """Return what making a table or view comes to; raises AlreadyExists."""
    connection = planner.connection
    replaces, skips = bool(tree.args.get("replace")), bool(tree.args.get("exists"))
    if replaces and skips:
        raise InvalidArgument(f"CREATE cannot have both OR REPLACE and IF NOT EXISTS{at(table)}")
    if not name.dataset:
        there = name.name in connection.temporary
        if there and not (replaces or skips):
            raise AlreadyExists(f"Already Exists: Table {name.name}{at(table)}")
        return "REPLACE" if there and replaces else "SKIP" if there else "CREATE"
    connection.require_dataset(name.parent, make=False, where=at(table))
    connection.expect_no_model(name, at(table))
    kind = connection.store.kind(name)
    wanted = "VIEW" if tree.kind == "VIEW" else "TABLE"
    if kind is None:
        store = connection.store
        if store.has_dataset(name.parent) and store.alike(name):  # not its own name: it may be there by now
            store.expect_free(name)
        return "CREATE"
    if skips:
        return "SKIP"
    if not replaces or kind != wanted:
        raise AlreadyExists(f"Already Exists: Table {name}{at(table)}")
    return "REPLACE"
