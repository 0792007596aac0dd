"""LightGBM text files: classifiers, a regressor, pandas columns of categories."""

from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris

from tests.zoo.base import Case, Rows, with_nulls

CANCER = load_breast_cancer()
IRIS = load_iris()
DIABETES = load_diabetes()
QUIET = {"n_jobs": 1, "verbose": -1}
FRAME = ["age", "size", "code", "bp"]


def categories() -> Any:
    import pandas as pd

    frame = pd.DataFrame(DIABETES.data[:, :4], columns=FRAME)
    sizes = np.array(["small", "medium", "größer"])[np.digitize(frame["size"], [-0.03, 0.03])]
    codes = np.array([10, -3, 700])[np.digitize(frame["code"], [-0.03, 0.03])]
    frame["size"] = pd.Categorical(sizes)
    frame["code"] = pd.Categorical(codes)
    frame.loc[::13, "size"] = None
    return frame


def category_rows() -> Rows:
    """Forty rows with nulls and a size that the model does not know."""
    import pandas as pd

    rows = categories().iloc[::11][:40].astype(object).to_numpy().tolist()
    rows = [[None if pd.isna(value) else value for value in row] for row in rows]
    rows[4][1], rows[5][2], rows[6][0] = "unheard of", None, None
    return rows


def _save(model: Any, folder: Path) -> Path:
    model.booster_.save_model(folder / "model.txt")
    return folder / "model.txt"


def _train_binary(folder: Path) -> Path:
    import pandas as pd
    from lightgbm import LGBMClassifier

    frame = pd.DataFrame(CANCER.data, columns=[name.replace(" ", "_") for name in CANCER.feature_names])
    return _save(LGBMClassifier(n_estimators=30, num_leaves=7, **QUIET).fit(frame, CANCER.target), folder)


def _train_multiclass(folder: Path) -> Path:
    from lightgbm import LGBMClassifier

    return _save(LGBMClassifier(n_estimators=15, num_leaves=7, **QUIET).fit(IRIS.data, IRIS.target), folder)


def _train_regressor(folder: Path) -> Path:
    from lightgbm import LGBMRegressor

    model = LGBMRegressor(n_estimators=30, num_leaves=7, **QUIET)
    data = np.array(DIABETES.data)
    data[::7, 2] = np.nan
    return _save(model.fit(data, DIABETES.target), folder)


def _train_categories(folder: Path) -> Path:
    from lightgbm import LGBMRegressor

    model = LGBMRegressor(n_estimators=30, num_leaves=7, min_data_per_group=5, cat_smooth=1, **QUIET)
    return _save(model.fit(categories(), DIABETES.target), folder)


def _classify(path: Path, rows: Rows, output: str) -> Any:
    """As LGBMClassifier does, which cannot be loaded from a file."""
    import lightgbm

    booster = lightgbm.Booster(model_file=path)
    scores = booster.predict(np.array(rows, np.float64), num_threads=1)
    if scores.ndim == 1:
        scores = np.vstack((1.0 - scores, scores)).transpose()
    return scores if output == "probabilities" else np.argmax(scores, axis=1)


def _regress(path: Path, rows: Rows, output: str) -> Any:
    import lightgbm

    return lightgbm.Booster(model_file=path).predict(np.array(rows, np.float64), num_threads=1)


def _regress_categories(path: Path, rows: Rows, output: str) -> Any:
    import lightgbm
    import pandas as pd

    frame = pd.DataFrame(rows, columns=FRAME).astype({"age": "float64", "bp": "float64"})
    frame["size"] = pd.Categorical(frame["size"])
    frame["code"] = pd.Categorical(frame["code"])
    return lightgbm.Booster(model_file=path).predict(frame, num_threads=1)


BOTH = ("labels", "probabilities")
CASES = [
    Case(
        "lightgbm-binary",
        "lightgbm",
        _train_binary,
        with_nulls(CANCER.data),
        [name.replace(" ", "_") for name in CANCER.feature_names],
        _classify,
        BOTH,
    ),
    Case("lightgbm-multiclass", "lightgbm", _train_multiclass, IRIS.data[::4].tolist(), [], _classify, BOTH),
    Case("lightgbm-regressor", "lightgbm", _train_regressor, with_nulls(DIABETES.data), [], _regress),
    Case("lightgbm-categories", "lightgbm", _train_categories, category_rows(), FRAME, _regress_categories),
]
