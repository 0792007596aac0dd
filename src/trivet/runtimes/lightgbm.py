"""LightGBM models (text files), answered by LightGBM itself on one thread.

The answers are those of `Booster.predict`, and of `LGBMClassifier.predict` and `predict_proba` where the
objective makes the model a classifier. A file holds no class names: classes are 0 to k-1 unless
`signature.json` names them.

LightGBM does not check what it reads: a truncated file ends the whole process, or never returns. So the
structure of a file is checked here, and what was checked is what LightGBM gets.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trivet.core.errors import FailedPrecondition
from trivet.core.instances import Column, Instances, Predictions
from trivet.core.predictor import Predictor, Traits
from trivet.core.signature import EXPLANATIONS, DType, Parameters, Signature, TensorSpec, matrix
from trivet.runtimes import classifier, explained
from trivet.runtimes.base import Artifact, head, need, unreadable

_TRAITS = Traits(native=True, thread_safe=False, frees_gil=True)
_CLASSIFIERS = ("binary", "multiclass", "multiclassova")
_CATEGORICAL = re.compile(r"^\[categorical_feature: ([\d,]+)\]$", re.MULTILINE)
_PANDAS = re.compile(r"^pandas_categorical:(.*)$", re.MULTILINE)
_END = "end of trees"
_LAST = re.compile(r"\nend of parameters\n\s*(pandas_categorical:.*\n\s*)?$")


@dataclass(frozen=True, slots=True)
class _File:
    """The text of a model file, known to be whole, and what LightGBM does not tell of it."""

    text: str
    header: Mapping[str, str]

    @classmethod
    def read(cls, path: Path) -> "_File":
        """Read and check a file; raises ValueError that says what is wrong with it."""
        text = path.read_bytes().decode().replace("\r\n", "\n")
        start, separator, rest = text.partition("\n\n")
        header = dict(line.partition("=")[::2] for line in start.splitlines())
        trees, end, settings = rest.partition(f"\n{_END}\n")
        if not separator or not end:
            raise ValueError(f"the line {_END!r} is missing; is the file truncated?")
        if header.get("version") != "v2" and not _LAST.search(settings):  # v2 is from before 2019
            raise ValueError("it does not end with the parameters and categories; is the file truncated?")
        features = int(header.get("max_feature_idx", "-1")) + 1
        if features < 1 or len(header.get("feature_names", "").split()) != features:
            raise ValueError("the header does not name its features")
        blocks = re.split(r"(?m)^Tree=\d+\n", trees)[1:]
        sizes = [int(size) for size in header.get("tree_sizes", "").split()]
        if sizes and (len(sizes) != len(blocks) or not _fit(rest, sizes)):
            raise ValueError("the trees do not have the sizes that the header says")
        for index, block in enumerate(blocks):
            _check_tree(block, features, f"tree {index}")
        return cls(text, header)

    @property
    def names(self) -> list[str] | None:
        """The names of the features, None where LightGBM made them up."""
        names = self.header["feature_names"].split()
        return None if names == [f"Column_{index}" for index in range(len(names))] else names

    @property
    def adds_up(self) -> bool:
        """Whether LightGBM can say what each feature adds: not of trees with linear leaves."""
        return "\nis_linear=1\n" not in self.text

    @property
    def objective(self) -> str:
        """The objective without its settings; "" for one of the user's own."""
        return self.header.get("objective", "").partition(" ")[0]

    def categories(self, declared: Signature | None) -> dict[int, list[Any]]:
        """Return the categories of the pandas columns the model was trained on, by index of the feature.

        The file lists the categories in order of the columns, but only says which features were treated
        as categorical: ordered columns are missing there, integer ones of the user's choice are not
        columns of categories. So what `signature.json` declares goes first, and must be there where the
        two differ in number or a feature has more codes than the categories it would get.
        """
        found = _PANDAS.search(self.text)
        listed = json.loads(found[1]) if found else None
        if not listed:
            return {}
        indices = _CATEGORICAL.search(self.text)
        features = sorted(int(index) for index in indices[1].split(",")) if indices else []
        names = self.header["feature_names"].split()
        kinds = {spec.name: spec.dtype for spec in declared.inputs} if declared else {}
        told = [
            index for index, name in enumerate(names) if kinds.get(name) in ("string", "category", "bool")
        ]
        if len(told) == len(listed):
            return dict(zip(told, listed, strict=True))
        if len(features) != len(listed) or not all(map(_suits, map(self._codes, features), listed)):
            raise FailedPrecondition(
                f"the model was trained on {len(listed)} pandas columns of categories, but which ones "
                "cannot be told from the file: list every input in signature.json, and declare "
                "these as string or category"
            )
        return dict(zip(features, listed, strict=True))

    def _codes(self, feature: int) -> list[int]:
        """Return the codes that training met of a categorical feature; -1 is a missing value."""
        infos = self.header.get("feature_infos", "").split()
        info = infos[feature] if feature < len(infos) else "none"
        return [] if info == "none" or info.startswith("[") else [int(code) for code in info.split(":")]


