"""What msgspec reads the instances of a signature as, and how the rows that it gives become columns.

Only for ordinary rows; `json_rows` takes the rarer forms, and says what is wrong with the rest. The two agree
on everything that both accept (a property test holds them together).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import starmap
from struct import Struct
from struct import error as StructError
from typing import Any

import msgspec
import numpy as np

from trivet.core.instances import Instances, Layout, object_column
from trivet.core.signature import FLOATS, NUMBERS, Signature, TensorSpec, numpy_dtype

REFUSALS = (
    msgspec.MsgspecError,
    ValueError,
    OverflowError,
    ArithmeticError,
    StructError,
    RecursionError,
)
"""What reading or packing raises for instances that are not ordinary ones."""

_PACKED = {"float32": "f", "float64": "d", "int32": "i", "int64": "q"}
"""The letters of the types in the module struct."""


@dataclass(frozen=True, slots=True)
class TypedRows:
    """`kind` is the type that msgspec reads one instance as; `pack` makes columns of several, or raises.

    `alike` are the same for instances that are all arrays, or all objects, by the first byte of their text:
    there rows may be read while they are packed, which is faster. `layout` is that of rows of numbers.
    """

    kind: Any
    pack: Callable[[list[Any]], Instances]
    alike: Mapping[bytes, tuple[Any, Callable[[Iterable[Any]], Instances]]] = field(default_factory=dict)
    layout: Layout | None = None


def typed_rows(signature: Signature) -> TypedRows | None:
    """Return how to read a signature's instances; None where they have values that need a closer look."""
    inputs = signature.inputs
    if len(inputs) == 1 and inputs[0].dtype in NUMBERS and inputs[0].shape:
        spec = inputs[0]
        row = len(spec.shape) == 1 and spec.shape[0] and spec.dtype in _PACKED and not spec.nullable
        return (_row if row else _tensor)(spec)
    if not any(spec.fields or spec.dtype in ("bytes", "json") or spec.shape for spec in inputs):
        return _columns(inputs) if len(inputs) > 1 else None
    return None


def _typed(spec: TensorSpec) -> Any:
    kinds = {"bool": bool, "string": str, "category": str | int}
    kind: Any = kinds.get(spec.dtype, float if spec.dtype in FLOATS else int)
    return kind | None if spec.nullable else kind


def _by_name(names: Sequence[str], kinds: Sequence[Any]) -> Any:
    """Return a struct type that reads an object by field name; None where a name cannot be one."""
    fields = [f"f{index}" for index in range(len(names))]
    try:
        return msgspec.defstruct(
            "Row",
            list(zip(fields, kinds, strict=True)),
            rename=dict(zip(fields, names, strict=True)),
            forbid_unknown_fields=True,
            gc=False,
        )
    except ValueError:  # quotes and backslashes
        return None


def _tensor(spec: TensorSpec) -> TypedRows:
    one = _typed(spec)
    array: Any = one
    for _ in spec.shape:
        array = list[array]
    by_name = _by_name(spec.fields, [one] * len(spec.fields)) if spec.fields else None
    dtype, rank, sizes = numpy_dtype(spec.dtype), len(spec.shape) + 1, spec.shape
    astuple = msgspec.structs.astuple

    def pack(rows: list[Any]) -> Instances:
        if by_name is not None:
            rows = [row if type(row) is list else astuple(row) for row in rows]
        with np.errstate(over="raise"):
            values = np.array(rows, dtype)
        shape = values.shape
        if len(shape) != rank or any(
            size is not None and size != actual for size, actual in zip(sizes, shape[1:], strict=True)
        ):
            raise ValueError(shape)
        return Instances({spec.name: values}, shape[0])

    return TypedRows(array if by_name is None else array | by_name, pack)


def _row(spec: TensorSpec) -> TypedRows:
    """Read rows of so many numbers, as `_tensor` does, in half the time.

    Packing numbers costs a fourth of what NumPy takes for a list, and refuses what the type cannot hold.
    """
    one, size = _typed(spec), spec.shape[0] or 0
    array: Any = tuple[(one,) * size]  # type: ignore[misc]  # a tenth faster than a list
    by_name = _by_name(spec.fields, [one] * size) if spec.fields else None
    layout = Layout(spec.name, numpy_dtype(spec.dtype), size)
    one_row = Struct(f"={size}{_PACKED[spec.dtype]}")
    pack_one, row_bytes = one_row.pack, one_row.size
    astuple = msgspec.structs.astuple

    def pack(rows: list[Any]) -> Instances:
        if by_name is not None:
            rows = [row if type(row) is tuple else astuple(row) for row in rows]
        count = len(rows)
        packed = (
            bytearray(pack_one(*rows[0])) if count == 1 else bytearray().join([pack_one(*r) for r in rows])
        )
        return Instances(None, count, layout, packed)

    def stream(rows: Iterable[Sequence[Any]]) -> Instances:
        whole = bytearray().join(starmap(pack_one, rows))  # each row is packed while it is in the cache
        return Instances(None, len(whole) // row_bytes, layout, whole)

    alike: dict[bytes, tuple[Any, Callable[[Iterable[Any]], Instances]]] = {b"[": (array, stream)}
    if by_name is not None:
        alike[b"{"] = by_name, lambda rows: stream(map(astuple, rows))
    return TypedRows(array if by_name is None else array | by_name, pack, alike, layout)


def _columns(specs: Sequence[TensorSpec]) -> TypedRows:
    kinds = [_typed(spec) for spec in specs]
    in_order: Any = tuple[tuple(kinds)]  # type: ignore[misc]
    by_name = _by_name([spec.name for spec in specs], kinds)
    named = [(spec.name, numpy_dtype(spec.dtype)) for spec in specs]
    astuple = msgspec.structs.astuple

    def pack(rows: list[Any]) -> Instances:
        rows = [row if type(row) is tuple else astuple(row) for row in rows]
        with np.errstate(over="raise"):
            columns = {
                name: object_column(values) if dtype.kind == "O" else np.array(values, dtype)
                for (name, dtype), values in zip(named, zip(*rows, strict=True), strict=True)
            }
        return Instances(columns, len(rows))

    return TypedRows(in_order if by_name is None else in_order | by_name, pack)
