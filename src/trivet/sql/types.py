"""The types that columns have in GoogleSQL, and what DuckDB calls them.

Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from trivet.core.errors import InvalidArgument, Unimplemented

Kind = Literal[
    "INT64", "FLOAT64", "NUMERIC", "BIGNUMERIC", "BOOL", "STRING", "BYTES", "JSON",
    "DATE", "TIME", "DATETIME", "TIMESTAMP", "INTERVAL", "ARRAY", "STRUCT",
]  # fmt: skip

_DUCKDB: Mapping[Kind, str] = {
    "INT64": "BIGINT",
    "FLOAT64": "DOUBLE",
    "NUMERIC": "DECIMAL(38,9)",
    "BIGNUMERIC": "DECIMAL(38,18)",  # DuckDB has 38 digits, BigQuery 76
    "BOOL": "BOOLEAN",
    "STRING": "VARCHAR",
    "BYTES": "BLOB",
    "JSON": "JSON",
    "DATE": "DATE",
    "TIME": "TIME",
    "DATETIME": "TIMESTAMP",
    "TIMESTAMP": "TIMESTAMP WITH TIME ZONE",
    "INTERVAL": "INTERVAL",
}

_OF_DUCKDB: Mapping[str, Kind] = {
    "tinyint": "INT64", "smallint": "INT64", "integer": "INT64", "bigint": "INT64", "hugeint": "INT64",
    "utinyint": "INT64", "usmallint": "INT64", "uinteger": "INT64", "ubigint": "INT64", "uhugeint": "INT64",
    "bignum": "BIGNUMERIC",
    "float": "FLOAT64", "double": "FLOAT64",
    "boolean": "BOOL",
    "varchar": "STRING", "enum": "STRING", "uuid": "STRING", "bit": "STRING",
    "blob": "BYTES",
    "json": "JSON",
    "date": "DATE",
    "time": "TIME", "time_ns": "TIME", "time with time zone": "TIME",
    "timestamp": "DATETIME", "timestamp_s": "DATETIME",
    "timestamp_ms": "DATETIME", "timestamp_ns": "DATETIME",
    "timestamp with time zone": "TIMESTAMP",
    "interval": "INTERVAL",
    '"null"': "INT64", "null": "INT64", "sqlnull": "INT64",  # as BigQuery has the type of a bare NULL
}  # fmt: skip

_COERCES: Mapping[Kind, frozenset[str]] = {
    "INT64": frozenset({"NUMERIC", "BIGNUMERIC", "FLOAT64"}),
    "NUMERIC": frozenset({"BIGNUMERIC", "FLOAT64"}),
    "BIGNUMERIC": frozenset({"FLOAT64"}),
    "DATE": frozenset({"DATETIME"}),
}


@dataclass(frozen=True, slots=True)
class Type:
    """A type. An ARRAY has an `item`, a STRUCT has `fields`; no array holds arrays.

    `str()` is the type as GoogleSQL writes it, `ARRAY<STRUCT<label STRING, prob FLOAT64>>`.
    """

    kind: Kind
    item: "Type | None" = None
    fields: "tuple[Field, ...]" = ()

    def __str__(self) -> str:
        if self.kind == "ARRAY":
            return f"ARRAY<{self.item}>"
        if self.kind == "STRUCT":
            return f"STRUCT<{', '.join(f'{one.name} {one.type}'.lstrip() for one in self.fields)}>"
        return self.kind

    @property
    def duckdb(self) -> str:
        """The type as DuckDB writes it: `STRUCT("label" VARCHAR, "prob" DOUBLE)[]`."""
        if self.item is not None:
            return f"{self.item.duckdb}[]"
        if self.kind == "STRUCT":
            names = (one.name.replace('"', '""') for one in self.fields)
            inner = (f'"{name}" {one.type.duckdb}' for name, one in zip(names, self.fields, strict=True))
            return f"STRUCT({', '.join(inner)})"
        return _DUCKDB[self.kind]

    def coerces_to(self, other: "Type") -> bool:
        """Whether a value of this type may stand where the other is expected, without a CAST.

        Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/conversion_rules
        """
        if self == other:
            return True
        if self.item is not None and other.item is not None:
            return self.item.coerces_to(other.item)
        if self.kind == other.kind == "STRUCT" and len(self.fields) == len(other.fields):
            pairs = zip(self.fields, other.fields, strict=True)
            return all(one.type.coerces_to(two.type) for one, two in pairs)
        return other.kind in _COERCES.get(self.kind, frozenset())


@dataclass(frozen=True, slots=True)
class Field:
    """A column, or a part of a STRUCT."""

    name: str
    type: Type
    required: bool = False
    description: str = ""


INT64, FLOAT64, BOOL, STRING = Type("INT64"), Type("FLOAT64"), Type("BOOL"), Type("STRING")
BYTES, JSON = Type("BYTES"), Type("JSON")


def array(item: Type) -> Type:
    """Return the type of arrays of these."""
    return Type("ARRAY", item)


def struct(*fields: Field) -> Type:
    """Return the type of structs of these fields."""
    return Type("STRUCT", fields=fields)


def of_duckdb(type_: Any) -> Type:
    """Return what GoogleSQL calls a type of DuckDB (a `DuckDBPyType`).

    Raises Unimplemented for one that GoogleSQL has not, such as a map, a union or an array of arrays.
    """
    name = type_.id
    if name in ("list", "array"):
        item = of_duckdb(type_.children[0][1])
        if item.kind == "ARRAY":
            raise Unimplemented(f"{type_}: GoogleSQL has no array of arrays; put a STRUCT between them")
        return array(item)
    if name == "struct":
        return struct(*(Field(one, of_duckdb(inner)) for one, inner in type_.children))
    if name == "decimal":
        parts = dict(type_.children)
        small = parts["scale"] <= 9 and parts["precision"] - parts["scale"] <= 29
        return Type("NUMERIC" if small else "BIGNUMERIC")
    kind = _OF_DUCKDB.get("json" if str(type_) == "JSON" else name)
    if str(type_).startswith("TUPLE("):
        raise Unimplemented("a STRUCT whose fields have no names: give them some, STRUCT(1 AS a, 2 AS b)")
    if kind is None:
        raise Unimplemented(f"{type_}: GoogleSQL has no such type")
    return Type(kind)


def of_name(text: str) -> Type:
    """Read the name of a type without parts, `INT64` or one of its aliases, `INTEGER`; in any case.

    Raises InvalidArgument.
    """
    name = text.strip().upper()
    kind = _ALIASES.get(name, name)
    if kind not in _DUCKDB:
        raise InvalidArgument(f"type {text!r}: expected one of {', '.join(_DUCKDB)}, ARRAY<..> or STRUCT<..>")
    return Type(kind)


_ALIASES: Mapping[str, Any] = {
    "INT": "INT64", "SMALLINT": "INT64", "INTEGER": "INT64", "BIGINT": "INT64", "TINYINT": "INT64",
    "BYTEINT": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL",
    "DECIMAL": "NUMERIC", "BIGDECIMAL": "BIGNUMERIC",
}  # fmt: skip
