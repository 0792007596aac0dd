"""The values of `--param NAME:TYPE:VALUE`."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from trivet.core.errors import InvalidArgument

if TYPE_CHECKING:
    from trivet.sql.parameters import Given
    from trivet.sql.types import Type


def parameters(given: Sequence[str]) -> "Given":
    """Return the parameters by name, or in order where they have none; raises InvalidArgument."""
    from trivet.sql.parameters import Parameter

    named, listed = {}, []
    for text in given:
        name, colon, rest = text.partition(":")
        kind, _, value = _type_of(rest)
        if not colon or not _:
            raise InvalidArgument(f"--param {text!r}: expected NAME:TYPE:VALUE, as least:INT64:5")
        type_ = _read(kind or "STRING", text)
        try:
            one = Parameter(type_, None if value == "NULL" else _value(type_, value))
        except (ValueError, ArithmeticError) as error:
            raise InvalidArgument(f"--param {text!r}: no {type_}: {error}") from None
        if name:
            named[name] = one
        else:
            listed.append(one)
    if named and listed:
        raise InvalidArgument("--param: expected either all with a name, or none")
    return listed or named or None


def _type_of(rest: str) -> tuple[str, str, str]:
    """Split TYPE:VALUE where the type ends, which may hold `<` and `>`."""
    depth = 0
    for at, letter in enumerate(rest):
        depth += {"<": 1, ">": -1}.get(letter, 0)
        if letter == ":" and depth == 0:
            return rest[:at], ":", rest[at + 1 :]
    return rest, "", ""


def _read(kind: str, text: str) -> "Type":
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    from trivet.sql.options import type_of

    try:
        return type_of(exp.DataType.build(kind, dialect="bigquery"), f"--param {text!r}")
    except SqlglotError:
        raise InvalidArgument(f"--param {text!r}: {kind} is no type") from None


def _value(type_: "Type", text: str) -> Any:
    if type_.kind in ("ARRAY", "STRUCT"):
        return _of_json(type_, json.loads(text))
    return _scalar(type_, text)


def _of_json(type_: "Type", value: Any) -> Any:
    if value is None:
        return None
    if type_.item is not None:
        if not isinstance(value, list):
            raise ValueError("expected a JSON array")
        return [_of_json(type_.item, one) for one in value]
    if type_.kind == "STRUCT":
        if not isinstance(value, dict):
            raise ValueError("expected a JSON object")
        return {one.name: _of_json(one.type, value.get(one.name)) for one in type_.fields}
    return _scalar(type_, value if isinstance(value, str) else json.dumps(value))


def _scalar(type_: "Type", text: str) -> Any:
    return _READ.get(type_.kind, str)(text)


def _bool(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("expected true or false")
    return text.lower() == "true"


def _timestamp(text: str) -> datetime:
    read = datetime.fromisoformat(text)
    return read if read.tzinfo else read.replace(tzinfo=UTC)


_READ: dict[str, Callable[[str], Any]] = {
    "INT64": int,
    "FLOAT64": float,
    "NUMERIC": Decimal,
    "BIGNUMERIC": Decimal,
    "BOOL": _bool,
    "BYTES": str.encode,
    "DATE": date.fromisoformat,
    "TIME": time.fromisoformat,
    "DATETIME": datetime.fromisoformat,
    "TIMESTAMP": _timestamp,
}
