"""What all servers of the comparison share: where the model lies, and how it predicts.

Each server differs in how a request reaches `predict` and in nothing else: the same file, the same library
with one thread, the same function. `VARIANT` picks the way a server is run, such as with batching.
"""

import os
from collections.abc import Callable
from typing import Any

MODEL = os.environ["BENCH_MODEL"]  # onnx, sklearn or python
FILE = os.environ["BENCH_FILE"]
PORT = int(os.environ["BENCH_PORT"])
VARIANT = os.environ["BENCH_VARIANT"]
BATCHES = VARIANT == "batch"

Predict = Callable[[Any], list[int]]


def load() -> Predict:
    """Load the model; what comes back takes rows, as lists or an array, and gives a label for each."""
    return {"onnx": _onnx, "sklearn": _sklearn, "python": _python}[MODEL]()


def _onnx() -> Predict:
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(FILE, options, providers=["CPUExecutionProvider"])
    # Only the label is asked for: scores that nobody reads would cost every server the same, for nothing.
    return lambda rows: session.run(["label"], {"X": np.asarray(rows, np.float32)})[0].tolist()


def _sklearn() -> Predict:
    import joblib
    import numpy as np

    model = joblib.load(FILE)
    return lambda rows: model.predict(np.asarray(rows, np.float64)).tolist()


def _python() -> Predict:
    from committee.predictor import read, vote

    members = read(FILE)

    def predict(rows: Any) -> list[int]:
        # Plain Python is several times slower on NumPy's numbers than on its own.
        return vote(members, rows if isinstance(rows, list) else rows.tolist())

    return predict


def split(answers: list[int], sizes: list[int]) -> list[list[int]]:
    """Give each request of a batch its own answers back."""
    parts, start = [], 0
    for size in sizes:
        parts.append(answers[start : start + size])
        start += size
    return parts
