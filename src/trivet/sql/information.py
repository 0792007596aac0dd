"""INFORMATION_SCHEMA: what there is, as tables, which are made when a statement reads them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlglot import exp, parse_one

from trivet.core.errors import InvalidArgument, NotFound, ServingError, Unimplemented
from trivet.sql.names import DatasetName
from trivet.sql.quoting import text

if TYPE_CHECKING:
    from trivet.sql.session import Connection

_PREFIX = "INFORMATION_SCHEMA."

Rows = Iterator[Sequence[Any]]


def named(table: exp.Table) -> str:
    """Return the view that a table is, in capitals: `TABLES`; empty where it is none of them."""
    name = table.name.upper()
    return name.removeprefix(_PREFIX) if name.startswith(_PREFIX) else ""


def query(
    connection: "Connection", view: str, before: Sequence[str], default: DatasetName | None
) -> exp.Expression:
    """Return a query, in DuckDB's SQL, of the rows of a view of INFORMATION_SCHEMA.

    `before` is what is written before it: a project, a region, a dataset. Raises Unimplemented for a view
    that there is not.
    """
    if view not in _VIEWS:
        raise Unimplemented(f"INFORMATION_SCHEMA.{view}: there are {', '.join(sorted(_VIEWS))}")
    columns, rows = _VIEWS[view]
    listed = [_row(columns, one) for one in rows(connection, _datasets(connection, view, before, default))]
    heads = ", ".join(
        f"CAST(c{number} AS {kind}) AS {name}" for number, (name, kind) in enumerate(columns.items())
    )
    names = ", ".join(f"c{number}" for number in range(len(columns)))
    nothing = ", ".join("NULL" for _ in columns)
    values = ", ".join(f"({row})" for row in listed) or f"({nothing})"
    where = "" if listed else " WHERE FALSE"
    made = parse_one(f"SELECT {heads} FROM (VALUES {values}) AS listed({names}){where}", dialect="duckdb")
    assert isinstance(made, exp.Expression)
    return made


def _datasets(
    connection: "Connection", view: str, before: Sequence[str], default: DatasetName | None
) -> list[DatasetName]:
    """Return the datasets that are meant: one, or all of a project."""
    parts = [part for part in before if not part.lower().startswith("region-")]
    project = default.project if default else connection.project
    if view == "SCHEMATA":
        project = parts[-1] if parts else project
        return [one.name for one in connection.store.datasets(project)]
    if len(parts) == 2:
        name = DatasetName(*parts)
    elif parts:
        try:
            name = DatasetName(project, parts[0])
            connection.store.dataset(name)
        except NotFound:
            if parts[0] in connection.database.projects():
                return [one.name for one in connection.store.datasets(parts[0])]
            raise
    elif len(before) > len(parts):
        return [one.name for one in connection.store.datasets(project)]
    elif default is not None:
        name = default
    else:
        raise InvalidArgument(f"INFORMATION_SCHEMA.{view} must be qualified with a dataset or a region")
    return [connection.store.dataset(name).name]


def _schemata(connection: "Connection", datasets: Sequence[DatasetName]) -> Rows:
    for name in datasets:
        about = connection.store.dataset(name)
        yield name.project, name.dataset, about.created, about.modified, about.document.get("location", "US")


def _tables(connection: "Connection", datasets: Sequence[DatasetName]) -> Rows:
    for name in datasets:
        for one in connection.store.tables(name):
            kind = "BASE TABLE" if one.kind == "TABLE" else "VIEW"
            insertable = "YES" if one.kind == "TABLE" else "NO"
            yield name.project, name.dataset, one.name.name, kind, insertable, "NO", one.created


def _columns(connection: "Connection", datasets: Sequence[DatasetName]) -> Rows:
    for name in datasets:
        for listed in connection.store.tables(name):
            try:
                table = connection.store.table(listed.name)
            except ServingError:  # of a type that GoogleSQL has not
                continue
            clustered = table.document.get("clustering", {}).get("fields", [])
            partitioned = table.document.get("timePartitioning", {}).get("field", "")
            for number, one in enumerate(table.fields, 1):
                yield (
                    name.project, name.dataset, table.name.name, one.name, number,
                    "NO" if one.required else "YES", str(one.type),
                    "YES" if one.name == partitioned else "NO",
                    clustered.index(one.name) + 1 if one.name in clustered else None,
                )  # fmt: skip


def _views(connection: "Connection", datasets: Sequence[DatasetName]) -> Rows:
    for name in datasets:
        for one in connection.store.tables(name):
            if one.kind == "VIEW":
                yield name.project, name.dataset, one.name.name, one.query, "NONE", "YES"


def _options(connection: "Connection", datasets: Sequence[DatasetName]) -> Rows:
    for name in datasets:
        for one in connection.store.tables(name):
            if about := one.document.get("description"):
                yield name.project, name.dataset, one.name.name, "description", "STRING", _literal(about)
            if labels := one.document.get("labels"):
                pairs = ", ".join(f"STRUCT({_literal(k)}, {_literal(v)})" for k, v in labels.items())
                kind = "ARRAY<STRUCT<STRING, STRING>>"
                yield name.project, name.dataset, one.name.name, "labels", kind, f"[{pairs}]"


def _models(connection: "Connection", datasets: Sequence[DatasetName]) -> Rows:
    for name in datasets:
        for one in connection.database.models.list(name):
            inputs = ", ".join(f"{field.name} {field.type}" for field in one.inputs)
            outputs = ", ".join(f"{field.name} {field.type}" for field in one.outputs)
            yield (
                name.project, name.dataset, one.name.name, one.type, inputs, outputs, one.model or None,
                one.remote.endpoint if one.remote else None, one.created, one.modified, one.expires,
            )  # fmt: skip


def _literal(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


_WHERE = {"table_catalog": "VARCHAR", "table_schema": "VARCHAR", "table_name": "VARCHAR"}

_VIEWS: Mapping[str, tuple[Mapping[str, str], Callable[["Connection", Sequence[DatasetName]], Rows]]] = {
    "SCHEMATA": (
        {
            "catalog_name": "VARCHAR", "schema_name": "VARCHAR", "creation_time": "TIMESTAMPTZ",
            "last_modified_time": "TIMESTAMPTZ", "location": "VARCHAR",
        },
        _schemata,
    ),
    "TABLES": (
        {
            **_WHERE, "table_type": "VARCHAR", "is_insertable_into": "VARCHAR", "is_typed": "VARCHAR",
            "creation_time": "TIMESTAMPTZ",
        },
        _tables,
    ),
    "COLUMNS": (
        {
            **_WHERE, "column_name": "VARCHAR", "ordinal_position": "BIGINT", "is_nullable": "VARCHAR",
            "data_type": "VARCHAR", "is_partitioning_column": "VARCHAR",
            "clustering_ordinal_position": "BIGINT",
        },
        _columns,
    ),
    "VIEWS": (
        {**_WHERE, "view_definition": "VARCHAR", "check_option": "VARCHAR", "use_standard_sql": "VARCHAR"},
        _views,
    ),
    "TABLE_OPTIONS": (
        {**_WHERE, "option_name": "VARCHAR", "option_type": "VARCHAR", "option_value": "VARCHAR"},
        _options,
    ),
    "MODELS": (
        {
            "model_catalog": "VARCHAR", "model_schema": "VARCHAR", "model_name": "VARCHAR",
            "model_type": "VARCHAR", "inputs": "VARCHAR", "outputs": "VARCHAR", "version": "VARCHAR",
            "endpoint": "VARCHAR", "creation_time": "TIMESTAMPTZ", "last_modified_time": "TIMESTAMPTZ",
            "expiration_time": "TIMESTAMPTZ",
        },
        _models,
    ),
}  # fmt: skip


def _row(columns: Mapping[str, str], values: Sequence[Any]) -> str:
    def cell(value: Any) -> str:
        if value is None:
            return "NULL"
        if isinstance(value, int):
            return str(value)
        return text(str(value))

    return ", ".join(cell(value) for value, _ in zip(values, columns, strict=True))
