"""XGBoost: JSON and UBJSON, named and unnamed features, missing values, categories."""

from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris

from tests.zoo.base import Case, Rows, with_nulls

CANCER = load_breast_cancer()
IRIS = load_iris()
DIABETES = load_diabetes()


def with_nans(data: Any) -> Any:
    holed = np.array(data)
    holed[::7, 2] = np.nan
    holed[3::11, 0] = np.nan
    return holed


def categories() -> Any:
    """Columns of texts (ASCII: XGBoost keeps no other), integers and numbers, some missing."""
    import pandas as pd

    frame = pd.DataFrame(DIABETES.data[:, :4], columns=["age", "size", "code", "bp"])
    sizes = np.array(["small", "medium", "large"])[np.digitize(frame["size"], [-0.03, 0.03])]
    codes = np.array([10, -3, 700])[np.digitize(frame["code"], [-0.03, 0.03])]
    frame["size"] = pd.Categorical(sizes)
    frame["code"] = pd.Categorical(codes)
    frame.loc[::13, "size"] = None
    return frame


def category_rows() -> Rows:
    import pandas as pd

    rows = categories().iloc[5::11][:40].astype(object).to_numpy().tolist()
    return [[None if pd.isna(value) else value for value in row] for row in rows]


def _train_binary(folder: Path) -> Path:
    import pandas as pd
    from xgboost import XGBClassifier

    frame = pd.DataFrame(CANCER.data, columns=CANCER.feature_names)
    XGBClassifier(n_estimators=30, max_depth=3, n_jobs=1).fit(frame, CANCER.target).save_model(
        folder / "model.json"
    )
    return folder / "model.json"


def _train_multiclass(objective: str) -> Any:
    def train(folder: Path) -> Path:
        from xgboost import XGBClassifier

        model = XGBClassifier(n_estimators=20, max_depth=3, n_jobs=1, objective=objective)
        model.fit(IRIS.data, IRIS.target).save_model(folder / "model.ubj")
        return folder / "model.ubj"

    return train


def _train_missing(folder: Path) -> Path:
    from xgboost import XGBRegressor

    model = XGBRegressor(n_estimators=40, max_depth=3, n_jobs=1, early_stopping_rounds=3)
    data = with_nans(DIABETES.data)
    model.fit(data[50:], DIABETES.target[50:], eval_set=[(data[:50], DIABETES.target[:50])], verbose=False)
    model.save_model(folder / "model.ubj")
    return folder / "model.ubj"


def _train_bare(folder: Path) -> Path:
    import xgboost

    data = xgboost.DMatrix(DIABETES.data, DIABETES.target, nthread=1)
    xgboost.train({"max_depth": 3, "nthread": 1}, data, 30).save_model(folder / "model.json")
    return folder / "model.json"


def _train_categories(folder: Path) -> Path:
    from xgboost import XGBRegressor

    model = XGBRegressor(n_estimators=30, max_depth=3, n_jobs=1, enable_categorical=True, max_cat_to_onehot=1)
    model.fit(categories(), DIABETES.target).save_model(folder / "model.json")
    return folder / "model.json"


def _train_targets(folder: Path) -> Path:
    from xgboost import XGBRegressor

    targets = np.column_stack([DIABETES.target, DIABETES.target[::-1]])
    XGBRegressor(n_estimators=10, max_depth=3, n_jobs=1).fit(DIABETES.data, targets).save_model(
        folder / "model.json"
    )
    return folder / "model.json"


def _classify(path: Path, rows: Rows, output: str) -> Any:
    from xgboost import XGBClassifier

    model = XGBClassifier(n_jobs=1)
    model.load_model(path)
    data = np.array(rows, np.float64)
    return model.predict_proba(data) if output == "probabilities" else model.predict(data)


def _regress(path: Path, rows: Rows, output: str) -> Any:
    from xgboost import XGBRegressor

    model = XGBRegressor(n_jobs=1)
    model.load_model(path)
    return model.predict(np.array(rows, np.float64))


def _predict_bare(path: Path, rows: Rows, output: str) -> Any:
    import xgboost

    booster = xgboost.Booster(model_file=path)
    return booster.predict(xgboost.DMatrix(np.array(rows, np.float64), nthread=1))


def _regress_categories(path: Path, rows: Rows, output: str) -> Any:
    import pandas as pd
    from xgboost import XGBRegressor

    frame = pd.DataFrame(rows, columns=["age", "size", "code", "bp"])
    frame["size"] = pd.Categorical(frame["size"])
    frame["code"] = pd.Categorical(frame["code"])
    model = XGBRegressor(n_jobs=1)
    model.load_model(path)
    return model.predict(frame.astype({"age": "float64", "bp": "float64"}))


BOTH = ("labels", "probabilities")
CASES = [
    Case(
        "xgboost-binary",
        "xgboost",
        _train_binary,
        with_nulls(CANCER.data),
        CANCER.feature_names.tolist(),
        _classify,
        BOTH,
    ),
    Case(
        "xgboost-multiclass",
        "xgboost",
        _train_multiclass("multi:softprob"),
        IRIS.data[::4].tolist(),
        [],
        _classify,
        BOTH,
    ),
    Case(
        "xgboost-softmax",
        "xgboost",
        _train_multiclass("multi:softmax"),
        IRIS.data[::4].tolist(),
        [],
        _classify,
        BOTH,
    ),
    Case("xgboost-missing", "xgboost", _train_missing, with_nulls(DIABETES.data), [], _regress),
    Case("xgboost-bare", "xgboost", _train_bare, with_nulls(DIABETES.data), [], _predict_bare),
    Case("xgboost-targets", "xgboost", _train_targets, with_nulls(DIABETES.data), [], _regress),
    Case(
        "xgboost-categories",
        "xgboost",
        _train_categories,
        category_rows(),
        ["age", "size", "code", "bp"],
        _regress_categories,
    ),
]
