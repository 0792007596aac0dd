"""What an ONNX model takes and gives, as its session and its file say it.

The first axis of every input and output is that of the instances; it is left out here. A classifier is
known by its two outputs, since nothing in a file says that it is one.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from trivet.core.errors import FailedPrecondition
from trivet.core.signature import FLOATS, DType, Signature, TensorSpec
from trivet.runtimes.onnx_file import OnnxFile

_DTYPES: dict[str, DType] = {
    "tensor(bool)": "bool",
    "tensor(string)": "string",
    "tensor(float16)": "float16",
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(int8)": "int8",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(uint8)": "uint8",
    "tensor(uint16)": "uint16",
    "tensor(uint32)": "uint32",
    "tensor(uint64)": "uint64",
}
_ZIPPED = ("seq(map(int64,tensor(float)))", "seq(map(string,tensor(float)))")


def inputs(given: Sequence[Any], metadata: dict[str, str], declared: Signature) -> tuple[TensorSpec, ...]:
    """Describe a session's inputs.

    Raises FailedPrecondition where Trivet cannot feed them, or where they are declared as what the model
    does not take: ONNX Runtime casts no numbers, and takes a null among texts for the word "None".
    """
    if not given:
        raise FailedPrecondition("the model has no inputs; expected at least one of shape [N, ...]")
    found = tuple(_spec("input", one) for one in given)
    if len(found) == 1:
        found = (replace(found[0], fields=_fields(found[0].shape, metadata)),)
    known = {(one.name, len(one.shape)): one for one in found}
    for other in declared.inputs:
        one = known.get((other.name, len(other.shape)), other)
        if other.dtype != one.dtype or (other.nullable and one.dtype not in FLOATS):
            raise FailedPrecondition(
                f"signature.json: inputs: {one.name} is declared {other.describe()}, "
                f"but the model takes {one.describe()}"
            )
    return found


def outputs(made: Sequence[Any], declared: Signature) -> tuple[TensorSpec, ...]:
    """Describe the outputs of a model that is no classifier.

    Where the shape of one follows from no operator, it may be declared; raises FailedPrecondition where
    it is not, and where Trivet cannot give the output.
    """
    known = {one.name: one for one in declared.outputs}
    return tuple(
        known[one.name]
        if not one.shape and one.type in _DTYPES and one.name in known
        else _spec("output", one)
        for one in made
    )


def is_classifier(made: Sequence[Any], found: OnnxFile) -> bool:
    """Whether there is a label and a score per class; clusters and outliers have other second outputs."""
    if len(made) != 2:
        return False
    label, scores = made
    origin = found.origin(label.name)
    if (origin and origin.op_type == "ArgMin") or list(scores.shape[1:]) == [1]:
        return False
    labels = label.type in ("tensor(int64)", "tensor(string)") and (
        len(label.shape) == 1 or list(label.shape[1:]) == [1]
    )
    matrix = scores.type in ("tensor(float)", "tensor(double)") and len(scores.shape) == 2
    return labels and (matrix or scores.type in _ZIPPED)


def classes(made: Sequence[Any], found: OnnxFile, declared: Signature) -> tuple[Any, ...]:
    """Return the classes in the order of a classifier's scores; nothing where they are not known.

    Raises FailedPrecondition where other than as many as there are scores are declared.
    """
    label, scores = made
    size = None if scores.type in _ZIPPED else _size(scores.shape[1])
    for known in (_labels(found, label.name, scores.name), declared.classes):
        if known and size in (None, len(known)):
            return known
    if declared.classes:
        raise FailedPrecondition(
            f"signature.json: classes: the model gives {size} scores, "
            f"{len(declared.classes)} classes are declared"
        )
    return ()


def _labels(found: OnnxFile, label: str, scores: str) -> tuple[Any, ...]:
    """Return the labels of the ZipMap that names the scores, or of the operator that makes the label.

    Any other operator's labels may be mapped to different ones before they are put out.
    """
    zipped, origin = found.origin(scores), found.origin(label)
    if zipped and zipped.op_type == "ZipMap":
        return zipped.classes
    return origin.classes if origin else ()


def _spec(kind: str, value: Any) -> TensorSpec:
    if value.type not in _DTYPES:
        known = ", ".join(_DTYPES)
        raise FailedPrecondition(
            f"the model's {kind} {value.name!r} has type {value.type}; expected one of {known}"
        )
    if not value.shape:  # of rank 0, or of a rank that is not known
        hint = "; if it has one, declare it in signature.json" if kind == "output" else ""
        raise FailedPrecondition(
            f"the model's {kind} {value.name!r} has no axis of instances; expected shape [N, ...]{hint}"
        )
    shape = tuple(_size(size) for size in value.shape[1:])
    return TensorSpec(value.name, _DTYPES[value.type], () if shape == (1,) else shape)


def _size(size: Any) -> int | None:
    return size if isinstance(size, int) and size >= 0 else None


def _fields(shape: tuple[int | None, ...], metadata: dict[str, str]) -> tuple[str, ...]:
    """Return the names of a matrix' columns, where whoever made the model left them in its metadata."""
    try:
        names = json.loads(metadata.get("feature_names", "null"))
    except (ValueError, RecursionError):
        return ()
    fits = isinstance(names, list) and shape == (len(names),) and len(set(map(str, names))) == len(names)
    return tuple(str(name) for name in names) if fits else ()
