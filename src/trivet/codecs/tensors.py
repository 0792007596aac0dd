"""Rows to and from the values that msgpack carries, for the hop between the processes of one machine.

Numbers travel as the bytes that numpy holds, in this machine's order; everything else as msgpack values,
made plain as JSON makes them, so that a prediction reads the same after the hop as without it.
"""

import math
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
import numpy as np

from trivet.core.instances import Column, Rows, object_column

Tensor = tuple[str, str, tuple[int, ...], memoryview | list[Any]]
"""A column: its name, numpy's name of its dtype, its shape, and its bytes, or its values where the dtype
is `OBJECT`."""

UNSENDABLE = (TypeError, ValueError, OverflowError, RecursionError)
"""What `pack` and `encode_into` raise for values that cannot travel."""

OBJECT = "|O"
BIG_INTEGER = 1
"""The msgpack extension that holds an integer beyond 64 bits as decimal text."""

_BUFFERS = frozenset("biufcSUMm")
_PLAIN_DTYPE = re.compile(r"[<>|][biufcSUMm][0-9]{1,9}(\[[0-9]{0,9}[a-zA-Z]{1,2}\])?").fullmatch
_SMALL = 1 << 16
_encode_into = msgspec.msgpack.Encoder().encode_into
_R = TypeVar("_R", bound=Rows)


def pack(rows: Rows) -> list[Tensor]:
    """Return the columns as what msgpack writes; large ones that are contiguous are not copied.

    Raises one of UNSENDABLE for an object that JSON does not have.
    """
    tensors: list[Tensor] = []
    for name, column in rows.columns.items():
        dtype = _sent_as(column.dtype)
        content = _values(column) if dtype == OBJECT else _buffer(column)
        tensors.append((name, dtype, column.shape, content))
    return tensors


def unpack(tensors: Sequence[Tensor], into: type[_R], count: int, *, owned: bool) -> _R:
    """Undo `pack`; `count` is how many rows there must be.

    Where `owned`, columns of numbers are copied, aligned and writable, as any model library may want;
    otherwise they are views of the bytes, which may be neither. Raises ValueError for a column whose
    bytes, shape and dtype do not fit.
    """
    return into(
        {name: _column(name, dtype, shape, content, count, owned) for name, dtype, shape, content in tensors},
        count,
    )


def encode_into(value: Any, buffer: bytearray, offset: int) -> None:
    """Write a value with msgpack from `offset` on, where the buffer then ends; raises UNSENDABLE."""
    try:
        _encode_into(value, buffer, offset)
    except OverflowError:  # rare, so that nothing looks for such integers beforehand
        _encode_into(_spelled(value), buffer, offset)


def read_extension(code: int, data: memoryview) -> int:
    """Return the integer that msgpack itself cannot hold: the `ext_hook` of a decoder."""
    if code != BIG_INTEGER:
        raise ValueError(f"unknown extension {code}")
    return int(str(data, "ascii"))


def _buffer(column: Column) -> Any:
    if column.nbytes < _SMALL:
        return column.tobytes()  # quicker than a view of it
    return np.ascontiguousarray(column).reshape(-1).view(np.uint8).data


def _values(column: Column) -> list[Any]:
    """Return the values of a column, flat and as JSON knows them, but for bytes, which stay."""
    flat = column if column.ndim == 1 else column.reshape(-1)
    values: list[Any] = msgspec.to_builtins(flat.tolist(), builtin_types=(bytes,), str_keys=True)
    return values


def _column(name: str, dtype: str, shape: tuple[int, ...], content: Any, count: int, owned: bool) -> Column:
    if not shape or shape[0] != count:
        raise ValueError(f"{name}: expected {count} rows; got shape {shape}")
    if type(content) is list:
        if dtype != OBJECT:
            raise ValueError(f"{name}: values for a column of {dtype}")
        if len(content) != math.prod(shape):
            raise ValueError(f"{name}: {len(content)} values for shape {shape}")
        column = object_column(content)
        return column if len(shape) == 1 else column.reshape(shape)
    try:
        column = np.ndarray(shape, _dtype(dtype), bytearray(content) if owned else content)
    except TypeError as error:  # fewer bytes than the shape needs, or no such dtype
        raise ValueError(f"{name}: {error}") from None
    if column.nbytes != len(content):
        raise ValueError(f"{name}: {len(content)} bytes for shape {shape} of {dtype}")
    return column


@lru_cache(maxsize=256)
def _dtype(name: str) -> np.dtype[Any]:
    if not _PLAIN_DTYPE(name):  # above all not objects: their bytes would be taken for addresses
        raise ValueError(f"bytes for a column of {name}")
    return np.dtype(name)


@lru_cache(maxsize=256)
def _sent_as(dtype: np.dtype[Any]) -> str:
    return dtype.str if dtype.kind in _BUFFERS else OBJECT


def _spelled(value: Any) -> Any:
    """Replace integers beyond 64 bits by their decimal text, marked as such."""
    if type(value) is int:
        if -(2**63) <= value < 2**64:
            return value
        return msgspec.msgpack.Ext(BIG_INTEGER, str(value).encode())
    if isinstance(value, dict):
        return {key: _spelled(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_spelled(one) for one in value]
    if isinstance(value, msgspec.Struct):
        return type(value)(*map(_spelled, msgspec.structs.astuple(value)))
    return value
