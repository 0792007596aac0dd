"""Statements that make, change and delete datasets, tables and views; and those about transactions."""

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp

from trivet.core.errors import AlreadyExists, InvalidArgument, NotFound, Unimplemented
from trivet.sql import options
from trivet.sql.alter import TABLE_OPTIONS, alter
from trivet.sql.create_table import create_table, operation_of
from trivet.sql.definitions import DATASET_OPTIONS, dataset_of, document_of
from trivet.sql.documents import HIDDEN
from trivet.sql.names import ObjectName
from trivet.sql.plan import Plan
from trivet.sql.positions import at
from trivet.sql.result import Done, Planned
from trivet.sql.store import Table

if TYPE_CHECKING:
    from trivet.sql.plan import Planner


def plan(planner: "Planner", tree: exp.Expression, written: exp.Expression) -> Plan:
    """Return how to run a statement of DDL; raises Unimplemented for what there is not."""
    kind = str(tree.args.get("kind") or "").upper()
    match tree, kind:
        case exp.Create(), "SCHEMA":
            return _create_schema(planner, tree, written)
        case exp.Create(), "TABLE":
            return create_table(planner, tree, written)
        case exp.Create(), "VIEW":
            return _create_view(planner, tree, written)
        case exp.Drop(), ("TABLE" | "VIEW" | "SCHEMA"):
            return _drop(planner, tree, written, kind)
        case exp.Alter(), ("TABLE" | "VIEW" | "SCHEMA"):
            return alter(planner, tree, written, kind)
    if planner.connection.dialect == "duckdb":
        planned = Planned(f"{tree.key}{f'_{kind}' if kind else ''}".upper())
        text = written.sql(dialect="duckdb")
        if HIDDEN in text.lower():  # what is in it has to fit what the rest of the file holds
            raise InvalidArgument(f"{_words(written)}: the schema {HIDDEN} is for Trivet alone")
        return Plan(planned, written, text, gives_rows=True)
    raise Unimplemented(f"{_words(written)}: not supported")


def transaction(planner: "Planner", tree: exp.Expression, written: exp.Expression) -> Plan:
    """Return how to run BEGIN, COMMIT or ROLLBACK TRANSACTION."""
    verb = {"transaction": "BEGIN", "commit": "COMMIT", "rollback": "ROLLBACK"}[tree.key]
    planned = Planned(f"{verb}_TRANSACTION")

    def act() -> Done:
        its = planner.connection.transactions
        {"BEGIN": its.begin, "COMMIT": its.commit, "ROLLBACK": its.rollback}[verb]()
        return Done(planned, message=f"{verb} TRANSACTION")

    return Plan(planned, written, act=act, alone=True)


def _create_schema(planner: "Planner", tree: exp.Create, written: exp.Expression) -> Plan:
    connection = planner.connection
    name = dataset_of(planner, tree.this)
    said = options.read(tree, DATASET_OPTIONS, "CREATE SCHEMA", planner.value)
    there = connection.store.has_dataset(name)
    if there and not tree.args.get("exists"):
        raise AlreadyExists(f"Already Exists: Dataset {name}{at(tree.this)}")
    planned = Planned("CREATE_SCHEMA", target=name, operation="SKIP" if there else "CREATE")

    def act() -> Done:
        if there:
            return Done(planned, message=f"Skipped: Dataset {name} exists.")
        connection.store.create_dataset(name, document_of(said.values))
        return Done(planned, message=f"Created dataset {name}.")

    return Plan(planned, written, act=act)


