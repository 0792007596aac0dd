"""Tables as others than statements change them: rows go in, columns and views are changed, tables copied."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from trivet.core.errors import AlreadyExists, InvalidArgument, NotFound
from trivet.sql.failures import told
from trivet.sql.names import ObjectName
from trivet.sql.quoting import quoted
from trivet.sql.store import Table
from trivet.sql.types import Field, Type

if TYPE_CHECKING:
    from trivet.sql.session import Connection

Write = Literal["WRITE_EMPTY", "WRITE_APPEND", "WRITE_TRUNCATE"]

_INCOMING = "__trivet_incoming"
_FROM_TEXT = ("JSON", "INTERVAL")
"""Types whose values come as texts."""


def write(  # noqa: PLR0913 - where to, what, and how
    connection: "Connection",
    name: ObjectName,
    fields: Sequence[Field],
    rows: Any,
    how: Write,
    *,
    creates: bool = True,
    adds: bool = False,
) -> int:
    """Put rows into a table, which is made where there is none and that may be; return how many.

    `rows` is a `pyarrow.RecordBatchReader`, or what DuckDB calls a table; its columns are `fields`. With
    `adds`, columns that the table has not are added to it. All or nothing happens. Raises NotFound,
    AlreadyExists for a table that is not empty and should be, and InvalidArgument where columns do not fit.
    """
    source = rows if isinstance(rows, str) else quoted(_INCOMING)
    if not isinstance(rows, str):
        with told():
            connection.cursor.register(_INCOMING, rows)
    try:
        with connection.transaction():
            _prepare(connection, name, fields, how, creates=creates, adds=adds)
            there = {one.name.lower(): one for one in connection.store.table(name).fields}
            kinds = {one.name.lower(): one.type for one in fields}
            columns = [there[one.name.lower()] for one in fields]
            return _insert(connection, name, columns, kinds, source)
    finally:
        if not isinstance(rows, str):
            connection.cursor.unregister(_INCOMING)


def _insert(
    connection: "Connection",
    name: ObjectName,
    columns: Sequence[Field],
    kinds: Mapping[str, Type],
    source: str,
) -> int:
    names = ", ".join(quoted(one.name) for one in columns)
    values = ", ".join(_value(one, kinds[one.name.lower()]) for one in columns)
    with told():
        changed = connection.cursor.execute(
            f"INSERT INTO {connection.store.place(name)} ({names}) SELECT {values} FROM {source}"
        ).fetchone()
    return int(changed[0])


def _value(column: Field, given: Type) -> str:
    """Return a column of what comes as a value of the column that it goes to."""
    if column.type == given and not _has_text(given):
        return quoted(column.name)
    return f"CAST({quoted(column.name)} AS {column.type.duckdb})"


def _has_text(type_: Type) -> bool:
    inner = [one.type for one in type_.fields] + ([type_.item] if type_.item else [])
    return type_.kind in _FROM_TEXT or any(_has_text(one) for one in inner)


def _prepare(
    connection: "Connection",
    name: ObjectName,
    fields: Sequence[Field],
    how: Write,
    *,
    creates: bool,
    adds: bool,
) -> None:
    """Have a table be there that the columns fit into."""
    store = connection.store
    store.dataset(name.parent)
    kind = store.kind(name)
    if kind == "VIEW":
        raise InvalidArgument(f"{name} is a view; expected a table to write to")
    if kind is None:
        if connection.database.models.exists(name):
            raise AlreadyExists(f"Already Exists: Model {name}")
        if not creates:
            raise NotFound(f"Not found: Table {name}")
        store.create_table(name, fields)
        return
    table = store.table(name)
    if how == "WRITE_EMPTY" and store.rows(name):
        raise AlreadyExists(f"Already Exists: Table {name}")
    if how == "WRITE_TRUNCATE":
        if fields and _shape(fields) != _shape(table.fields):
            store.delete_table(name)
            store.create_table(name, fields, table.document)
            return
        with told():
            connection.cursor.execute(f"DELETE FROM {store.place(name)}")
    _expect_fits(connection, table, fields, adds=adds)


def _shape(fields: Sequence[Field]) -> list[tuple[str, Type]]:
    return [(one.name, one.type) for one in fields]


def _expect_fits(connection: "Connection", table: Table, fields: Sequence[Field], *, adds: bool) -> None:
    there = {one.name.lower(): one for one in table.fields}
    for one in fields:
        found = there.pop(one.name.lower(), None)
        if found is None:
            if not adds:
                raise InvalidArgument(_mismatch(table.name, f"Cannot add fields (field: {one.name})"))
            _add(connection, table.name, one)
        elif not fits(one.type, found.type):
            raise InvalidArgument(
                _mismatch(table.name, f"Field {found.name} has changed type from {found.type} to {one.type}")
            )
    for left in there.values():
        if left.required:
            raise InvalidArgument(_mismatch(table.name, f"Required field {left.name} is missing"))


def _mismatch(name: ObjectName, why: str) -> str:
    return f"Provided Schema does not match Table {name}. {why}"


def fits(given: Type, wanted: Type) -> bool:
    """Whether values of a type may go into a column of another."""
    if given.coerces_to(wanted):
        return True
    if given.item is not None and wanted.item is not None:
        return fits(given.item, wanted.item)
    if given.kind == wanted.kind == "STRUCT":
        there = {one.name.lower(): one.type for one in wanted.fields}
        return all(
            one.name.lower() in there and fits(one.type, there[one.name.lower()]) for one in given.fields
        )
    texts = ("JSON", "DATE", "TIME", "DATETIME", "TIMESTAMP", "INTERVAL", "NUMERIC", "BIGNUMERIC")
    if given.kind == "STRING":
        return wanted.kind in texts
    numbers = ("NUMERIC", "BIGNUMERIC", "FLOAT64")
    return (given.kind in numbers and wanted.kind in numbers) or (given.kind, wanted.kind) in (
        ("DATETIME", "TIMESTAMP"), ("TIMESTAMP", "DATETIME"), ("JSON", "STRING"),
    )  # fmt: skip


def _add(connection: "Connection", name: ObjectName, field: Field) -> None:
    if field.required:
        raise InvalidArgument(_mismatch(name, f"Cannot add required fields (field: {field.name})"))
    place = connection.store.place(name)
    with told():
        connection.cursor.execute(f"ALTER TABLE {place} ADD COLUMN {quoted(field.name)} {field.type.duckdb}")
    connection.database.changed()


def alter_columns(connection: "Connection", table: Table, wanted: Sequence[Field]) -> None:
    """Give a table the columns that it should have: added ones, and no longer required ones.

    Raises InvalidArgument for any other change, which could lose data.
    """
    there = {one.name.lower(): one for one in table.fields}
    for one in wanted:
        found = there.pop(one.name.lower(), None)
        if found is None:
            _add(connection, table.name, one)
        elif found.type != one.type:
            raise InvalidArgument(
                _mismatch(table.name, f"Field {found.name} has changed type from {found.type} to {one.type}")
            )
        elif one.required and not found.required:
            raise InvalidArgument(
                _mismatch(table.name, f"Field {found.name} has changed mode from NULLABLE to REQUIRED")
            )
        elif found.required and not one.required:
            place = connection.store.place(table.name)
            with told():
                connection.cursor.execute(
                    f"ALTER TABLE {place} ALTER COLUMN {quoted(found.name)} DROP NOT NULL"
                )
    if there:
        raise InvalidArgument(
            _mismatch(table.name, f"Field {next(iter(there.values())).name} is missing in new schema")
        )


def put_view(
    connection: "Connection", name: ObjectName, query: str, document: Mapping[str, Any], *, replace: bool
) -> Table:
    """Keep a view of a query in BigQuery's SQL, which must be right; raises what is wrong with it."""
    planned = connection.plan(query)
    if planned.kind != "SELECT":
        raise InvalidArgument(f"{name}: expected a query for a view; got a statement of type {planned.kind}")
    view = Table(name, "VIEW", planned.fields, document, query=query, default=connection.default)
    return connection.store.create_view(view, replace=replace)


def copy(
    connection: "Connection", sources: Sequence[ObjectName], name: ObjectName, how: Write, *, creates: bool
) -> int:
    """Copy the rows of tables that have the same columns into one; return how many."""
    with connection.transaction():
        rows = 0
        for at, source in enumerate(sources):
            table = connection.store.table(source)
            if table.kind == "VIEW":
                raise InvalidArgument(f"{source} is a view; expected a table to copy")
            place = connection.store.place(source)
            if source == name:
                raise InvalidArgument(f"{source}: expected another table to copy to")
            more: Write = how if at == 0 else "WRITE_APPEND"
            was_there = connection.store.kind(name) is not None
            rows += write(connection, name, table.fields, place, more, creates=creates)
            if not was_there:
                said = {one.name: one.description for one in table.fields if one.description}
                connection.store.describe(name, table.document, said)
        return rows
