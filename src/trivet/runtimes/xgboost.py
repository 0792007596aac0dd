"""XGBoost models (JSON, UBJSON, legacy binary or pickled), answered by XGBoost itself on one thread.

The answers are those of `XGBClassifier.predict` and `predict_proba` or of `XGBRegressor.predict` (so, of
a model stopped early, those of its best iteration), whether or not the model was trained with them. A
file holds no class names: classes are 0 to k-1 unless `signature.json` names them. Several labels per
instance (`binary:logistic` with several targets) are answered as a regressor's targets are. The output
`booster` is what `Booster.predict` gives: with all trees, and for a classifier probabilities without classes.

Where the file keeps the categories of its categorical features (XGBoost 3.1 and later, trained on a
DataFrame), they are given by name or number; otherwise as the integer codes used in training.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from trivet.core.errors import FailedPrecondition, Unimplemented
from trivet.core.instances import Column, Instances, Predictions
from trivet.core.predictor import Predictor, Traits
from trivet.core.signature import EXPLANATIONS, Parameters, ParameterSpec, Signature, TensorSpec
from trivet.runtimes import classifier, explained, pickles, xgboost_legacy
from trivet.runtimes.base import Artifact, head, need, unreadable
from trivet.runtimes.xgboost_dense import dense
from trivet.runtimes.xgboost_features import Features

_CLASSIFIERS = ("binary:logistic", "multi:softprob", "multi:softmax")
_TAIL = 4096
_JSON_VERSION = re.compile(rb'"version"\s*:\s*\[\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*\]')
_UBJ_VERSION = re.compile(rb"\x07version\[#L.{7}\x03i(.)i(.)i(.)", re.DOTALL)
_PLACE = re.compile(r"^\[[\d:]+\] \S+:\d+: ")

_BOOSTER = "booster"
_CLASSIFIER_OUTPUT = ParameterSpec("output", (*classifier.OUTPUT.choices, _BOOSTER))
_REGRESSOR_OUTPUT = ParameterSpec("output", ("values", _BOOSTER))

Score = Callable[[Column, str], Column]
"""Predicts the "value" or the "margin" of a matrix, or the value with all trees: "booster".

"terms" are what each feature adds to the margin, and the bias last.
"""
_TERMS = "terms"


class _Weighing:
    """Tells how much each feature counts for in all trees."""

    _booster: Any
    _features: Features
    signature: Signature

    def importances(self) -> Mapping[str, Column]:
        """Return `weight`, `gain` and `cover` as XGBoost's `get_score` has them, 0 where it omits them."""
        names = self._booster.feature_names or self.signature.features
        measures: dict[str, Column] = {}
        for kind in ("weight", "gain", "cover"):
            try:
                scores = self._booster.get_score(importance_type=kind)
            except ValueError:
                raise Unimplemented("the model is linear: features have no importance in it") from None
            measures[kind] = np.array([scores.get(name, 0.0) for name in names])
        return measures


class _Classifier(_Weighing):
    """Answers with labels, and probabilities in float32."""

    def __init__(self, score: Score, features: Features, traits: Traits, model: "_Description") -> None:
        self.traits = traits
        self._booster = model.booster
        self._score = score
        self._features = features
        self._classes = model.classes
        forms: Mapping[str, tuple[Callable[[Column], Column], Callable[[Column, Column], Column]]] = {
            "binary:logistic": (lambda values: (values > 0.5).astype(np.int64), self._of_both),
            "multi:softprob": (lambda values: np.argmax(values, axis=1), self._as_given),
            "multi:softmax": (lambda values: values.astype(np.int64), self._softmax),
        }
        self._label, self._probabilities = forms[model.objective]
        described = classifier.signature(features.inputs, model.classes, "float32")
        described = replace(described, parameters=(_CLASSIFIER_OUTPUT,))
        self.signature = explained.also(described) if model.adds_up(score) else described

    def predict(self, instances: Instances, parameters: Parameters) -> Predictions:
        """Answer in the form of `parameters["output"]`."""
        rows = self._features.matrix(instances)
        if parameters["output"] == _BOOSTER:
            return Predictions({"prediction": self._score(rows, _BOOSTER)}, instances.count)
        values = self._score(rows, "value")
        if parameters["output"] == EXPLANATIONS:
            index = self._label(values)
            scores = self._probabilities(rows, values)
            return explained.of_classes(self._classes[index], index, scores, self._score(rows, _TERMS))
        return classifier.answer(
            parameters["output"],
            self._classes,
            lambda: self._classes[self._label(values)],
            lambda: self._probabilities(rows, values),
        )

    def _of_both(self, rows: Column, values: Column) -> Column:
        return np.vstack((1.0 - values, values)).transpose()

    def _as_given(self, rows: Column, values: Column) -> Column:
        return values

    def _softmax(self, rows: Column, values: Column) -> Column:
        softmax: Any = need("scipy.special", "xgboost").softmax  # the one that XGBoost itself uses
        probabilities: Column = softmax(self._score(rows, "margin"), axis=1)
        return probabilities


