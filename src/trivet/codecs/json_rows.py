"""JSON instances to columns, checked value by value: the definition of what fits a signature.

It takes any instance and either returns its values or says which instance, which field, what was
expected and what came. `json_body` has the short cut for the ordinary case and comes here for the rest.
"""

import base64
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from trivet.core.errors import InvalidArgument
from trivet.core.instances import Column, Instances, object_column
from trivet.core.signature import FLOATS, NUMBERS, Signature, TensorSpec, numpy_dtype, unknown

Where = str


class RowDecoder:
    """Turns JSON instances (arrays in order, or objects by name) into Instances of one signature."""

    def __init__(self, signature: Signature) -> None:
        self._signature = signature
        self._values = tuple(signature.values())
        self._names = signature.names
        self._known = frozenset(self._names)
        only = signature.inputs[0] if len(signature.inputs) == 1 else None
        self._whole = only if only and not only.fields else None  # an instance is this value itself
        self._matrix = only.name if only and only.fields and only.name not in self._known else None

    def decode(self, instances: Sequence[Any]) -> Instances:
        """Check and cast; raises InvalidArgument that names the instance, the field and the value."""
        count = len(instances)
        if self._signature.takes_json:
            return Instances({self._signature.inputs[0].name: object_column(instances)}, count)
        rows = [self._row(instance, f"instances[{i}]") for i, instance in enumerate(instances)]
        columns: dict[str, Column] = {}
        position = 0
        for spec in self._signature.inputs:
            if spec.fields:
                end = position + len(spec.fields)
                values = [self._fields(row, position, end, i) for i, row in enumerate(rows)]
                shape = (count, len(spec.fields))
                columns[spec.name] = np.array(values, numpy_dtype(spec.dtype)).reshape(shape)
                position = end
            else:
                columns[spec.name] = _column(spec, [row[position] for row in rows], self._whole)
                position += 1
        return Instances(columns, count)

    def _fields(self, row: Sequence[Any], start: int, end: int, index: int) -> list[Any]:
        return [
            _cast(spec, value, f"instances[{index}].{name}")
            for (name, spec), value in zip(self._values[start:end], row[start:end], strict=True)
        ]

    def _row(self, instance: Any, where: Where) -> Sequence[Any]:
        """Return an instance's values in the order of the signature, not yet cast."""
        if isinstance(instance, dict) and not (self._whole and "b64" in instance):
            if self._matrix is not None and list(instance) == [self._matrix]:
                return self._array(instance[self._matrix], f"{where}.{self._matrix}")
            return self._object(instance, where)
        if self._whole is not None:
            if not self._whole.shape and isinstance(instance, list) and len(instance) == 1:
                return instance
            return [instance]
        return self._array(instance, where)

    def _object(self, instance: dict[str, Any], where: Where) -> Sequence[Any]:
        for name in instance:
            if name not in self._known:
                raise InvalidArgument(f"{where}.{name}: {unknown(name, self._names, 'field')}")
        for name, spec in self._values:
            if name not in instance:
                raise InvalidArgument(f"{where}.{name}: missing; expected {spec.describe()}")
        return [instance[name] for name in self._names]

    def _array(self, instance: Any, where: Where) -> Sequence[Any]:
        expected = f"{len(self._names)} values ({_listed(self._names)})"
        if not isinstance(instance, list):
            raise InvalidArgument(
                f"{where}: expected an array of {expected} or an object by name; got {_got(instance)}"
            )
        if len(instance) != len(self._names):
            raise InvalidArgument(f"{where}: expected {expected}; got {len(instance)} values")
        return instance


def _column(spec: TensorSpec, values: Sequence[Any], whole: TensorSpec | None) -> Column:
    """Cast one value per instance into a column of the spec's dtype and shape."""
    name = "" if whole is not None else f".{spec.name}"
    wheres = [f"instances[{index}]{name}" for index in range(len(values))]
    if not spec.shape:
        cast = [_cast(spec, value, where) for value, where in zip(values, wheres, strict=True)]
        dtype = numpy_dtype(spec.dtype)
        return object_column(cast) if dtype.kind == "O" else np.array(cast, dtype)
    arrays = [_tensor(spec, value, where) for value, where in zip(values, wheres, strict=True)]
    if not arrays:
        return np.empty((0, *(size or 0 for size in spec.shape)), numpy_dtype(spec.dtype))
    for array, where in zip(arrays, wheres, strict=True):
        if array.shape != arrays[0].shape:
            raise InvalidArgument(
                f"{where}: expected shape {list(arrays[0].shape)} like {wheres[0]}, since the instances "
                f"of one request are predicted together; got {list(array.shape)}"
            )
    return np.stack(arrays)


