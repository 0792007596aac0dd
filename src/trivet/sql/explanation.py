"""ML.EXPLAIN_PREDICT: what is predicted, and the features that add most to it.

Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/bigqueryml-syntax-explain-predict
"""

from sqlglot import exp

from trivet.core.signature import EXPLANATIONS, Signature
from trivet.sql.asked import Asked, answered, cast, column, label_name, literal, named, template
from trivet.sql.classes import type_of_class
from trivet.sql.model import SqlModel
from trivet.sql.types import FLOAT64, Field, array

_OPTIONS = {
    "top_k_features": "",
    "threshold": "",
    "approx_feature_contrib": "contributions are exact here; leave it out",
    "integrated_gradients_num_steps": "it is for networks trained in BigQuery ML",
    "num_integral_steps": "it is for networks trained in BigQuery ML",
    "max_output_tokens": "it is for models of language",
}
_DEFAULT_TOP = 5

_TOP = """
SELECT list_transform(
  list_slice(list_grade_up(list_transform(__attributions, lambda x: -abs(x))), 1, __top),
  lambda i: {'feature': __names[i], 'attribution': __sign * __attributions[i]})
"""


def query(asked: Asked) -> exp.Select:
    """Return the query of a call; raises Unimplemented where the model does not explain."""
    options = asked.options(_OPTIONS)
    signature = asked.predictor().signature
    if not signature.explains:
        raise asked.refused(
            "it does not say what its features add to a prediction, as XGBoost, LightGBM and CatBoost "
            "models of one answer do, and linear models of scikit-learn"
        )
    classes = signature.classes
    answers = [Field("value", FLOAT64), Field("baseline", FLOAT64), Field("attributions", array(FLOAT64))]
    if classes:
        kind = type_of_class(classes)
        answers = [Field("predicted_class", kind), Field("probability", FLOAT64), *answers]
    else:
        answers = [Field("prediction", FLOAT64), *answers]
    rows = asked.rows(answers, {"output": EXPLANATIONS})
    threshold = options.get("threshold")
    if threshold is not None and len(classes) != 2:
        raise asked.invalid(f"Option threshold: it is for two classes; {asked.subject} has {len(classes)}")
    made = _columns(asked.model, signature, threshold, options.get("top_k_features"))
    shadowed = {one.alias.lower() for one in made}
    passed = [column(one.name) for one in asked.columns if one.name.lower() not in shadowed]
    return template("SELECT __made FROM __rows", made=[*made, *passed], rows=rows)


def feature_names(model: SqlModel, signature: Signature) -> list[str]:
    """Return what the features are called in SQL, in the order of attributions."""
    if len(model.inputs) == len(signature.features):
        return [one.name for one in model.inputs]
    return list(signature.features)


def _columns(
    model: SqlModel, signature: Signature, threshold: exp.Expression | None, top: exp.Expression | None
) -> list[exp.Expression]:
    label, classes = label_name(model), signature.classes
    sign: exp.Expression = exp.Literal.number(1)
    if classes:
        predicted, probability = answered("predicted_class"), answered("probability")
        if threshold is not None:
            predicted, probability, sign = _at_threshold(classes, threshold)
        first = [named(predicted, f"predicted_{label}"), named(probability, "probability")]
    else:
        first = [named(answered("prediction"), f"predicted_{label}")]
    given = {
        "attributions": answered("attributions"),
        "names": literal(feature_names(model, signature)),
        "top": cast(top, "BIGINT") if top is not None else literal(_DEFAULT_TOP),
        "sign": sign,
    }
    (attributions,) = template(_TOP, **given).expressions
    times = {name: exp.Mul(this=sign.copy(), expression=answered(name)) for name in ("baseline", "value")}
    return [
        *first,
        named(attributions, "top_feature_attributions"),
        named(times["baseline"], "baseline_prediction_value"),
        named(times["value"], "prediction_value"),
        named(cast(exp.Literal.number(0), "DOUBLE"), "approximation_error"),
    ]


def _at_threshold(
    classes: tuple[object, ...], threshold: exp.Expression
) -> tuple[exp.Expression, exp.Expression, exp.Expression]:
    """Return the class predicted at a threshold, its probability, and -1 where it is the other one."""
    made = template(
        """
        SELECT CASE WHEN __positive > __threshold THEN __second ELSE __first END,
          CASE WHEN __positive > __threshold THEN __positive ELSE 1 - __positive END,
          CASE WHEN (__positive > __threshold) = (__label = __second) THEN 1 ELSE -1 END
        """,
        positive=exp.Paren(this=_positive(classes)),
        threshold=cast(threshold, "DOUBLE"),
        first=literal(classes[0]),
        second=literal(classes[1]),
        label=answered("predicted_class"),
    )
    predicted, probability, sign = made.expressions
    return predicted, probability, sign


def _positive(classes: tuple[object, ...]) -> exp.Expression:
    made = template(
        "SELECT CASE WHEN __label = __second THEN __probability ELSE 1 - __probability END",
        label=answered("predicted_class"),
        second=literal(classes[1]),
        probability=answered("probability"),
    )
    (value,) = made.expressions
    assert isinstance(value, exp.Expression)
    return value