def _suits(codes: Sequence[int], categories: Sequence[Any]) -> bool:
    return max(codes, default=0) < len(categories)


def _fit(rest: str, sizes: Sequence[int]) -> bool:
    """Whether trees of these many bytes, and then the end, follow one another."""
    content = rest.encode().lstrip(b"\n")
    position = 0
    for index, size in enumerate(sizes):
        if size < 1 or not content.startswith(b"Tree=%d\n" % index, position):
            return False
        position += size
    return content.startswith(_END.encode(), position)


def _check_tree(block: str, features: int, which: str) -> None:
    """Raise ValueError unless a tree's nodes lead to nodes and leaves that exist, and onwards only."""
    tree = dict(line.partition("=")[::2] for line in block.splitlines())
    if "num_leaves" not in tree or "leaf_value" not in tree:
        raise ValueError(f"{which} has no leaves")
    leaves = int(tree["num_leaves"])
    if leaves < 1 or len(tree["leaf_value"].split()) != leaves:
        raise ValueError(f"{which} does not have the {leaves} leaves that it says")
    if leaves == 1:
        return
    nodes = np.arange(leaves - 1)
    if tree.get("is_linear", "0") == "0" and len(tree.get("threshold", "").split()) != leaves - 1:
        raise ValueError(f"{which} has too few or too many thresholds")
    used = _integers(tree, "split_feature", leaves - 1, which)
    if used.min() < 0 or used.max() >= features:
        raise ValueError(f"{which} splits by a feature that does not exist")
    for side in ("left_child", "right_child"):
        children = _integers(tree, side, leaves - 1, which)
        inner = children >= 0
        if children.min() < -leaves or children.max() >= leaves - 1 or (children <= nodes)[inner].any():
            raise ValueError(f"{which} has a branch that leads nowhere")
    _check_categories(tree, leaves - 1, which)


def _check_categories(tree: Mapping[str, str], nodes: int, which: str) -> None:
    """Raise ValueError unless every categorical split has its set of categories."""
    count = int(tree.get("num_cat", "0"))
    if not count:
        return
    boundaries = _integers(tree, "cat_boundaries", count + 1, which)
    words = _integers(tree, "cat_threshold", int(boundaries[-1]), which)
    kinds = _integers(tree, "decision_type", nodes, which)
    sets = np.array(tree["threshold"].split(), np.float64)[kinds & 1 == 1]
    if boundaries[0] != 0 or (np.diff(boundaries) < 0).any() or (words < 0).any():
        raise ValueError(f"{which} has broken sets of categories")
    if len(sets) and (sets.min() < 0 or sets.max() >= count):
        raise ValueError(f"{which} splits by a set of categories that does not exist")


def _integers(tree: Mapping[str, str], key: str, count: int, which: str) -> Column:
    values = np.array(tree.get(key, "").split(), np.int64)
    if len(values) != count:
        raise ValueError(f"{which} has {len(values)} of {key} instead of {count}")
    return values


@dataclass(frozen=True, slots=True, eq=False)
class _Features:
    """What a model takes, and how to make the float64 matrix of it that LightGBM wants."""

    inputs: tuple[TensorSpec, ...]
    codes: Mapping[str, Mapping[Any, int]]

    @classmethod
    def of(cls, file: _File, declared: Signature | None) -> "_Features":
        """Take one matrix, or a column per feature where some are categories."""
        categories = file.categories(declared)
        names = file.header["feature_names"].split()
        if not categories:
            return cls((matrix(len(names), file.names, "float64", nullable=True),), {})
        inputs = tuple(
            _category(name, categories[index])
            if index in categories
            else TensorSpec(name, "float64", nullable=True)
            for index, name in enumerate(names)
        )
        codes = {
            names[index]: {one: i for i, one in enumerate(listed)} for index, listed in categories.items()
        }
        return cls(inputs, codes)

    def matrix(self, instances: Instances) -> Column:
        """Return the features; a category that is null or that the model does not know is NaN."""
        if not self.codes:
            return instances.columns["features"]
        rows = np.empty((instances.count, len(self.inputs)))
        for index, spec in enumerate(self.inputs):
            column = instances.columns[spec.name]
            if codes := self.codes.get(spec.name):
                rows[:, index] = [codes.get(value, np.nan) for value in column.tolist()]
            else:
                rows[:, index] = column
        return rows


