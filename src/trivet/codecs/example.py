"""An example instance for a signature: shown to people, and sent to a model to warm it up."""

from typing import Any

from trivet.core.signature import FLOATS, NUMBERS, Signature, TensorSpec


def instance(signature: Signature) -> Any:
    """Return one instance as JSON: the signature's own example, or small values by field name."""
    if signature.example is not None:
        return signature.example
    values = {name: _value(spec) for name, spec in signature.values()}
    if len(signature.inputs) == 1 and not signature.inputs[0].fields:
        return next(iter(values.values()))
    return values


def _value(spec: TensorSpec) -> Any:
    value: Any = {"bool": False, "category": "a", "string": "text", "bytes": {"b64": "AA=="}}.get(
        spec.dtype,
        0.5 if spec.dtype in FLOATS else 1 if spec.dtype in NUMBERS else {"any": "value"},
    )
    for size in reversed(spec.shape):
        value = [value] * (1 if size is None else size)
    return value
