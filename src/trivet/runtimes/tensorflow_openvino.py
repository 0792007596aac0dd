"""SavedModels answered by OpenVINO on one thread, which reads them without TensorFlow."""

import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from trivet.core.errors import InvalidArgument
from trivet.core.instances import Column
from trivet.runtimes import tensorflow_file
from trivet.runtimes.tensorflow_fit import Guards, Unfit
from trivet.runtimes.tensorflow_graph import Graph
from trivet.runtimes.tensorflow_signature import DEFAULT, Chosen

_OPTIONS = {
    "INFERENCE_PRECISION_HINT": "f32",  # else bfloat16 on CPUs that have it, with errors of 4e-3
    "NUM_STREAMS": 1,
    "INFERENCE_NUM_THREADS": 1,
    "ENABLE_CPU_PINNING": False,  # or all processes share one core
    "CPU_RUNTIME_CACHE_CAPACITY": "64",  # sizes of batches; its default of 5,000 is hundreds of MB
}
_MAX_ROWS = 2048
_MAX_TEXTS = 256  # its cost per text grows with the batch
_MAX_BYTES = 1 << 22  # of one input: what a batch needs in between is kept, and is many times that

_OPERATORS = re.compile(r"(?:No conversion rule found for operations|Conversion is failed for): ([^\n]+)")


class OpenVino:
    """A model with a pool of copies, since one copy answers one caller at a time.

    A second copy is made when a second thread asks while the first is busy, and so on.
    """

    title = "OpenVINO"

    def __init__(self, compiled: Callable[[], Any], chosen: Chosen, guards: Guards) -> None:
        self._compiled = compiled
        self._guards = guards
        first = compiled()
        self._idle = deque([first.create_infer_request()])
        given = {
            spec.name for spec in chosen.signature.inputs
        }  # some may be of no effect, and not be asked for
        self._inputs = [next(iter(given & port.get_names()), "") for port in first.inputs]
        ports = {name: index for index, port in enumerate(first.outputs) for name in port.get_names()}
        missing = [spec.name for spec in chosen.signature.outputs if spec.name not in ports]
        if missing or "" in self._inputs:
            raise Unfit(f"OpenVINO does not find the {f'output {missing[0]!r}' if missing else 'inputs'}")
        self._outputs = [ports[spec.name] for spec in chosen.signature.outputs]

    def run(self, feed: Mapping[str, Column]) -> Sequence[Column]:
        """Answer in the order of the signature's outputs; texts are bytes."""
        count = len(next(iter(feed.values())))
        for name, column in feed.items():
            self._guards.check(name, column)
        tensors = {name: _tensor(name, feed[name]) for name in self._inputs}
        rows = _rows_at_once(tensors.values())
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._compiled().create_infer_request()
        try:
            parts = [
                self._ask(request, {name: one[start : start + rows] for name, one in tensors.items()})
                for start in range(0, count, rows)
            ]
        finally:
            self._idle.append(request)
        if len(parts) == 1:
            return parts[0]
        return [np.concatenate(columns) for columns in zip(*parts, strict=True)]

    def _ask(self, request: Any, tensors: dict[str, Any]) -> Sequence[Column]:
        try:
            found = request.infer(tensors, decode_strings=False)
        except RuntimeError as error:
            raise InvalidArgument(f"the model refuses these values: {_reason(error)}") from None
        return [found[index] for index in self._outputs]


def load(folder: Path, content: bytes, graph: Graph, chosen: Chosen, guards: Guards) -> OpenVino:
    """Load a model; raises Unfit where OpenVINO cannot."""
    import openvino

    core = openvino.Core()
    try:
        with TemporaryDirectory(prefix="trivet-") as scratch:
            path = folder
            if chosen.name != DEFAULT:  # the only one that OpenVINO asks for
                path = Path(scratch)
                (path / tensorflow_file.NAME).write_bytes(tensorflow_file.alone(content, graph, chosen.name))
                for name in ("variables", "assets"):
                    (path / name).symlink_to((folder / name).resolve())
            model = core.read_model(str(path))
            return OpenVino(lambda: core.compile_model(model, "CPU", _OPTIONS), chosen, guards)
    except RuntimeError as error:
        names = ", ".join(dict.fromkeys(", ".join(_OPERATORS.findall(str(error))).split(", ")))
        raise Unfit(f"OpenVINO has no {names}" if names else f"OpenVINO says: {_reason(error)}") from None


def _tensor(name: str, column: Column) -> Column:
    """Return a column as OpenVINO takes it; raises InvalidArgument for a text that NumPy would cut."""
    if column.dtype.kind != "O":
        return np.ascontiguousarray(column)
    values = [one.encode() if isinstance(one, str) else one for one in column.ravel().tolist()]
    if any(one.endswith(b"\0") for one in values):
        raise InvalidArgument(f"{name}: OpenVINO, which answers this model, takes no text that ends with NUL")
    return np.array(values, "S").reshape(column.shape)


def _rows_at_once(tensors: Any) -> int:
    rows = _MAX_ROWS
    for one in tensors:
        rows = min(rows, _MAX_BYTES // max(1, one.nbytes // max(1, len(one))))
        if one.dtype.kind == "S":
            rows = min(rows, _MAX_TEXTS)
    return max(1, rows)


def _reason(error: Exception) -> str:
    """Return the last thing that OpenVINO says, without the places in its source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    kept = [line for line in lines if not line.startswith(("Exception from", "Check '", "While validating"))]
    return (kept or lines or [type(error).__name__])[-1][:400]
