"""Parameters as BigQuery's client takes them, and the columns that it gives."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from trivet.core.errors import Unimplemented
from trivet.sql.parameters import Given, Parameter, read
from trivet.sql.types import Field, Kind, Type, array

_NAMES: Mapping[str, str] = {
    "INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL", "RECORD": "STRUCT", "DECIMAL": "NUMERIC",
    "BIGDECIMAL": "BIGNUMERIC",
}  # fmt: skip
_KINDS = (
    "INT64", "FLOAT64", "NUMERIC", "BIGNUMERIC", "BOOL", "STRING", "BYTES", "JSON", "DATE", "TIME",
    "DATETIME", "TIMESTAMP", "INTERVAL",
)  # fmt: skip


def parameters(given: Given, library: Any) -> list[Any]:
    """Return query parameters; those of `?` have no names. Raises InvalidArgument."""
    positional = given is not None and not isinstance(given, Mapping)
    return [
        _parameter(library, None if positional else name, one.type, one.value)
        for name, one in read(given).items()
    ]


def _parameter(library: Any, name: str | None, type_: Type, value: Any) -> Any:
    if type_.item is not None:
        if type_.item.kind != "STRUCT":
            return library.ArrayQueryParameter(name, type_.item.kind, value)
        kinds = library.StructQueryParameterType(*(_kind(library, one) for one in type_.item.fields))
        return library.ArrayQueryParameter(
            name, kinds, [_struct(library, None, type_.item, one) for one in value]
        )
    if type_.kind == "STRUCT":
        return _struct(library, name, type_, value)
    return library.ScalarQueryParameter(name, type_.kind, value)


def _struct(library: Any, name: str | None, type_: Type, value: Mapping[str, Any]) -> Any:
    parts = (_parameter(library, one.name, one.type, value.get(one.name)) for one in type_.fields)
    return library.StructQueryParameter(name, *parts)


def _kind(library: Any, field: Field) -> Any:
    type_ = field.type
    if type_.item is not None:
        inner = _kind(library, Field("", type_.item))
        return library.ArrayQueryParameterType(inner, name=field.name)
    if type_.kind == "STRUCT":
        return library.StructQueryParameterType(
            *(_kind(library, one) for one in type_.fields), name=field.name
        )
    return library.ScalarQueryParameterType(type_.kind, name=field.name or None)


def fields(schema: Sequence[Any]) -> tuple[Field, ...]:
    """Return the columns of a schema of BigQuery's client.

    Raises Unimplemented for types that Trivet does not know, GEOGRAPHY and RANGE.
    """
    return tuple(_field(one) for one in schema)


def _field(given: Any) -> Field:
    name = _NAMES.get(given.field_type.upper(), given.field_type.upper())
    if name == "STRUCT":
        type_ = Type("STRUCT", fields=fields(given.fields))
    elif name in _KINDS:
        type_ = Type(cast(Kind, name))
    else:
        raise Unimplemented(f"column {given.name} is of type {name}, which trivet sql does not show; CAST it")
    repeated = (given.mode or "").upper() == "REPEATED"
    required = (given.mode or "").upper() == "REQUIRED"
    return Field(given.name, array(type_) if repeated else type_, required, given.description or "")


__all__ = ["Parameter", "fields", "parameters"]
