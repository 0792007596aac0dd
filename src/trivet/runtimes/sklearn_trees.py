"""Boosted trees and forests of scikit-learn, asked without what it does around them on every call.

Looking at its input, at its own tags and at the parameters costs scikit-learn more than the trees do for a
few rows: 0.2 ms a call where a hundred trees take 0.03. Here its own compiled functions are called on its
own arrays, in its order, so that answers are the same to the bit; whether they are is tried when a model is
loaded. What is no ordinary matrix goes the ordinary way, and is refused there where it must be.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trivet.core.instances import Column

Ask = Callable[[Any], Any]
_Matrix = NDArray[np.float32] | NDArray[np.float64]

_PROBES = 33
"""Rows on which a model is compared with itself: more than one leaf of most trees is reached."""


@dataclass(frozen=True, slots=True)
class Asks:
    """How to ask a model: what stands in for its `predict`, and for its `predict_proba` if it has one."""

    predict: Ask
    scores: Ask | None


def asks(model: Any) -> Asks:
    """Return the quickest way to ask a model that gives what it gives itself."""
    ordinary = Asks(model.predict, getattr(model, "predict_proba", None))
    maker = _MAKERS.get(f"{type(model).__module__.partition('.')[0]}.{type(model).__name__}")
    if maker is None:
        return ordinary
    try:
        quick = maker(model, ordinary)
        same = quick is not None and _are_same(model, quick, ordinary)
    except Exception:  # noqa: BLE001 - another version of scikit-learn has other insides
        return ordinary
    return quick if quick is not None and same else ordinary


def _boosted(model: Any, ordinary: Asks) -> Asks | None:
    """Gradient boosting that begins with a constant; `predict_stages` goes through all trees at once."""
    constant = model.init_ == "zero" if isinstance(model.init_, str) else _is_dummy(model.init_)
    if not constant:
        return None
    stages = import_module("sklearn.ensemble._gradient_boosting").predict_stages
    first = model._raw_predict_init(np.zeros((1, model.n_features_in_), np.float32))
    trees, rate = model.estimators_, model.learning_rate

    def raw(rows: _Matrix) -> Column:
        found = np.repeat(first, len(rows), axis=0)
        stages(trees, rows, rate, found)
        return found.ravel() if found.shape[1] == 1 else found

    fits = _finite(model.n_features_in_)
    if ordinary.scores is None:
        return Asks(_either(fits, raw, ordinary.predict), None)
    loss, classes = model._loss, model.classes_

    def labels(rows: _Matrix) -> Column:
        found = raw(rows)
        return np.asarray(classes[(found >= 0).astype(int) if found.ndim == 1 else found.argmax(axis=1)])

    def scores(rows: _Matrix) -> Column:
        return np.asarray(loss.predict_proba(raw(rows)))

    return Asks(_either(fits, labels, ordinary.predict), _either(fits, scores, ordinary.scores))


def _forest(model: Any, ordinary: Asks) -> Asks | None:
    """Random forests and extra trees of one output: the mean over trees, in their order."""
    if model.n_outputs_ != 1:
        return None
    trees = [one.tree_ for one in model.estimators_]
    fits = _finite(model.n_features_in_)

    def mean(rows: _Matrix) -> Column:
        found = trees[0].predict(rows)
        total = np.zeros(found.shape)
        total += found
        for tree in trees[1:]:
            total += tree.predict(rows)
        total /= len(trees)
        return total

    if ordinary.scores is None:
        return Asks(_either(fits, lambda rows: mean(rows)[:, 0], ordinary.predict), None)
    classes = model.classes_

    def labels(rows: _Matrix) -> Column:
        return np.asarray(classes.take(mean(rows).argmax(axis=1), axis=0))

    return Asks(_either(fits, labels, ordinary.predict), _either(fits, mean, ordinary.scores))


_MAKERS: dict[str, Callable[[Any, Asks], Asks | None]] = {
    "sklearn.GradientBoostingClassifier": _boosted,
    "sklearn.GradientBoostingRegressor": _boosted,
    "sklearn.RandomForestClassifier": _forest,
    "sklearn.RandomForestRegressor": _forest,
    "sklearn.ExtraTreesClassifier": _forest,
    "sklearn.ExtraTreesRegressor": _forest,
}


def _is_dummy(init: Any) -> bool:
    return type(init).__name__ in ("DummyClassifier", "DummyRegressor") and init.strategy in (
        "prior",
        "mean",
        "median",
        "quantile",
        "constant",
    )


def _finite(size: int) -> Callable[[Any], _Matrix | None]:
    """Return what makes of rows what the trees take: finite float32; None where they are anything else."""

    def fits(rows: Any) -> _Matrix | None:
        if (
            type(rows) is not np.ndarray
            or rows.ndim != 2
            or rows.shape[1] != size
            or rows.dtype != np.float64
        ):
            return None
        found = rows.astype(np.float32, order="C")
        # the sum is finite only if every number is; where it alone is not, the other way is right as well
        return found if len(found) and np.isfinite(found.sum()) else None

    return fits


def _either(fits: Callable[[Any], _Matrix | None], quick: Callable[[_Matrix], Column], ordinary: Ask) -> Ask:
    def ask(rows: Any) -> Any:
        fitting = fits(rows)
        return ordinary(rows) if fitting is None else quick(fitting)

    return ask


def _are_same(model: Any, quick: Asks, ordinary: Asks) -> bool:
    """Whether both ways answer alike, on rows about the thresholds that the first trees split at."""
    size = model.n_features_in_
    first = np.ravel(model.estimators_)[0].tree_.threshold
    spread = float(np.abs(first[first != -2]).max(initial=1.0))
    rows = np.random.default_rng(0).normal(scale=spread, size=(_PROBES, size))
    with np.errstate(all="ignore"):
        pairs = [(quick.predict, ordinary.predict), (quick.scores, ordinary.scores)]
        return all(_alike(one, other, rows[:n]) for one, other in pairs for n in (1, _PROBES))


def _alike(quick: Ask | None, ordinary: Ask | None, rows: Any) -> bool:
    if quick is None or ordinary is None:
        return quick is ordinary
    found, expected = quick(rows), ordinary(rows)
    return bool(found.dtype == expected.dtype and np.array_equal(found, expected))
