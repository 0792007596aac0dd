"""Columns to tensors and back, for PyTorch models that take a batch: exported programs and TorchScript."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trivet.core.errors import FailedPrecondition, Internal, InvalidArgument
from trivet.core.instances import Column, Instances, Predictions
from trivet.core.predictor import Traits
from trivet.core.signature import FLOATS, DType, Parameters, Signature, TensorSpec

DTYPES: dict[str, DType] = {
    "torch.bool": "bool",
    "torch.uint8": "uint8",
    "torch.uint16": "uint16",
    "torch.uint32": "uint32",
    "torch.uint64": "uint64",
    "torch.int8": "int8",
    "torch.int16": "int16",
    "torch.int32": "int32",
    "torch.int64": "int64",
    "torch.bfloat16": "float32",  # NumPy has no such type; every one of its values is a float32
    "torch.float16": "float16",
    "torch.float32": "float32",
    "torch.float64": "float64",
}
"""What a column of a tensor's dtype is. `signature.json` says it by the column's name."""

REFUSED = (RuntimeError, IndexError, ValueError, AssertionError)
"""What PyTorch raises where values, or their shapes, do not suit an operator."""

_NO_MEMORY = ("out of memory", "can't allocate memory")

Call = Callable[[Sequence[Any]], Mapping[str, Any]]
"""Asks a model with one tensor per input for its outputs by name."""


@dataclass(frozen=True, slots=True)
class Input:
    """One input: which tensor it becomes. Where `single`, its column of values is the tensor [N, 1]."""

    name: str
    dtype: Any
    single: bool = False


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many rows a model takes at once; it was exported for these."""

    least: int = 1
    most: int | None = None

    def parts(self, count: int) -> list[int]:
        """Divide a number of rows into as few parts as possible."""
        if self.most is None or count <= self.most:
            return [count]
        whole, rest = divmod(count, self.most)
        return [self.most] * whole + [rest] * (rest > 0)


@dataclass(frozen=True, slots=True)
class Net:
    """A model that is loaded: how to ask it, and with what."""

    call: Call
    inputs: Sequence[Input]
    device: Any
    sizes: Sizes = Sizes()
    thread_safe: bool = True


class TorchPredictor:
    """Gives one column per output.

    Rows are asked in as many parts as the model's batch size makes necessary. A part that is too small is
    filled up with its last row, whose answers are left out.
    """

    def __init__(self, net: Net, signature: Signature, declared: Sequence[TensorSpec]) -> None:
        self.signature = signature
        self.traits = Traits(native=True, thread_safe=net.thread_safe, frees_gil=True)
        self._net = net
        self._declared = declared

    def predict(self, instances: Instances, parameters: Parameters) -> Predictions:
        """Run the model; raises InvalidArgument for values or shapes that it refuses."""
        import torch

        count = instances.count
        with torch.inference_mode():
            tensors = [self._tensor(torch, one, instances.columns[one.name]) for one in self._net.inputs]
            answers, start = [], 0
            for size in self._net.sizes.parts(count):
                answers.append(self._ask(torch, [one[start : start + size] for one in tensors], size))
                start += size
        return Predictions(_joined(answers), count)

    def _tensor(self, torch: Any, one: Input, column: Column) -> Any:
        made = torch.tensor(column, dtype=one.dtype)  # a copy: a model may write to what it is given
        return (made.unsqueeze(1) if one.single else made).to(self._net.device)

    def _ask(self, torch: Any, tensors: Sequence[Any], size: int) -> dict[str, Column]:
        missing = self._net.sizes.least - size
        if missing > 0:
            tensors = [torch.cat([one, one[-1:].expand(missing, *one.shape[1:])]) for one in tensors]
        try:
            outputs = self._net.call(tensors)
        except REFUSED as error:
            if any(text in str(error) for text in _NO_MEMORY):
                raise
            raise InvalidArgument(f"the model refuses these values: {reason(error)}") from None
        return {
            shown: _column(torch, name, outputs[name], size, len(tensors[0]))
            for name, shown in chosen(list(outputs), self._declared)
        }


def dtype_of(dtype: Any, what: str) -> DType:
    """Return a column's dtype; raises FailedPrecondition for a tensor that no column can hold."""
    if str(dtype) not in DTYPES:
        raise FailedPrecondition(f"the model's {what} has dtype {dtype}; expected one of {', '.join(DTYPES)}")
    return DTYPES[str(dtype)]


def agrees(found: Sequence[TensorSpec], declared: Sequence[TensorSpec]) -> None:
    """Raise FailedPrecondition where an input is declared as what the model does not take.

    Which inputs there are, and their shapes, is compared with all declarations elsewhere.
    """
    known = {(one.name, len(one.shape)): one for one in found}
    for other in declared:
        one = known.get((other.name, len(other.shape)), other)
        if other.dtype != one.dtype or (other.nullable and one.dtype not in FLOATS):
            raise FailedPrecondition(
                f"signature.json: inputs: {one.name} is declared {other.describe()}, "
                f"but the model takes {one.describe()}"
            )


def chosen(names: Sequence[str], declared: Sequence[TensorSpec]) -> list[tuple[str, str]]:
    """Return which outputs are given, each with the name under which it is.

    `signature.json` may name some of them, or give all of them other names, in their order; anything else
    raises FailedPrecondition.
    """
    asked = [one.name for one in declared] or list(names)
    if set(asked) <= set(names):
        return [(name, name) for name in asked]
    if len(asked) == len(names):
        return list(zip(names, asked, strict=True))
    raise FailedPrecondition(f"signature.json: outputs: the model gives {list(names)}, {asked} are declared")


def reason(error: Exception) -> str:
    """Return what PyTorch says, without the traces that TorchScript puts before it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    traced = any(line.startswith("Traceback of TorchScript") for line in lines)
    return (lines[-1].partition(": ")[2] or lines[-1] if traced else lines[0])[:400]


def _column(torch: Any, name: str, output: Any, size: int, asked: int) -> Column:
    """Return an output's rows as an array; an output of shape [N, 1] is one value per instance."""
    if not isinstance(output, torch.Tensor) or output.shape[:1] != (asked,):
        got = f"of shape {list(output.shape)}" if isinstance(output, torch.Tensor) else type(output).__name__
        raise Internal(
            f"the model's output {name!r} is {got} for {asked} instances; expected a tensor with one entry "
            "per instance"
        )
    if str(output.dtype) not in DTYPES:
        raise Internal(f"the model's output {name!r} has dtype {output.dtype}, which no answer can hold")
    if output.dtype is torch.bfloat16:
        output = output.float()
    array: Column = output[:size].resolve_conj().resolve_neg().cpu().numpy()
    return array.reshape(size) if array.shape[1:] == (1,) else array


def _joined(answers: Sequence[Mapping[str, Column]]) -> Mapping[str, Column]:
    if len(answers) == 1:
        return answers[0]
    return {name: np.concatenate([one[name] for one in answers]) for name in answers[0]}
