"""CatBoost: numbers, categories of texts and integers, a regressor."""

from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris

from tests.zoo.base import Case, Rows, with_nulls

CANCER = load_breast_cancer()
IRIS = load_iris()
DIABETES = load_diabetes()
QUIET = {"thread_count": 1, "verbose": False, "allow_writing_files": False, "random_seed": 0}
MIXED = ["size", "petal_length", "width", "petal_width"]


def mixed(data: Any) -> list[list[Any]]:
    """Iris with its first column as text and its second as an integer category."""
    sizes = np.array(["klein", "mittel", "groß"])[np.digitize(data[:, 0], [5.4, 6.3])]
    return [
        [str(size), float(length), round(width), float(petal)]
        for size, (_, width, length, petal) in zip(sizes, data, strict=True)
    ]


def mixed_rows() -> Rows:
    """Rows with nulls and categories never seen."""
    rows = mixed(IRIS.data[::4])
    rows[3][1], rows[5][0], rows[7][2] = None, "unheard of", 99
    return rows


def _train_binary(folder: Path) -> Path:
    from catboost import CatBoostClassifier, Pool

    pool = Pool(CANCER.data, CANCER.target, feature_names=CANCER.feature_names.tolist())
    CatBoostClassifier(iterations=30, depth=4, **QUIET).fit(pool).save_model(str(folder / "model.cbm"))
    return folder / "model.cbm"


def _train_mixed(folder: Path) -> Path:
    from catboost import CatBoostClassifier, Pool

    labels = IRIS.target_names[IRIS.target].tolist()
    pool = Pool(mixed(IRIS.data), labels, cat_features=[0, 2], feature_names=MIXED)
    CatBoostClassifier(iterations=30, depth=4, **QUIET).fit(pool).save_model(str(folder / "model.cbm"))
    return folder / "model.cbm"


def _train_regressor(folder: Path) -> Path:
    from catboost import CatBoostRegressor

    data = np.array(DIABETES.data)
    data[::7, 2] = np.nan
    model = CatBoostRegressor(iterations=30, depth=4, loss_function="Poisson", **QUIET)
    model.fit(data, DIABETES.target).save_model(str(folder / "model.cbm"))
    return folder / "model.cbm"


def _train_targets(folder: Path) -> Path:
    from catboost import CatBoostRegressor

    targets = np.column_stack([DIABETES.target, DIABETES.target[::-1]])
    model = CatBoostRegressor(iterations=10, depth=4, loss_function="MultiRMSE", **QUIET)
    model.fit(DIABETES.data, targets).save_model(str(folder / "model.cbm"))
    return folder / "model.cbm"


def _rows(rows: Rows) -> list[list[Any]]:
    return [[np.nan if value is None else value for value in row] for row in rows]


def _classify(path: Path, rows: Rows, output: str) -> Any:
    from catboost import CatBoostClassifier

    model = CatBoostClassifier().load_model(str(path))
    return (
        model.predict_proba(_rows(rows)) if output == "probabilities" else model.predict(_rows(rows)).ravel()
    )


def _regress(path: Path, rows: Rows, output: str) -> Any:
    from catboost import CatBoostRegressor

    return CatBoostRegressor().load_model(str(path)).predict(_rows(rows))


BOTH = ("labels", "probabilities")
CASES = [
    Case(
        "catboost-binary",
        "catboost",
        _train_binary,
        with_nulls(CANCER.data),
        CANCER.feature_names.tolist(),
        _classify,
        BOTH,
    ),
    Case("catboost-mixed", "catboost", _train_mixed, mixed_rows(), MIXED, _classify, BOTH),
    Case("catboost-regressor", "catboost", _train_regressor, with_nulls(DIABETES.data), [], _regress),
    Case("catboost-targets", "catboost", _train_targets, with_nulls(DIABETES.data), [], _regress),
]
