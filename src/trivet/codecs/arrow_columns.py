"""The values of one Arrow array as a numpy column of a dtype, and which of them are none of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from trivet.core.instances import Column, object_column
from trivet.core.signature import FLOATS, INTEGERS, TensorSpec, numpy_dtype

Mask = NDArray[np.bool_]

_json = msgspec.json.Decoder().decode


class Misfit(Exception):
    """A value is none of the dtype."""


@dataclass(frozen=True, slots=True)
class Values:
    """How values of a dtype come out of an array.

    `make` gives them, `matrix` those of several arrays as its columns; both raise Misfit where one is none.
    `misfits` says which are none. Arrays may be chunked.
    """

    dtype: np.dtype[Any]
    make: Callable[[Any], Column]
    matrix: Callable[[Sequence[Any]], Column]
    misfits: Callable[[Any], Mask]


def values_of(spec: TensorSpec) -> Values:
    """Return how the single values of a tensor come out of arrays."""
    dtype, nullable = numpy_dtype(spec.dtype), spec.nullable
    if spec.dtype in FLOATS:
        return _floats(dtype, nullable=nullable)
    if spec.dtype in INTEGERS:
        return _filling(dtype, _make_integers(dtype), lambda array: _misfit_integers(array, dtype))
    if spec.dtype == "bool":
        return _filling(dtype, _make_plain, _nulls)
    if spec.dtype in ("string", "bytes"):
        objects = _make_objects if nullable else _make_objects_there
        return _filling(dtype, objects, _none if nullable else _nulls)
    check = _is_category if spec.dtype == "category" else None
    return _of_json(dtype, check, nullable=nullable)


def _floats(dtype: np.dtype[Any], *, nullable: bool) -> Values:
    @np.errstate(over="raise")  # which takes half as long as the same in a `with`
    def fill(rows: Column, arrays: Sequence[Any]) -> None:
        for index, array in enumerate(arrays):  # faster than to stack them and then to cast
            rows[:, index] = numbers(array)

    def matrix(arrays: Sequence[Any]) -> Column:
        if not nullable and any([array.null_count for array in arrays]):
            raise Misfit
        rows = np.empty((len(arrays[0]), len(arrays)), dtype)
        try:
            fill(rows, arrays)
        except FloatingPointError:  # a finite number becomes an infinite one
            raise Misfit from None
        return rows

    def make(array: Any) -> Column:
        if array.null_count and not nullable:
            raise Misfit
        try:
            with np.errstate(over="raise"):
                return numbers(array).astype(dtype)
        except FloatingPointError:
            raise Misfit from None

    def misfits(array: Any) -> Mask:
        values = numbers(array)
        with np.errstate(over="ignore"):
            bad: Mask = np.isinf(values.astype(dtype)) & np.isfinite(values)
        return bad if nullable else bad | _nulls(array)

    return Values(dtype, make, matrix, misfits)


def numbers(array: Any) -> Column:
    """Return an array of numbers as numpy has it; as floats, with NaN for null, where there are nulls."""
    values: Column = array.to_numpy(zero_copy_only=False)
    if values.dtype.kind == "O":  # decimals, or booleans with nulls
        import pyarrow as pa

        if pa.types.is_boolean(array.type):
            array = array.cast(pa.int8())
        values = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return values


def _make_integers(dtype: np.dtype[Any]) -> Callable[[Any], Column]:
    def make(array: Any) -> Column:
        if array.null_count or _misfit_integers(array, dtype).any():
            raise Misfit
        return numbers(array).astype(dtype)

    return make


def _misfit_integers(array: Any, dtype: np.dtype[Any]) -> Mask:
    """Tell where there is no integer of this range; a float may be one."""
    import pyarrow as pa

    range_ = np.iinfo(dtype)
    bad = _nulls(array)
    if array.null_count:
        array = array.fill_null(False if pa.types.is_boolean(array.type) else 0)
    values = numbers(array)
    if values.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            whole = np.isfinite(values) & (values == np.trunc(values))
        # past 2**53 the bounds themselves are no floats: the largest is one too many
        fits: Mask = whole & (values >= float(range_.min)) & (values < float(range_.max) + 1)
        return bad | ~fits
    if values.dtype.kind == "b":
        return bad
    own = np.iinfo(values.dtype)
    if range_.min <= own.min and own.max <= range_.max:
        return bad
    outside: Mask = (values < range_.min) | (values > range_.max)
    return bad | outside


def _make_plain(array: Any) -> Column:
    if array.null_count:
        raise Misfit
    values: Column = array.to_numpy(zero_copy_only=False)
    return values


def _make_objects(array: Any) -> Column:
    values: Column = array.to_numpy(zero_copy_only=False)
    return values if values.dtype == object else values.astype(object)


def _make_objects_there(array: Any) -> Column:
    if array.null_count:
        raise Misfit
    return _make_objects(array)


def _of_json(dtype: np.dtype[Any], check: Callable[[Any], bool] | None, *, nullable: bool) -> Values:
    """Read texts of JSON. A null is None where there may be one."""

    def read(array: Any) -> list[Any]:
        texts = ["null" if one is None else one for one in array.to_pylist()]
        try:
            found: list[Any] = _json(f"[{','.join(texts)}]")
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise Misfit from None
        if len(found) != len(texts):
            raise Misfit
        return found

    def make(array: Any) -> Column:
        found = read(array)
        if check is not None:
            if not all((one is None and nullable) or check(one) for one in found):
                raise Misfit
            found = [int(one) if type(one) is float else one for one in found]
        return object_column(found)

    def misfits(array: Any) -> Mask:
        bad = np.zeros(len(array), np.bool_)
        for index in range(len(array)):
            try:
                make(array.slice(index, 1))
            except Misfit:
                bad[index] = True
        return bad

    return _filling(dtype, make, misfits)


def _is_category(value: Any) -> bool:
    if isinstance(value, float):
        return value.is_integer()
    return isinstance(value, str | int) and not isinstance(value, bool)


def _filling(dtype: np.dtype[Any], make: Callable[[Any], Column], misfits: Callable[[Any], Mask]) -> Values:
    def matrix(arrays: Sequence[Any]) -> Column:
        return np.stack([make(array) for array in arrays], axis=1)

    return Values(dtype, make, matrix, misfits)


def _nulls(array: Any) -> Mask:
    found: Mask = array.is_null().to_numpy(zero_copy_only=False)
    return found


def _none(array: Any) -> Mask:
    return np.zeros(len(array), np.bool_)
