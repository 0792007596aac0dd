"""What all classifiers answer: labels, probabilities, or both with the classes (`output`)."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from trivet.core.instances import Column, Predictions
from trivet.core.signature import DType, ParameterSpec, TensorSpec

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


def answer(
    output: str, classes: Column, labels: Callable[[], Column], scores: Callable[[], Column]
) -> Predictions:
    """Build the answer in the form asked for; `labels` has shape (n,), `scores` (n, classes)."""
    if output == "labels":
        predicted = labels()
        return Predictions({"predicted_class": predicted}, len(predicted))
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
