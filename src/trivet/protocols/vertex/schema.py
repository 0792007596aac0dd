"""Reads a resource as a caller gave it: known fields are checked and made uniform, others are kept.

A reader takes a value of JSON and the path at which it stands, and returns the value in proto-JSON's own
form: camelCase, enums by name, 32-bit integers as numbers and 64-bit ones as text. Newer clients send
fields that are not known here, so those pass as they are.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from trivet.core.errors import InvalidArgument
from trivet.core.signature import unknown
from trivet.protocols.vertex.wire import Json, camel, got

Reader = Callable[[Any, str], Any]

_DURATION = re.compile(r"-?[0-9]{1,12}(?:\.[0-9]{1,9})?s")
_WHOLE = re.compile(r"-?[0-9]{1,20}")


def text(value: Any, where: str) -> str:
    """Read a string."""
    if not isinstance(value, str):
        raise _wrong("a string", value, where)
    return value


def flag(value: Any, where: str) -> bool:
    """Read a boolean."""
    if not isinstance(value, bool):
        raise _wrong("true or false", value, where)
    return value


def number(value: Any, where: str) -> float:
    """Read a floating-point number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong("a number", value, where)
    return float(value)


def int32(value: Any, where: str) -> int:
    """Read an integer of 32 bits."""
    return _integer(value, where, 32)


def int64(value: Any, where: str) -> str:
    """Read an integer of 64 bits, which is text in proto-JSON."""
    return str(_integer(value, where, 64))


def duration(value: Any, where: str) -> str:
    """Read a duration, in seconds with an `s` behind."""
    if not isinstance(value, str) or not _DURATION.fullmatch(value):
        raise _wrong('a duration in seconds, such as "600s"', value, where)
    return value


def timestamp(value: Any, where: str) -> str:
    """Read a time in the form of RFC 3339."""
    try:
        if datetime.fromisoformat(value).tzinfo is not None:
            return str(value)
    except (TypeError, ValueError):
        pass
    raise _wrong('a time with its zone, such as "2026-01-31T12:00:00Z"', value, where)


def anything(value: Any, where: str) -> Any:
    """Read any JSON."""
    return value


def enum(**names: int) -> Reader:
    """Read a name or a number of an enum; numbers that are not known here stay numbers."""
    by_number = {number: name for name, number in names.items()}

    def read(value: Any, where: str) -> str | int:
        if isinstance(value, str) and value not in names and not _WHOLE.fullmatch(value):
            raise InvalidArgument(f"{where}: {unknown(value, tuple(names), 'value')} Got {got(value)}")
        if isinstance(value, str) and value in names:
            return value
        number = _integer(value, where, 32, expected="a name or a number of the enum")
        return by_number.get(number, number)

    return read


def each(one: Reader) -> Reader:
    """Read a list."""

    def read(value: Any, where: str) -> list[Any]:
        if not isinstance(value, list):
            raise _wrong("a list", value, where)
        return [one(item, f"{where}[{index}]") for index, item in enumerate(value)]

    return read


def by_key(one: Reader) -> Reader:
    """Read an object whose keys are the caller's own."""

    def read(value: Any, where: str) -> Json:
        if not isinstance(value, dict):
            raise _wrong("an object", value, where)
        return {key: one(item, f"{where}[{key!r}]") for key, item in value.items()}

    return read


def message(fields: Mapping[str, Reader]) -> Reader:
    """Read an object of these fields, given in camelCase or snake_case; null is as if it were not there."""

    def read(value: Any, where: str) -> Json:
        if not isinstance(value, dict):
            raise _wrong("an object", value, where)
        made: Json = {}
        for key, item in value.items():
            name = key if key in fields else camel(key)
            at = f"{where}.{name}" if where else name
            if name in made:
                raise InvalidArgument(f"{at}: given twice, as {name} and as {key}")
            if item is not None:
                reader = fields.get(name)
                made[name if reader else key] = reader(item, at) if reader else item
        return made

    return read


def _integer(value: Any, where: str, bits: int, expected: str = "an integer") -> int:
    written = isinstance(value, str) and _WHOLE.fullmatch(value)
    read = int(value) if written or (isinstance(value, float) and value.is_integer()) else value
    if isinstance(read, bool) or not isinstance(read, int):
        raise _wrong(expected, value, where)
    if not -(2 ** (bits - 1)) <= read < 2 ** (bits - 1):
        raise _wrong(f"{expected} of {bits} bits", value, where)
    return read


def _wrong(expected: str, value: Any, where: str) -> InvalidArgument:
    return InvalidArgument(f"{where}: expected {expected}; got {got(value)}")
