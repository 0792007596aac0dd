"""Columns and types as the API has them: TableSchema for tables, StandardSqlDataType for models.

https://cloud.google.com/bigquery/docs/reference/rest/v2/tables#TableFieldSchema
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from trivet.core.errors import InvalidArgument, Unimplemented
from trivet.sql.types import Field, Kind, Type, array

Json = dict[str, Any]

_NAMES: Mapping[Kind, str] = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN", "STRUCT": "RECORD"}
"""Types that the API calls otherwise than GoogleSQL does."""

_KINDS: Mapping[str, Kind] = {
    "INTEGER": "INT64", "INT64": "INT64", "FLOAT": "FLOAT64", "FLOAT64": "FLOAT64", "BOOLEAN": "BOOL",
    "BOOL": "BOOL", "NUMERIC": "NUMERIC", "DECIMAL": "NUMERIC", "BIGNUMERIC": "BIGNUMERIC",
    "BIGDECIMAL": "BIGNUMERIC", "STRING": "STRING", "BYTES": "BYTES", "JSON": "JSON", "DATE": "DATE",
    "TIME": "TIME", "DATETIME": "DATETIME", "TIMESTAMP": "TIMESTAMP", "INTERVAL": "INTERVAL",
    "RECORD": "STRUCT", "STRUCT": "STRUCT",
}  # fmt: skip

_MODES = ("NULLABLE", "REQUIRED", "REPEATED")
_DEEPEST = 15
_REFUSED = ("defaultValueExpression", "rangeElementType", "roundingMode", "foreignTypeDefinition")


def schema_json(fields: Sequence[Field]) -> Json:
    """Write columns as a TableSchema."""
    return {"fields": [_field_json(field) for field in fields]}


def _field_json(field: Field) -> Json:
    repeated = field.type.item
    type_ = repeated or field.type
    mode = "REPEATED" if repeated else "REQUIRED" if field.required else "NULLABLE"
    written: Json = {"name": field.name, "type": _NAMES.get(type_.kind, type_.kind), "mode": mode}
    if field.description:
        written["description"] = field.description
    if type_.kind == "STRUCT":
        written["fields"] = [_field_json(one) for one in type_.fields]
    return written


def read_schema(schema: Any, where: str = "schema") -> tuple[Field, ...]:
    """Read a TableSchema; none gives no columns. Raises InvalidArgument, or Unimplemented for a type."""
    if schema is None:
        return ()
    if not isinstance(schema, dict) or not isinstance(schema.get("fields", []), list):
        raise InvalidArgument(f"{where}: expected an object with a list of fields")
    return _read_fields(schema.get("fields", []), where, 1)


def _read_fields(fields: Sequence[Any], where: str, depth: int) -> tuple[Field, ...]:
    if depth > _DEEPEST:
        raise InvalidArgument(f"{where}: records are nested in more than {_DEEPEST} levels")
    found = tuple(_read_field(field, f"{where}.fields[{at}]", depth) for at, field in enumerate(fields))
    seen: set[str] = set()
    for one in found:
        if one.name.lower() in seen:
            raise InvalidArgument(f"{where}: duplicate field name {one.name!r}; case makes no difference")
        seen.add(one.name.lower())
    return found


def _read_field(field: Any, where: str, depth: int) -> Field:
    name = field.get("name") if isinstance(field, dict) else None
    if not isinstance(name, str) or not name:
        raise InvalidArgument(f"{where}: expected a field with a name and a type")
    where = f"field {name!r}"
    for other in _REFUSED:
        if field.get(other):
            raise Unimplemented(f"{where}: {other} is not supported")
    said, mode = str(field.get("type", "")).upper(), str(field.get("mode") or "NULLABLE").upper()
    if mode not in _MODES:
        raise InvalidArgument(f"{where}: mode {mode!r}; expected one of {', '.join(_MODES)}")
    kind = _KINDS.get(said)
    if kind is None:
        if said in ("GEOGRAPHY", "RANGE", "FOREIGN"):
            raise Unimplemented(f"{where}: type {said} is not supported")
        raise InvalidArgument(f"{where}: type {said!r}; expected one of {', '.join(_KINDS)}")
    type_ = Type(kind)
    if kind == "STRUCT":
        inner = field.get("fields")
        if not isinstance(inner, list) or not inner:
            raise InvalidArgument(f"{where}: a {said} needs a list of fields")
        type_ = Type(kind, fields=_read_fields(inner, where, depth + 1))
    if mode == "REPEATED":
        type_ = array(type_)
    return Field(name, type_, mode == "REQUIRED", str(field.get("description") or ""))


def standard_json(fields: Sequence[Field]) -> list[Json]:
    """Write columns as StandardSqlFields, as models have them."""
    return [{"name": field.name, "type": _standard_type(field.type)} for field in fields]


def _standard_type(type_: Type) -> Json:
    if type_.item is not None:
        return {"typeKind": "ARRAY", "arrayElementType": _standard_type(type_.item)}
    if type_.kind == "STRUCT":
        return {"typeKind": "STRUCT", "structType": {"fields": standard_json(type_.fields)}}
    return {"typeKind": type_.kind}


def read_parameter_type(type_: Any, where: str, depth: int = 1) -> Type:
    """Read a QueryParameterType; raises InvalidArgument, or Unimplemented."""
    if not isinstance(type_, dict) or depth > _DEEPEST:
        raise InvalidArgument(f"{where}: expected a parameterType")
    said = str(type_.get("type", "")).upper()
    if said == "ARRAY":
        item = read_parameter_type(type_.get("arrayType"), where, depth + 1)
        if item.kind == "ARRAY":
            raise InvalidArgument(f"{where}: an array of arrays; put a STRUCT between them")
        return array(item)
    kind = _KINDS.get(said)
    if kind == "STRUCT":
        parts = type_.get("structTypes")
        if not isinstance(parts, list) or not parts:
            raise InvalidArgument(f"{where}: a STRUCT needs structTypes")
        fields = (cast(Json, part) if isinstance(part, dict) else {} for part in parts)
        return Type(
            "STRUCT",
            fields=tuple(
                Field(str(part.get("name") or ""), read_parameter_type(part.get("type"), where, depth + 1))
                for part in fields
            ),
        )
    if kind is None:
        if said in ("GEOGRAPHY", "RANGE"):
            raise Unimplemented(f"{where}: type {said} is not supported")
        raise InvalidArgument(f"{where}: type {said!r}; expected one of {', '.join(_KINDS)}, ARRAY")
    return Type(kind)
