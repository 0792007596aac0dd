"""CatBoost models (`.cbm`), answered by CatBoost itself on one thread.

The answers are those of `CatBoostClassifier.predict` and `predict_proba` (whose labels are given with
shape (n,)), of `CatBoostRegressor.predict` or of `CatBoostRanker.predict`, whichever the loss function
makes of the model, for the rows given as lists. A model of several labels per instance answers with the
probability of each, as `predict_proba` does, and a regressor merged by `sum_models` with raw values, as
`CatBoostRegressor.predict` does once it is loaded from its file.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trivet.core.errors import FailedPrecondition, InvalidArgument, Unimplemented
from trivet.core.instances import Column, Instances, Predictions, object_column
from trivet.core.predictor import Predictor, Traits
from trivet.core.signature import EXPLANATIONS, DType, Parameters, Signature, TensorSpec, matrix
from trivet.runtimes import classifier, explained
from trivet.runtimes.base import Artifact, head, need, unreadable

_MAGIC = b"CBM1"
_TRAITS = Traits(native=True, thread_safe=False, frees_gil=True)
_SEVERAL_LABELS = ("MultiLogloss", "MultiCrossEntropy")
_ANSWERS = {"Poisson": "Exponent", "Tweedie": "Exponent", "RMSEWithUncertainty": "RMSEWithUncertainty"} | {
    loss: "Probability" for loss in _SEVERAL_LABELS
}
"""What `predict` of CatBoost's estimators gives for a loss function, where it is not the raw value."""

_THRESHOLD = "binclass_probability_threshold"
"""Where a model keeps what `set_probability_threshold` was given."""

_ROUNDING = 1e-12
"""How near probabilities are of which it is not certain that one is the greater."""

_RAW, _QUICK = "RawFormulaVal", "InternalRawFormulaVal"
"""Two names of the same values. Only under the first CatBoost reads all options of the training, which are
kept as JSON, at each call: as long as it needs for a thousand rows."""


@dataclass(frozen=True, slots=True, eq=False)
class _Model:
    """A loaded model and how its rows become a Pool, which is most of the cost of a prediction."""

    library: Any
    model: Any
    inputs: tuple[TensorSpec, ...]
    kinds: dict[str, list[int]]

    def pool(self, instances: Instances) -> Any:
        """Return the instances as CatBoost takes them; raises InvalidArgument for what it does not take."""
        if not self.kinds:  # of columns that are each in one place nothing is copied by CatBoost
            rows = np.asfortranarray(instances.columns["features"])
            return self.library.Pool(rows, thread_count=1)
        rows = np.empty((instances.count, len(self.inputs)), object)
        for index, spec in enumerate(self.inputs):
            rows[:, index] = instances.columns[spec.name]
        try:
            return self.library.Pool(rows, thread_count=1, **self.kinds)
        except (self.library.CatBoostError, OverflowError, SystemError) as error:
            # SystemError is how CatBoost reports a text that cannot be encoded, an unpaired surrogate
            raise InvalidArgument(f"CatBoost refuses the values: {error.__cause__ or error}") from error

    def answer(self, pool: Any, kind: str) -> Column:
        """Return what `predict` gives as its `prediction_type` of that kind."""
        if kind == _QUICK:
            return self._quick(pool)
        answer: Column = self.model.predict(pool, prediction_type=kind, thread_count=1)
        return answer

    def has_quick(self) -> bool:
        """Whether this CatBoost gives the raw values of the model by their other name, too."""
        pool = self.pool(_zeros(self.inputs))
        try:
            return bool(np.array_equal(self._quick(pool), self.answer(pool, _RAW)))
        except (AttributeError, TypeError, ValueError, self.library.CatBoostError):
            return False

    def _quick(self, pool: Any) -> Column:
        answer: Column = self.model._base_predict(pool, _QUICK, 0, 0, 1, False, "CPU")
        return answer

    def terms(self, pool: Any) -> Column:
        """Return what each feature adds to the raw value, and the bias last.

        Raises FailedPrecondition for a model that has not kept what this needs.
        """
        try:
            terms: Column = self.model.get_feature_importance(pool, type="ShapValues", thread_count=1)
        except self.library.CatBoostError as error:
            raise FailedPrecondition(f"the model cannot explain its predictions: {error}") from None
        return terms

    def importances(self) -> Mapping[str, Column]:
        """Return as `importance` how much the prediction changes with each feature, in percent."""
        try:
            return {"importance": self.model.get_feature_importance(thread_count=1)}
        except self.library.CatBoostError as error:
            raise Unimplemented(f"the model keeps no importance of features: {error}") from None


class _Weighing:
    """Tells how much each feature counts for."""

    _model: _Model

    def importances(self) -> Mapping[str, Column]:
        """Return what the model says of itself; raises Unimplemented where it says nothing."""
        return self._model.importances()


