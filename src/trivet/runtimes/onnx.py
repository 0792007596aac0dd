"""ONNX models, answered by ONNX Runtime on one thread of the CPU.

The answer is what `InferenceSession.run` gives. A classifier (two outputs: a label, and scores per class)
answers in the forms that all classifiers share; its ZipMap, if it has one, is undone. An input or output
of shape [N, 1] is one bare value per instance. A model exported for exactly one instance is asked row by
row.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from trivet.core.errors import FailedPrecondition, Internal, InvalidArgument
from trivet.core.instances import Column, Instances, Predictions
from trivet.core.predictor import Predictor, Traits
from trivet.core.signature import FLOATS, DType, Parameters, ParameterSpec, Signature, TensorSpec
from trivet.runtimes import classifier, onnx_external, onnx_file
from trivet.runtimes.base import Artifact, need, unreadable

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
_REASON = re.compile(
    r"^\[ONNXRuntimeError\] : \d+ : \w+ : (?:.*?(?:Status Message: |\.onnx failed:))?(?:/\S+:\d+ .*?\) )?"
)
_CLASSES_UNKNOWN = ParameterSpec("output", ("labels", "probabilities"))

Run = Callable[[Sequence[str], dict[str, Column]], list[Any]]


@dataclass(frozen=True, slots=True)
class _Session:
    """A session that answers any number of instances, and turns ONNX Runtime's errors into ours."""

    run: Run
    bare: frozenset[str]  # inputs of shape [N, 1], which are one value per instance
    one_by_one: bool
    refused: tuple[type[Exception], ...]

    def answer(self, outputs: Sequence[str], instances: Instances) -> list[Any]:
        feed = {
            name: column.reshape(-1, 1) if name in self.bare else column
            for name, column in instances.columns.items()
        }
        try:
            if not self.one_by_one:
                return self.run(outputs, feed)
            rows = [
                self.run(outputs, {name: column[i : i + 1] for name, column in feed.items()})
                for i in range(instances.count)
            ]
        except self.refused as error:
            raise InvalidArgument(f"the model refuses these values: {_reason(error)}") from None
        return [
            np.concatenate(parts) if isinstance(parts[0], np.ndarray) else [one for p in parts for one in p]
            for parts in zip(*rows, strict=True)
        ]


class OnnxPredictor:
    """Gives one column per output, by its name."""

    traits = Traits(native=True, thread_safe=True)

    def __init__(self, session: _Session, signature: Signature) -> None:
        self.signature = signature
        self._session = session
        self._names = [spec.name for spec in signature.outputs]
        self._bare = frozenset(spec.name for spec in signature.outputs if not spec.shape)

    def predict(self, instances: Instances, parameters: Parameters) -> Predictions:
        """Run the session once."""
        answers = zip(self._names, self._session.answer(self._names, instances), strict=True)
        columns = {name: _rows(name, values, instances.count) for name, values in answers}
        return Predictions(
            {n: c.reshape(instances.count) if n in self._bare else c for n, c in columns.items()},
            instances.count,
        )


class OnnxClassifier:
    """Gives labels, scores, or both; only the outputs that are needed are computed."""

    traits = Traits(native=True, thread_safe=True)

    def __init__(self, session: _Session, signature: Signature, label: str, scores: str) -> None:
        self.signature = signature
        self._session = session
        self._classes = np.array(signature.classes, object if _texts(signature.classes) else None)
        self._wanted = {
            "labels": [label],
            "probabilities": [scores],
            "detailed": [label, scores],
        }

    def predict(self, instances: Instances, parameters: Parameters) -> Predictions:
        """Run the session once for the output asked for."""
        output = parameters["output"]
        answers = self._session.answer(self._wanted[output], instances)
        return classifier.answer(
            output,
            self._classes,
            labels=lambda: np.asarray(answers[0]).reshape(instances.count),
            scores=lambda: self._matrix(answers[-1]),
        )

    def _matrix(self, scores: Any) -> Column:
        if isinstance(scores, np.ndarray):
            return scores
        keys = self.signature.classes or tuple(scores[0])
        return np.array([[row[key] for key in keys] for row in scores], np.float32)


