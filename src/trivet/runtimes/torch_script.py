"""TorchScript (.pt, saved by `torch.jit.save`), which runs in an interpreter that knows tensors only.

Its code can neither import nor call Python. Of PyTorch's operators, those that reach files are refused
before anything runs. It says what its inputs are called, but neither their dtypes nor their shapes:
`signature.json` must.
"""

import json
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from trivet.core.errors import FailedPrecondition
from trivet.core.signature import FLOATS, INTEGERS, DType, Signature, TensorSpec, matrix
from trivet.runtimes.base import Artifact, unreadable
from trivet.runtimes.torch_files import members, opened, require_permission, text
from trivet.runtimes.torch_tensors import DTYPES, Input, Net, TorchPredictor

_FILES = "save|from_file|load_tensor"
_SPACE = r"(?:[\s\\]|#[^\n]*\n)*"
_NAMED = re.compile(rf"\.{_SPACE}({_FILES})\b")
_LOOKED_UP = re.compile(rf'\bgetattr\(\s*[\w.]+\s*,\s*"(?!(?:{_FILES})")[\w.+\-/ ]*"\s*\)')
_LOOK_UP = re.compile(r"\bgetattr\b")
_TENSORS = ("Tensor", "Optional[Tensor]")


def load_script(artifact: Artifact, torch: Any, device: Any) -> TorchPredictor:
    """Load a script for a device.

    Raises FailedPrecondition where it cannot be read, or where `signature.json` does not say what it takes,
    and PermissionDenied where it could reach files.
    """
    path = artifact.path
    with opened(path) as archive:
        found = members(path, archive)
        for name, info in found.items():
            if name.lower().endswith(".py") and (what := _reaches_files(text(archive, info))):
                require_permission(artifact, f"its code calls {what}, which reaches files")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript is deprecated, says PyTorch of each file
            module = torch.jit.load(str(path), map_location=device).eval()
            arguments = module.forward.schema.arguments[1:]
    except Exception as error:  # noqa: BLE001 - a broken archive may raise anything
        raise unreadable(path, "a TorchScript", error) from None
    declared = artifact.declared or Signature(())
    inputs = _inputs(path.name, arguments, declared.inputs, _own_dtype(module))
    names = [one.name for one in inputs]

    def call(tensors: Sequence[Any]) -> Mapping[str, Any]:
        return dict(_flat(module(**dict(zip(names, tensors, strict=True))), ""))

    net = Net(call, [Input(one.name, getattr(torch, one.dtype)) for one in inputs], device)
    return TorchPredictor(net, Signature(inputs, declared.outputs), declared.outputs)


def _reaches_files(code: bytes) -> str:
    """Return which operator that reaches files the code names; nothing if it names none.

    An operator can be named behind a dot, or looked up by its name as modules are.
    """
    left, before = code.decode("latin-1"), ""
    if found := _NAMED.search(left):
        return found[1]
    while left != before:
        left, before = _LOOKED_UP.sub("x", left), left
    return "getattr" if _LOOK_UP.search(left) else ""


def _own_dtype(module: Any) -> DType:
    """Return the dtype of the model's own floating-point numbers."""
    kinds = (DTYPES.get(str(one.dtype)) for one in module.parameters() if one.is_floating_point())
    return next((kind for kind in kinds if kind), "float32")


def _inputs(
    file: str, arguments: Sequence[Any], declared: Sequence[TensorSpec], own: DType
) -> tuple[TensorSpec, ...]:
    """Return what is declared for the arguments of `forward`, in their order.

    For a model of one tensor, columns may be declared one by one: it gets them as one matrix.
    """
    kinds = {one.name: str(one.type) for one in arguments}
    tensors = [name for name, kind in kinds.items() if kind in _TENSORS]
    needed = [one.name for one in arguments if not one.has_default_value()]
    if others := [name for name in needed if name not in tensors]:
        raise FailedPrecondition(
            f"{file}: forward takes {others[0]!r}, a {kinds[others[0]]}; expected tensors, or a default value"
        )
    if not tensors:
        raise FailedPrecondition(
            f"{file}: forward takes no tensors; expected at least one, of shape [N, ...]"
        )
    if not declared:
        shown = [{"name": name, "dtype": "float32", "shape": [None]} for name in needed or tensors]
        raise FailedPrecondition(
            f"{file}: TorchScript does not say which dtypes and shapes it takes; put a signature.json beside "
            f'it, such as {{"inputs": {json.dumps(shown)}}}, with a size for each axis but the first'
        )
    names = [one.name for one in declared]
    if set(names) <= set(tensors) and set(needed) <= set(names):
        by_name = {one.name: one for one in declared}
        return tuple(_fed(by_name[name]) for name in tensors if name in by_name)
    if len(needed or tensors) == 1 and not any(one.shape for one in declared):
        whole = all(one.dtype in INTEGERS for one in declared)
        nullable = any(one.nullable for one in declared)
        made = matrix(len(names), names, "int64" if whole else own, nullable and not whole)
        return (replace(made, name=(needed or tensors)[0]),)
    raise FailedPrecondition(
        f"signature.json: inputs: forward takes {tensors} ({needed} at least), {names} are declared"
    )


def _fed(spec: TensorSpec) -> TensorSpec:
    if spec.dtype not in DTYPES.values() or (spec.nullable and spec.dtype not in FLOATS):
        raise FailedPrecondition(
            f"signature.json: inputs: {spec.name} is declared {spec.describe()}, of which no tensor can be "
            "made; expected numbers or bool"
        )
    return spec


def _flat(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield every output with its name, as those of an exported program are named."""
    if isinstance(value, dict):
        parts = [(str(key), one) for key, one in value.items()]
    elif hasattr(value, "_fields"):
        parts = list(zip(value._fields, value, strict=True))
    elif isinstance(value, tuple | list):
        parts = [(str(index), one) for index, one in enumerate(value)]
        name = name or "output"
    else:
        if value is not None:
            yield name or "output", value
        return
    for key, one in parts:
        yield from _flat(one, f"{name}_{key}" if name else key)
