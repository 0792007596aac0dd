"""SavedModels answered by TensorFlow on one thread, as TensorFlow Serving does: in a session.

A session runs what it is asked for and nothing else; an object that `tf.saved_model.load` restores has
functions that run when it is made, or given up.
"""

import logging
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from trivet.core.errors import InvalidArgument
from trivet.core.instances import Column
from trivet.runtimes.base import unreadable
from trivet.runtimes.tensorflow_signature import BFLOAT16, Chosen

_NODES = re.compile(r"\{\{[^}]*\}\}\s*|\s*\[\[.*")


class Session:
    """A model in a session, which any number of threads may ask."""

    title = "TensorFlow"

    def __init__(self, tensorflow: Any, call: Any, chosen: Chosen) -> None:
        self._call = call
        self._names = [spec.name for spec in chosen.signature.inputs]
        errors = tensorflow.errors
        self._refused = (errors.InvalidArgumentError, errors.OutOfRangeError, errors.UnimplementedError)
        bfloat16 = tensorflow.bfloat16.as_numpy_dtype
        self._cast = {name: bfloat16 for name, one in chosen.entry.inputs.items() if one.dtype == BFLOAT16}

    def run(self, feed: Mapping[str, Column]) -> Sequence[Column]:
        """Answer in the order of the signature's outputs; texts are bytes."""
        columns = [feed[name] for name in self._names]
        if self._cast:
            columns = [
                column.astype(self._cast[name]) if name in self._cast else column
                for name, column in zip(self._names, columns, strict=True)
            ]
        try:
            found: Sequence[Column] = self._call(*columns)
        except self._refused as error:
            raise InvalidArgument(f"the model refuses these values: {_reason(error)}") from None
        return [one.astype("float32") if one.dtype.name == "bfloat16" else one for one in found]


def installed() -> bool:
    """Whether TensorFlow is there; it is not imported."""
    return find_spec("tensorflow") is not None


def load(folder: Path, chosen: Chosen) -> Session:
    """Load a model; raises FailedPrecondition where TensorFlow cannot."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # noqa: TID251 - it writes, and reads no setting
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tensorflow

        v1 = tensorflow.compat.v1
        log = logging.getLogger("tensorflow")
        before = log.level
        log.setLevel(logging.ERROR)  # each use of a session is deprecated, it says
        try:
            with tensorflow.Graph().as_default() as graph:
                session = v1.Session(graph=graph, config=_config(v1))
                v1.saved_model.load(session, ["serve"], str(folder))
                outputs = [chosen.entry.outputs[spec.name].tensor for spec in chosen.signature.outputs]
                inputs = [chosen.entry.inputs[spec.name].tensor for spec in chosen.signature.inputs]
                return Session(tensorflow, session.make_callable(outputs, inputs), chosen)
        except Exception as error:  # noqa: BLE001 - a broken file may raise anything
            raise unreadable(folder, "a TensorFlow", ValueError(_reason(error))) from None
        finally:
            log.setLevel(before)


def _config(v1: Any) -> Any:
    return v1.ConfigProto(
        intra_op_parallelism_threads=1,
        inter_op_parallelism_threads=1,
        use_per_session_threads=True,
        device_count={"GPU": 0},
    )


def _reason(error: Exception) -> str:
    """Return what TensorFlow says, without the nodes that it names."""
    text = str(getattr(error, "message", None) or error)
    lines = [line for one in text.splitlines() if (line := _NODES.sub("", one).strip())]
    told = [line for line in lines if not line.endswith(":") and not line.startswith("Detected at node")]
    return (told or lines or [type(error).__name__])[0][:400]
