"""Trees that are asked without scikit-learn's own checks give what scikit-learn gives, to the bit."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from trivet.runtimes.sklearn_trees import asks

ensemble = pytest.importorskip("sklearn.ensemble")
FEATURES = 4
ROWS = np.random.default_rng(7).normal(size=(120, FEATURES))
TWO = (ROWS[:, 0] > 0).astype(int)
THREE = np.array(["low", "middle", "high"])[np.digitize(ROWS[:, 0], [-0.5, 0.5])]
NUMBER = ROWS[:, 1] * 3 + ROWS[:, 2]

MODELS = {
    "boosted, two": ensemble.GradientBoostingClassifier(n_estimators=7).fit(ROWS, TWO),
    "boosted, three": ensemble.GradientBoostingClassifier(n_estimators=7).fit(ROWS, THREE),
    "boosted, from zero": ensemble.GradientBoostingClassifier(n_estimators=7, init="zero").fit(ROWS, THREE),
    "boosted, exponential": ensemble.GradientBoostingClassifier(n_estimators=7, loss="exponential").fit(
        ROWS, TWO
    ),
    "boosted numbers": ensemble.GradientBoostingRegressor(n_estimators=7).fit(ROWS, NUMBER),
    "boosted, huber": ensemble.GradientBoostingRegressor(n_estimators=7, loss="huber").fit(ROWS, NUMBER),
    "forest": ensemble.RandomForestClassifier(7).fit(ROWS, THREE),
    "forest, two": ensemble.RandomForestClassifier(7).fit(ROWS, TWO),
    "forest of numbers": ensemble.RandomForestRegressor(7).fit(ROWS, NUMBER),
    "extra trees": ensemble.ExtraTreesClassifier(7).fit(ROWS, THREE),
    "extra trees of numbers": ensemble.ExtraTreesRegressor(7).fit(ROWS, NUMBER),
}

cells = st.one_of(
    st.floats(-3, 3),
    st.sampled_from([*ROWS[:9, 0], 0.0, -0.0, 1e-320, 3.5e38, -3.5e38, 1e308, np.inf, -np.inf, np.nan]),
)


def outcome(ask, rows):
    with np.errstate(all="ignore"):
        try:
            found = ask(rows)
        except ValueError as error:
            return str(error)
    return found.dtype.str, found.shape, found.tolist()


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.integers(0, 5).flatmap(lambda n: arrays(np.float64, (n, FEATURES), elements=cells)),
    order=st.sampled_from("CF"),
)
def test_answers_and_refusals_are_scikit_learns_own(name, rows, order):
    model = MODELS[name]
    quick = asks(model)
    given_rows = np.array(rows, order=order)
    assert outcome(quick.predict, given_rows) == outcome(model.predict, given_rows)
    if quick.scores is not None:
        assert outcome(quick.scores, given_rows) == outcome(model.predict_proba, given_rows)


@pytest.mark.parametrize("name", MODELS)
def test_scikit_learn_itself_is_not_asked_for_ordinary_rows(name, monkeypatch):
    model = MODELS[name]
    quick = asks(model)
    expected = model.predict(ROWS)
    for method in ("predict", "predict_proba", "decision_function", "_raw_predict", "_validate_X_predict"):
        if hasattr(model, method):
            monkeypatch.setattr(model, method, None)
    assert np.array_equal(quick.predict(ROWS), expected)


@pytest.mark.parametrize(
    "model",
    [
        ensemble.RandomForestRegressor(3).fit(ROWS, ROWS[:, :2]),
        ensemble.GradientBoostingRegressor(n_estimators=3, init=ensemble.RandomForestRegressor(2)).fit(
            ROWS, NUMBER
        ),
        ensemble.AdaBoostClassifier(n_estimators=3).fit(ROWS, TWO),
    ],
    ids=["several outputs", "an init of its own", "another kind"],
)
def test_others_are_asked_as_ever(model):
    assert asks(model).predict == model.predict


def test_a_model_with_other_insides_is_asked_as_ever(monkeypatch):
    model = ensemble.GradientBoostingClassifier(n_estimators=3).fit(ROWS, TWO)
    monkeypatch.setattr(model, "_loss", None)
    assert asks(model).predict == model.predict


def test_a_model_that_would_be_answered_otherwise_is_asked_as_ever(monkeypatch):
    model = ensemble.RandomForestClassifier(3).fit(ROWS, TWO)
    monkeypatch.setattr(model, "predict_proba", lambda rows: np.full((len(rows), 2), 0.5))
    assert asks(model).predict == model.predict


def test_subclasses_are_asked_as_ever():
    class Own(ensemble.RandomForestClassifier):
        pass

    assert asks(model := Own(3).fit(ROWS, TWO)).predict == model.predict