class _Regressor(_Weighing):
    """Answers with one float32 per instance, or with one per target."""

    def __init__(self, score: Score, features: Features, traits: Traits, model: "_Description") -> None:
        self.traits = traits
        self._booster = model.booster
        self._score = score
        self._features = features
        output = TensorSpec("prediction", "float32", (model.width,) if model.width > 1 else ())
        described = Signature(features.inputs, (output,), parameters=(_REGRESSOR_OUTPUT,))
        self.signature = explained.also(described) if model.adds_up(score) else described

    def predict(self, instances: Instances, parameters: Parameters) -> Predictions:
        """Answer every instance."""
        kind = _BOOSTER if parameters["output"] == _BOOSTER else "value"
        rows = self._features.matrix(instances)
        prediction = self._score(rows, kind)
        if parameters["output"] == EXPLANATIONS:
            return explained.of_values(prediction, self._score(rows, _TERMS))
        return Predictions({"prediction": prediction}, instances.count)


@dataclass(frozen=True, slots=True, eq=False)
class _Description:
    """What a loaded Booster says of itself."""

    booster: Any
    objective: str
    linear: bool
    features: int
    width: int
    classes: Column

    @classmethod
    def of(cls, booster: Any, declared: Signature | None) -> "_Description":
        learner = json.loads(booster.save_config())["learner"]
        sizes = learner["learner_model_param"]
        targets, classes = int(sizes.get("num_target", 1)), int(sizes["num_class"])
        return cls(
            booster=booster,
            objective=learner["objective"]["name"],
            linear=learner["gradient_booster"]["name"] == "gblinear",
            features=int(sizes["num_feature"]),
            width=max(targets, classes, 1),
            classes=classifier.named(declared, max(2, classes)),
        )

    def adds_up(self, score: Score) -> bool:
        """Whether XGBoost can say what each feature adds: not of trees of vectors, as no attribute tells."""
        if self.width == 1:
            return True
        try:
            score(np.zeros((1, self.features), np.float32), _TERMS)
        except ValueError:
            return False
        return self.classifies

    @property
    def classifies(self) -> bool:
        """Whether it gives one label per instance."""
        return self.objective in _CLASSIFIERS and (self.width == 1 or self.objective != "binary:logistic")


class XGBoostRuntime:
    """Loads what `save_model` of any XGBoost writes, and pickled models."""

    libraries = ("xgboost",)

    def recognises(self, path: Path) -> bool:
        """Whether the file is a model in JSON, UBJSON, the legacy binary format, or the pickle of a Booster.

        The suffix does not matter.
        """
        start = head(path)
        return (
            (start.startswith(b"{L") and b"\x07learner{" in start[:64])
            or (start.startswith(b'{"') and b'"learner"' in start)
            or xgboost_legacy.is_legacy(path)
            or pickles.is_booster(path)
        )

    def load(self, artifact: Artifact) -> Predictor:
        """Load the model.

        Raises FailedPrecondition for a broken file, and for a file newer than the library: XGBoost loads
        some of those without a word and then predicts wrong numbers.
        """
        library = need("xgboost", "xgboost")
        content = artifact.path.read_bytes()
        _refuse_newer(artifact.path, content, library.__version__)
        if pickles.is_pickle(artifact.path):
            content = _unpickled(artifact)
        elif xgboost_legacy.is_legacy(artifact.path):
            content = _converted(artifact.path, content)
        _refuse_others(artifact.path, content)
        booster = library.Booster({"nthread": 1})
        try:
            booster.load_model(bytearray(content))  # the suffix of a file would mislead it
            model = _Description.of(booster, artifact.declared)
            features = Features.of(booster, model.features)
        except (library.core.XGBoostError, KeyError, ValueError) as error:
            reason = _PLACE.sub("", str(error))
            raise unreadable(artifact.path, "XGBoost", ValueError(reason)) from error
        score = _linear(library, booster) if model.linear else _trees(library, booster)
        predictor = _Classifier if model.classifies else _Regressor
        return predictor(
            score, features, Traits(native=True, thread_safe=not model.linear, frees_gil=True), model
        )


