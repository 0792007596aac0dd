"""TensorFlow's SavedModels: folders with a `saved_model.pb`, as `tf.saved_model.save` and Keras write them.

They are answered by OpenVINO, which needs no TensorFlow and a tenth of its space; what that cannot answer, or
would answer differently, is TensorFlow's, where it is installed. Which of them it is is decided when a model
is loaded. Either way the answer is that of one signature, on one thread.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from trivet.codecs import example
from trivet.codecs.json_rows import RowDecoder
from trivet.core.errors import FailedPrecondition, Internal, InvalidArgument
from trivet.core.instances import Column, Instances, Predictions
from trivet.core.predictor import Predictor, Traits
from trivet.core.signature import Parameters, TensorSpec, declare, numpy_dtype
from trivet.runtimes import (
    tensorflow_file,
    tensorflow_fit,
    tensorflow_openvino,
    tensorflow_safety,
    tensorflow_session,
    tensorflow_signature,
)
from trivet.runtimes.base import Artifact, head, need, unreadable
from trivet.runtimes.tensorflow_fit import Unfit
from trivet.runtimes.tensorflow_graph import Graph
from trivet.runtimes.tensorflow_signature import Chosen

log = logging.getLogger("trivet")

_KERAS = (b"\x89HDF\r\n\x1a\n", b"PK\x03\x04")


class _Backend(Protocol):
    """What answers: OpenVINO or TensorFlow."""

    title: str

    def run(self, feed: Mapping[str, Column]) -> Sequence[Column]: ...


class TensorFlowPredictor:
    """Gives one column per output, in the order of their names."""

    traits = Traits(native=True, thread_safe=True, frees_gil=True)

    def __init__(self, backend: _Backend, chosen: Chosen) -> None:
        self.signature = chosen.signature
        self.library = backend.title
        self._backend = backend
        self._single = chosen.single

    def predict(self, instances: Instances, parameters: Parameters) -> Predictions:
        """Ask the signature; raises InvalidArgument for values that the model refuses."""
        count, columns = instances.count, instances.columns
        if not count:
            return Predictions({spec.name: _nothing(spec) for spec in self.signature.outputs}, 0)
        if self._single and count != 1:
            rows = [
                self._backend.run({name: column[i : i + 1] for name, column in columns.items()})
                for i in range(count)
            ]
            answers: Sequence[Column] = [np.concatenate(parts) for parts in zip(*rows, strict=True)]
        else:
            answers = self._backend.run(columns)
        made = {}
        for spec, values in zip(self.signature.outputs, answers, strict=True):
            if values.shape[:1] != (count,):
                raise Internal(
                    f"the model's output {spec.name!r} has shape {list(values.shape)} for {count} instances; "
                    "expected one entry per instance"
                )
            made[spec.name] = _texts(values) if values.dtype.kind in "SO" else values
        return Predictions(made, count)


class TensorFlowRuntime:
    """Loads in a process of its own: TensorFlow computes with threads."""

    own_process: Literal[True] = True

    def recognises(self, path: Path) -> bool:
        """Read the top level of `saved_model.pb`; models that Keras saved are told, to say what to do."""
        if path.is_dir():
            return (path / tensorflow_file.NAME).is_file()
        return path.is_file() and (tensorflow_file.is_saved_model(path) or _is_keras(path))

    def load(self, artifact: Artifact) -> Predictor:
        """Judge the file and what runs in it, then let a library load it.

        Raises FailedPrecondition where it cannot be read, or where no library that is installed can answer
        it, and PermissionDenied where it would do more than compute.
        """
        path = artifact.path
        folder = path if path.is_dir() else path.parent
        file = folder / tensorflow_file.NAME
        if path.is_file() and _is_keras(path):
            raise FailedPrecondition(
                f"{path.name} is what Keras saves, which is Python code to build the model again; export it: "
                f"keras.models.load_model({path.name!r}).export('model/')"
            )
        if not file.is_file() or (path.is_file() and path.name != tensorflow_file.NAME):
            raise FailedPrecondition(
                f"{path.name} is no SavedModel: expected a folder with {tensorflow_file.NAME}"
            )
        content = file.read_bytes()
        try:
            graph = tensorflow_file.inspect(content)
        except (ValueError, RecursionError) as error:
            raise unreadable(file, "a TensorFlow", error) from None
        chosen = tensorflow_signature.choose(graph, tensorflow_file.NAME, artifact.declared)
        tensorflow_safety.check(artifact, folder, graph, chosen.entry)
        return TensorFlowPredictor(_backend(artifact, folder, content, graph, chosen), chosen)


def _backend(artifact: Artifact, folder: Path, content: bytes, graph: Graph, chosen: Chosen) -> _Backend:
    """Return OpenVINO if it answers, else TensorFlow; raises FailedPrecondition where neither does."""
    tensorflow = tensorflow_session.installed()
    nullable = any(spec.nullable for spec in artifact.declared.inputs) if artifact.declared else False
    try:
        _need_openvino(required=not tensorflow)
        guards = tensorflow_fit.judge(graph, chosen, nullable=nullable, strict=tensorflow)
        found = tensorflow_openvino.load(folder, content, graph, chosen, guards)
        if tensorflow:
            _try(found, artifact, chosen)
        return found
    except Unfit as error:
        if not tensorflow:
            raise FailedPrecondition(
                f"{folder.name}: {error}; TensorFlow answers it: pip install tensorflow-cpu"
            ) from None
        log.info("%s: answered by TensorFlow: %s", folder.name, error)
        return tensorflow_session.load(folder, chosen)


def _need_openvino(*, required: bool) -> None:
    """Import OpenVINO, and what teaches it operators on texts if that is there.

    Raises FailedPrecondition if it is missing and `required`, else Unfit.
    """
    try:
        need("openvino", "tensorflow")
    except FailedPrecondition:
        if required:
            raise
        raise Unfit("OpenVINO is not installed") from None
    try:
        need("openvino_tokenizers", "tensorflow")
    except FailedPrecondition:
        log.warning("openvino-tokenizers is not installed: models of texts may not load")


def _try(backend: _Backend, artifact: Artifact, chosen: Chosen) -> None:
    """Ask for two instances, since some of what OpenVINO accepts it cannot run; raises Unfit."""
    signature = declare(chosen.signature, artifact.declared) if artifact.declared else chosen.signature
    try:
        rows = RowDecoder(signature).decode([example.instance(signature)] * 2)
    except InvalidArgument:
        return  # an example that its own signature refuses is told elsewhere
    try:
        TensorFlowPredictor(backend, chosen).predict(rows, {})
    except (InvalidArgument, Internal) as error:
        raise Unfit(f"OpenVINO, asked for an example: {error}") from None


def _nothing(spec: TensorSpec) -> Column:
    return np.empty((0, *(size or 0 for size in spec.shape)), numpy_dtype(spec.dtype))


def _texts(values: Column) -> Column:
    """Return texts as str; what is not UTF-8 stays bytes."""
    made = np.empty(values.size, object)
    for index, one in enumerate(values.ravel().tolist()):
        try:
            made[index] = one.decode()
        except UnicodeDecodeError:
            made[index] = one
    return made.reshape(values.shape)


def _is_keras(path: Path) -> bool:
    """Whether a file is in one of Keras' own formats: HDF5, or a zip archive with such a file in it."""
    start = head(path, 1 << 16)
    if start.startswith(_KERAS[0]):
        return True
    return start.startswith(_KERAS[1]) and b"metadata.json" in start and b"keras_version" in start


RUNTIME = TensorFlowRuntime()