class _Classifier(_Weighing):
    """Answers with the label, natural in type, and the probability (float64) of each class.

    Of two classes the label is the second one where its probability is above the `threshold`.
    """

    traits = _TRAITS

    def __init__(self, model: _Model, classes: Column, threshold: float) -> None:
        self._model = model
        self._threshold = threshold
        self._classes = object_column(classes.tolist()) if classes.dtype.kind in "OU" else classes
        self.signature = explained.also(classifier.signature(model.inputs, self._classes, "float64"))

    def predict(self, instances: Instances, parameters: Parameters) -> Predictions:
        """Answer in the form of `parameters["output"]`."""
        pool = self._model.pool(instances)
        scores = self._model.answer(pool, "Probability")
        if parameters["output"] == EXPLANATIONS:
            index, _ = self._best(scores)
            return explained.of_classes(self._classes[index], index, scores, self._model.terms(pool))
        return classifier.answer(
            parameters["output"], self._classes, lambda: self._labels(pool, scores), lambda: scores
        )

    def _labels(self, pool: Any, scores: Column) -> Column:
        """Return the labels; CatBoost is asked for them only where the probabilities do not tell."""
        best, certain = self._best(scores)
        if certain:
            return self._classes[best]
        labels: Column = self._model.answer(pool, "Class").reshape(-1)  # (n, 1) where classes are many
        return labels

    def _best(self, scores: Column) -> tuple[Column, bool]:
        """Return which class each is, and whether that is certain: CatBoost compares before it rounds."""
        if len(self._classes) == 2:
            above = scores[:, 1] - self._threshold
            return (above > 0).astype(np.intp), bool(np.abs(above).min(initial=1.0) > _ROUNDING)
        best = scores.argmax(axis=1)
        highest = scores[np.arange(len(best)), best]
        return best, np.count_nonzero(scores > highest[:, None] - _ROUNDING) == len(best)


class _Regressor(_Weighing):
    """Answers with one float64 per instance, or with one per target."""

    traits = _TRAITS

    def __init__(self, model: _Model, kind: str, shape: tuple[int, ...]) -> None:
        self._model = model
        self._kind = kind
        described = Signature(inputs=model.inputs, outputs=(TensorSpec("prediction", "float64", shape),))
        self.signature = described if shape else explained.also(described)

    def predict(self, instances: Instances, parameters: Parameters) -> Predictions:
        """Answer every instance."""
        pool = self._model.pool(instances)
        prediction = self._model.answer(pool, self._kind)
        if parameters.get("output") == EXPLANATIONS:
            return explained.of_values(prediction, self._model.terms(pool))
        return Predictions({"prediction": prediction}, instances.count)


class CatBoostRuntime:
    """Loads what `save_model` writes in CatBoost's own format."""

    libraries = ("catboost",)

    def recognises(self, path: Path) -> bool:
        """Whether the file starts as CatBoost's format does."""
        return head(path, len(_MAGIC)) == _MAGIC

    def load(self, artifact: Artifact) -> Predictor:
        """Load the model; raises FailedPrecondition for a broken file and for embedding features."""
        library = need("catboost", "catboost")
        path = artifact.path
        try:
            model = library.CatBoost().load_model(str(path))
            metadata = model.get_metadata()
            params = json.loads(metadata["params"] or "{}")  # sum_models keeps nothing but the loss
            loss = (params.get("loss_function") or json.loads(metadata["loss_function"]))["type"]
        except (library.CatBoostError, KeyError, ValueError) as error:
            raise unreadable(path, "CatBoost", error) from error
        _refuse_embeddings(model, path)
        loaded = _Model(library, model, *_inputs(model, params))
        if len(model.classes_) and loss not in _SEVERAL_LABELS:
            return _Classifier(loaded, np.asarray(model.classes_), float(metadata.get(_THRESHOLD, "0.5")))
        usual = params or loss in _SEVERAL_LABELS
        kind = _ANSWERS.get(loss, _RAW) if usual else _RAW
        if kind == _RAW and loaded.has_quick():
            kind = _QUICK
        return _Regressor(loaded, kind, loaded.answer(loaded.pool(_zeros(loaded.inputs)), kind).shape[1:])


def _inputs(model: Any, params: Any) -> tuple[tuple[TensorSpec, ...], dict[str, list[int]]]:
    """Describe the features, and return the indices of those that are not numbers as Pool takes them.

    CatBoost itself keeps numbers as float32, so nothing is lost in the request.
    """
    names = _names(model)
    categories, texts = model.get_cat_feature_indices(), model.get_text_feature_indices()
    floats = params.get("data_processing_options", {}).get("float_features_binarization", {})
    nullable = floats.get("nan_mode") != "Forbidden"
    if not categories and not texts:
        return (matrix(len(names), _given(names), "float32", nullable),), {}
    dtypes: dict[int, DType] = {**dict.fromkeys(categories, "category"), **dict.fromkeys(texts, "string")}
    inputs = tuple(
        TensorSpec(name, dtypes.get(index, "float32"), nullable=nullable and index not in dtypes)
        for index, name in enumerate(names)
    )
    return inputs, {"cat_features": categories, "text_features": texts}


def _names(model: Any) -> list[str]:
    """Return the names of the features, made unique: CatBoost itself asks for no such thing."""
    names = [str(name) for name in model.feature_names_]
    return names if len(set(names)) == len(names) else [str(index) for index in range(len(names))]


def _given(names: list[str]) -> list[str] | None:
    """Return names that someone gave; CatBoost calls features by their index where nobody did."""
    return None if names == [str(index) for index in range(len(names))] else names


def _zeros(inputs: tuple[TensorSpec, ...]) -> Instances:
    """Return an instance to ask about what no attribute of a model says."""
    columns: dict[str, Column] = {
        spec.name: np.zeros((1, *(size or 0 for size in spec.shape)), np.float32)
        if spec.dtype == "float32"
        else object_column([""])
        for spec in inputs
    }
    return Instances(columns, 1)


def _refuse_embeddings(model: Any, path: Path) -> None:
    if embeddings := model.get_embedding_feature_indices():
        names = ", ".join(str(model.feature_names_[index]) for index in embeddings)
        raise FailedPrecondition(
            f"{path.name}: embedding features cannot be served ({names}); "
            "train the model on their components as numeric features"
        )


RUNTIME = CatBoostRuntime()
