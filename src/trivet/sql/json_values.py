"""Values of columns from JSON and from texts, as BigQuery takes them from files and inserted rows.

https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-json#details_of_loading_json_data
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import Any

from trivet.sql.types import Field, Kind, Type, array, struct

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIMESTAMP = re.compile(
    r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?( ?(UTC|Z|[+-]\d{2}:?\d{2}))?", re.ASCII
)
_TRUE, _FALSE = ("true", "t", "1", "yes", "y"), ("false", "f", "0", "no", "n")
_EXACT = Context(prec=80)
_SCALE = {"NUMERIC": (Decimal("1e-9"), 38), "BIGNUMERIC": (Decimal("1e-18"), 38)}


class Misfit(ValueError):
    """A value that does not fit its column, or no column; `location` is the column's name."""

    def __init__(self, location: str, message: str) -> None:
        super().__init__(message)
        self.location = location


def row(
    given: Any, fields: Sequence[Field], *, ignore_unknown: bool = False, within: str = ""
) -> dict[str, Any]:
    """Return the values of a row, or of a record, by the names of its columns; raises Misfit."""
    if not isinstance(given, Mapping):
        raise Misfit(within, f"expected an object; got {_shown(given)}")
    values = {name.lower(): value for name, value in given.items()}
    found = {}
    for field in fields:
        found[field.name] = _field(values.pop(field.name.lower(), None), field, ignore_unknown, within)
    if values and not ignore_unknown:
        name = next(one for one in given if one.lower() in values)
        raise Misfit(f"{within}{name}", f"no such field: {within}{name}.")
    return found


def _field(value: Any, field: Field, ignore_unknown: bool, within: str) -> Any:
    name = within + field.name
    type_ = field.type
    if type_.item is not None:
        if value is None:
            return []
        if not isinstance(value, list):
            raise Misfit(name, f"Array specified for non-repeated field, or none for {name}: {_shown(value)}")
        if any(one is None for one in value):
            raise Misfit(name, f"Only optional fields can be set to NULL. Field: {name}; Value: NULL")
        return [_one(one, type_.item, ignore_unknown, name) for one in value]
    if value is None:
        if field.required:
            raise Misfit(name, f"Missing required field: {name}.")
        return None
    return _one(value, type_, ignore_unknown, name)


def _one(value: Any, type_: Type, ignore_unknown: bool, name: str) -> Any:
    if type_.kind == "STRUCT":
        if not isinstance(value, Mapping):
            raise Misfit(name, f"This field: {name} is a record; got {_shown(value)}")
        return row(value, type_.fields, ignore_unknown=ignore_unknown, within=f"{name}.")
    if isinstance(value, list):
        raise Misfit(name, f"Array specified for non-repeated field: {name}.")
    if isinstance(value, Mapping) and type_.kind != "JSON":
        raise Misfit(name, f"This field: {name} is not a record.")
    try:
        return READS[type_.kind](value)
    except (ValueError, InvalidOperation, binascii.Error, OverflowError):
        raise Misfit(
            name, f"Could not convert value to {type_}. Field: {name}; Value: {_shown(value)}"
        ) from None


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _int(value: Any) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not -(2**63) <= value < 2**63:
        raise ValueError(value)
    return value


def _float(value: Any) -> float:
    if isinstance(value, bool) or (isinstance(value, str) and "_" in value):
        raise ValueError(value)
    return float(value)


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = value.strip().lower() if isinstance(value, str) else ""
    if text not in (*_TRUE, *_FALSE):
        raise ValueError(value)
    return text in _TRUE


def _string(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)


def _decimal(kind: str) -> Callable[[Any], Decimal]:
    unit, digits = _SCALE[kind]

    def read(value: Any) -> Decimal:
        if isinstance(value, bool):
            raise ValueError(value)
        found = Decimal(str(value).strip())
        if not found.is_finite() or found.adjusted() >= digits + unit.adjusted():
            raise ValueError(value)
        return found.quantize(unit, ROUND_HALF_UP, _EXACT)

    return read


def _bytes(value: Any) -> bytes:
    if not isinstance(value, str):
        raise ValueError(value)
    return base64.b64decode(value.replace("-", "+").replace("_", "/"), validate=True)


def _json(value: Any) -> str:
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        return json.dumps(json.loads(value))
    return json.dumps(value, ensure_ascii=False)


def iso(text: str) -> str:
    """Return a time as `fromisoformat` takes it, with no more than microseconds."""
    text = text.strip().removesuffix("UTC").strip().replace("z", "Z").replace("Z", "+00:00")
    head, dot, fraction = text.partition(".")
    if not dot:
        return head
    digits = len(fraction) - len(fraction.lstrip("0123456789"))
    return f"{head}.{fraction[: min(digits, 6)].ljust(6, '0')}{fraction[digits:].strip()}"


def _datetime(value: Any) -> datetime:
    if not isinstance(value, str):
        raise ValueError(value)
    found = datetime.fromisoformat(iso(value))
    if found.tzinfo is not None:
        raise ValueError(value)
    return found