class OnnxRuntime:
    """Loads with everything that could run on several threads kept to one."""

    def recognises(self, path: Path) -> bool:
        """Read the top level of the protobuf message."""
        return path.is_file() and onnx_file.is_model(path)

    def load(self, artifact: Artifact) -> Predictor:
        """Judge the file and what else it would read, then let ONNX Runtime load it."""
        ort = need("onnxruntime", "onnx")
        found = _inspect(artifact.path)
        onnx_external.check(artifact.path, found.locations)
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 4  # else each refused request is a line on stderr
        try:
            session = ort.InferenceSession(str(artifact.path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # noqa: BLE001 - ONNX Runtime's errors have no base of their own
            raise unreadable(artifact.path, "ONNX", ValueError(_reason(error))) from None
        return _predictor(session, found, artifact)


def _inspect(path: Path) -> onnx_file.OnnxFile:
    try:
        return onnx_file.inspect(path.read_bytes())
    except ValueError as error:
        raise unreadable(path, "ONNX", error) from None


def _predictor(session: Any, found: onnx_file.OnnxFile, artifact: Artifact) -> Predictor:
    from onnxruntime.capi.onnxruntime_pybind11_state import Fail
    from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument as Refused

    given, made = session.get_inputs(), session.get_outputs()
    inputs = tuple(_spec("input", one, found.metadata) for one in given)
    if artifact.declared and any(one.nullable for one in artifact.declared.inputs):
        inputs = tuple(replace(one, nullable=one.dtype in FLOATS) for one in inputs)  # no file says it
    wrapped = _Session(
        run=session.run,
        bare=frozenset(one.name for one in given if list(one.shape[1:]) == [1]),
        one_by_one=_exported_for_one(artifact.path, given),
        refused=(Refused, Fail),  # an operator that does not like a value (a category) says Fail
    )
    if _is_classifier(made, found):
        label, scores = made
        classes = _classes(found, label.name, scores.name) or (
            artifact.declared.classes if artifact.declared else ()
        )
        size = len(classes) if scores.type in _ZIPPED else _size(scores.shape[1])
        if size is not None and len(classes) != size:
            classes = ()
        option = classifier.OUTPUT if classes else _CLASSES_UNKNOWN
        outputs = classifier.outputs(classes, "float32") if classes else ()
        signature = Signature(inputs, outputs, classes, (option,))
        return OnnxClassifier(wrapped, signature, label.name, scores.name)
    outputs = tuple(_spec("output", one, {}) for one in made)
    return OnnxPredictor(wrapped, Signature(inputs, outputs))


def _spec(kind: str, value: Any, metadata: dict[str, str]) -> TensorSpec:
    """Describe an input or output, less its first axis."""
    if value.type not in _DTYPES:
        known = ", ".join(_DTYPES)
        raise FailedPrecondition(
            f"the model's {kind} {value.name!r} has type {value.type}; expected one of {known}"
        )
    if not value.shape:
        raise FailedPrecondition(
            f"the model's {kind} {value.name!r} has no axis of instances; expected shape [N, ...]"
        )
    shape = tuple(_size(size) for size in value.shape[1:])
    if shape == (1,):
        shape = ()
    return TensorSpec(value.name, _DTYPES[value.type], shape, _fields(shape, metadata))


def _size(size: Any) -> int | None:
    return size if isinstance(size, int) and size >= 0 else None


def _fields(shape: tuple[int | None, ...], metadata: dict[str, str]) -> tuple[str, ...]:
    """Return the names of a matrix' columns, where whoever made the model left them in its metadata."""
    try:
        names = json.loads(metadata.get("feature_names", "null"))
    except ValueError:
        return ()
    fits = isinstance(names, list) and shape == (len(names),) and len(set(map(str, names))) == len(names)
    return tuple(str(name) for name in names) if fits else ()


def _exported_for_one(path: Path, inputs: Sequence[Any]) -> bool:
    """Whether the axis of instances was fixed to 1; raises FailedPrecondition for any other number."""
    sizes = {size for one in inputs if isinstance(size := one.shape[0], int) and size >= 0}
    if sizes - {1}:
        raise FailedPrecondition(
            f"{path.name} was exported for batches of exactly {max(sizes)}; export it with a dynamic first "
            "axis"
        )
    return bool(sizes)


def _is_classifier(outputs: Sequence[Any], found: onnx_file.OnnxFile) -> bool:
    """Whether there is a label and a score per class; clusters and outliers have other second outputs."""
    if len(outputs) != 2:
        return False
    label, scores = outputs
    origin = found.origin(label.name)
    if (origin and origin.op_type == "ArgMin") or list(scores.shape[1:]) == [1]:
        return False
    labels = label.type in ("tensor(int64)", "tensor(string)") and (
        len(label.shape) == 1 or list(label.shape[1:]) == [1]
    )
    matrix = scores.type in ("tensor(float)", "tensor(double)") and len(scores.shape) == 2
    return labels and (matrix or scores.type in _ZIPPED)


def _classes(found: onnx_file.OnnxFile, label: str, scores: str) -> tuple[Any, ...]:
    """Return the labels of the ZipMap that names the scores, or of the operator that makes the label.

    Any other operator's labels may be mapped to different ones before they are put out.
    """
    zipped, origin = found.origin(scores), found.origin(label)
    if zipped and zipped.op_type == "ZipMap":
        return zipped.classes
    return origin.classes if origin else ()


def _reason(error: Exception) -> str:
    """Return what ONNX Runtime says, without its codes, its source files and the path of the model."""
    return _REASON.sub("", str(error), count=1)


def _texts(classes: Sequence[Any]) -> bool:
    return any(isinstance(one, str) for one in classes)


def _rows(name: str, values: Any, count: int) -> Column:
    if not isinstance(values, np.ndarray) or values.shape[:1] != (count,):
        raise Internal(
            f"the model's output {name!r} has shape {np.shape(values)} for {count} instances; "
            "expected one entry per instance"
        )
    return values


RUNTIME = OnnxRuntime()
