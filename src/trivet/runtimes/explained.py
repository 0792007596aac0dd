"""How a model explains a prediction: what each feature adds to a baseline, so that the sum is the answer.

Explanations are one of the forms that an answer may have (`output: explanations`), so they are batched,
sent to other processes and encoded as any other. They are additive and exact (Shapley values of trees,
terms of linear models), in the units in which the model adds up: log-odds for a classifier, and those of
the prediction for a regressor unless its objective has a link function. A classifier explains the class
that it predicts.
"""

from dataclasses import replace

import numpy as np

from trivet.core.instances import Column, Predictions
from trivet.core.signature import EXPLANATIONS, ParameterSpec, Signature

VALUES = ParameterSpec("output", ("values", EXPLANATIONS))
"""The forms that a regressor's answer has which explains."""


def also(signature: Signature) -> Signature:
    """Add explanations to the forms of a model's answer."""
    (output,) = signature.parameters or (ParameterSpec("output", ("values",)),)
    return replace(signature, parameters=(replace(output, choices=(*output.choices, EXPLANATIONS)),))


def of_values(prediction: Column, contributions: Column) -> Predictions:
    """Explain a regressor: `prediction` (n,), and `contributions` (n, features + 1), the baseline last."""
    count = len(prediction)
    return Predictions({"prediction": prediction, **_columns(contributions)}, count)


def of_classes(labels: Column, index: Column, scores: Column, contributions: Column) -> Predictions:
    """Explain a classifier: the labels predicted, which of the classes they are, and the scores (n, classes).

    `contributions` are of the second class of two, (n, features + 1), or of each, (n, classes, features + 1).
    """
    count = len(labels)
    rows = np.arange(count)
    if contributions.ndim == 3:
        chosen = contributions[rows, index]
    else:
        chosen = np.where(index == 1, 1.0, -1.0)[:, None] * contributions
    columns = {"predicted_class": labels, "probability": scores[rows, index], **_columns(chosen)}
    return Predictions(columns, count)


def _columns(contributions: Column) -> dict[str, Column]:
    terms = contributions.astype(np.float64)
    return {"value": terms.sum(axis=1), "baseline": terms[:, -1], "attributions": terms[:, :-1]}
