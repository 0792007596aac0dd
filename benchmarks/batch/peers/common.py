"""What every way of the comparison shares: what it is asked for, and the same model with one math thread.

A way is a script: `python WAY.py FORMAT INPUT MODEL OUTPUT`. It reads INPUT (csv or jsonl), asks MODEL, and
writes `{"instance": {...}, "prediction": p}` for each row, in order, to the file or into the folder OUTPUT.
"""

import sys
from typing import Any, NamedTuple

import numpy as np
import onnxruntime

NAMES = ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")


class Asked(NamedTuple):
    """The arguments of a way."""

    format: str
    input: str
    model: str
    output: str


def asked() -> Asked:
    return Asked(*sys.argv[1:5])


class Model:
    """The model, which ONNX Runtime answers on one thread."""

    def __init__(self, file: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def __call__(self, matrix: Any) -> Any:
        """Return a float32 for each row of a matrix, whose columns are in the order of `NAMES`."""
        rows = np.ascontiguousarray(matrix, dtype=np.float32)
        return self._session.run(None, {"X": rows})[0].reshape(-1)
