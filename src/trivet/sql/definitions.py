"""What CREATE TABLE says of columns and of the table, as DuckDB and BigQuery's REST resource have it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from trivet.core.errors import InvalidArgument, Unimplemented
from trivet.sql import options
from trivet.sql.names import DatasetName, dataset_name
from trivet.sql.positions import at
from trivet.sql.quoting import quoted
from trivet.sql.types import Field, of_duckdb

if TYPE_CHECKING:
    from trivet.sql.plan import Planner

_IGNORED = (exp.PrimaryKey, exp.ForeignKey, exp.Constraint)
"""What BigQuery takes, and does not enforce."""

DATASET_OPTIONS = {
    "description": "STRING", "friendly_name": "STRING", "labels": "ARRAY<STRUCT<STRING, STRING>>",
    "location": "STRING", "default_table_expiration_days": "FLOAT64",
    "default_partition_expiration_days": "FLOAT64", "max_time_travel_hours": "INT64",
}  # fmt: skip

REST = {
    "friendly_name": "friendlyName", "expiration_timestamp": "expirationTime",
    "require_partition_filter": "requirePartitionFilter",
    "default_table_expiration_days": "defaultTableExpirationMs",
    "default_partition_expiration_days": "defaultPartitionExpirationMs",
    "max_time_travel_hours": "maxTimeTravelHours", "partition_expiration_days": "timePartitioning",
}  # fmt: skip
"""What BigQuery's REST resource calls options, where it is something else."""

_DAY = 86_400_000


@dataclass(frozen=True, slots=True)
class Column:
    """A column as declared; `text` is how DuckDB has it."""

    field: Field
    text: str


def columns_of(planner: "Planner", schema: exp.Schema | None) -> list[Column]:
    """Return the columns that are declared; raises InvalidArgument and Unimplemented."""
    found: list[Column] = []
    for one in schema.expressions if schema is not None else []:
        if isinstance(one, _IGNORED):
            continue
        if not isinstance(one, exp.ColumnDef) or one.kind is None:
            raise InvalidArgument(f"CREATE TABLE: expected a column and its type{at(one)}")
        found.append(column(planner, one))
    names = [one.field.name.lower() for one in found]
    if doubled := [name for name in names if names.count(name) > 1]:
        raise InvalidArgument(f"Duplicate column name {doubled[0]} in the table")
    return found


def column(planner: "Planner", given: exp.ColumnDef) -> Column:
    """Return one column."""
    name, kind = given.name, given.kind
    assert isinstance(kind, exp.DataType)
    if planner.connection.dialect == "duckdb":
        return _as_written(planner, given)
    sizes = [] if kind.is_type("array", "struct") else [int(one.name) for one in kind.expressions]
    plain = kind.copy()
    if sizes:
        plain.set("expressions", None)
    type_ = options.type_of(plain, f"column {name}", at(given))
    text = f"{quoted(name)} {type_.duckdb}"
    if sizes and type_.kind in ("NUMERIC", "BIGNUMERIC"):
        digits, scale = (*sizes, 0)[:2]
        text = f"{quoted(name)} DECIMAL({min(digits, 38)}, {scale})"
    elif sizes:
        text += f" CHECK (length({quoted(name)}) <= {sizes[0]})"
    required, description = False, ""
    for constraint in given.args.get("constraints") or []:
        match constraint.kind:
            case exp.NotNullColumnConstraint():
                required = not constraint.kind.args.get("allow_null")
                text += " NOT NULL" if required else ""
            case exp.DefaultColumnConstraint():
                default = planner.translated(exp.select(constraint.kind.this.copy())).expressions[0]
                text += f" DEFAULT ({default.unalias().sql(dialect='duckdb', identify=True)})"
            case exp.Properties():
                holder = exp.Create(properties=constraint.kind.copy())
                said = options.read(holder, {"description": "STRING"}, f"column {name}", planner.value)
                description = str(said.values.get("description") or "")
            case exp.PrimaryKeyColumnConstraint() | exp.Reference():
                pass
            case other:
                raise Unimplemented(
                    f"column {name}: {other.sql(dialect='bigquery')}: not supported{at(given)}"
                )
    return Column(Field(name, type_, required, description), text)


def _as_written(planner: "Planner", given: exp.ColumnDef) -> Column:
    kind = given.args["kind"].sql(dialect="duckdb")
    relation = planner.connection.cursor.sql(f"SELECT CAST(NULL AS {kind}) AS c")
    return Column(Field(given.name, of_duckdb(relation.types[0])), given.sql(dialect="duckdb", identify=True))


def document_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return OPTIONS with the names of BigQuery's REST resource."""
    document: dict[str, Any] = {}
    for name, value in values.items():
        if value is None:
            continue
        match name:
            case "friendly_name":
                document["friendlyName"] = value
            case "expiration_timestamp":
                assert isinstance(value, datetime)
                document["expirationTime"] = str(int(value.timestamp() * 1000))
            case "default_table_expiration_days":
                document["defaultTableExpirationMs"] = str(int(value * _DAY))
            case "default_partition_expiration_days":
                document["defaultPartitionExpirationMs"] = str(int(value * _DAY))
            case "max_time_travel_hours":
                document["maxTimeTravelHours"] = str(value)
            case "require_partition_filter":
                document["requirePartitionFilter"] = value
            case "partition_expiration_days":
                document["timePartitioning"] = {"expirationMs": str(int(value * _DAY))}
            case _:
                document[name] = value
    return document


def partitioning(tree: exp.Expression, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what PARTITION BY and CLUSTER BY say, which is remembered, and changes nothing else."""
    document: dict[str, Any] = {}
    given = tree.args.get("properties")
    for one in given.expressions if given is not None else ():
        if isinstance(one, exp.PartitionedByProperty):
            document |= _partitions(one.this, document_of(values).get("timePartitioning", {}))
        elif isinstance(one, exp.ClusterProperty):
            document["clustering"] = {"fields": [column.name for column in one.expressions]}
    return document


def _partitions(by: exp.Expression, time: Mapping[str, Any]) -> dict[str, Any]:
    column = by.find(exp.Column)
    name = column.name if column is not None else by.name
    if isinstance(by, exp.RangeBucket):
        steps = by.expression
        parts = {
            "start": steps.args.get("start"),
            "end": steps.args.get("end"),
            "interval": steps.args.get("step"),
        }
        known = {key: one.name for key, one in parts.items() if one is not None}
        return {"rangePartitioning": {"field": name, "range": known}}
    unit = by.args.get("unit")
    kind = {"type": unit.name.upper() if unit is not None else "DAY"}
    field = {} if name.upper() in ("_PARTITIONDATE", "_PARTITIONTIME") else {"field": name}
    return {"timePartitioning": {**kind, **field, **time}}


def changed(document: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document in which OPTIONS have been set, or taken away where they are NULL."""
    gone = {REST.get(name, name) for name, value in values.items() if value is None}
    kept = {name: one for name, one in document.items() if name not in gone}
    return {**kept, **document_of(values)}


def dataset_of(planner: "Planner", table: exp.Expression) -> DatasetName:
    """Return the name of a dataset as a statement has it, in one part or two."""
    project = table.args.get("catalog")
    of = project.name if project is not None else planner.connection.project
    return dataset_name(of, table.args["db"].name)