def _create_view(planner: "Planner", tree: exp.Create, written: exp.Expression) -> Plan:
    connection = planner.connection
    schema = tree.this if isinstance(tree.this, exp.Schema) else None
    table = schema.this if schema is not None else tree.this
    if tree.find(exp.TemporaryProperty):
        raise Unimplemented(f"CREATE TEMP VIEW: not supported; use WITH, or a table{at(table)}")
    name = planner.names.full(table)
    said = options.read(tree, TABLE_OPTIONS, "CREATE VIEW", planner.value)
    query = tree.args["expression"]
    if (used := query.find(exp.Parameter, exp.Placeholder)) is not None:
        raise InvalidArgument(f"Query parameters cannot be used in a view{at(used)}")
    operation = operation_of(planner, tree, name, table)
    kept = planner.source.query(connection.dialect)
    _, fields, _ = planner.query(query.copy())
    if name in planner.names.tables:
        raise InvalidArgument(f"View {name} reads itself{at(table)}")
    if schema is not None:
        given = schema.expressions
        if len(given) != len(fields):
            raise InvalidArgument(
                f"CREATE VIEW: {len(given)} columns are named, and the query has {len(fields)}{at(table)}"
            )
        fields = tuple(
            replace(field, name=one.name, description=_described(one, planner))
            for field, one in zip(fields, given, strict=True)
        )
    view = Table(
        name, "VIEW", fields, document_of(said.values), query=kept, dialect=connection.dialect,
        default=connection.default,
    )  # fmt: skip
    planned = Planned("CREATE_VIEW", fields, tuple(planner.names.tables), name, operation)

    def act() -> Done:
        if operation == "SKIP":
            return Done(planned, message=f"Skipped: View {name} exists.")
        connection.require_dataset(name.parent, make=True)
        connection.store.create_view(view, replace=operation == "REPLACE")
        return Done(planned, message=f"Created view {name}.")

    return Plan(planned, written, act=act)


def _described(column: exp.Expression, planner: "Planner") -> str:
    for constraint in column.args.get("constraints") or []:
        if isinstance(constraint.kind, exp.Properties):
            holder = exp.Create(properties=constraint.kind.copy())
            said = options.read(holder, {"description": "STRING"}, "a column", planner.value)
            return str(said.values.get("description") or "")
    return ""


def _drop(planner: "Planner", tree: exp.Drop, written: exp.Expression, kind: str) -> Plan:
    connection = planner.connection
    tables = tree.args.get("tables") or [tree.this]
    if len(tables) > 1:
        raise InvalidArgument("DROP: expected one name")
    table = tables[0]
    if kind == "SCHEMA":
        return _drop_schema(planner, tree, written, table)
    if not table.db and table.name in connection.temporary:
        return _drop_temporary(planner, table.name, written)
    name = planner.names.full(table)
    there = connection.store.kind(name)
    if there is not None and there != kind:
        raise InvalidArgument(f"{name} is a {there}; use DROP {there}{at(table)}")
    if there is None and not tree.args.get("exists"):
        raise NotFound(f"Not found: {kind.capitalize()} {name}{at(table)}")
    planned = Planned(f"DROP_{kind}", target=name, operation="DROP" if there else "SKIP")

    def act() -> Done:
        if there is None:
            return Done(planned, message=f"Skipped: {kind.capitalize()} {name} is not there.")
        connection.store.delete_table(name)
        return Done(planned, message=f"Dropped {kind.lower()} {name}.")

    return Plan(planned, written, act=act)


def _drop_temporary(planner: "Planner", name: str, written: exp.Expression) -> Plan:
    connection = planner.connection
    planned = Planned("DROP_TABLE", target=ObjectName("", "", name), operation="DROP")

    def act() -> Done:
        connection.forget_temporary(name)
        return Done(planned, message=f"Dropped table {name}.")

    return Plan(planned, written, act=act)


def _drop_schema(planner: "Planner", tree: exp.Drop, written: exp.Expression, table: exp.Table) -> Plan:
    connection = planner.connection
    name = dataset_of(planner, table)
    there = connection.store.has_dataset(name)
    if not there and not tree.args.get("exists"):
        raise NotFound(f"Not found: Dataset {name}{at(table)}")
    planned = Planned("DROP_SCHEMA", target=name, operation="DROP" if there else "SKIP")

    def act() -> Done:
        if not there:
            return Done(planned, message=f"Skipped: Dataset {name} is not there.")
        cascade = bool(tree.args.get("cascade"))
        connection.database.delete_dataset(connection.store, name, cascade=cascade)
        return Done(planned, message=f"Dropped dataset {name}.")

    return Plan(planned, written, act=act)


def _words(tree: exp.Expression) -> str:
    return " ".join(tree.sql(dialect="bigquery").split()[:3]).upper() or tree.key.upper()
