"""Values of BigQuery's REST API, where every scalar is a string, as JSON by the types of their columns.

The types are turned as the managed service documents it (numbers, booleans, strings; RECORD is an object,
REPEATED an array); bytes are `{"b64": ...}`, as in instances.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from trivet.codecs.arrow_cells import EXACT, Texts, decimal_text, json_text

Field = Mapping[str, Any]
"""A column: name, type, mode and fields, as the API has them."""

_encode = msgspec.json.Encoder().encode
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SYNONYMS = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN", "STRUCT": "RECORD"}


def type_of(field: Field) -> str:
    """Return a column's type by the older of its names."""
    name = str(field.get("type", "STRING")).upper()
    return _SYNONYMS.get(name, name)


def texts(values: Sequence[Any], field: Field) -> Texts:
    """Return the JSON text of each value of a column, as `tabledata.list` has them."""
    if field.get("mode") == "REPEATED":
        inner = texts([one["v"] for value in values for one in value or ()], {**field, "mode": "NULLABLE"})
        found, at = [], 0
        for value in values:
            length = len(value or ())
            found.append(b"[" + b",".join(inner[at : at + length]) + b"]")
            at += length
        return found
    if type_of(field) == "RECORD":
        return _records(values, field["fields"])
    write: Callable[[str], bytes] = _SCALARS.get(type_of(field), _encode)
    return [b"null" if value is None else write(value) for value in values]


def _records(values: Sequence[Any], fields: Sequence[Field]) -> Texts:
    template = b"{%b}" % b",".join([_encode(one["name"]).replace(b"%", b"%%") + b":%b" for one in fields])
    there = [value["f"] for value in values if value is not None]
    columns = [texts([row[index]["v"] for row in there], field) for index, field in enumerate(fields)]
    rows = zip(*columns, strict=True) if columns else iter([()] * len(there))
    return [b"null" if value is None else template % next(rows) for value in values]


def _float(text: str) -> bytes:
    return _encode(float(text))  # "NaN" and "Infinity" are null


def _decimal(text: str) -> bytes:
    return decimal_text(Decimal(text))


def _bytes(text: str) -> bytes:
    return b'{"b64":' + _encode(text) + b"}"


def _timestamp(text: str) -> bytes:
    return _encode(str(_EPOCH + timedelta(microseconds=int(text))))


_SCALARS: dict[str, Callable[[str], bytes]] = {
    "INTEGER": lambda text: text.encode(),
    "BOOLEAN": lambda text: text.lower().encode(),
    "FLOAT": _float,
    "NUMERIC": _decimal,
    "BIGNUMERIC": _decimal,
    "BYTES": _bytes,
    "TIMESTAMP": _timestamp,
    "JSON": json_text,
}  # all others are strings, and stay such


def matrix(columns: Sequence[Sequence[Any]], fields: Sequence[Field]) -> NDArray[np.float64] | None:
    """Return columns as rows of float64; None where a value is not a number that a float64 holds exactly."""
    found = []
    for values, field in zip(columns, fields, strict=True):
        if field.get("mode") == "REPEATED" or type_of(field) not in ("INTEGER", "FLOAT") or None in values:
            return None
        if type_of(field) == "INTEGER":
            numbers = [int(value) for value in values]
            if numbers and not -EXACT <= min(numbers) <= max(numbers) <= EXACT:
                return None
        found.append(np.array(values, dtype=object).astype(np.float64))
    if not found:
        return None
    together = np.column_stack(found)
    return together if np.isfinite(together).all() else None
