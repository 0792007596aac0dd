"""Query parameters: from their texts on the wire to values of their types.

https://cloud.google.com/bigquery/docs/reference/rest/v2/QueryParameter
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any

from trivet.core.errors import InvalidArgument
from trivet.protocols.bigquery.schema import read_parameter_type
from trivet.sql.types import Kind, Type

Typed = tuple[Type, Any]

_INTEGER = re.compile(r"\s*[+-]?[0-9]{1,19}\s*")


def read_parameters(given: Any, mode: str) -> Mapping[str, Typed] | Sequence[Typed] | None:
    """Read the parameters of a query: by name, or in order where the mode is POSITIONAL.

    Raises InvalidArgument.
    """
    if not given:
        return None
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise InvalidArgument("queryParameters: expected a list of parameters")
    named = mode.upper() != "POSITIONAL" if mode else any(one.get("name") for one in given)
    found: dict[str, Typed] = {}
    for at, one in enumerate(given):
        name = str(one.get("name") or "") if named else f"{at + 1}"
        if not name or name.lower() in found:
            raise InvalidArgument(
                f"queryParameters[{at}]: two are named {name!r}" if name else
                f"queryParameters[{at}]: expected a name, since others have one"
            )  # fmt: skip
        where = f"query parameter {name!r}"
        type_ = read_parameter_type(one.get("parameterType"), where)
        found[name.lower() if named else name] = type_, _read(one.get("parameterValue"), type_, where)
    return found if named else list(found.values())


def _read(value: Any, type_: Type, where: str) -> Any:
    value = {} if value is None else value
    if not isinstance(value, dict):
        raise InvalidArgument(f"{where}: expected a parameterValue")
    if type_.item is not None:
        items = value.get("arrayValues")
        return None if items is None else [_read(item, type_.item, where) for item in items]
    if type_.kind == "STRUCT":
        parts = value.get("structValues")
        if parts is None:
            return None
        unknown = sorted(set(parts) - {field.name for field in type_.fields})
        if unknown:
            raise InvalidArgument(f"{where}: has no field {unknown[0]!r} by its type, {type_}")
        return {field.name: _read(parts.get(field.name), field.type, where) for field in type_.fields}
    content = value.get("value")
    if content is None:
        return None
    if isinstance(content, bool):
        content = "true" if content else "false"
    try:
        return READS[type_.kind](str(content))
    except (ValueError, InvalidOperation, binascii.Error):
        raise InvalidArgument(
            f"{where}: expected a value of type {type_}; got {str(content)[:100]!r}"
        ) from None


def read_bool(text: str) -> bool:
    """Read a boolean in any case; raises ValueError."""
    if (found := {"true": True, "false": False}.get(text.strip().lower())) is None:
        raise ValueError(text)
    return found


def read_number(text: str) -> Decimal:
    """Read a decimal number that is finite; raises ValueError, InvalidOperation."""
    if not (found := Decimal(text.strip())).is_finite():
        raise ValueError(text)
    return found


def read_float(text: str) -> float:
    """Read a number, NaN or an infinity; raises ValueError."""
    if "_" in text:
        raise ValueError(text)
    return float(text)


def read_timestamp(text: str) -> datetime:
    """Read a time with a zone, UTC where it has none; raises ValueError."""
    found = datetime.fromisoformat(_iso(text.removesuffix(" UTC")))
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def read_datetime(text: str) -> datetime:
    """Read a time without a zone; raises ValueError."""
    found = datetime.fromisoformat(_iso(text))
    if found.tzinfo is not None:
        raise ValueError(text)
    return found


def _iso(text: str) -> str:
    """Return a time as `fromisoformat` takes it, with no more than microseconds."""
    head, dot, fraction = text.strip().replace("Z", "+00:00").replace("z", "+00:00").partition(".")
    if not dot:
        return head
    digits = len(fraction) - len(fraction.lstrip("0123456789"))
    return f"{head}.{fraction[: min(digits, 6)].ljust(6, '0')}{fraction[digits:].strip()}"


def read_int(text: str) -> int:
    """Read a whole number of 64 bits; raises ValueError."""
    if not _INTEGER.fullmatch(text):
        raise ValueError(text)
    found = int(text)
    if not -(2**63) <= found < 2**63:
        raise ValueError(text)
    return found


READS: Mapping[Kind, Callable[[str], Any]] = {
    "INT64": read_int,
    "FLOAT64": read_float,
    "NUMERIC": read_number,
    "BIGNUMERIC": read_number,
    "BOOL": read_bool,
    "STRING": str,
    "JSON": str,
    "INTERVAL": str,
    "BYTES": lambda text: base64.b64decode(text, validate=True),
    "DATE": lambda text: date.fromisoformat(text.strip()),
    "TIME": lambda text: time.fromisoformat(_iso(text)),
    "DATETIME": read_datetime,
    "TIMESTAMP": read_timestamp,
}
"""How the text of each type is read; raises ValueError, InvalidOperation or binascii.Error."""
