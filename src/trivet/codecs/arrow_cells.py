"""Columns of Arrow as JSON, cell by cell, and as numbers: what sources that read tables give.

A cell is what a caller would have sent for it: bytes as `{"b64": ...}`, times as the managed service writes
them, structs as objects, lists as arrays, and no number loses a digit. NaN and infinities are null.
"""

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, overload

import msgspec
import numpy as np
from numpy.typing import NDArray

Texts = list[bytes]

EXACT = 2**53
"""Up to here every integer is a float64."""

_encode = msgspec.json.Encoder().encode
_lines = msgspec.json.Encoder(enc_hook=str).encode_lines


class Cells(Sequence[Sequence[bytes]]):
    """The texts of columns, each made when somebody asks for it: who has the numbers may need none."""

    def __init__(self, columns: Sequence[Any], texts: Callable[[Any], Texts]) -> None:
        self._columns = columns
        self._texts = texts
        self._made: dict[int, Texts] = {}

    def __repr__(self) -> str:
        return f"<Cells of {len(self)} columns, {len(self._made)} made>"

    def __len__(self) -> int:
        return len(self._columns)

    @overload
    def __getitem__(self, index: int) -> Sequence[bytes]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Sequence[bytes]]: ...
    def __getitem__(self, index: int | slice) -> Sequence[bytes] | Sequence[Sequence[bytes]]:
        """Return the texts of a column."""
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        if index not in self._made:
            self._made[index] = self._texts(self._columns[index])
        return self._made[index]


def matrix(columns: Sequence[Any]) -> NDArray[np.float64] | None:
    """Return arrays as rows of float64; None where a value is not a number that a float64 holds exactly."""
    import pyarrow.types as kinds

    found = []
    for column in columns:
        integer = kinds.is_integer(column.type)
        if not (integer or kinds.is_floating(column.type)) or column.null_count:
            return None
        values = column.to_numpy(zero_copy_only=False)
        if integer and len(values) and (int(values.min()) < -EXACT or int(values.max()) > EXACT):
            return None
        found.append(values)
    if not found:
        return None
    together = np.empty((len(found[0]), len(found)), np.float64)
    for index, values in enumerate(found):
        together[:, index] = values
    return together if np.isfinite(together).all() else None


def decimal_text(value: Decimal) -> bytes:
    """Return a decimal as JSON has it: as the float that it is where it is one, else with all its digits."""
    if value == value.to_integral_value():
        whole = int(value)
        return f"{whole}.0".encode() if -EXACT <= whole <= EXACT else str(whole).encode()
    near = float(value)
    return _encode(near) if Decimal(repr(near)) == value else format(value, "f").encode()


def texts(array: Any) -> Texts:
    """Return the JSON text of each value of an Arrow array."""
    import pyarrow.types as kinds

    kind = array.type
    if kinds.is_dictionary(kind):
        return texts(array.dictionary_decode())
    if getattr(kind, "extension_name", "") == "arrow.json":
        return [json_text(text) for text in array.storage.to_pylist()]
    for is_one, write in (
        (lambda one: kinds.is_integer(one) or kinds.is_floating(one), _numbers),
        (lambda one: kinds.is_timestamp(one) or kinds.is_date(one) or kinds.is_time(one), _times),
        (kinds.is_struct, _structs),
        (kinds.is_map, _maps),
        (lambda one: kinds.is_nested(one) and not kinds.is_union(one), _lists),
        (kinds.is_decimal, _decimals),
    ):
        if is_one(kind):
            return write(array)
    return _plain(array)


def _plain(array: Any) -> Texts:
    import pyarrow as pa

    if pa.types.is_duration(array.type):
        array = array.cast(pa.duration("us"), safe=False)  # what Python has
    values = array.to_pylist()
    if any(type(value) is bytes for value in values):
        values = [{"b64": value} if type(value) is bytes else value for value in values]
    return _lines(values).split(b"\n")[:-1]


