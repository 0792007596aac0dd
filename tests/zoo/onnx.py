"""ONNX: converted from scikit-learn by skl2onnx; the oracle is a plain ONNX Runtime session."""

from functools import cache
from pathlib import Path

import numpy as np
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_linnerud
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tests.zoo.base import Case


def save(folder: Path, model, columns, **options) -> Path:
    path = folder / "model.onnx"
    converted = to_onnx(model, columns, target_opset={"": 18, "ai.onnx.ml": 3}, **options)
    path.write_bytes(converted.SerializeToString())
    return path


def breast_cancer(folder):
    x, y = load_breast_cancer(return_X_y=True)
    model = GradientBoostingClassifier(n_estimators=30, random_state=0).fit(x, y)
    return save(folder, model, x[:1].astype(np.float32), options={id(model): {"zipmap": False}})


def iris(folder):
    x, y = load_iris(return_X_y=True)
    names = load_iris().target_names.astype(str)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(x, names[y])
    return save(folder, model, x[:1].astype(np.float32))


def diabetes(folder):
    x, y = load_diabetes(return_X_y=True)
    model = GradientBoostingRegressor(n_estimators=30, random_state=0).fit(x, y)
    return save(folder, model, x[:1].astype(np.float32))


def linnerud(folder):
    x, y = load_linnerud(return_X_y=True)
    return save(folder, LinearRegression().fit(x, y), x[:1].astype(np.float32))


def clusters(folder):
    x = load_iris().data
    model = KMeans(3, n_init=1, random_state=0).fit(x)
    return save(folder, model, x[:1].astype(np.float32))


def flowers():
    """Iris as a table of a string and two numbers."""
    x, y = load_iris(return_X_y=True)
    size = np.where(x[:, 0] > 5.8, "large", "small")
    return [[str(s), float(a), float(b)] for s, a, b in zip(size, x[:, 1], x[:, 2], strict=True)], y


def mixed(folder):
    import pandas as pd

    rows, y = flowers()
    table = pd.DataFrame(rows, columns=["size", "width", "length"])
    encode = ColumnTransformer(
        [("size", OneHotEncoder(), ["size"]), ("rest", StandardScaler(), ["width", "length"])]
    )
    model = make_pipeline(encode, LogisticRegression()).fit(table, y)
    columns = [
        ("size", StringTensorType([None, 1])),
        ("width", FloatTensorType([None, 1])),
        ("length", FloatTensorType([None, 1])),
    ]
    path = folder / "model.onnx"
    converted = to_onnx(model, initial_types=columns, target_opset=18, options={"zipmap": False})
    path.write_bytes(converted.SerializeToString())
    return path


@cache
def session(path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def expect(path, rows, output):
    run = session(path)
    inputs = run.get_inputs()
    if len(inputs) == 1:
        feed = {inputs[0].name: np.array(rows, np.float32)}
    else:
        kinds = {"tensor(string)": object, "tensor(float)": np.float32}
        feed = {
            one.name: np.array([[row[i]] for row in rows], kinds[one.type]) for i, one in enumerate(inputs)
        }
    answers = run.run(None, feed)
    if output == "values" and len(answers) > 1:
        return dict(zip([one.name for one in run.get_outputs()], answers, strict=True))
    if output == "values":
        return answers[0] if answers[0].shape[1] > 1 else answers[0][:, 0]
    if output == "labels":
        return answers[0]
    scores = answers[1]
    if isinstance(scores, np.ndarray):
        return scores
    return np.array([list(row.values()) for row in scores], np.float32)


def numbers(load):
    return load(return_X_y=True)[0][:40].tolist()


BOTH = ("labels", "probabilities")
CASES = [
    Case("onnx-binary", "onnx", breast_cancer, numbers(load_breast_cancer), (), expect, BOTH),
    Case("onnx-zipmap", "onnx", iris, load_iris().data[::4].tolist(), (), expect, BOTH),
    Case("onnx-mixed", "onnx", mixed, flowers()[0][::4], ("size", "width", "length"), expect, BOTH),
    Case("onnx-regressor", "onnx", diabetes, numbers(load_diabetes), (), expect),
    Case("onnx-clusters", "onnx", clusters, load_iris().data[::4].tolist(), (), expect),
    Case("onnx-targets", "onnx", linnerud, numbers(load_linnerud), (), expect),
]