def _tensor(spec: TensorSpec, value: Any, where: Where) -> Column:
    shape: list[int] = []

    def walk(value: Any, axis: int, where: Where) -> Any:
        if axis == len(spec.shape):
            return _cast(spec, value, where)
        size = spec.shape[axis]
        expected = f"an array of {'any number of' if size is None else size} values"
        if not isinstance(value, list):
            raise InvalidArgument(f"{where}: expected {expected}; got {_got(value)}")
        if size is not None and len(value) != size:
            raise InvalidArgument(f"{where}: expected {expected}; got {len(value)} values")
        if len(shape) == axis:
            shape.append(len(value))
        elif len(value) != shape[axis]:
            raise InvalidArgument(
                f"{where}: expected {shape[axis]} values as in the arrays before it; got {len(value)}"
            )
        return [walk(one, axis + 1, f"{where}[{i}]") for i, one in enumerate(value)]

    if spec.shape == (1,) and not isinstance(value, list):
        value = [value]  # as a column of a table has it
    nested = walk(value, 0, where)
    shape += [size or 0 for size in spec.shape[len(shape) :]]  # below an empty axis
    return np.array(nested, numpy_dtype(spec.dtype)).reshape(shape)


def _cast(spec: TensorSpec, value: Any, where: Where) -> Any:
    """Return a single value as the spec's dtype has it, or say why it cannot be."""
    if value is None and spec.nullable:
        return np.nan if spec.dtype in FLOATS else None
    return _CASTS[spec.dtype](spec, value, where)


def _float(spec: TensorSpec, value: Any, where: Where) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(spec, value, where)
    limit = float(np.finfo(spec.dtype).max)
    if not -limit <= value <= limit:  # exact for an int of any size
        raise InvalidArgument(f"{where}: {_got(value)} is beyond the range of {spec.dtype}")
    return float(value)


def _int(spec: TensorSpec, value: Any, where: Where) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # Google's clients turn every integer into a float
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(spec, value, where)
    range_ = np.iinfo(spec.dtype)
    if not range_.min <= value <= range_.max:
        raise InvalidArgument(f"{where}: {_got(value)} is beyond the range of {spec.dtype}")
    return value


def _of_type(*types: type) -> Callable[[TensorSpec, Any, Where], Any]:
    def cast(spec: TensorSpec, value: Any, where: Where) -> Any:
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise _wrong(spec, value, where)
        return value

    return cast


def _category(spec: TensorSpec, value: Any, where: Where) -> str | int:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise _wrong(spec, value, where)
    return value


def _bytes(spec: TensorSpec, value: Any, where: Where) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict) and list(value) == ["b64"] and isinstance(value["b64"], str):
        try:
            return base64.b64decode(value["b64"], validate=True)
        except ValueError as error:
            raise InvalidArgument(f"{where}.b64: not valid base64: {error}") from None
    raise InvalidArgument(f'{where}: expected bytes as {{"b64": "..."}}; got {_got(value)}')


_CASTS: dict[str, Callable[[TensorSpec, Any, Where], Any]] = {
    **{dtype: _float if dtype in FLOATS else _int for dtype in NUMBERS},
    "bool": _of_type(bool),
    "string": _of_type(str),
    "category": _category,
    "bytes": _bytes,
    "json": lambda spec, value, where: value,
}


def _wrong(spec: TensorSpec, value: Any, where: Where) -> InvalidArgument:
    kind = spec.dtype + (" or null" if spec.nullable else "")
    return InvalidArgument(f"{where}: expected {kind}; got {_got(value)}")


def _got(value: Any) -> str:
    """Describe a JSON value in a few words, however large it is."""
    described = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return described[value]
    if isinstance(value, str):
        return f"the string {value[:40]!r}{'...' if len(value) > 40 else ''}"
    if isinstance(value, list | dict):
        return f"an array of {len(value)} values" if isinstance(value, list) else "an object"
    if isinstance(value, int) and abs(value) >= 10**20:
        return "an integer of more than 20 digits"  # Python refuses to print the largest
    return f"the number {value}"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:6])
    return shown + (f", ... {names[-1]}" if len(names) > 7 else ", ".join(["", *names[6:]]))
