"""Google's Tensor message (google.cloud.aiplatform.v1.Tensor) in proto-JSON, to rows of JSON."""

import base64
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from trivet.core.errors import InvalidArgument
from trivet.core.signature import Signature, TensorSpec
from trivet.protocols.vertex.wire import Json, got

_TYPES = (
    "DATA_TYPE_UNSPECIFIED", "BOOL", "STRING", "FLOAT", "DOUBLE", "INT8", "INT16", "INT32", "INT64",
    "UINT8", "UINT16", "UINT32", "UINT64",
)  # fmt: skip
"""The names of Tensor.DataType, by number."""

_NUMPY = {
    "BOOL": "?", "FLOAT": "<f4", "DOUBLE": "<f8", "INT8": "<i1", "INT16": "<i2", "INT32": "<i4",
    "INT64": "<i8", "UINT8": "<u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8",
}  # fmt: skip
"""How `tensorVal` holds each type: as numpy does, little-endian."""

_MAX_RANK = 32
_INTEGER = re.compile(r"-?[0-9]{1,20}").fullmatch
_NUMBER = float | str
_WHOLE = int | str


class Tensor(msgspec.Struct, rename="camel", omit_defaults=True):
    """A tensor: values of one kind, in row-major order, and their shape."""

    dtype: int | str = 0
    shape: list[_WHOLE] = []
    bool_val: list[bool] = []
    string_val: list[str] = []
    bytes_val: list[bytes] = []
    float_val: list[_NUMBER] = []
    double_val: list[_NUMBER] = []
    int_val: list[_WHOLE] = []
    int64_val: list[_WHOLE] = []
    uint_val: list[_WHOLE] = []
    uint64_val: list[_WHOLE] = []
    list_val: "list[Tensor]" = []
    struct_val: "dict[str, Tensor]" = {}
    tensor_val: bytes = b""


def rows(tensors: Sequence[Tensor], signature: Signature) -> list[Any]:
    """Return instances: of one tensor for each input, in order, or of a struct by name.

    The first axis of every tensor is that of the rows. Raises InvalidArgument.
    """
    if len(tensors) == 1 and tensors[0].struct_val:
        columns = {
            name: _rows_of(one, _spec(signature, name), f"inputs[0].structVal[{name!r}]")
            for name, one in tensors[0].struct_val.items()
        }
        return [dict(zip(columns, row, strict=True)) for row in _zipped(columns)]
    specs: list[TensorSpec | None] = list(signature.inputs)
    if len(tensors) != len(specs) and len(tensors) == len(signature.names):
        specs = [spec for _, spec in signature.values()]  # the columns of a matrix, one by one
    if len(tensors) != len(specs):
        names = ", ".join(spec.name for spec in signature.inputs)
        raise InvalidArgument(
            f"inputs: expected {len(signature.inputs)} tensors ({names}), or one with a structVal by name; "
            f"got {len(tensors)}"
        )
    given = {
        f"inputs[{index}]": _rows_of(one, spec, f"inputs[{index}]")
        for index, (one, spec) in enumerate(zip(tensors, specs, strict=True))
    }
    if len(given) == 1:
        return next(iter(given.values()))
    return [list(row) for row in _zipped(given)]


def parameters(tensor: Tensor | None) -> Json | None:
    """Return parameters by name, of a struct of tensors of one value each; raises InvalidArgument."""
    if tensor is None:
        return None
    read: Json = {}
    for name, one in tensor.struct_val.items():
        values = _values(one, f"parameters.structVal[{name!r}]")
        read[name] = values[0] if len(values) == 1 else values
    return read or None


def _spec(signature: Signature, name: str) -> TensorSpec | None:
    return dict(signature.values()).get(name) or next((s for s in signature.inputs if s.name == name), None)


def _zipped(columns: Mapping[str, Sequence[Any]]) -> list[tuple[Any, ...]]:
    counts = {name: len(column) for name, column in columns.items()}
    if len({*counts.values()}) > 1:
        told = ", ".join(f"{name} has {count}" for name, count in counts.items())
        raise InvalidArgument(f"expected equally many rows, the first axis of each tensor; {told[:200]}")
    return list(zip(*columns.values(), strict=True))