def _timestamp(value: Any) -> datetime:
    """Read a time, or seconds since 1970."""
    if isinstance(value, bool):
        raise ValueError(value)
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = Decimal(value.strip())
    if not isinstance(value, str):
        return _EPOCH + timedelta(microseconds=round(Decimal(str(value)) * 10**6))
    found = datetime.fromisoformat(iso(value))
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _text(read: Callable[[str], Any]) -> Callable[[Any], Any]:
    def of(value: Any) -> Any:
        if not isinstance(value, str):
            raise ValueError(value)
        return read(value.strip())

    return of


READS: Mapping[Kind, Callable[[Any], Any]] = {
    "INT64": _int,
    "FLOAT64": _float,
    "NUMERIC": _decimal("NUMERIC"),
    "BIGNUMERIC": _decimal("BIGNUMERIC"),
    "BOOL": _bool,
    "STRING": _string,
    "BYTES": _bytes,
    "JSON": _json,
    "DATE": _text(lambda text: date.fromisoformat(text[:10]) if _DATE.fullmatch(text) else _raise(text)),
    "TIME": _text(lambda text: time.fromisoformat(iso(text))),
    "DATETIME": _datetime,
    "TIMESTAMP": _timestamp,
    "INTERVAL": _text(str),
}
"""How a value that is not NULL is read as one of each type; raises ValueError and its like."""


def _raise(text: str) -> Any:
    raise ValueError(text)


def arrow_type(type_: Type) -> Any:
    """Return the type of Arrow that has the values; JSON and INTERVAL are texts."""
    import pyarrow as pa

    if type_.item is not None:
        return pa.list_(arrow_type(type_.item))
    if type_.kind == "STRUCT":
        return pa.struct([pa.field(one.name, arrow_type(one.type)) for one in type_.fields])
    kinds: dict[Kind, Any] = {
        "INT64": pa.int64(), "FLOAT64": pa.float64(), "NUMERIC": pa.decimal128(38, 9),
        "BIGNUMERIC": pa.decimal128(38, 18), "BOOL": pa.bool_(), "BYTES": pa.binary(), "DATE": pa.date32(),
        "TIME": pa.time64("us"), "DATETIME": pa.timestamp("us"), "TIMESTAMP": pa.timestamp("us", "UTC"),
    }  # fmt: skip
    return kinds.get(type_.kind, pa.string())


def schema_of(fields: Sequence[Field]) -> Any:
    """Return the columns as a `pyarrow.Schema`."""
    import pyarrow as pa

    return pa.schema([pa.field(one.name, arrow_type(one.type)) for one in fields])


def batch(rows: Sequence[Mapping[str, Any]], fields: Sequence[Field]) -> Any:
    """Return rows, as `row` gives them, as a `pyarrow.RecordBatch`."""
    import pyarrow as pa

    columns = [pa.array([one[field.name] for one in rows], arrow_type(field.type)) for field in fields]
    return pa.RecordBatch.from_arrays(columns, schema=schema_of(fields))


def detect(rows: Iterable[Mapping[str, Any]], *, texts: bool = False) -> tuple[Field, ...]:
    """Return the columns that rows have, by their values; of `texts`, numbers and booleans are such, too."""
    values: dict[str, list[Any]] = {}
    for one in rows:
        for name, value in one.items():
            values.setdefault(name, []).append(value)
    return tuple(Field(name, _type_of(given, texts)) for name, given in values.items())


def _type_of(values: Sequence[Any], texts: bool) -> Type:
    known = [one for one in values if one is not None]
    if any(isinstance(one, list) for one in known):
        items = [item for one in known for item in (one if isinstance(one, list) else [one])]
        item = _type_of(items, texts)
        return array(item) if item.kind != "ARRAY" else array(struct(Field("v", item)))
    if known and all(isinstance(one, Mapping) for one in known):
        return struct(*detect(known, texts=texts))
    for kind, is_one in _DETECTED:
        if known and all(is_one(one, texts) for one in known):
            return Type(kind)
    return Type("STRING")


def _is_text(pattern: "re.Pattern[str]", kind: Kind) -> Callable[[Any, bool], bool]:
    def is_one(value: Any, texts: bool) -> bool:
        if not isinstance(value, str) or not pattern.fullmatch(value.strip()):
            return False
        try:
            READS[kind](value)
        except (ValueError, InvalidOperation, OverflowError):
            return False
        return True

    return is_one


def _is_int(value: Any, texts: bool) -> bool:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return whole or (texts and isinstance(value, str) and _INTEGER.fullmatch(value.strip()) is not None)


def _is_float(value: Any, texts: bool) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number or (texts and isinstance(value, str) and _NUMBER.fullmatch(value.strip()) is not None)


def _is_bool(value: Any, texts: bool) -> bool:
    return isinstance(value, bool) or (
        texts and isinstance(value, str) and value.lower() in ("true", "false")
    )


_DETECTED: tuple[tuple[Kind, Callable[[Any, bool], bool]], ...] = (
    ("BOOL", _is_bool),
    ("INT64", _is_int),
    ("FLOAT64", _is_float),
    ("DATE", _is_text(_DATE, "DATE")),
    ("TIMESTAMP", _is_text(_TIMESTAMP, "TIMESTAMP")),
)