def _trees(library: Any, booster: Any) -> Score:
    best = booster.attr("best_iteration")
    every = (0, 0)
    trees = (0, int(best) + 1) if best is not None else every
    types = booster.feature_types
    ranges = {"value": trees, "margin": trees, _BOOSTER: every}
    forms = {kind: "margin" if kind == "margin" else "value" for kind in ranges}
    quick = {kind: dense(library, booster, forms[kind], ranges[kind]) for kind in ranges}

    def score(rows: Column, kind: str) -> Column:
        if kind == _TERMS:
            data = library.DMatrix(rows, nthread=1, feature_types=types, enable_categorical=True)
            terms: Column = booster.predict(
                data, pred_contribs=True, iteration_range=trees, validate_features=False
            )
            return terms
        predict = quick[kind]
        if predict is not None and rows.dtype == np.float32 and rows.flags.c_contiguous:
            return predict(rows)
        answer: Column = booster.inplace_predict(
            rows, predict_type=forms[kind], iteration_range=ranges[kind], validate_features=False
        )
        return answer

    return score


def _linear(library: Any, booster: Any) -> Score:
    """Predict by way of a DMatrix: XGBoost has no other way for linear models."""
    return lambda rows, kind: booster.predict(
        library.DMatrix(rows, nthread=1),
        output_margin=kind == "margin",
        pred_contribs=kind == _TERMS,
        validate_features=False,
    )


def _unpickled(artifact: Artifact) -> bytes:
    """Return the Booster of a pickle, or of the model around it, as UBJSON."""
    model = pickles.load(artifact, "an XGBoost")
    booster = model.get_booster() if hasattr(model, "get_booster") else model
    if type(booster).__module__ != "xgboost.core":
        raise FailedPrecondition(
            f"{artifact.path.name} holds a {type(model).__name__}, which is no XGBoost model"
        )
    return bytes(booster.save_raw("ubj"))


def _converted(path: Path, content: bytes) -> bytes:
    """Return a model in the legacy binary format as JSON."""
    try:
        return xgboost_legacy.to_json(content)
    except (ValueError, OverflowError) as error:
        raise unreadable(path, "XGBoost", error) from None


def _refuse_others(path: Path, content: bytes) -> None:
    """Refuse what XGBoost would not read, or would read wrongly."""
    if not content.startswith((b'{"', b"{L")):  # an empty one ends the process in XGBoost's hands
        raise FailedPrecondition(f"{path.name} is not an XGBoost model: it is neither JSON nor UBJSON")
    if not content.rstrip().endswith(b"}") or (content[1:2] == b"L" and b"\x07version[" not in content[-64:]):
        raise FailedPrecondition(  # XGBoost reads beyond the end of a UBJSON file that is cut off
            f"{path.name} cannot be read as XGBoost model: it does not end as one; is the file truncated?"
        )


def _refuse_newer(path: Path, content: bytes, installed: str) -> None:
    """Refuse a file that a newer XGBoost than this has written, as far as it says so."""
    ends = content[-_TAIL:] + content[:_TAIL]  # XGBoost writes the version last
    written: tuple[int, ...] = ()
    if found := _JSON_VERSION.search(ends):
        written = tuple(map(int, found.groups()))
    elif found := _UBJ_VERSION.search(ends):
        written = tuple(number[0] for number in found.groups())
    if written > tuple(int(number) for number in re.findall(r"\d+", installed)[:3]):
        raise FailedPrecondition(
            f"{path.name} was written by XGBoost {'.'.join(map(str, written))}, but {installed} is "
            "installed, which may read it wrongly: install that version or a newer one"
        )


RUNTIME = XGBoostRuntime()
