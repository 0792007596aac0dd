"""The quick call gives what XGBoost's own method gives, bit for bit, from any number of threads."""

import gc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import xgboost

from trivet.runtimes.xgboost_dense import dense

RANDOM = np.random.default_rng(0)
X = RANDOM.random((300, 4)).astype(np.float32)


def trained(objective="reg:squarederror", y=X[:, 0], **more):
    options = {"max_depth": 3, "nthread": 1, "objective": objective, **more}
    return xgboost.train(options, xgboost.DMatrix(X, y), 6)


BOOSTERS = {
    "regression": trained,
    "binary": lambda: trained("binary:logistic", X[:, 0] > 0.5),
    "softprob": lambda: trained("multi:softprob", (X[:, 0] * 3).astype(int), num_class=3),
    "softmax": lambda: trained("multi:softmax", (X[:, 0] * 3).astype(int), num_class=3),
    "targets": lambda: trained(y=X[:, :2]),
}


@pytest.mark.parametrize("name", BOOSTERS)
@pytest.mark.parametrize("kind", ["value", "margin"])
@pytest.mark.parametrize("trees", [(0, 0), (0, 2)])
@pytest.mark.parametrize("count", [1, 2, 200])
def test_it_gives_what_the_library_gives(name, kind, trees, count):
    booster = BOOSTERS[name]()
    rows = X[:count].copy()
    rows[::7, 1] = np.nan
    expected = booster.inplace_predict(
        rows, predict_type=kind, iteration_range=trees, validate_features=False
    )
    found = dense(xgboost, booster, kind, trees)(rows)
    assert found.dtype == np.float32
    assert np.array_equal(found, expected)


def test_an_answer_is_not_written_over_by_the_next():
    booster = trained()
    predict = dense(xgboost, booster, "value", (0, 0))
    first = predict(X[:5])
    kept = first.copy()
    predict(X[5:10])
    assert np.array_equal(first, kept)


def test_threads_get_their_own_answers():
    booster = trained()
    predict = dense(xgboost, booster, "value", (0, 0))
    expected = booster.inplace_predict(X, validate_features=False)
    with ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(lambda at: predict(X[at : at + 3]), list(range(0, 300, 3)) * 10))
    assert np.array_equal(np.concatenate(parts), np.tile(expected, 10))


def test_what_it_has_of_the_library_goes_with_it(monkeypatch):
    booster, freed = trained(), []
    gc.collect()
    free = xgboost.core._LIB.XGDMatrixFree
    monkeypatch.setattr(xgboost.core._LIB, "XGDMatrixFree", lambda one: freed.append(free(one)))
    predict = dense(xgboost, booster, "value", (0, 0))
    for number in (5, 50, 5):
        predict(X[:number])
    del predict
    gc.collect()
    assert freed == [0]


def test_what_follows_an_error_is_right():
    booster = trained()
    predict = dense(xgboost, booster, "value", (0, 0))
    with pytest.raises(xgboost.core.XGBoostError):
        predict(X[:3, :2].copy())
    assert np.array_equal(predict(X[:9]), booster.inplace_predict(X[:9], validate_features=False))


def test_a_matrix_that_does_not_fit_is_the_librarys_error():
    predict = dense(xgboost, trained(), "value", (0, 0))
    with pytest.raises(xgboost.core.XGBoostError):
        predict(X[:3, :2].copy())


def test_a_library_that_hides_the_function_is_asked_as_it_wants():
    class Other:
        core = None

    assert dense(Other, None, "value", (0, 0)) is None
