"""scikit-learn models and pipelines, from skops, joblib or pickle files; whatever has `predict` is one.

The answers are those of `predict` and `predict_proba` on a float64 matrix, laid out as a data frame lays it
out where the model was fitted on one, or on a pandas data frame where the model picks columns by name.
Every part that has `n_jobs` is set to one job; the threads of BLAS and OpenMP are the server's to limit,
since doing it here would cost more than most predictions. CatBoost's own, in a pickle, cannot be limited.
"""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from trivet.core.errors import FailedPrecondition, InvalidArgument
from trivet.core.instances import Column, Instances, Predictions
from trivet.core.predictor import Predictor, Traits
from trivet.core.signature import EXPLANATIONS, DType, Parameters, Signature, TensorSpec
from trivet.runtimes import classifier, explained, pickles, sklearn_files
from trivet.runtimes.base import Artifact, need
from trivet.runtimes.sklearn_columns import Inputs, framed, inputs_of, parts
from trivet.runtimes.sklearn_trees import asks
from trivet.runtimes.sklearn_weights import Weighed, Weights

_KINDS: dict[str, DType] = {"i": "int64", "f": "float64", "b": "bool", "U": "string"}


class SklearnPredictor(Weighed):
    """Gives the column `prediction`: whatever `predict` returns, one entry per instance."""

    traits = Traits(native=True)

    def __init__(self, model: Any, inputs: Inputs, probe: Column | None) -> None:
        self._model = model
        self._ask = asks(model).predict
        self._inputs = inputs
        self.weights = _weights(model, inputs)
        output = TensorSpec("prediction", "json", nullable=True)
        if probe is not None:
            output = TensorSpec("prediction", _KINDS.get(probe.dtype.kind, "json"), probe.shape[1:])
        described = Signature(inputs.specs, (output,))
        explains = self.weights is not None and self.weights.linear and output.dtype == "float64"
        self.signature = explained.also(described) if explains and not output.shape else described

    def predict(self, instances: Instances, parameters: Parameters) -> Predictions:
        """Predict; what scikit-learn finds wrong with values is the caller's to mend."""
        prediction = _ask(self._ask, self._inputs, instances)
        if parameters.get("output") == EXPLANATIONS:
            return explained.of_values(prediction, self._terms(instances))
        return Predictions({"prediction": prediction}, instances.count)


class SklearnClassifier(Weighed):
    """Gives labels as `predict`, scores as `predict_proba`."""

    traits = Traits(native=True)

    def __init__(self, model: Any, inputs: Inputs) -> None:
        self._model = model
        self._asks = asks(model)
        self._inputs = inputs
        self._classes = np.asarray(model.classes_)
        classes = tuple(self._classes.tolist())
        score = getattr(model, "predict_proba", None)
        scores = None if score is None else _probe(score, inputs)
        outputs = classifier.outputs(
            classes, "float32" if scores is not None and scores.itemsize == 4 else "float64"
        )
        option = classifier.LABELS_ONLY if score is None else classifier.OUTPUT
        self.weights = _weights(model, inputs)
        described = Signature(inputs.specs, outputs, classes, (option,))
        explains = scores is not None and self.weights is not None and self.weights.linear
        self.signature = explained.also(described) if explains else described

    def predict(self, instances: Instances, parameters: Parameters) -> Predictions:
        """Ask for labels, scores, or both."""
        if parameters["output"] == EXPLANATIONS:
            scores = self._scores(instances)
            labels = self._labels(instances)
            index = np.searchsorted(self._classes, labels)
            return explained.of_classes(labels, index, scores, self._terms(instances))
        return classifier.answer(
            parameters["output"],
            self._classes,
            labels=lambda: self._labels(instances),
            scores=lambda: self._scores(instances),
        )

    def _labels(self, instances: Instances) -> Column:
        return _ask(self._asks.predict, self._inputs, instances).reshape(-1)

    def _scores(self, instances: Instances) -> Column:
        assert self._asks.scores is not None  # the signature has no such output otherwise
        return _ask(self._asks.scores, self._inputs, instances)


