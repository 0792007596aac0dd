"""Rows as columns, for sinks that have such: the fields of objects, as they are written or as values.

Objects need not have the same fields; where they have, which is usual, they are read in a third of the time.
Another value than an object is in a column `instance`; where there are keys, they are all there is, in a
column `key`.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from trivet.sinks.base import Results

PREDICTION = "prediction"
RECORD = ("source", "offset")
"""The columns that tell, natively, which record a row is of."""

_REFUSALS = (msgspec.MsgspecError, ValueError, RecursionError)
_raw_row = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_value = msgspec.json.Decoder().decode
_astuple = msgspec.structs.astuple


def fields(results: Results, absent: Any, *, native: bool) -> dict[str, Sequence[Any]]:
    """Return the columns of what stands for the instances: JSON texts, which may be `msgspec.Raw`.

    `absent` is where a row has no such field.
    A field that is called like one of the output's own columns is called `instance_...` instead, and so are
    those that are called like that already.
    """
    if results.keys is not None:
        return {"key": results.keys}
    return _named(_columns(results.shown or (), msgspec.Raw, _as_it_is, absent), native=native)


def values(results: Results, *, native: bool) -> dict[str, Sequence[Any]]:
    """Return the same columns with values; None where a row has no such field.

    What Python cannot hold as a value, as the number 1e999, is its text, as `msgspec.Raw`.
    """
    if results.keys is not None:
        return {"key": [decoded(key) for key in results.keys]}
    return _named(_columns(results.shown or (), Any, decoded, None), native=native)


def decoded(text: bytes | msgspec.Raw) -> Any:
    """Return the value of a JSON text, or what cannot be a value here as it is."""
    try:
        return _value(text)
    except _REFUSALS:
        return msgspec.Raw(bytes(text))


def _as_it_is(text: bytes | msgspec.Raw) -> Any:
    return text


def _columns(
    shown: Sequence[bytes], kind: Any, read: Callable[[bytes | msgspec.Raw], Any], absent: Any
) -> dict[str, Sequence[Any]]:
    if not shown:
        return {}
    try:
        names = tuple(_raw_row(shown[0]))
        same = _reader(names, kind)(b"[" + b",".join(shown) + b"]")
        return dict(zip(names, zip(*map(_astuple, same), strict=True), strict=True))
    except _REFUSALS:
        rows = [_row(text, read) for text in shown]
    found = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name, absent) for row in rows] for name in found}


@lru_cache(maxsize=64)
def _reader(names: tuple[str, ...], kind: Any) -> Callable[[bytes], Any]:
    """Return what reads objects that have all of these fields and no other.

    Raises ValueError where a name cannot be one of a struct.
    """
    fields = [f"f{index}" for index in range(len(names))]
    row = msgspec.defstruct(
        "Row",
        [(field, kind) for field in fields],
        rename=dict(zip(fields, names, strict=True)),
        forbid_unknown_fields=True,
        gc=False,
    )
    return msgspec.json.Decoder(list[row]).decode  # type: ignore[valid-type]


def _row(text: bytes, read: Callable[[bytes | msgspec.Raw], Any]) -> dict[str, Any]:
    try:
        return {name: read(value) for name, value in _raw_row(text).items()}
    except _REFUSALS:
        return {"instance": read(bytes(text).strip())}


def _named(columns: dict[str, Sequence[Any]], *, native: bool) -> dict[str, Sequence[Any]]:
    own: Iterable[str] = (PREDICTION, *RECORD) if native else (PREDICTION,)
    taken = re.compile(f"(instance_)*({'|'.join(own)})")
    return {f"instance_{name}" if taken.fullmatch(name) else name: one for name, one in columns.items()}