def _numbers(array: Any) -> Texts:
    if not len(array):
        return []
    values = array.to_pylist() if array.null_count else array.to_numpy(zero_copy_only=False).tolist()
    return _encode(values)[1:-1].split(b",")


def _decimals(array: Any) -> Texts:
    if array.type.scale <= 0:  # as DuckDB's huge integers come
        return [b"null" if one is None else str(int(one)).encode() for one in array.to_pylist()]
    return [b"null" if one is None else decimal_text(one) for one in array.to_pylist()]


def json_text(text: str | None) -> bytes:
    """Return what is JSON already, in one line; as a string where it is none."""
    if text is None:
        return b"null"
    try:
        return msgspec.json.format(text.encode(), indent=-1)
    except (msgspec.MsgspecError, ValueError):
        return _encode(text)


_ZEROS = re.compile(rb"\.0+$|(?<=\.\d{6})000$")


def _times(array: Any) -> Texts:
    """Write dates and times as the managed service does: no fraction, or microseconds, or nanoseconds."""
    import pyarrow as pa
    import pyarrow.types as kinds

    kind = array.type
    moment, zone = kinds.is_timestamp(kind), getattr(kind, "tz", None)
    if moment and (zone or kind.unit in ("s", "ms")):
        unit = "us" if kind.unit in ("s", "ms") else kind.unit
        try:
            array = array.cast(pa.timestamp(unit, "UTC" if zone else None))
        except pa.ArrowInvalid:  # a year that microseconds do not reach
            array = array.cast(pa.timestamp(kind.unit, "UTC" if zone else None))
    elif kinds.is_time(kind) and kind.unit in ("s", "ms"):
        array = array.cast(pa.time64("us"))
    found = []
    for text in array.cast(pa.string()).to_pylist():
        if text is None or text.startswith("<"):  # a year that Arrow does not write
            found.append(b"null" if text is None else _encode(text))
            continue
        written = _ZEROS.sub(b"", text.removesuffix("Z").encode())
        if moment:
            written = written + b"+00:00" if zone else written.replace(b" ", b"T")
        found.append(b'"' + written + b'"')
    return found


def _structs(array: Any) -> Texts:
    kind = array.type
    names = [_encode(field.name).replace(b"%", b"%%") + b":%b" for field in kind]
    template = b"{" + b",".join(names) + b"}"
    fields = [texts(array.field(index)) for index in range(kind.num_fields)]
    rows = zip(*fields, strict=True) if fields else iter([()] * len(array))
    written = [template % row for row in rows]
    if array.null_count:
        there = array.is_valid().to_pylist()
        written = [text if valid else b"null" for text, valid in zip(written, there, strict=True)]
    return written


def _maps(array: Any) -> Texts:
    import pyarrow as pa

    kind = array.type
    entries = array.cast(pa.list_(pa.struct([("k", kind.key_type), ("v", kind.item_type)])))
    inner = entries.flatten()
    keys = [key if key[:1] == b'"' else _encode(key.decode()) for key in texts(inner.field(0))]
    pairs = [key + b":" + value for key, value in zip(keys, texts(inner.field(1)), strict=True)]
    return _joined(entries, pairs, b"{}")


def _lists(array: Any) -> Texts:
    import pyarrow as pa

    if pa.types.is_fixed_size_list(array.type):
        array = array.cast(pa.large_list(array.type.value_type))
    return _joined(array, texts(array.flatten()), b"[]")


def _joined(array: Any, inner: Texts, brackets: bytes) -> Texts:
    """Put the texts of what is in lists back into their lists."""
    begin, end = brackets[:1], brackets[1:]
    found, at = [], 0
    for length in array.value_lengths().to_pylist():
        if length is None:
            found.append(b"null")
            continue
        found.append(begin + b",".join(inner[at : at + length]) + end)
        at += length
    return found
