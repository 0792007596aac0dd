"""Values of BigQuery's types, as load jobs take them and as tabledata.list gives them."""

import base64
import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

Fields = list[dict[str, Any]]

SYNONYMS = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN", "STRUCT": "RECORD"}
PATTERNS = {
    "DATE": r"\d{4}-\d\d-\d\d",
    "TIME": r"\d\d:\d\d:\d\d(\.\d{1,6})?",
    "DATETIME": r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,6})?",
    "TIMESTAMP": r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)?",
}


def kind(field: dict[str, Any]) -> str:
    return SYNONYMS.get(field["type"].upper(), field["type"].upper())


def check_schema(fields: Fields) -> None:
    """Refuse what BigQuery would not make a table of."""
    names = [field["name"].lower() for field in fields]
    assert len(set(names)) == len(names), f"duplicate columns: {names}"
    for field in fields:
        assert re.fullmatch(r"[\w &%=+:'<>#|-]{1,300}", field["name"]), field["name"]
        assert not field["name"].upper().startswith(("_TABLE_", "_FILE_", "_PARTITION")), field["name"]
        assert kind(field) in {*PATTERNS, "INTEGER", "FLOAT", "BOOLEAN", "STRING", "BYTES", "NUMERIC",
                               "BIGNUMERIC", "JSON", "RECORD", "GEOGRAPHY", "INTERVAL", "RANGE"}  # fmt: skip
        check_schema(field.get("fields", []))


def checked(row: Any, fields: Fields) -> Any:
    """Return a row as a table keeps it; a message where it does not fit."""
    if not isinstance(row, dict):
        return "JSON object expected"
    known = {field["name"].lower(): field for field in fields}
    kept: dict[str, Any] = {}
    for name, value in row.items():
        if name.lower() not in known:
            return f"No such field: {name}."
        field = known[name.lower()]
        try:
            kept[field["name"]] = _kept(value, field)
        except (ValueError, TypeError, KeyError, AssertionError) as error:
            return f"JSON parsing error in row: Could not convert {value!r} to {name}: {error!r}"
    for field in fields:
        if field.get("mode") == "REQUIRED" and kept.get(field["name"]) is None:
            return f"Missing required field: {field['name']}."
    return kept


def _kept(value: Any, field: dict[str, Any]) -> Any:
    if field.get("mode") == "REPEATED":
        return [] if value is None else [_kept(one, {**field, "mode": "REQUIRED"}) for one in value]
    if value is None:
        assert field.get("mode") != "REQUIRED", "null"
        return None
    type_ = kind(field)
    if type_ == "RECORD":
        inner = checked(value, field["fields"])
        assert isinstance(inner, dict), inner
        return inner
    if type_ == "JSON":
        return value
    assert not isinstance(value, list | dict), "a scalar is expected"
    return _scalar(value, type_)


def _scalar(value: Any, type_: str) -> Any:
    if type_ in PATTERNS:
        assert re.fullmatch(PATTERNS[type_], value)
    if type_ in SCALARS:
        return SCALARS[type_](value)
    return value if isinstance(value, str) else json.dumps(value)


def _integer(value: Any) -> int:
    number = int(value) if isinstance(value, str) else value
    assert type(number) is int
    assert -(2**63) <= number < 2**63
    return number


def _float(value: Any) -> float:
    assert not isinstance(value, bool)
    return float(value)


def _boolean(value: Any) -> bool:
    assert isinstance(value, bool)
    return value


def _bytes(value: Any) -> str:
    return base64.b64encode(base64.b64decode(value, validate=True)).decode()


def _numeric(value: Any) -> str:
    return str(Decimal(str(value)))


SCALARS = {"INTEGER": _integer, "FLOAT": _float, "BOOLEAN": _boolean, "BYTES": _bytes, "NUMERIC": _numeric,
           "BIGNUMERIC": _numeric}  # fmt: skip


def on_wire(row: dict[str, Any], fields: Fields, *, micros: bool) -> dict[str, Any]:
    """Return a row as tabledata.list has it: every scalar is a string."""
    return {"f": [{"v": _wire(row.get(field["name"]), field, micros=micros)} for field in fields]}


def _wire(value: Any, field: dict[str, Any], *, micros: bool) -> Any:
    if field.get("mode") == "REPEATED":
        one = {**field, "mode": "NULLABLE"}
        return [{"v": _wire(each, one, micros=micros)} for each in value or ()]
    if value is None:
        return None
    type_ = kind(field)
    if type_ == "RECORD":
        return on_wire(value, field["fields"], micros=micros)
    if type_ == "TIMESTAMP":
        moment = datetime.fromisoformat(value)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        since = moment - datetime(1970, 1, 1, tzinfo=UTC)
        ticks = (since.days * 86400 + since.seconds) * 10**6 + since.microseconds
        return str(ticks) if micros else f"{ticks / 1e6:.6E}"
    if type_ == "FLOAT":
        return {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}.get(str(value), repr(value))
    return json.dumps(value) if type_ in ("JSON", "BOOLEAN") else str(value)
