"""The functions of models besides ML.PREDICT, each as a query of DuckDB's around the model.

What a model knows of itself (ML.FEATURE_INFO, ML.FEATURE_IMPORTANCE, ML.WEIGHTS) is a query over constants.
What only training could tell is refused by name: models are imported.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from sqlglot import exp

from trivet.core.errors import InvalidArgument, Unimplemented
from trivet.core.predictor import Linear, Weighing
from trivet.core.signature import unknown
from trivet.sql import evaluation, explanation
from trivet.sql.asked import Asked, cast, literal, named, template
from trivet.sql.dialect import is_safe
from trivet.sql.explanation import feature_names
from trivet.sql.positions import at
from trivet.sql.scope import Scope
from trivet.sql.types import Field

_TRAINING = "it was imported, and what its training was like is not in its file"
_REFUSED = {
    "TRAINING_INFO": _TRAINING,
    "GLOBAL_EXPLAIN": "it needs the rows of the training; aggregate top_feature_attributions of "
    "ML.EXPLAIN_PREDICT over rows of yours",
    "TRIAL_INFO": _TRAINING,
    "CENTROIDS": "it is for k-means models trained in BigQuery ML",
    "PRINCIPAL_COMPONENTS": "it is for PCA models trained in BigQuery ML",
    "PRINCIPAL_COMPONENT_INFO": "it is for PCA models trained in BigQuery ML",
    "RECONSTRUCTION_LOSS": "it is for autoencoders trained in BigQuery ML",
    "RECOMMEND": "it is for matrix factorization trained in BigQuery ML",
    "FORECAST": "it is for time series models trained in BigQuery ML",
    "EXPLAIN_FORECAST": "it is for time series models trained in BigQuery ML",
    "DETECT_ANOMALIES": "it is for models trained in BigQuery ML",
    "ARIMA_EVALUATE": "it is for time series models trained in BigQuery ML",
    "ARIMA_COEFFICIENTS": "it is for time series models trained in BigQuery ML",
}


def query(
    call: exp.Expression, scope: Scope, inner: exp.Expression | None, columns: Sequence[Field]
) -> exp.Select:
    """Return what stands in the place of a call, complete: no ML.PREDICT is in it.

    `call` is the ModelFunction, `inner` its rows as a query that may stand there (None where it has none),
    `columns` that query's columns. Raises Unimplemented where the model has no answer, and InvalidArgument
    for what is wrong with the call, both with its position.
    """
    name = str(call.args["function"])
    if name not in FUNCTIONS and name not in _REFUSED:
        known = (*FUNCTIONS, "PREDICT")
        raise Unimplemented(f"ML.{name}: {unknown(name, known, 'function of models')}{at(call)}")
    if is_safe(call):
        raise InvalidArgument(f"SAFE.ML.{name}: of the functions of models, SAFE is for ML.PREDICT{at(call)}")
    asked = Asked(call, scope, scope.model(call.this), inner, columns)
    if name in _REFUSED:
        raise asked.refused(_REFUSED[name])
    return FUNCTIONS[name](asked)


def _feature_info(asked: Asked) -> exp.Select:
    """Return the documented columns as far as they are known of an imported model."""
    asked.options({})
    inputs = asked.model.inputs
    sizes: Mapping[str, int | None] = {}
    if any(one.type.kind == "ARRAY" for one in inputs) and asked.model.remote is None:
        specs = asked.predictor().signature.inputs
        sizes = {s.name: int(np.prod(s.shape)) if None not in s.shape else None for s in specs}  # type: ignore[arg-type]
    numbers = ["min", "max", "mean", "median", "stddev"]
    table: dict[str, tuple[str, list[Any]]] = {
        "input": ("VARCHAR", [one.name for one in inputs]),
        **{name: ("DOUBLE", [None] * len(inputs)) for name in numbers},
        **{name: ("BIGINT", [None] * len(inputs)) for name in ("category_count", "null_count")},
        "dimension": ("BIGINT", [sizes.get(one.name) if one.type.item else None for one in inputs]),
    }
    return _table(table)


def _feature_importance(asked: Asked) -> exp.Select:
    """Return the measures that the library has; those of XGBoost are BigQuery's."""
    asked.options({})
    predictor = asked.predictor()
    if not isinstance(predictor, Weighing):
        raise asked.refused("it does not tell how important its features are, as ensembles of trees do")
    try:
        measures = predictor.importances()
    except Unimplemented as error:
        raise asked.refused(f"{error}; ML.WEIGHTS has the weights of linear models") from None
    names = feature_names(asked.model, predictor.signature)
    table: dict[str, tuple[str, list[Any]]] = {"feature": ("VARCHAR", names)}
    for kind, values in measures.items():
        called = kind if kind == "importance" else f"importance_{kind}"
        table[called] = ("DOUBLE", [float(one) for one in values])
    return _table(table)


def _weights(asked: Asked) -> exp.Select:
    """Return a row for each weight, and `__INTERCEPT__`; of more than two classes, for each of them."""
    options = asked.options({"standardize": ""})
    standardize = options.get("standardize")
    if standardize is not None and not (isinstance(standardize, exp.Boolean) and not standardize.this):
        raise asked.refused("option standardize needs the rows of the training", standardize)
    predictor = asked.predictor()
    if not isinstance(predictor, Linear):
        raise asked.refused("it has no weights, as linear models of scikit-learn do")
    try:
        weights, intercepts = predictor.coefficients()
    except Unimplemented as error:
        raise asked.refused(str(error)) from None
    names = [*feature_names(asked.model, predictor.signature), "__INTERCEPT__"]
    values = [float(one) for row, last in zip(weights, intercepts, strict=True) for one in (*row, last)]
    table: dict[str, tuple[str, list[Any]]] = {
        "processed_input": ("VARCHAR", names * len(weights)),
        "weight": ("DOUBLE", values),
        "category_weights": ("STRUCT(category VARCHAR, weight DOUBLE)[]", [None] * len(values)),
    }
    if len(weights) > 1:
        classes = [str(one) for one in predictor.signature.classes]
        table["class_label"] = ("VARCHAR", [one for one in classes for _ in names])
    return _table(table)


def _table(columns: Mapping[str, tuple[str, Sequence[Any]]]) -> exp.Select:
    """Return a query over constants, by column: its type and its values."""
    made = [
        named(exp.Anonymous(this="unnest", expressions=[cast(literal(list(values)), f"{type_}[]")]), name)
        for name, (type_, values) in columns.items()
    ]
    return template("SELECT __made", made=made)


FUNCTIONS: Mapping[str, Callable[[Asked], exp.Select]] = {
    **evaluation.FUNCTIONS,
    "EXPLAIN_PREDICT": explanation.query,
    "FEATURE_INFO": _feature_info,
    "FEATURE_IMPORTANCE": _feature_importance,
    "WEIGHTS": _weights,
}
"""What answers, by name."""
