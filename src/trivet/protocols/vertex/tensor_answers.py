"""Rows of JSON to Google's Tensor message (google.cloud.aiplatform.v1.Tensor) in proto-JSON."""

from collections.abc import Sequence
from typing import Any

from trivet.core.signature import DType, Signature
from trivet.protocols.vertex.wire import Json

_PLAIN: dict[type, tuple[str, str]] = {bool: ("BOOL", "boolVal"), str: ("STRING", "stringVal")}
_BYTES = {"b64"}


def outputs(predictions: Sequence[Any], signature: Signature) -> list[Json]:
    """Return predictions as a tensor, with a struct where they are objects of the same keys."""
    dtypes = {spec.name: spec.dtype for spec in signature.outputs}
    keys = predictions[0].keys() if predictions and isinstance(predictions[0], dict) else ()
    if keys and keys != _BYTES and all(isinstance(one, dict) and one.keys() == keys for one in predictions):
        by_name = {name: _tensor([one[name] for one in predictions], dtypes.get(name)) for name in keys}
        return [{"structVal": by_name}]
    only = signature.outputs[0].dtype if len(signature.outputs) == 1 else None
    return [_tensor(list(predictions), only)]


def _tensor(values: list[Any], dtype: DType | None) -> Json:
    """Return values as a tensor: those of one kind in an array flat, others one tensor each."""
    flat, shape = _flattened(values)
    filled = _filled(flat, dtype) if flat is not None else None
    if filled is None:
        return {"listVal": [_one(value) for value in values]}
    return {**filled, "shape": [str(size) for size in shape]}


def _one(value: Any) -> Json:
    """Return one value of any form as a tensor."""
    if isinstance(value, dict) and value.keys() != _BYTES:
        return {"structVal": {name: _one(inner) for name, inner in value.items()}}
    if isinstance(value, list):
        return _tensor(value, None)
    return {} if value is None else _filled([value], None) or {}


def _flattened(values: list[Any]) -> tuple[list[Any] | None, list[int]]:
    """Return the values of nested lists and their shape; None where they are not rectangular."""
    shape = [len(values)]
    while values and all(isinstance(value, list) for value in values):
        if len({len(value) for value in values}) != 1:
            return None, []
        shape.append(len(values[0]))
        values = [inner for value in values for inner in value]
    return (None, []) if any(isinstance(value, list) for value in values) else (values, shape)


def _filled(flat: list[Any], dtype: DType | None) -> Json | None:
    """Return the values in the field for their kind; None where they are of several."""
    kinds = {type(value) for value in flat}
    if not kinds:
        return {}
    for kind, (name, field) in _PLAIN.items():
        if kinds == {kind}:
            return {"dtype": name, field: flat}
    if kinds == {int}:
        return _integers(flat, dtype)
    if kinds <= {int, float, type(None)} and float in kinds:
        numbers = ["NaN" if value is None else value for value in flat]
        single = dtype in ("float16", "float32")
        return {"dtype": "FLOAT" if single else "DOUBLE", "floatVal" if single else "doubleVal": numbers}
    if kinds == {dict} and all(value.keys() == _BYTES for value in flat):
        return {"dtype": "STRING", "bytesVal": [value["b64"] for value in flat]}
    return None


def _integers(flat: list[int], dtype: DType | None) -> Json:
    if dtype in ("float16", "float32", "float64"):
        return {"dtype": "DOUBLE", "doubleVal": flat}
    if dtype in ("int8", "int16", "int32"):
        return {"dtype": dtype.upper(), "intVal": flat}
    if dtype in ("uint8", "uint16", "uint32"):
        return {"dtype": dtype.upper(), "uintVal": flat}
    if dtype == "uint64" and min(flat) >= 0:
        return {"dtype": "UINT64", "uint64Val": [str(value) for value in flat]}
    if min(flat) >= -(2**63) and max(flat) < 2**63:
        return {"dtype": "INT64", "int64Val": [str(value) for value in flat]}
    return {"dtype": "STRING", "stringVal": [str(value) for value in flat]}
