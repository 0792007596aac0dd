"""Rows as the API has them, `{"f": [{"v": ..}, ..]}`, where every scalar is a string.

Each column becomes JSON by itself, as far as that goes without a step of Python for each value; then the
columns are joined to rows.
https://cloud.google.com/bigquery/docs/reference/rest/v2/tabledata/list
"""

import base64
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from trivet.core.errors import InvalidArgument
from trivet.sql.types import Field, Kind, Type

_NULL = '{"v":null}'
_EMPTY = '{"v":[]}'
_ESCAPES = (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t"))
_SPECIAL = r'[\x00-\x1f"\\]'


def rows_json(table: Any, fields: Sequence[Field], *, micros: bool) -> bytes:
    """Write rows of a `pyarrow.Table` as a JSON array, timestamps in `micros` or else in seconds."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not table.num_rows or not fields:
        return b"[" + b",".join([b'{"f":[]}'] * table.num_rows) + b"]"
    parts = []
    for batch in table.to_batches(max_chunksize=16_384):
        columns = [_cells(array, field.type, micros) for array, field in zip(batch, fields, strict=True)]
        joined = columns[0] if len(columns) == 1 else _joined(*columns, by=",")
        rows = _joined('{"f":[', joined, "]}")
        offsets = pa.array([0, len(rows)], pa.int64())
        parts.append(pc.binary_join(pa.LargeListArray.from_arrays(offsets, rows), _text(","))[0].as_buffer())
    return b"".join((b"[", b",".join(parts), b"]"))


def expect_results(batch: Any, fields: Sequence[Field]) -> None:
    """Raise InvalidArgument for what BigQuery's results cannot have: NULL in an array, years before 1 or
    after 9999, which files may have.
    """
    for array, field in zip(batch, fields, strict=True):
        _expect(array, field.type, field.name)


def _expect(array: Any, type_: Type, name: str) -> None:
    if type_.item is not None and array.null_count < len(array):
        items = _listed(array).flatten()
        if items.null_count:
            raise InvalidArgument(f"Array cannot have a null element; error in writing field {name}")
        _expect(items, type_.item, name)
    elif type_.kind == "STRUCT" and array.null_count < len(array):
        for part, field in zip(array.flatten(), type_.fields, strict=True):
            _expect(part, field.type, f"{name}.{field.name}")
    elif type_.kind in _RANGES and array.null_count < len(array):
        _expect_in_range(array, type_.kind, name)


_RANGES = {
    "DATE": (-719_162, 2_932_896),
    "DATETIME": (-62_135_596_800_000_000, 253_402_300_799_999_999),
    "TIMESTAMP": (-62_135_596_800_000_000, 253_402_300_799_999_999),
}
"""Days, and microseconds, from 1970."""


def _expect_in_range(array: Any, kind: Kind, name: str) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    days = kind == "DATE"
    values = (
        array.cast("int32") if days else _in_micros(array, pa.timestamp("us", array.type.tz)).cast("int64")
    )
    found, (first, last) = pc.min_max(values).as_py(), _RANGES[kind]
    if found["min"] < first or found["max"] > last:
        raise InvalidArgument(f"{kind} value is out of range, 0001-01-01 to 9999-12-31, in field {name}")


def _cells(array: Any, type_: Type, micros: bool) -> Any:
    """Return a column as an array of texts `{"v":..}`, without NULLs."""
    import pyarrow as pa
    import pyarrow.compute as pc

    array = _plain(array)
    if type_.item is not None:
        return _repeated(array, type_.item, micros)
    if array.null_count == len(array):
        return pa.repeat(_text(_NULL), len(array))
    if type_.kind == "STRUCT":
        parts = [
            _cells(part, field.type, micros)
            for part, field in zip(array.flatten(), type_.fields, strict=True)
        ]
        inner = parts[0] if len(parts) == 1 else _joined(*parts, by=",")
        cells = _joined('{"v":{"f":[', inner, "]}}")
        return pc.if_else(array.is_valid(), cells, _text(_NULL))
    texts = _texts(array, type_.kind, micros).cast("large_string")
    return pc.fill_null(_joined('{"v":"', texts, '"}'), _text(_NULL))


def _repeated(array: Any, item: Type, micros: bool) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    array = _listed(array)
    if array.null_count == len(array):
        return pa.array([_EMPTY] * len(array), pa.large_string())
    if array.null_count:
        array = pc.if_else(array.is_valid(), array, pa.scalar([], array.type))
    start, end = array.offsets[0].as_py(), array.offsets[-1].as_py()
    items = _cells(array.values[start:end], item, micros)
    offsets = pc.subtract(array.offsets.cast("int64"), start)
    joined = pc.binary_join(pa.LargeListArray.from_arrays(offsets, items), _text(","))
    return _joined('{"v":[', joined, "]}")


def _joined(*parts: Any, by: str = "") -> Any:
    """Join texts, row by row; a NULL makes a NULL."""
    import pyarrow.compute as pc

    return pc.binary_join_element_wise(
        *(_text(part) if isinstance(part, str) else part for part in parts), _text(by)
    )


def _text(value: str) -> Any:
    import pyarrow as pa

    return pa.scalar(value, pa.large_string())


def _plain(array: Any) -> Any:
    """Return the values that stand behind an extension type or a dictionary."""
    import pyarrow as pa

    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    return array.dictionary_decode() if isinstance(array, pa.DictionaryArray) else array


def _listed(array: Any) -> Any:
    import pyarrow as pa

    return _plain(array).cast(pa.large_list(array.type.value_type))


def _texts(array: Any, kind: Kind, micros: bool) -> Any:
    """Return values as what stands between the quotes."""
    if kind == "TIMESTAMP":
        return (_micros if micros else _seconds)(array)
    return _WRITES[kind](array)


def _micros(array: Any) -> Any:
    import pyarrow as pa

    return _in_micros(array, pa.timestamp("us", "UTC")).cast("int64").cast("string")


def _seconds(array: Any) -> Any:
    import pyarrow as pa

    values = _in_micros(array, pa.timestamp("us", "UTC")).cast("int64").to_pylist()
    return _list_of(values, lambda one: f"{'-' if one < 0 else ''}{abs(one) // 10**6}.{abs(one) % 10**6:06d}")


def _in_micros(array: Any, type_: Any) -> Any:
    return array if array.type == type_ else array.cast(type_, safe=False)


def _number(array: Any) -> Any:
    return array.cast("string")


def _integer(array: Any) -> Any:
    import pyarrow as pa

    if pa.types.is_decimal(array.type):  # which is how 128 bits come
        return _list_of(array.to_pylist(), lambda one: f"{one:f}")
    return array.cast("string")


def _float(array: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_float64(array.type):
        array = array.cast("float64")
    texts = array.cast("string")
    if pc.all(pc.is_finite(array), min_count=0).as_py():
        return texts
    for value, name in (("nan", "NaN"), ("inf", "Infinity"), ("-inf", "-Infinity")):
        texts = pc.if_else(pc.equal(texts, value), name, texts)
    return texts


def _decimal(array: Any) -> Any:
    import pyarrow as pa

    if not pa.types.is_decimal(array.type):
        return array.cast("string")
    return _list_of(array.to_pylist(), lambda one: f"{one:f}".rstrip("0").rstrip(".") if one else "0")


def _string(array: Any) -> Any:
    """Return texts with what JSON must have escaped."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_fixed_size_binary(array.type) and array.type.byte_width == 16:
        return _list_of(array.to_pylist(), lambda one: str(UUID(bytes=one)))
    array = array.cast("large_string")
    if not pc.any(pc.match_substring_regex(array, _SPECIAL), min_count=0).as_py():
        return array
    for one, escaped in _ESCAPES:
        array = pc.replace_substring(array, one, escaped)
    if pc.any(pc.match_substring_regex(array, r"[\x00-\x1f]"), min_count=0).as_py():
        for code in range(0x20):
            array = pc.replace_substring(array, chr(code), f"\\u{code:04x}")
    return array


def _bytes(array: Any) -> Any:
    return _list_of(array.to_pylist(), lambda one: base64.b64encode(one).decode())


def _time(array: Any) -> Any:
    import pyarrow as pa

    return _whole(_in_micros(array, pa.time64("us")).cast("string"))


def _datetime(array: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = _in_micros(array, pa.timestamp("us")).cast("string")
    return _whole(pc.replace_substring(texts, " ", "T"))


def _whole(texts: Any) -> Any:
    """Leave out a fraction of a second that is none."""
    import pyarrow.compute as pc

    return pc.replace_substring_regex(texts, r"\.000000$", "")


def _interval(array: Any) -> Any:
    def written(one: Any) -> str:
        months, days, nanoseconds = one
        sign, months = "-" if months < 0 else "", abs(months)
        seconds, micros = divmod(abs(nanoseconds) // 1000, 10**6)
        fraction = f".{micros:06d}".rstrip("0") if micros else ""
        before = "-" if nanoseconds < 0 else ""
        clock = f"{seconds // 3600}:{seconds // 60 % 60}:{seconds % 60}{fraction}"
        return f"{sign}{months // 12}-{months % 12} {days} {before}{clock}"

    return _list_of(array.to_pylist(), written)


def _list_of(values: Sequence[Any], written: Callable[[Any], str]) -> Any:
    import pyarrow as pa

    return pa.array([None if one is None else written(one) for one in values], pa.large_string())


_WRITES: dict[Kind, Callable[[Any], Any]] = {
    "INT64": _integer,
    "FLOAT64": _float,
    "NUMERIC": _decimal,
    "BIGNUMERIC": _decimal,
    "BOOL": _number,
    "STRING": _string,
    "JSON": _string,
    "BYTES": _bytes,
    "DATE": _number,
    "TIME": _time,
    "DATETIME": _datetime,
    "INTERVAL": _interval,
}
