"""What all classifiers answer: labels, probabilities, or both with the classes (`output`)."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from trivet.core.instances import Column, Predictions, object_column
from trivet.core.signature import DType, ParameterSpec, Signature, TensorSpec

OUTPUT = ParameterSpec("output", ("labels", "probabilities", "detailed"))
LABELS_ONLY = ParameterSpec("output", ("labels",))


def outputs(classes: Sequence[Any], scores: DType) -> tuple[TensorSpec, ...]:
    """Describe the detailed answer; the others are parts of it."""
    kinds: dict[type, DType] = {str: "string", bool: "bool", float: "float64"}
    label = kinds.get(type(classes[0]), "int64") if classes else "json"
    size = (len(classes),)
    return (
        TensorSpec("classes", label, size),
        TensorSpec("scores", scores, size),
        TensorSpec("predicted_class", label),
    )


def signature(inputs: tuple[TensorSpec, ...], classes: Column, scores: DType) -> Signature:
    """Describe a classifier that gives labels and scores."""
    listed = tuple(classes.tolist())
    return Signature(inputs, outputs(listed, scores), listed, (OUTPUT,))


def answer(
    output: str, classes: Column, labels: Callable[[], Column], scores: Callable[[], Column]
) -> Predictions:
    """Build the answer in the form asked for; `labels` has shape (n,), `scores` (n, classes)."""
    if output == "labels":
        return labelled(labels())
    probabilities = scores()
    count = len(probabilities)
    if output == "probabilities":
        return Predictions({"scores": probabilities}, count)
    return Predictions(
        {
            "classes": np.broadcast_to(classes, (count, len(classes))),
            "scores": probabilities,
            "predicted_class": labels(),
        },
        count,
    )


def labelled(labels: Column) -> Predictions:
    """Build the answer that is the labels alone."""
    return Predictions({"predicted_class": labels}, len(labels))


def named(declared: Signature | None, count: int) -> Column:
    """Return the classes of a model whose file holds no names: the declared ones, or else 0, 1, ..."""
    if declared is None or len(declared.classes) != count:
        return np.arange(count)
    whole = all(type(one) is int for one in declared.classes)
    return np.array(declared.classes, np.int64) if whole else object_column(declared.classes)