def _rows_of(tensor: Tensor, spec: TensorSpec | None, where: str) -> list[Any]:
    """Return a value per row; a tensor that tells no shape has that of the signature."""
    if tensor.struct_val:
        columns = {
            name: _rows_of(one, None, f"{where}.structVal[{name!r}]")
            for name, one in tensor.struct_val.items()
        }
        return [dict(zip(columns, row, strict=True)) for row in _zipped(columns)]
    if tensor.list_val:
        return [_shaped(one, f"{where}.listVal[{index}]") for index, one in enumerate(tensor.list_val)]
    if not tensor.shape and spec is not None and spec.shape and None not in spec.shape:
        values = _values(tensor, where)
        size = math.prod(one or 0 for one in spec.shape)
        if not size or len(values) % size:
            raise InvalidArgument(f"{where}: expected a shape, or rows of {size} values; got {len(values)}")
        return _nested(values, [len(values) // size, *(one or 0 for one in spec.shape)])
    shaped = _shaped(tensor, where)
    return shaped if isinstance(shaped, list) else [shaped]


def _shaped(tensor: Tensor, where: str) -> Any:
    """Return a tensor's values as nested lists; without a shape they are one list."""
    if tensor.struct_val:
        return {name: _shaped(one, f"{where}.structVal[{name!r}]") for name, one in tensor.struct_val.items()}
    if tensor.list_val:
        return [_shaped(one, f"{where}.listVal[{index}]") for index, one in enumerate(tensor.list_val)]
    values = _values(tensor, where)
    if not tensor.shape:
        return values
    shape = _whole_numbers(tensor.shape, f"{where}.shape")
    if len(shape) > _MAX_RANK or shape[0] < 0 or any(size < 1 for size in shape[1:]):
        raise InvalidArgument(
            f"{where}.shape: expected at most {_MAX_RANK} sizes, all but the first above 0; got {got(shape)}"
        )
    if math.prod(shape) != len(values):
        raise InvalidArgument(f"{where}.shape: {shape} does not hold the {len(values)} values given")
    return _nested(values, shape)


def _nested(values: list[Any], shape: Sequence[int]) -> list[Any]:
    for size in reversed(shape[1:]):
        values = [values[at : at + size] for at in range(0, len(values), size)]
    return values


def _values(tensor: Tensor, where: str) -> list[Any]:
    """Return the values of whichever kind is given."""
    if tensor.tensor_val:
        return _packed(tensor, where)
    if tensor.bytes_val:
        return [{"b64": base64.b64encode(value).decode()} for value in tensor.bytes_val]
    for plain in (tensor.string_val, tensor.bool_val):
        if plain:
            return list(plain)
    for name, numbers in (("floatVal", tensor.float_val), ("doubleVal", tensor.double_val)):
        if numbers:
            return [_number(value, f"{where}.{name}", index) for index, value in enumerate(numbers)]
    for whole in (tensor.int_val, tensor.int64_val, tensor.uint_val, tensor.uint64_val):
        if whole:
            return _whole_numbers(whole, where)
    return []


def _packed(tensor: Tensor, where: str) -> list[Any]:
    name = tensor.dtype
    if isinstance(name, int):
        name = _TYPES[name] if 0 <= name < len(_TYPES) else str(name)
    if name not in _NUMPY:
        known = ", ".join(_NUMPY)
        raise InvalidArgument(f"{where}.dtype: tensorVal needs one of {known}; got {name[:40]}")
    dtype = np.dtype(_NUMPY[name])
    if len(tensor.tensor_val) % dtype.itemsize:
        raise InvalidArgument(
            f"{where}.tensorVal: expected {dtype.itemsize} bytes for each {name}; got "
            f"{len(tensor.tensor_val)} bytes"
        )
    array = np.frombuffer(tensor.tensor_val, dtype)
    values: list[Any] = array.tolist()
    if dtype.kind != "f" or np.isfinite(array).all():
        return values
    return [_number(value, f"{where}.tensorVal", index) for index, value in enumerate(values)]


def _number(value: float | str, where: str, index: int) -> float | None:
    """Return a number; NaN is null, as everywhere in Trivet's JSON, which has no infinity."""
    try:
        number = float(value)
    except ValueError:
        raise InvalidArgument(f"{where}[{index}]: expected a number; got {got(value)}") from None
    if math.isinf(number):
        raise InvalidArgument(f"{where}[{index}]: expected a number that is not infinite; got {number}")
    return None if math.isnan(number) else number


def _whole_numbers(values: Sequence[int | str], where: str) -> list[int]:
    for value in values:
        if not _INTEGER(str(value)):
            raise InvalidArgument(f"{where}: expected an integer of 64 bits; got {got(value)}")
    return [int(value) for value in values]
