"""Rows as columns, for sinks that have such: the fields of objects, and beside them what is known of them.

Objects need not have the same fields. Another value than an object is in a column `instance`; where there
are keys, they are all there is, in a column `key`.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from trivet.sinks.base import Results

PREDICTION = "prediction"
RECORD = ("source", "offset")
"""The columns that tell, natively, which record a row is of."""

_raw = msgspec.json.Decoder(msgspec.Raw).decode
_raw_row = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_raw_rows = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode


def fields(results: Results, absent: Any, *, native: bool) -> dict[str, Sequence[Any]]:
    """Return the columns of what stands for the instances: texts of JSON, which may be `msgspec.Raw`.

    `absent` is where a row has no such field. A field that is called like one of the output's own columns is
    called `instance_...` instead, and so are those that are called like that already.
    """
    if results.keys is not None:
        return {"key": results.keys}
    if results.shown is None or not results.shown:
        return {}
    rows = _rows(results.shown)
    names: dict[str, None] = {}
    for row in rows:
        if row.keys() != names.keys():
            names.update(dict.fromkeys(row))
    called = _called(names, (PREDICTION, *RECORD) if native else (PREDICTION,))
    return {called[name]: [row.get(name, absent) for row in rows] for name in names}


def _rows(texts: Sequence[bytes]) -> list[dict[str, Any]]:
    try:
        return _raw_rows(b"[" + b",".join(texts) + b"]")
    except (msgspec.MsgspecError, RecursionError):
        return [_row(text) for text in texts]


def _row(text: bytes) -> dict[str, Any]:
    try:
        return _raw_row(text)
    except (msgspec.MsgspecError, RecursionError):
        return {"instance": text}


def _called(names: Mapping[str, None], own: Sequence[str]) -> dict[str, str]:
    taken = re.compile(f"(instance_)*({'|'.join(own)})")
    return {name: f"instance_{name}" if taken.fullmatch(name) else name for name in names}
