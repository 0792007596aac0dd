"""ONNX models, answered by ONNX Runtime on one thread of the CPU.

The answer is what `InferenceSession.run` gives. A classifier (two outputs: a label, and scores per class)
answers in the forms that all classifiers share; its ZipMap, if it has one, is undone. An input or output
of shape [N, 1] is one bare value per instance. A model exported for exactly one instance is asked row by
row.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trivet.core.errors import FailedPrecondition, Internal, InvalidArgument
from trivet.core.instances import Column, Instances, Predictions
from trivet.core.predictor import Predictor, Traits
from trivet.core.signature import DType, Parameters, ParameterSpec, Signature
from trivet.runtimes import classifier, onnx_external, onnx_file, onnx_signature
from trivet.runtimes.base import Artifact, need, unreadable

_REASON = re.compile(
    r"^\[ONNXRuntimeError\] : \d+ : \w+ : (?:.*?(?:Status Message: |Load model from .*? failed:))?"
    r"(?:Exception during initialization: )?"
    r"(?:/\S+:\d+ .*?\) )?"
)
_TENSORS = "tensors"
_CLASSES_KNOWN = ParameterSpec("output", (*classifier.OUTPUT.choices, _TENSORS))
_CLASSES_UNKNOWN = ParameterSpec("output", ("labels", "probabilities", _TENSORS))

Run = Callable[[Sequence[str], dict[str, Column]], list[Any]]


@dataclass(frozen=True, slots=True)
class _Session:
    """A session that answers any number of instances, and turns ONNX Runtime's errors into ours."""

    run: Run
    bare: frozenset[str]  # inputs of shape [N, 1], which are one value per instance
    one_by_one: bool
    refused: tuple[type[Exception], ...]

    def answer(self, outputs: Sequence[str], instances: Instances) -> list[Any]:
        feed = dict(instances.columns)
        for name in self.bare:
            feed[name] = feed[name].reshape(-1, 1)
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

    traits = Traits(native=True, thread_safe=True, frees_gil=True)

    def __init__(self, session: _Session, signature: Signature) -> None:
        self.signature = signature
        self._session = session
        self._names = [spec.name for spec in signature.outputs]
        self._bare = [spec.name for spec in signature.outputs if not spec.shape]

    def predict(self, instances: Instances, parameters: Parameters) -> Predictions:
        """Run the session once."""
        count = instances.count
        columns = dict(zip(self._names, self._session.answer(self._names, instances), strict=True))
        for name, values in columns.items():
            if not isinstance(values, np.ndarray) or values.shape[:1] != (count,):
                raise Internal(
                    f"the model's output {name!r} has shape {np.shape(values)} for {count} instances; "
                    "expected one entry per instance"
                )
        for name in self._bare:
            columns[name] = columns[name].reshape(count)
        return Predictions(columns, count)


class OnnxClassifier:
    """Gives labels, scores, or both; only the outputs that are needed are computed.

    The output `tensors` is what the graph puts out, by its own names, with its ZipMap undone.
    """

    traits = Traits(native=True, thread_safe=True, frees_gil=True)

    def __init__(self, session: _Session, signature: Signature, label: str, scores: str) -> None:
        self.signature = signature
        self._session = session
        texts = any(isinstance(one, str) for one in signature.classes)
        self._classes = np.array(signature.classes, object if texts else None)
        self._wanted = {
            "labels": [label],
            "probabilities": [scores],
            "detailed": [label, scores],
            _TENSORS: [label, scores],
        }
        self._tensors = label, scores

    def predict(self, instances: Instances, parameters: Parameters) -> Predictions:
        """Run the session once for the output asked for."""
        output = parameters["output"]
        answers = self._session.answer(self._wanted[output], instances)
        if output == "labels":
            return classifier.labelled(np.asarray(answers[0]).reshape(instances.count))
        if output == _TENSORS:
            labels = np.asarray(answers[0]).reshape(instances.count)
            columns = zip(self._tensors, (labels, self._matrix(answers[1])), strict=True)
            return Predictions(dict(columns), instances.count)
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

    libraries = ("onnxruntime",)

    def recognises(self, path: Path) -> bool:
        """Read the top level of the protobuf message."""
        return path.is_file() and onnx_file.is_model(path)

    def load(self, artifact: Artifact) -> Predictor:
        """Judge the file and what else it would read, then let ONNX Runtime load it."""
        ort = need("onnxruntime", "onnx")
        model = artifact.path.resolve()  # external data lies beside the file itself, not beside a link to it
        try:
            found = onnx_file.inspect(model.read_bytes())
        except ValueError as error:
            raise unreadable(artifact.path, "ONNX", error) from None
        onnx_external.check(model, found.locations)
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 4  # else each refused request is a line on stderr
        # What was judged is ONNX; a suffix .ort would have the same bytes read as something else.
        options.add_session_config_entry("session.load_model_format", "ONNX")
        try:
            session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # noqa: BLE001 - ONNX Runtime's errors have no base of their own
            raise unreadable(artifact.path, "ONNX", ValueError(_reason(error))) from None
        return _predictor(session, found, artifact)


def _predictor(session: Any, found: onnx_file.OnnxFile, artifact: Artifact) -> Predictor:
    given, made = session.get_inputs(), session.get_outputs()
    declared = artifact.declared or Signature(())
    inputs = onnx_signature.inputs(given, found.metadata, declared)
    wrapped = _Session(
        run=session.run,
        bare=frozenset(one.name for one in given if list(one.shape[1:]) == [1]),
        one_by_one=_exported_for_one(artifact.path, given),
        refused=_refusals(),
    )
    if not onnx_signature.is_classifier(made, found):
        return OnnxPredictor(wrapped, Signature(inputs, onnx_signature.outputs(made, declared)))
    label, scores = made
    classes = onnx_signature.classes(made, found, declared)
    option = _CLASSES_KNOWN if classes else _CLASSES_UNKNOWN
    dtype: DType = "float64" if scores.type == "tensor(double)" else "float32"
    outputs = classifier.outputs(classes, dtype) if classes else ()
    return OnnxClassifier(wrapped, Signature(inputs, outputs, classes, (option,)), label.name, scores.name)


def _exported_for_one(path: Path, inputs: Sequence[Any]) -> bool:
    """Whether the axis of instances was fixed to 1; raises FailedPrecondition for any other number."""
    sizes = {size for one in inputs if isinstance(size := one.shape[0], int) and size >= 0}
    if sizes - {1}:
        raise FailedPrecondition(
            f"{path.name} was exported for batches of exactly {max(sizes)}; export it with a dynamic first "
            "axis"
        )
    return bool(sizes)


def _refusals() -> tuple[type[Exception], ...]:
    """Return what ONNX Runtime raises where values, or their shapes, do not suit an operator."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return state.InvalidArgument, state.Fail, state.RuntimeException  # which one depends on the version


def _reason(error: Exception) -> str:
    """Return what ONNX Runtime says, without its codes, its source files and the path of the model."""
    return _REASON.sub("", str(error), count=1).strip()


RUNTIME = OnnxRuntime()
