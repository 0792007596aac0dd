"""ALTER TABLE, VIEW and SCHEMA."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from trivet.core.errors import AlreadyExists, InvalidArgument, NotFound, Unimplemented
from trivet.sql import options
from trivet.sql.definitions import DATASET_OPTIONS, changed, column, dataset_of
from trivet.sql.dialect import AlterColumnOptions
from trivet.sql.names import ObjectName
from trivet.sql.plan import Plan
from trivet.sql.positions import at
from trivet.sql.quoting import quoted
from trivet.sql.result import Done, Planned
from trivet.sql.store import Table

if TYPE_CHECKING:
    from trivet.sql.plan import Planner

TABLE_OPTIONS = {
    "description": "STRING", "friendly_name": "STRING", "labels": "ARRAY<STRUCT<STRING, STRING>>",
    "expiration_timestamp": "TIMESTAMP", "partition_expiration_days": "FLOAT64",
    "require_partition_filter": "BOOL",
}  # fmt: skip


def alter(planner: "Planner", tree: exp.Alter, written: exp.Expression, kind: str) -> Plan:
    """Return how to run it; raises NotFound, InvalidArgument and Unimplemented."""
    if kind == "SCHEMA":
        return _schema(planner, tree, written)
    connection, table = planner.connection, tree.this
    name = planner.names.full(table)
    there = connection.store.kind(name)
    if there is None and not tree.args.get("exists"):
        raise NotFound(f"Not found: {kind.capitalize()} {name}{at(table)}")
    if there not in (None, kind):
        raise InvalidArgument(f"{name} is a {there}; use ALTER {there}{at(table)}")
    planned = Planned(f"ALTER_{kind}", target=name, operation="ALTER" if there else "SKIP")
    if there is None:
        message = f"Skipped: {kind.capitalize()} {name} is not there."
        return Plan(planned, written, act=lambda: Done(planned, message=message))
    steps = [_step(planner, connection.store.table(name), one) for one in tree.args["actions"]]

    def act() -> Done:
        with connection.failing(written):
            for step in steps:
                step()
        connection.database.changed()
        return Done(planned, message=f"Altered {kind.lower()} {name}.")

    return Plan(planned, written, act=act)


def _step(  # noqa: PLR0911 - one for each action
    planner: "Planner", table: Table, action: exp.Expression
) -> Callable[[], Any]:
    if isinstance(action, exp.AlterSet):
        return _options(planner, table, action)
    if isinstance(action, AlterColumnOptions):
        return _column_options(planner, table, action)
    if table.kind == "VIEW":
        raise Unimplemented(f"ALTER VIEW: only SET OPTIONS is supported{at(action)}")
    cursor = planner.connection.cursor
    place = f"ALTER TABLE {planner.connection.store.place(table.name)}"
    match action:
        case exp.ColumnDef():
            return _added(planner, table, action, place)
        case exp.Drop():
            name = action.args["tables"][0].name
            there = " IF EXISTS" if action.args.get("exists") else ""
            if not there:
                _expect(table, name, action)
            return lambda: cursor.execute(f"{place} DROP COLUMN{there} {quoted(name)}")
        case exp.RenameColumn():
            old, new = action.this.name, action.args["to"].name
            _expect(table, old, action)
            return lambda: cursor.execute(f"{place} RENAME COLUMN {quoted(old)} TO {quoted(new)}")
        case exp.AlterRename():
            return _rename(planner, table, action.this.name, place)
        case exp.AlterColumn():
            return _column(planner, table, action, place)
    raise Unimplemented(f"ALTER TABLE: {action.key.upper()}: not supported{at(action)}")


def _added(planner: "Planner", table: Table, action: exp.ColumnDef, place: str) -> Callable[[], Any]:
    made = column(planner, action)
    if made.field.required:
        raise InvalidArgument(f"Cannot add required column {made.field.name} to an existing schema.")
    missing = " IF NOT EXISTS" if action.args.get("exists") else ""
    if not missing and _has(table, made.field.name):
        raise InvalidArgument(f"Column already exists: {made.field.name}{at(action)}")
    said = {one.name: one.description for one in table.fields if one.description}
    said |= {made.field.name: made.field.description} if made.field.description else {}

    def added() -> None:
        planner.connection.cursor.execute(f"{place} ADD COLUMN{missing} {made.text}")
        planner.connection.store.describe(table.name, table.document, said)

    return added


def _column(planner: "Planner", table: Table, action: exp.AlterColumn, place: str) -> Callable[[], Any]:
    cursor = planner.connection.cursor
    name = action.this.name
    _expect(table, name, action)
    start = f"{place} ALTER COLUMN {quoted(name)}"
    if (type_ := action.args.get("dtype")) is not None:
        made = column(planner, exp.ColumnDef(this=action.this.copy(), kind=type_.copy()))
        was = next(one for one in table.fields if one.name.lower() == name.lower())
        if not was.type.coerces_to(made.field.type):
            raise InvalidArgument(
                f"ALTER TABLE ALTER COLUMN SET DATA TYPE requires that the existing column type ({was.type}) "
                f"is assignable to the new type ({made.field.type}){at(action)}"
            )
        return lambda: cursor.execute(f"{start} SET DATA TYPE {made.text.partition(' ')[2]}")
    if action.args.get("allow_null") and action.args.get("drop"):
        return lambda: cursor.execute(f"{start} DROP NOT NULL")
    if (default := action.args.get("default")) is not None:
        made_default = planner.translated(exp.select(default.copy())).expressions[0].unalias()
        return lambda: cursor.execute(
            f"{start} SET DEFAULT ({made_default.sql(dialect='duckdb', identify=True)})"
        )
    if action.args.get("drop"):
        return lambda: cursor.execute(f"{start} DROP DEFAULT")
    raise Unimplemented(f"ALTER COLUMN: {action.key.upper()}: not supported{at(action)}")


def _rename(planner: "Planner", table: Table, to: str, place: str) -> Callable[[], Any]:
    store, cursor = planner.connection.store, planner.connection.cursor
    new = ObjectName(table.name.project, table.name.dataset, to)
    if store.kind(new) is not None:
        raise AlreadyExists(f"Already Exists: Table {new}")
    planner.connection.expect_no_model(new)
    said = {one.name: one.description for one in table.fields if one.description}

    def renamed() -> None:
        cursor.execute(f"{place} RENAME TO {quoted(to)}")
        store.moved(table.name, new)
        store.describe(new, table.document, said)

    return renamed


def _options(planner: "Planner", table: Table, action: exp.AlterSet) -> Callable[[], Any]:
    said = options.read(_holder(action), TABLE_OPTIONS, f"ALTER {table.kind}", planner.value)
    document = changed(table.document, said.values)
    return lambda: planner.connection.store.describe(table.name, document)


def _column_options(planner: "Planner", table: Table, action: AlterColumnOptions) -> Callable[[], Any]:
    name = action.this.name
    if not _has(table, name) and action.args.get("exists"):
        return lambda: None
    _expect(table, name, action)
    given = options.read(action, {"description": "STRING"}, f"column {name}", planner.value).values
    said = {one.name: one.description for one in table.fields}
    said[next(one for one in said if one.lower() == name.lower())] = given.get("description") or ""
    kept = {one: text for one, text in said.items() if text}
    return lambda: planner.connection.store.describe(table.name, table.document, kept)


def _schema(planner: "Planner", tree: exp.Alter, written: exp.Expression) -> Plan:
    store, name = planner.connection.store, dataset_of(planner, tree.this)
    there = store.has_dataset(name)
    if not there and not tree.args.get("exists"):
        raise NotFound(f"Not found: Dataset {name}{at(tree.this)}")
    planned = Planned("ALTER_SCHEMA", target=name, operation="ALTER" if there else "SKIP")
    (action,) = tree.args["actions"]
    if not isinstance(action, exp.AlterSet):
        raise Unimplemented(f"ALTER SCHEMA: only SET OPTIONS is supported{at(tree.this)}")
    said = options.read(_holder(action), DATASET_OPTIONS, "ALTER SCHEMA", planner.value)

    def act() -> Done:
        if not there:
            return Done(planned, message=f"Skipped: Dataset {name} is not there.")
        store.update_dataset(name, changed(store.dataset(name).document, said.values))
        return Done(planned, message=f"Altered dataset {name}.")

    return Plan(planned, written, act=act)


def _holder(action: exp.AlterSet) -> exp.Expression:
    """Return a statement with the OPTIONS of an action, however the parser keeps them."""
    given = action.expressions
    listed = given[0].expressions if given and isinstance(given[0], exp.Properties) else given
    return exp.Create(properties=exp.Properties(expressions=[one.copy() for one in listed]))


def _has(table: Table, name: str) -> bool:
    return any(one.name.lower() == name.lower() for one in table.fields)


def _expect(table: Table, name: str, action: exp.Expression) -> None:
    if not _has(table, name):
        raise NotFound(f"Column not found: {name}{at(action)}")
