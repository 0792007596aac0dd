"""Types of columns that are found out by looking: what values are, and what is common to two columns.

A kind is one of `null` (nothing but nulls yet), `bool`, `int` (a float64 holds them all), `big` (an int64
does), `float32`, `float`, `text`, `json` (texts of JSON: all else, and what is not all of one kind), or
`list:` and the kind of its values. No value is changed by its column's kind but 1, which is 1.0 in a column
of floats.
"""

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

LIST = "list:"
_NUMBERS = {
    frozenset(("int", "big")): "big",
    frozenset(("int", "float32")): "float",
    frozenset(("int", "float")): "float",
    frozenset(("float32", "float")): "float",
}
_KINDS = {bool: "bool", str: "text", float: "float"}
_EXACT, _LARGEST = 1 << 53, (1 << 63) - 1

_lines = msgspec.json.Encoder().encode_lines


def common(one: str, other: str) -> str:
    """Return the kind that holds the values of both; it does not matter in which order kinds are joined."""
    if other in (one, "null"):
        return one
    if one == "null":
        return other
    if one.startswith(LIST) and other.startswith(LIST):
        inner = common(one[len(LIST) :], other[len(LIST) :])
        return "json" if inner == "json" else LIST + inner
    return _NUMBERS.get(frozenset((one, other)), "json")


def of_values(values: Sequence[Any]) -> str:
    """Return the kind of decoded JSON values."""
    types = set(map(type, values)) - {type(None)}
    kinds = [_KINDS.get(one, "json") for one in types - {int}]
    if int in types:
        kinds.append(_of_integers([value for value in values if type(value) is int]))
    return reduce(common, kinds, "null")


def _of_integers(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    if low >= -_EXACT and high <= _EXACT:
        return "int"
    return "big" if low >= -_LARGEST and high <= _LARGEST else "json"


def of_column(column: NDArray[Any]) -> str:
    """Return the kind of an array, `json` where only its values can tell."""
    if column.dtype.kind in "iu":
        kind = _of_integers([int(column.max()), int(column.min())]) if column.size else "null"
    else:
        kind = {"b": "bool", "f": "float32" if column.dtype.itemsize < 8 else "float"}.get(
            column.dtype.kind, "json"
        )
    return kind if kind == "json" else LIST * (column.ndim - 1) + kind


def type_of(kind: str) -> Any:
    """Return the Arrow type that a kind is kept as."""
    import pyarrow as pa

    if kind.startswith(LIST):
        return pa.list_(type_of(kind[len(LIST) :]))
    types: Mapping[str, Any] = {
        "bool": pa.bool_(),
        "int": pa.int64(),
        "big": pa.int64(),
        "float32": pa.float32(),
        "float": pa.float64(),
    }
    return types.get(kind, pa.string())


def from_values(values: Sequence[Any], kind: str) -> Any:
    """Return an Arrow array of decoded JSON values."""
    import pyarrow as pa

    return pa.array(_texts(values) if kind == "json" else values, type_of(kind))


def from_column(column: NDArray[Any], kind: str) -> Any:
    """Return an Arrow array of an array of numbers; what is no finite number is null."""
    import pyarrow as pa

    flat = column.reshape(-1)
    if kind.endswith("null"):
        array = pa.nulls(len(flat), type_of("null"))
    else:
        mask = None if column.dtype.kind != "f" else ~np.isfinite(flat)
        if column.dtype == np.float16:
            flat = flat.astype(np.float32)
        array = pa.array(flat, mask=mask).cast(type_of(kind.removeprefix(LIST * (column.ndim - 1))))
    count = flat.size
    for axis in range(column.ndim - 1, 0, -1):
        size = column.shape[axis]
        count = int(np.prod(column.shape[:axis]))
        ends = pa.array(np.arange(count + 1, dtype=np.int64) * size, pa.int32())
        array = pa.ListArray.from_arrays(ends, array)
    return array


def convert(array: Any, before: str, after: str) -> Any:
    """Return an array of one kind as one of another that holds all its values."""
    import pyarrow as pa

    if before == after or (before, after) == ("int", "big"):
        return array
    if before == "null":
        return pa.nulls(len(array), type_of(after))
    if after == "json":
        return pa.array(_texts(array.to_pylist()), pa.string())
    if before.startswith(LIST):
        inner = convert(array.flatten(), before[len(LIST) :], after[len(LIST) :])
        lengths = array.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
        ends = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
        return pa.ListArray.from_arrays(ends, inner, mask=array.is_null() if array.null_count else None)
    return array.cast(type_of(after))


def _texts(values: Sequence[Any]) -> list[str | None]:
    lines = _lines(values).decode().split("\n")
    return [None if value is None else line for value, line in zip(values, lines, strict=False)]