class SklearnRuntime:
    """Loads skops files with the types that are trusted, pickles only with the operator's permission."""

    libraries = ("sklearn.ensemble", "sklearn.linear_model", "sklearn.pipeline", "joblib")

    def recognises(self, path: Path) -> bool:
        """Look for a skops archive or a pickle, compressed as joblib does or plain."""
        return sklearn_files.is_skops(path) or (pickles.is_pickle(path) and not pickles.is_booster(path))

    def load(self, artifact: Artifact) -> Predictor:
        """Load the model, never falling back from one format to another."""
        model = read(artifact)
        if not callable(getattr(model, "predict", None)):
            raise FailedPrecondition(
                f"{artifact.path.name} holds a {type(model).__name__}, which has no predict method"
            )
        _keep_to_one_job(model)
        inputs = _unnamed(model, inputs_of(model, artifact.declared))
        probe = _probe(model.predict, inputs)
        classes = getattr(model, "classes_", None)
        single = probe is None or probe.shape in ((1,), (1, 1))  # CatBoost gives a column of labels
        if isinstance(classes, np.ndarray) and classes.ndim == 1 and single:
            return SklearnClassifier(model, inputs)
        return SklearnPredictor(model, inputs, probe)


def read(artifact: Artifact) -> Any:
    """Return the estimator in a file; raises FailedPrecondition for a Booster, which refuses every array.

    Raises PermissionDenied for a pickle that the operator has not allowed.
    """
    if sklearn_files.is_skops(artifact.path):
        return sklearn_files.load_skops(artifact)
    artifact.require_pickle()
    need("sklearn", "sklearn")
    model = pickles.load(artifact, "a scikit-learn")
    if type(model).__module__ == "xgboost.core":
        raise FailedPrecondition(
            f"{artifact.path.name} holds an XGBoost Booster: its framework is xgboost, not sklearn"
        )
    return model


def _keep_to_one_job(model: Any) -> None:
    for part in parts(model):
        if hasattr(part, "n_jobs"):
            part.n_jobs = 1
        if hasattr(part, "get_booster") and part.__sklearn_is_fitted__():
            part.get_booster().set_param("nthread", 1)  # XGBoost keeps what it was trained with


def _unnamed(model: Any, inputs: Inputs) -> Inputs:
    """Drop the names of features that an array does not have, else scikit-learn warns on every call.

    Where the model keeps them somewhere else (LightGBM), it gets data frames instead.
    """
    if inputs.named:
        return inputs
    named = [part for part in parts(model) if "feature_names_in_" in vars(part)]
    dropped = [vars(part).pop("feature_names_in_") for part in named]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _probe(model.predict, inputs)
    if not any("feature names" in str(one.message) for one in caught):
        return inputs
    for part, names in zip(named, dropped, strict=True):
        part.feature_names_in_ = names
    return framed(inputs, model)


def _weights(model: Any, inputs: Inputs) -> Weights | None:
    """Look at the weights where the model takes one matrix."""
    return Weights.of(model) if len(inputs.specs) == 1 and len(inputs.specs[0].shape) == 1 else None


def _ask(method: Callable[[Any], Any], inputs: Inputs, instances: Instances) -> Column:
    try:
        with np.errstate(all="ignore"):  # a number too large is told below, or is the model's answer
            return np.asarray(method(inputs.rows(instances)))
    except ValueError as error:
        raise InvalidArgument(f"scikit-learn refuses these values: {error}") from None


def _probe(method: Callable[[Any], Any], inputs: Inputs) -> Column | None:
    """Return one answer, to see what it looks like; nothing where the model does not take the made-up row."""
    try:
        with np.errstate(all="ignore"):
            return np.asarray(method(inputs.rows(inputs.probe)))
    except Exception:  # noqa: BLE001 - it is only to describe the answer
        return None


RUNTIME = SklearnRuntime()