def _category(name: str, listed: Sequence[Any]) -> TensorSpec:
    """Describe a column of categories: numbers are float64, so that null and 3.0 fit integers, too."""
    kinds = {type(one) for one in listed}
    if kinds == {bool}:
        return TensorSpec(name, "bool")
    dtype: DType = "float64" if kinds <= {int, float} else "string" if kinds == {str} else "category"
    return TensorSpec(name, dtype, nullable=True)


class _Weighing:
    """Tells how much each feature counts for in all trees, and what it adds to one prediction."""

    _booster: Any
    _outputs: int

    def importances(self) -> Mapping[str, Column]:
        """Return the number of splits by each feature, `weight`, and what they gain on average, `gain`."""
        splits = self._booster.feature_importance("split").astype(np.float64)
        gains = self._booster.feature_importance("gain")
        return {"weight": splits, "gain": np.divide(gains, splits, np.zeros_like(gains), where=splits > 0)}

    def _terms(self, rows: Column) -> Column:
        terms: Column = self._booster.predict(rows, pred_contrib=True, num_threads=1)
        return terms.reshape(len(rows), self._outputs, -1) if self._outputs > 1 else terms


class _Classifier(_Weighing):
    """Answers with labels, and probabilities in float64."""

    traits = _TRAITS

    def __init__(self, booster: Any, features: _Features, classes: Column, *, explains: bool) -> None:
        self._booster = booster
        self._outputs = booster.num_model_per_iteration()
        self._predict = booster.predict
        self._features = features
        self._classes = classes
        self._binary = len(classes) == 2 and self._outputs == 1
        described = classifier.signature(features.inputs, classes, "float64")
        self.signature = explained.also(described) if explains else described

    def predict(self, instances: Instances, parameters: Parameters) -> Predictions:
        """Answer in the form of `parameters["output"]`."""
        rows = self._features.matrix(instances)
        scores = self._predict(rows, num_threads=1)
        if self._binary:
            scores = np.vstack((1.0 - scores, scores)).transpose()
        if parameters["output"] == EXPLANATIONS:
            index = np.argmax(scores, axis=1)
            return explained.of_classes(self._classes[index], index, scores, self._terms(rows))
        return classifier.answer(
            parameters["output"],
            self._classes,
            lambda: self._classes[np.argmax(scores, axis=1)],
            lambda: scores,
        )


class _Regressor(_Weighing):
    """Answers with what `Booster.predict` gives, in float64."""

    traits = _TRAITS

    def __init__(self, booster: Any, features: _Features, *, explains: bool) -> None:
        self._booster = booster
        self._predict = booster.predict
        self._features = features
        count = self._outputs = booster.num_model_per_iteration()
        output = TensorSpec("prediction", "float64", (count,) if count > 1 else ())
        described = Signature(inputs=features.inputs, outputs=(output,))
        self.signature = explained.also(described) if explains and count == 1 else described

    def predict(self, instances: Instances, parameters: Parameters) -> Predictions:
        """Answer every instance."""
        rows = self._features.matrix(instances)
        prediction = self._predict(rows, num_threads=1)
        if parameters.get("output") == EXPLANATIONS:
            return explained.of_values(prediction, self._terms(rows))
        return Predictions({"prediction": prediction}, instances.count)


class LightGBMRuntime:
    """Loads what `Booster.save_model` writes."""

    libraries = ("lightgbm",)

    def recognises(self, path: Path) -> bool:
        """Whether the first line is `tree`, as in no other text."""
        return head(path, 6).startswith((b"tree\n", b"tree\r\n"))

    def load(self, artifact: Artifact) -> Predictor:
        """Load the model; raises FailedPrecondition for a file that is broken."""
        library = need("lightgbm", "lightgbm")
        try:
            file = _File.read(artifact.path)
            features = _Features.of(file, artifact.declared)
            booster = library.Booster(model_str=file.text)
        except (ValueError, IndexError, library.basic.LightGBMError) as error:
            raise unreadable(artifact.path, "LightGBM", error) from error
        if file.objective not in _CLASSIFIERS:
            return _Regressor(booster, features, explains=file.adds_up)
        count = max(2, booster.num_model_per_iteration())
        classes = classifier.named(artifact.declared, count)
        return _Classifier(booster, features, classes, explains=file.adds_up)


RUNTIME = LightGBMRuntime()
