"""Statements that change rows, and queries whose rows go to a table."""

from typing import TYPE_CHECKING

from sqlglot import exp

from trivet.core.errors import AlreadyExists, InvalidArgument, NotFound
from trivet.sql.names import ObjectName
from trivet.sql.plan import COUNTS, Plan, duckdb_text, used_parameters
from trivet.sql.positions import at
from trivet.sql.result import Done, Planned

if TYPE_CHECKING:
    from trivet.sql.plan import Planner
    from trivet.sql.session import Into

_KINDS = {
    exp.Insert: "INSERT", exp.Update: "UPDATE", exp.Delete: "DELETE", exp.Merge: "MERGE",
    exp.TruncateTable: "TRUNCATE_TABLE",
}  # fmt: skip


def plan(planner: "Planner", tree: exp.Expression, written: exp.Expression) -> Plan:
    """Return how to run INSERT, UPDATE, DELETE, MERGE or TRUNCATE TABLE."""
    kind = _KINDS[type(tree)]
    table = _target(tree)
    name = _table(planner, table)
    if kind == "TRUNCATE_TABLE":
        planned = Planned(kind, target=name)
        text = f"DELETE FROM {duckdb_text(_placed(planner, table, name))}"
        return Plan(planned, written, text, counts="deleted")
    if (
        planner.connection.dialect == "bigquery"
        and kind in ("UPDATE", "DELETE")
        and not tree.args.get("where")
    ):
        raise InvalidArgument(f"{kind} must have a WHERE clause{at(written) or ' at [1:1]'}")
    if isinstance(tree, exp.Update) and planner.connection.dialect == "duckdb":
        for one in tree.expressions:  # DuckDB has the table's columns only, without its name
            if isinstance(one, exp.EQ) and isinstance(one.this, exp.Column):
                one.this.set("table", None)
    made = planner.made(tree)
    if isinstance(made, exp.Insert):
        inner = made.this.this if isinstance(made.this, exp.Schema) else made.this
        inner.set("alias", None)
    planned = Planned(kind, tables=tuple(planner.names.tables), target=name)
    return Plan(
        planned, written, duckdb_text(made), used_parameters(made), tuple(planner.used),
        kept=planner.names.kept, counts=COUNTS.get(kind, ""),
    )  # fmt: skip


def into(planner: "Planner", tree: exp.Expression, written: exp.Expression, into: "Into") -> Plan:
    """Return how to run a query whose rows go to a table."""
    connection, name = planner.connection, into.table
    text, fields, parameters = planner.query(tree)
    values = {one: planner.parameters[one].value for one in parameters} or None
    planned = Planned("SELECT", fields, tuple(planner.names.tables), target=name)

    def act() -> Done:
        kind = connection.store.kind(name) if connection.store.dataset(name.parent) else None
        if kind is None and not into.creates:
            raise NotFound(f"Not found: Table {name}")
        if kind is None:
            connection.expect_no_model(name)
            connection.store.expect_free(name)
        if kind == "VIEW":
            raise InvalidArgument(f"{name} is not allowed for this operation because it is currently a VIEW.")
        if kind and into.write == "WRITE_EMPTY" and connection.store.rows(name):
            raise AlreadyExists(f"Already Exists: Table {name}")
        place = connection.store.place(name)
        if kind and into.write != "WRITE_TRUNCATE":
            made = f"INSERT INTO {place} BY NAME {text}"
        else:
            made = f"CREATE OR REPLACE TABLE {place} AS {text}"
        with connection.failing(written):
            connection.cursor.execute(made, values)
            rows = int(connection.cursor.fetchone()[0])
        if kind is None:
            connection.store.describe(name, {})
        connection.database.changed()
        return Done(planned, rows)

    return Plan(planned, written, models=tuple(planner.used), act=act)


def _target(tree: exp.Expression) -> exp.Table:
    if isinstance(tree, exp.Delete) and tree.args.get("tables") and not tree.args.get("this"):
        tree.set("this", tree.args["tables"][0])
        tree.set("tables", None)
    target = tree.expressions[0] if isinstance(tree, exp.TruncateTable) else tree.this
    if isinstance(target, exp.Schema):
        target = target.this
    assert isinstance(target, exp.Table)
    return target


def _table(planner: "Planner", table: exp.Table) -> ObjectName:
    """Return the name of what is changed; raises NotFound, and InvalidArgument for a view."""
    if not table.db and table.name in planner.connection.temporary:
        return ObjectName("", "", table.name)
    name = planner.names.full(table)
    store = planner.connection.store
    try:
        about = store.table(name)
    except NotFound as error:
        raise NotFound(f"{error}{at(table)}") from None
    if about.kind == "VIEW":
        raise InvalidArgument(
            f"{name} is not allowed for this operation because it is currently a VIEW.{at(table)}"
        )
    return name


def _placed(planner: "Planner", table: exp.Table, name: ObjectName) -> exp.Table:
    if name.dataset:
        planner.names.put(table, name)
    table.set("alias", None)
    return table
