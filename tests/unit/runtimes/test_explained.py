"""Explanations add up to what the framework's own library answers, for the class that is predicted."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from tests.zoo import cases
from tests.zoo.xgboost import CANCER, DIABETES, IRIS
from trivet.codecs.json_rows import RowDecoder
from trivet.core.errors import Unimplemented
from trivet.core.predictor import Linear, Predictor, Weighing
from trivet.core.signature import EXPLANATIONS
from trivet.runtimes import registry
from trivet.runtimes.base import Artifact, Permissions

ALLOWED = Permissions(pickle=True)


def load(path: Path, framework: str) -> Predictor:
    file = registry.detect(path)[1]
    predictor = registry.get_runtime(framework).load(Artifact(file, None, ALLOWED))
    assert hasattr(predictor, "predict")
    return predictor


def explain(predictor: Predictor, rows: Any) -> dict[str, Any]:
    instances = RowDecoder(predictor.signature).decode(rows)
    answer = predictor.predict(instances, {"output": EXPLANATIONS}).columns
    columns = {name: np.asarray(column) for name, column in answer.items()}
    assert columns["attributions"].shape == (len(rows), len(predictor.signature.features))
    sums = columns["baseline"] + columns["attributions"].sum(axis=1)
    assert np.allclose(columns["value"], sums, rtol=1e-9, atol=1e-9)
    return columns


def logit(probabilities: Any) -> Any:
    return np.log(probabilities / (1 - probabilities))


@pytest.mark.parametrize(
    "case", [one for one in cases() if one.framework in ("xgboost", "lightgbm", "catboost")], ids=str
)
def test_it_says_what_is_predicted_and_why(case: Any, zoo: Any) -> None:
    predictor = load(zoo(case), case.framework)
    if not predictor.signature.explains:
        assert predictor.signature.outputs[0].shape, "only models of several answers do not explain"
        return
    columns = explain(predictor, case.rows)
    if "prediction" in columns:
        expected = np.asarray(case.expect(zoo(case), case.rows, "values"))
        assert np.array_equal(columns["prediction"], expected)
        return
    labels = np.asarray(case.expect(zoo(case), case.rows, "labels"))
    scores = np.asarray(case.expect(zoo(case), case.rows, "probabilities"))
    assert columns["predicted_class"].tolist() == labels.reshape(-1).tolist()
    assert np.array_equal(columns["probability"], scores.max(axis=1))
    if scores.shape[1] == 2:
        assert np.allclose(columns["value"], logit(scores.max(axis=1)), atol=1e-4)


@pytest.mark.parametrize("name", ["xgboost-missing", "xgboost-bare", "xgboost-categories"])
def test_a_regressor_of_squares_adds_up_to_its_prediction(name: str, zoo: Any) -> None:
    case = next(one for one in cases() if one.name == name)
    columns = explain(load(zoo(case), "xgboost"), case.rows)
    assert np.allclose(columns["value"], columns["prediction"], rtol=1e-5)


def test_trees_of_vectors_do_not_explain(tmp_path: Path) -> None:
    from xgboost import XGBClassifier

    model = XGBClassifier(n_estimators=3, n_jobs=1, multi_strategy="multi_output_tree")
    model.fit(IRIS.data, IRIS.target).save_model(tmp_path / "model.json")
    predictor = load(tmp_path, "xgboost")
    assert not predictor.signature.explains
    assert isinstance(predictor, Weighing)
    assert predictor.importances()["weight"].sum() > 0


def test_linear_leaves_do_not_explain(tmp_path: Path) -> None:
    from lightgbm import LGBMRegressor

    model = LGBMRegressor(n_estimators=3, n_jobs=1, linear_tree=True, verbose=-1)
    model.fit(DIABETES.data, DIABETES.target).booster_.save_model(tmp_path / "model.txt")
    assert not load(tmp_path, "lightgbm").signature.explains


def test_importances_are_those_of_xgboost(zoo: Any) -> None:
    from xgboost import Booster

    case = next(one for one in cases() if one.name == "xgboost-binary")
    predictor = load(zoo(case), "xgboost")
    assert isinstance(predictor, Weighing)
    measures = predictor.importances()
    own = Booster(model_file=registry.detect(zoo(case))[1])
    for kind in ("weight", "gain", "cover"):
        scores = own.get_score(importance_type=kind)
        named = dict(zip(predictor.signature.features, measures[kind], strict=True))
        assert {name: value for name, value in named.items() if value} == scores


def test_importances_of_lightgbm_are_means_as_those_of_xgboost(tmp_path: Path) -> None:
    from lightgbm import LGBMRegressor

    model = LGBMRegressor(n_estimators=5, n_jobs=1, verbose=-1).fit(DIABETES.data, DIABETES.target)
    model.booster_.save_model(tmp_path / "model.txt")
    predictor = load(tmp_path, "lightgbm")
    assert isinstance(predictor, Weighing)
    measures = predictor.importances()
    assert measures["weight"].tolist() == model.booster_.feature_importance("split").tolist()
    assert np.allclose(measures["gain"] * measures["weight"], model.booster_.feature_importance("gain"))


def test_importances_of_catboost_are_its_own(zoo: Any) -> None:
    case = next(one for one in cases() if one.framework == "catboost")
    predictor = load(zoo(case), "catboost")
    assert isinstance(predictor, Weighing)
    assert predictor.importances()["importance"].sum() == pytest.approx(100)


def dumped(model: Any, folder: Path) -> Predictor:
    import joblib

    joblib.dump(model, folder / "model.joblib")
    return load(folder, "sklearn")


@pytest.mark.parametrize("scalers", [(), (StandardScaler(),), (MinMaxScaler(), StandardScaler())])
def test_a_linear_model_of_scikit_learn_explains(scalers: Any, tmp_path: Path) -> None:
    model = make_pipeline(*scalers, LinearRegression()).fit(DIABETES.data, DIABETES.target)
    predictor = dumped(model, tmp_path)
    columns = explain(predictor, DIABETES.data[:20].tolist())
    assert np.allclose(columns["value"], model.predict(DIABETES.data[:20]))
    assert isinstance(predictor, Linear)
    weights, intercepts = predictor.coefficients()
    assert np.allclose(DIABETES.data @ weights[0] + intercepts[0], model.predict(DIABETES.data))


@pytest.mark.parametrize("data", [CANCER, IRIS], ids=["two", "three"])
def test_a_logistic_regression_explains_the_class_it_predicts(data: Any, tmp_path: Path) -> None:
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(data.data, data.target)
    predictor = dumped(model, tmp_path)
    rows = data.data[::9]
    columns = explain(predictor, rows.tolist())
    scores = model.decision_function(rows)
    margins = np.column_stack((-scores, scores)) if scores.ndim == 1 else scores
    assert columns["predicted_class"].tolist() == model.predict(rows).tolist()
    assert np.allclose(columns["value"], margins.max(axis=1))
    assert np.allclose(columns["probability"], model.predict_proba(rows).max(axis=1))


def test_a_forest_has_importances_and_no_weights(tmp_path: Path) -> None:
    from sklearn.ensemble import RandomForestClassifier

    model = RandomForestClassifier(n_estimators=5).fit(IRIS.data, IRIS.target)
    predictor = dumped(model, tmp_path)
    assert not predictor.signature.explains
    assert isinstance(predictor, Weighing)
    assert predictor.importances()["importance"].tolist() == model.feature_importances_.tolist()
    assert isinstance(predictor, Linear)
    with pytest.raises(Unimplemented, match="RandomForestClassifier is no linear model"):
        predictor.coefficients()
