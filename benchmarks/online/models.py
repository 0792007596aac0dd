"""The models that every server gets, the rows they are asked about, and the right answers.

Three models on the breast cancer data (569 patients, 30 numbers each), one for each kind of cost:

    onnx      gradient boosting as ONNX: about 7 µs a row, so the server is nearly all that is measured
    sklearn   the same model in scikit-learn: over 100 µs a call, whatever the number of rows
    python    logistic regressions in plain Python: about 50 µs a row, and it holds the GIL
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PYTHON_FOLDER = Path(__file__).parent / "peers" / "committee"
MODELS = ("onnx", "sklearn", "python")
LIBRARIES = ("numpy", "scipy", "scikit-learn", "joblib", "onnxruntime")  # the same versions for all
MEMBERS = 30  # of the committee; sets what a row of the Python model costs

Rows = list[list[float]]


@dataclass(frozen=True)
class Model:
    """A model file, and the library's own answer, which every server must give."""

    name: str
    file: Path
    predict: Callable[[Rows], list[int]]


def make(folder: Path, names: list[str]) -> tuple[list[Model], Rows]:
    """Train the models into a folder; returns the named ones, and the rows of the data."""
    from sklearn.datasets import load_breast_cancer

    folder.mkdir(parents=True, exist_ok=True)
    x, y = load_breast_cancer(return_X_y=True)
    rows: Rows = x.tolist()
    boosted = _boosted(folder, x, y)
    made = {
        "onnx": lambda: _onnx(folder, boosted, x),
        "sklearn": lambda: Model(
            "sklearn", folder / "model.joblib", lambda rows: boosted.predict(rows).tolist()
        ),
        "python": lambda: _python(folder, x, y),
    }
    return [made[name]() for name in names], rows


def _boosted(folder: Path, x: Any, y: Any) -> Any:
    import joblib
    from sklearn.ensemble import GradientBoostingClassifier

    model = GradientBoostingClassifier(n_estimators=100, max_depth=3, random_state=0).fit(x, y)
    joblib.dump(model, folder / "model.joblib")
    return model


def _onnx(folder: Path, boosted: Any, x: Any) -> Model:
    import numpy as np
    import onnxruntime
    from skl2onnx import to_onnx

    file = folder / "model.onnx"
    options = {id(boosted): {"zipmap": False}}
    converted = to_onnx(boosted, x[:1].astype(np.float32), options=options, target_opset=18)
    file.write_bytes(converted.SerializeToString())
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return Model(
        "onnx",
        file,
        lambda rows: session.run(["label"], {"X": np.asarray(rows, np.float32)})[0].tolist(),
    )


def _python(folder: Path, x: Any, y: Any) -> Model:
    """Train each member on patients drawn with replacement, and fold the scaling into its weights."""
    import numpy as np
    from peers.committee.predictor import read, vote
    from sklearn.linear_model import LogisticRegression

    center, scale = x.mean(axis=0), x.std(axis=0)
    random = np.random.default_rng(0)
    members = []
    for _ in range(MEMBERS):
        drawn = random.integers(0, len(x), len(x))
        fitted = LogisticRegression(max_iter=1000).fit((x[drawn] - center) / scale, y[drawn])
        weights = fitted.coef_[0] / scale
        members.append([float(fitted.intercept_[0] - weights @ center), weights.tolist()])
    target = folder / "committee"
    target.mkdir(exist_ok=True)
    shutil.copy(PYTHON_FOLDER / "predictor.py", target)
    (target / "members.json").write_text(json.dumps(members))
    read_back = read(target)
    return Model("python", target, lambda rows: vote(read_back, rows))
