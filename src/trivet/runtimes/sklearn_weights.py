"""What the features of a fitted scikit-learn model count for: terms of linear ones, importances of trees.

Only models that take one matrix of numbers are looked at, and of pipelines those whose first steps scale
each feature by itself: then there is a weight for each feature that the caller knows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trivet.core.errors import Unimplemented
from trivet.core.instances import Column, Instances
from trivet.runtimes.sklearn_columns import Inputs

_SCALERS = ("StandardScaler", "MinMaxScaler", "MaxAbsScaler", "RobustScaler")
_LINEAR = ("sklearn.linear_model.", "sklearn.svm._classes")


@dataclass(frozen=True, slots=True)
class Weights:
    """The last step of a model and the scalers before it."""

    scalers: Sequence[Any]
    last: Any

    @classmethod
    def of(cls, model: Any) -> "Weights | None":
        """Take a model apart; None where its features are not the caller's."""
        if type(model).__name__ != "Pipeline" or not type(model).__module__.startswith("sklearn."):
            return cls((), model)
        *before, last = [step for _, step in model.steps]
        scalers = [step for step in before if step is not None and step != "passthrough"]
        return cls(scalers, last) if all(map(_scales, scalers)) else None

    @property
    def linear(self) -> bool:
        """Whether the answer is one weighted sum, or one for each class."""
        coefficients = getattr(self.last, "coef_", None)
        return (
            type(self.last).__module__.startswith(_LINEAR)
            and isinstance(coefficients, np.ndarray)
            and hasattr(self.last, "intercept_")
            and (hasattr(self.last, "classes_") or coefficients.ndim == 1 or len(coefficients) == 1)
        )

    def terms(self, rows: Any) -> Column:
        """Return what each feature adds, and the intercept last: (n, features + 1), or one for each class."""
        weights, intercepts = self._plain()
        values = self._scaled(rows)
        terms = values[:, None, :] * weights
        shape = (*terms.shape[:-1], 1)
        terms = np.concatenate((terms, np.broadcast_to(intercepts[:, None], shape)), axis=2)
        return terms[:, 0] if len(weights) == 1 else terms

    def coefficients(self) -> tuple[Column, Column]:
        """Return the weights of the features as the caller gives them, and the intercepts."""
        if not self.linear:
            raise Unimplemented(f"{type(self.last).__name__} is no linear model: it has no weights")
        weights, intercepts = self._plain()
        size = weights.shape[1]
        origin = self._scaled(np.zeros((1, size)))[0]
        scale = np.diagonal(self._scaled(np.eye(size))) - origin
        return weights * scale, intercepts + weights @ origin

    def importances(self) -> Mapping[str, Column]:
        """Return `importance` as the estimator's `feature_importances_` has it."""
        found = None if self.linear else getattr(self.last, "feature_importances_", None)
        if found is None:
            raise Unimplemented(f"{type(self.last).__name__} has no importance of features")
        return {"importance": np.asarray(found, np.float64)}

    def _plain(self) -> tuple[Column, Column]:
        weights = np.atleast_2d(np.asarray(self.last.coef_, np.float64))
        return weights, np.broadcast_to(np.asarray(self.last.intercept_, np.float64), (len(weights),))

    def _scaled(self, rows: Any) -> Column:
        for scaler in self.scalers:
            rows = scaler.transform(rows)
        return np.asarray(rows, np.float64)


def _scales(step: Any) -> bool:
    return type(step).__name__ in _SCALERS and type(step).__module__.startswith("sklearn.preprocessing.")


class Weighed:
    """A predictor of which it may be known what its features count for."""

    weights: Weights | None
    _inputs: Inputs

    def importances(self) -> Mapping[str, Column]:
        """Return what `feature_importances_` of the last step says; raises Unimplemented without."""
        return self._known().importances()

    def coefficients(self) -> tuple[Column, Column]:
        """Return the weights of a linear model; raises Unimplemented for another."""
        return self._known().coefficients()

    def _terms(self, instances: Instances) -> Column:
        return self._known().terms(self._inputs.rows(instances))

    def _known(self) -> Weights:
        if self.weights is None:
            raise Unimplemented("what the last step of the model takes are not the features of an instance")
        return self.weights
