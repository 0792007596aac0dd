"""ML.EVALUATE and its like give what scikit-learn says of the same answers; what a model lacks is refused."""

from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn import metrics
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import trivet.sql
from trivet.core.errors import InvalidArgument, Unimplemented

CANCER, IRIS, DIABETES = load_breast_cancer(), load_iris(), load_diabetes()
NAMES = ["a", "b", "c", "d"]


def frame(data: Any, label: Any, name: str = "label") -> pd.DataFrame:
    return pd.DataFrame(data[:, :4], columns=NAMES).assign(**{name: label})


@pytest.fixture(scope="module")
def con(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a connection with a model of each kind, and the rows that they were trained on."""
    from xgboost import XGBClassifier, XGBRegressor

    folder = tmp_path_factory.mktemp("models")
    numbers = pd.DataFrame(CANCER.data[:, :4], columns=NAMES)
    XGBClassifier(n_estimators=4, max_depth=2, n_jobs=1).fit(numbers, CANCER.target).save_model(
        folder / "two.json"
    )
    flowers = pd.DataFrame(IRIS.data, columns=NAMES)
    names = IRIS.target_names[IRIS.target]
    joblib.dump(
        make_pipeline(StandardScaler(), LogisticRegression()).fit(flowers, names), folder / "three.joblib"
    )
    sick = pd.DataFrame(DIABETES.data[:, :4], columns=NAMES)
    XGBRegressor(n_estimators=4, n_jobs=1).fit(sick, DIABETES.target).save_model(folder / "one.json")
    joblib.dump(LinearRegression().fit(sick, DIABETES.target), folder / "line.joblib")
    joblib.dump(LinearRegression().fit(DIABETES.data[:, :4], DIABETES.target), folder / "bare.joblib")

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIVET_ARTIFACTS_ALLOW_PICKLE", "true")
        with trivet.sql.connect(":memory:", dataset="ds") as connection:
            connection.sql("CREATE SCHEMA IF NOT EXISTS ds")
            for name, type_, file in (
                ("two", "XGBOOST", "two.json"),
                ("one", "XGBOOST", "one.json"),
                ("bare", "SKLEARN", "bare.joblib"),
                ("three", "SKLEARN", "three.joblib"),
                ("line", "SKLEARN", "line.joblib"),
            ):
                connection.sql(
                    f"CREATE MODEL ds.{name} OPTIONS(model_type='{type_}', model_path='{folder / file}')"
                )
            connection.sql(
                f"CREATE MODEL ds.sick OPTIONS(model_type='XGBOOST', model_path='{folder / 'one.json'}', "
                "input_label_cols=['sickness'])"
            )
            connection.register("cancer", frame(CANCER.data, CANCER.target))
            connection.register("iris", frame(IRIS.data, names))
            connection.register("diabetes", frame(DIABETES.data, DIABETES.target))
            yield connection


def one(con: Any, text: str) -> dict[str, Any]:
    [row] = con.sql(text).df().to_dict("records")
    return row


def detailed(con: Any, model: str, table: str) -> Any:
    """Return the answers of a model in the form that holds scores, by a registered name of it."""
    found = con.sql(f"SELECT * FROM ML.PREDICT(MODEL ds.{model}, TABLE {table})")
    return found.df()


@pytest.mark.parametrize("threshold", [None, 0.3, 0.8])
def test_two_classes_are_evaluated(con: Any, threshold: float | None) -> None:
    given = f", STRUCT({threshold} AS threshold)" if threshold else ""
    found = one(con, f"SELECT * FROM ML.EVALUATE(MODEL ds.two, TABLE cancer{given})")
    scores = detailed(con, "two", "cancer")["predicted_label"].to_numpy()
    truth, told = CANCER.target, (scores > (threshold or 0.5)).astype(int)
    expected = {
        "precision": metrics.precision_score(truth, told),
        "recall": metrics.recall_score(truth, told),
        "accuracy": metrics.accuracy_score(truth, told),
        "f1_score": metrics.f1_score(truth, told),
        "log_loss": metrics.log_loss(truth, scores.astype(np.float64)),
        "roc_auc": metrics.roc_auc_score(truth, scores),
    }
    assert list(found) == list(expected)
    assert found == pytest.approx(expected, rel=1e-6)


def test_three_classes_are_evaluated(con: Any) -> None:
    found = one(con, "SELECT * FROM ML.EVALUATE(MODEL ds.three, TABLE iris)")
    model = LogisticRegression()
    data = StandardScaler().fit_transform(IRIS.data)
    truth = IRIS.target_names[IRIS.target]
    told, scores = model.fit(data, truth).predict(data), model.predict_proba(data)
    expected = {
        "precision": metrics.precision_score(truth, told, average="macro"),
        "recall": metrics.recall_score(truth, told, average="macro"),
        "accuracy": metrics.accuracy_score(truth, told),
        "f1_score": metrics.f1_score(truth, told, average="macro"),
        "log_loss": metrics.log_loss(truth, scores),
        "roc_auc": metrics.roc_auc_score(truth, scores, multi_class="ovr"),
    }
    assert found == pytest.approx(expected)


def test_a_label_that_is_no_class_is_a_class_of_its_own(con: Any) -> None:
    roses = "SELECT * EXCEPT(label), 'rose' AS label FROM iris LIMIT 10"
    found = one(con, f"SELECT * FROM ML.EVALUATE(MODEL ds.three, ({roses}))")
    assert (found["accuracy"], found["recall"]) == (0, 0)
    assert found["log_loss"] == pytest.approx(-np.log(1e-15))


@pytest.mark.parametrize("model", ["one", "line", "bare"])
def test_numbers_are_evaluated(con: Any, model: str) -> None:
    table = "diabetes"
    if model == "bare":
        table = "(SELECT [a, b, c, d] AS features, label FROM diabetes)"
    table = table if table.startswith("(") else f"TABLE {table}"
    found = one(con, f"SELECT * FROM ML.EVALUATE(MODEL ds.{model}, {table})")
    told = con.sql(f"SELECT * FROM ML.PREDICT(MODEL ds.{model}, {table})").df().iloc[:, 0].to_numpy()
    truth = DIABETES.target
    expected = {
        "mean_absolute_error": metrics.mean_absolute_error(truth, told),
        "mean_squared_error": metrics.mean_squared_error(truth, told),
        "mean_squared_log_error": metrics.mean_squared_log_error(truth, told),
        "median_absolute_error": metrics.median_absolute_error(truth, told),
        "r2_score": metrics.r2_score(truth, told),
        "explained_variance": metrics.explained_variance_score(truth, told),
    }
    assert list(found) == list(expected)
    assert found == pytest.approx(expected)


def test_rows_without_a_label_are_left_out(con: Any) -> None:
    whole = one(con, "SELECT * FROM ML.EVALUATE(MODEL ds.one, (SELECT * FROM diabetes WHERE a > 0))")
    text = "SELECT * EXCEPT(label), IF(a > 0, label, NULL) AS label FROM diabetes"
    assert one(con, f"SELECT * FROM ML.EVALUATE(MODEL ds.one, ({text}))") == pytest.approx(whole)


@pytest.mark.parametrize(
    "call",
    [
        "ML.EVALUATE(MODEL ds.sick, (SELECT * EXCEPT(label), label AS sickness FROM diabetes))",
        "ML.EVALUATE(MODEL ds.one, (SELECT * EXCEPT(label), label AS Y FROM diabetes), "
        "STRUCT('y' AS input_label_col))",
    ],
)
def test_the_label_may_have_another_name(con: Any, call: str) -> None:
    assert one(con, f"SELECT * FROM {call}") == one(
        con, "SELECT * FROM ML.EVALUATE(MODEL ds.one, TABLE diabetes)"
    )


@pytest.mark.parametrize("cast", ["BOOL", "FLOAT64", "NUMERIC"])
def test_labels_of_0_and_1_may_be_of_other_types(con: Any, cast: str) -> None:
    text = f"SELECT * EXCEPT(label), CAST(label AS {cast}) AS label FROM cancer"
    found = one(con, f"SELECT * FROM ML.EVALUATE(MODEL ds.two, ({text}))")
    assert found == one(con, "SELECT * FROM ML.EVALUATE(MODEL ds.two, TABLE cancer)")


def test_a_confusion_matrix(con: Any) -> None:
    found = con.sql("SELECT * FROM ML.CONFUSION_MATRIX(MODEL ds.two, TABLE cancer)").df()
    scores = detailed(con, "two", "cancer")["predicted_label"].to_numpy()
    assert found.columns.tolist() == ["expected_label", "_0", "_1"]
    assert found["expected_label"].tolist() == [0, 1]
    expected = metrics.confusion_matrix(CANCER.target, scores > 0.5)
    assert found[["_0", "_1"]].to_numpy().tolist() == expected.tolist()
    named = con.sql("SELECT * FROM ML.CONFUSION_MATRIX(MODEL ds.three, TABLE iris)").df()
    assert named.columns.tolist() == ["expected_label", "setosa", "versicolor", "virginica"]


def test_a_curve_at_given_thresholds(con: Any) -> None:
    text = "SELECT * FROM ML.ROC_CURVE(MODEL ds.two, TABLE cancer, GENERATE_ARRAY(0.4, 0.6, 0.1))"
    found = con.sql(text).df()
    scores = detailed(con, "two", "cancer")["predicted_label"].to_numpy()
    assert found["threshold"].tolist() == pytest.approx([0.4, 0.5, 0.6])
    for row in found.to_dict("records"):
        tn, fp, fn, tp = metrics.confusion_matrix(CANCER.target, scores > row["threshold"]).ravel()
        told = [row[f"{truth}_{kind}s"] for truth in ("true", "false") for kind in ("positive", "negative")]
        assert told == [tp, tn, fp, fn]
        assert row["recall"] == pytest.approx(tp / (tp + fn))
        assert row["false_positive_rate"] == pytest.approx(fp / (fp + tn))


def test_a_curve_at_percentiles_has_the_area_that_is_told(con: Any) -> None:
    found = con.sql("SELECT * FROM ML.ROC_CURVE(MODEL ds.two, TABLE cancer)").df()
    rates = found.sort_values("threshold", ascending=False)
    area = np.trapezoid([*rates["recall"], 1], [*rates["false_positive_rate"], 1])
    told = one(con, "SELECT * FROM ML.EVALUATE(MODEL ds.two, TABLE cancer)")
    assert area == pytest.approx(told["roc_auc"], abs=0.01)


def test_predictions_are_explained(con: Any) -> None:
    found = con.sql("SELECT * FROM ML.EXPLAIN_PREDICT(MODEL ds.one, TABLE diabetes)").df()
    assert found.columns.tolist() == [
        "predicted_label", "top_feature_attributions", "baseline_prediction_value", "prediction_value",
        "approximation_error", *NAMES, "label",
    ]  # fmt: skip
    told = con.sql("SELECT * FROM ML.PREDICT(MODEL ds.one, TABLE diabetes)").df()
    assert np.allclose(found["predicted_label"], told["predicted_label"], rtol=1e-6)
    for row in found.head(20).to_dict("records"):
        terms = [one["attribution"] for one in row["top_feature_attributions"]]
        assert sorted(terms, key=abs, reverse=True) == terms
        assert {one["feature"] for one in row["top_feature_attributions"]} == set(NAMES)
        assert row["baseline_prediction_value"] + sum(terms) == pytest.approx(row["prediction_value"])
        assert row["prediction_value"] == pytest.approx(row["predicted_label"], rel=1e-5)


def test_classes_are_explained_with_their_probability(con: Any) -> None:
    text = "SELECT * FROM ML.EXPLAIN_PREDICT(MODEL ds.three, TABLE iris, STRUCT(2 AS top_k_features))"
    found = con.sql(text).df()
    assert found.columns.tolist()[:2] == ["predicted_label", "probability"]
    assert set(found["predicted_label"]) == set(IRIS.target_names)
    assert {len(one) for one in found["top_feature_attributions"]} == {2}


def test_a_threshold_turns_explanations_to_the_class_that_is_predicted(con: Any) -> None:
    plain = con.sql("SELECT * FROM ML.EXPLAIN_PREDICT(MODEL ds.two, TABLE cancer)").df()
    text = "SELECT * FROM ML.EXPLAIN_PREDICT(MODEL ds.two, TABLE cancer, STRUCT(0.8 AS threshold))"
    moved = con.sql(text).df()
    turned = (plain["predicted_label"] != moved["predicted_label"]).to_numpy()
    assert 0 < turned.sum() < len(plain)
    sign = np.where(turned, -1, 1)
    assert np.allclose(moved["prediction_value"], sign * plain["prediction_value"])
    assert np.allclose(moved["probability"], np.where(turned, 1 - plain["probability"], plain["probability"]))
    for before, after, way in zip(
        plain["top_feature_attributions"], moved["top_feature_attributions"], sign, strict=True
    ):
        assert [one["attribution"] for one in after] == [way * one["attribution"] for one in before]


def test_functions_nest_in_queries(con: Any) -> None:
    text = """
      WITH asked AS (SELECT * FROM ML.EXPLAIN_PREDICT(MODEL ds.one, TABLE diabetes) WHERE a > 0),
        told AS (SELECT p.* FROM ML.PREDICT(MODEL ds.one, (SELECT a, b, c, d, label FROM asked)) AS p)
      SELECT e.r2_score, (SELECT COUNT(*) FROM told) AS n
      FROM ML.EVALUATE(MODEL ds.one, (SELECT a, b, c, d, label FROM told)) AS e
    """
    found = one(con, text)
    expected = one(con, "SELECT * FROM ML.EVALUATE(MODEL ds.one, (SELECT * FROM diabetes WHERE a > 0))")
    assert found == {
        "r2_score": pytest.approx(expected["r2_score"]),
        "n": int((DIABETES.data[:, 0] > 0).sum()),
    }


def test_features_are_listed(con: Any) -> None:
    found = con.sql("SELECT * FROM ML.FEATURE_INFO(MODEL ds.two)").df()
    assert found.columns.tolist() == [
        "input", "min", "max", "mean", "median", "stddev", "category_count", "null_count", "dimension",
    ]  # fmt: skip
    assert found["input"].tolist() == NAMES
    bare = con.sql("SELECT input, dimension FROM ML.FEATURE_INFO(MODEL ds.bare)").fetchall()
    assert bare == [("features", 4)]


def test_importances_are_listed(con: Any) -> None:
    found = con.sql("SELECT * FROM ML.FEATURE_IMPORTANCE(MODEL ds.two) ORDER BY importance_gain DESC").df()
    columns = ["feature", "importance_weight", "importance_gain", "importance_cover"]
    assert found.columns.tolist() == columns
    assert set(found["feature"]) == set(NAMES)
    assert found["importance_weight"].sum() > 0


def test_weights_are_those_of_the_features(con: Any) -> None:
    found = con.sql("SELECT processed_input, weight FROM ML.WEIGHTS(MODEL ds.line)").fetchall()
    model = LinearRegression().fit(DIABETES.data[:, :4], DIABETES.target)
    assert [name for name, _ in found] == [*NAMES, "__INTERCEPT__"]
    assert [value for _, value in found] == pytest.approx([*model.coef_, model.intercept_])
    text = "SELECT class_label, COUNT(*) AS n FROM ML.WEIGHTS(MODEL ds.three) GROUP BY 1 ORDER BY 1"
    assert con.sql(text).fetchall() == [("setosa", 5), ("versicolor", 5), ("virginica", 5)]


@pytest.mark.parametrize(
    ("call", "error", "expected"),
    [
        ("ML.EVALUATE(MODEL ds.one)", InvalidArgument, r"was not trained here: give TABLE t .* at \[1:"),
        ("ML.EVALUATE(MODEL ds.one, (SELECT a, b, c, d FROM diabetes))", InvalidArgument,
         r"function ML.EVALUATE\nColumn label is not found in the input data to the EVALUATE"),
        ("ML.EVALUATE(MODEL ds.one, (SELECT a, b, c, label FROM diabetes))", InvalidArgument,
         r"function ML.EVALUATE\nColumn d is not found in the input data to the EVALUATE"),
        ("ML.EVALUATE(MODEL ds.one, (SELECT * EXCEPT(label), 'x' AS label FROM diabetes))", InvalidArgument,
         r"label has type STRING, but output predicted_label of model local:ds.one of type XGBOOST"),
        ("ML.EVALUATE(MODEL ds.three, (SELECT * EXCEPT(label), 1 AS label FROM iris))", InvalidArgument,
         r"label has type INT64; the classes of model local:ds.three of type SKLEARN are of type"),
        ("ML.EVALUATE(MODEL ds.one, TABLE diabetes, STRUCT(0.5 AS threshold))", InvalidArgument,
         r"Option threshold: it is for two classes"),
        ("ML.EVALUATE(MODEL ds.three, TABLE iris, STRUCT(0.5 AS threshold))", InvalidArgument,
         r"Option threshold: it is for two classes with probabilities; .* has 3 classes at \[1:"),
        ("ML.EVALUATE(MODEL ds.one, TABLE diabetes, STRUCT(1 AS treshold))", InvalidArgument,
         r"Option treshold: unknown option; did you mean 'threshold'\?"),
        ("ML.EVALUATE(MODEL ds.one, TABLE diabetes, STRUCT(1 AS horizon))", Unimplemented,
         r"option horizon: it is for time series"),
        ("ML.CONFUSION_MATRIX(MODEL ds.one, TABLE diabetes)", Unimplemented, r"it is no classifier"),
        ("ML.ROC_CURVE(MODEL ds.three, TABLE iris)", InvalidArgument, r"It is for two classes; .* has 3"),
        ("ML.FEATURE_IMPORTANCE(MODEL ds.line)", Unimplemented, r"LinearRegression has no importance"),
        ("ML.WEIGHTS(MODEL ds.one)", Unimplemented, r"it has no weights"),
        ("ML.WEIGHTS(MODEL ds.line, STRUCT(TRUE AS standardize))", Unimplemented, r"option standardize"),
        ("ML.TRAINING_INFO(MODEL ds.one)", Unimplemented,
         r"TRAINING_INFO is not supported for model local:ds.one of type XGBOOST: it was imp.* at \[1:18\]"),
        ("ML.GLOBAL_EXPLAIN(MODEL ds.one)", Unimplemented, r"aggregate top_feature_attributions"),
        ("ML.EVALUAT(MODEL ds.one)", Unimplemented, r"ML.EVALUAT: unknown .*; did you mean 'EVALUATE'\?"),
        ("SAFE.ML.EVALUATE(MODEL ds.one, TABLE diabetes)", InvalidArgument, r"SAFE.ML.EVALUATE"),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_told(con: Any, call: str, error: type, expected: str) -> None:
    with pytest.raises(error, match=expected):
        con.sql(f"SELECT * FROM {call}")


def test_attributions_are_unnested_by_their_fields(con: Any) -> None:
    rows = con.sql(
        "SELECT feature, COUNT(*) AS n, SUM(ABS(attribution)) > 0 AS any "
        "FROM ML.EXPLAIN_PREDICT(MODEL ds.one, TABLE diabetes, STRUCT(2 AS top_k_features)) AS p, "
        "UNNEST(p.top_feature_attributions) GROUP BY feature"
    ).fetchall()
    assert rows
    assert all(isinstance(feature, str) and some for feature, _, some in rows)
    (total,) = con.sql("SELECT COUNT(*) FROM diabetes").fetchone()
    assert sum(n for _, n, _ in rows) == 2 * total
    best = con.sql(
        "SELECT (SELECT feature FROM UNNEST(top_feature_attributions) ORDER BY attribution DESC LIMIT 1) "
        "FROM ML.EXPLAIN_PREDICT(MODEL ds.one, (SELECT * FROM diabetes LIMIT 3))"
    ).fetchall()
    assert len(best) == 3
    assert all(isinstance(feature, str) for (feature,) in best)
