"""ML.EVALUATE, ML.CONFUSION_MATRIX and ML.ROC_CURVE: predictions beside labels, as one query.

Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/bigqueryml-syntax-evaluate
Where BigQuery does not say how, measures are those of scikit-learn: means over classes have the same weight
for each, and count those that are labels or predictions; `roc_auc` is exact, and of several classes the mean
of each against all others. Rows whose label is NULL are left out.
"""

from collections.abc import Mapping
from typing import Any

from sqlglot import exp

from trivet.core.signature import Signature
from trivet.sql.asked import Asked, answered, cast, column, literal, named, template
from trivet.sql.classes import column_names, place, type_of_class
from trivet.sql.types import FLOAT64, Field, Type, array

_LABEL = {"input_label_col": ""}
_TUNED = {"trial_id": "no hyperparameters are tuned here"}
_SERIES = dict.fromkeys(("perform_aggregation", "horizon", "confidence_level"), "it is for time series")
_NUMERIC = ("INT64", "FLOAT64", "NUMERIC", "BIGNUMERIC")

_REGRESSION = """
SELECT avg(abs(p - y)) AS mean_absolute_error,
  avg((p - y) * (p - y)) AS mean_squared_error,
  CASE WHEN min(least(p, y)) > -1
    THEN avg(CASE WHEN least(p, y) > -1 THEN pow(ln(1 + p) - ln(1 + y), 2) END) END AS mean_squared_log_error,
  median(abs(p - y)) AS median_absolute_error,
  1 - avg((p - y) * (p - y)) / nullif(var_pop(y), 0) AS r2_score,
  1 - var_pop(y - p) / nullif(var_pop(y), 0) AS explained_variance
FROM (SELECT __y AS y, __p AS p FROM __rows WHERE __label IS NOT NULL)
WHERE p IS NOT NULL
"""

_TWO = """
WITH asked AS MATERIALIZED (SELECT __y AS y, __p AS p, __s AS s FROM __rows WHERE __label IS NOT NULL),
counted AS (
  SELECT count_if(y = 2 AND p = 2) AS hits, count_if(p = 2) AS told, count_if(y = 2) AS there,
    avg(CASE WHEN y = p THEN 1 ELSE 0 END) AS accuracy,
    avg(-ln(greatest(coalesce(s[y], 0), 1e-15))) AS log_loss
  FROM asked),
steps AS (
  SELECT count_if(y = 2) AS there, sum(count_if(y <> 2)) OVER (ORDER BY s[2]) AS below,
    count_if(y <> 2) AS others
  FROM asked GROUP BY s[2]),
curve AS (
  SELECT sum(there * (below - others + others / 2)) / nullif(sum(there) * sum(others), 0) AS roc_auc
  FROM steps)
SELECT hits / told AS "precision", hits / there AS recall, accuracy, 2 * hits / (told + there) AS f1_score,
  log_loss, roc_auc
FROM (
  SELECT CAST(hits AS DOUBLE) AS hits, __told AS told, __there AS there, accuracy, log_loss
  FROM counted), curve
"""

_SEVERAL = """
WITH asked AS MATERIALIZED (SELECT __y AS y, __p AS p, __s AS s FROM __rows WHERE __label IS NOT NULL),
pairs AS MATERIALIZED (SELECT y, p, CAST(count(*) AS DOUBLE) AS n FROM asked GROUP BY y, p),
kinds AS (SELECT y AS k FROM pairs UNION SELECT p FROM pairs),
each AS (
  SELECT k, sum(CASE WHEN y = k AND p = k THEN n ELSE 0 END) AS hits,
    sum(CASE WHEN p = k THEN n ELSE 0 END) AS told, sum(CASE WHEN y = k THEN n ELSE 0 END) AS there
  FROM kinds, pairs GROUP BY k),
means AS (
  SELECT avg(CASE WHEN told > 0 THEN hits / told ELSE 0 END) AS "precision",
    avg(CASE WHEN there > 0 THEN hits / there ELSE 0 END) AS recall,
    avg(CASE WHEN told + there > 0 THEN 2 * hits / (told + there) ELSE 0 END) AS f1_score FROM each),
total AS (SELECT sum(CASE WHEN y = p THEN n ELSE 0 END) / nullif(sum(n), 0) AS accuracy FROM pairs)
__more
SELECT "precision", recall, accuracy, f1_score, log_loss, roc_auc FROM means, total, loss, curve
"""

_SCORED = """,
loss AS (SELECT avg(-ln(greatest(coalesce(s[y], 0), 1e-15))) AS log_loss FROM asked),
steps AS (
  SELECT k, count_if(y = k) AS there, sum(count_if(y <> k)) OVER (PARTITION BY k ORDER BY s[k]) AS below,
    count_if(y <> k) AS others
  FROM asked, (SELECT unnest(range(1, __count + 1)) AS k) GROUP BY k, s[k]),
areas AS (
  SELECT sum(there * (below - others + others / 2)) / nullif(sum(there) * sum(others), 0) AS area
  FROM steps GROUP BY k),
curve AS (SELECT avg(area) AS roc_auc FROM areas)
"""

_UNSCORED = """,
loss AS (SELECT CAST(NULL AS DOUBLE) AS log_loss), curve AS (SELECT CAST(NULL AS DOUBLE) AS roc_auc)
"""

_CURVE = """
WITH asked AS MATERIALIZED (
  SELECT s, CAST(count_if(y = 2) AS BIGINT) AS there, CAST(count_if(y <> 2) AS BIGINT) AS others
  FROM (SELECT __y AS y, __s[2] AS s FROM __rows WHERE __label IS NOT NULL) GROUP BY s),
cuts AS (SELECT DISTINCT unnest(__cuts) AS t),
counted AS (
  SELECT t, CAST(sum(CASE WHEN s > t THEN there ELSE 0 END) AS BIGINT) AS tp,
    CAST(sum(CASE WHEN s > t THEN others ELSE 0 END) AS BIGINT) AS fp,
    CAST(sum(there) AS BIGINT) AS p, CAST(sum(others) AS BIGINT) AS n
  FROM cuts, asked GROUP BY t)
SELECT CAST(t AS DOUBLE) AS threshold, tp / nullif(CAST(p AS DOUBLE), 0) AS recall,
  fp / nullif(CAST(n AS DOUBLE), 0) AS false_positive_rate, tp AS true_positives, fp AS false_positives,
  n - fp AS true_negatives, p - tp AS false_negatives
FROM counted ORDER BY t
"""


def evaluate(asked: Asked) -> exp.Select:
    """Return the query of ML.EVALUATE."""
    if asked.model.remote is not None:
        return _remote(asked)
    options = asked.options({"threshold": "", **_LABEL, **_TUNED, **_SERIES})
    signature = asked.predictor().signature
    _needs_rows(asked)
    label = asked.label(options)
    threshold = options.get("threshold")
    if signature.classes:
        return _classification(asked, signature, label, threshold)
    if threshold is not None:
        raise asked.invalid(f"Option threshold: it is for two classes, which {asked.subject} does not have")
    return _of_values(asked, label)


def confusion_matrix(asked: Asked) -> exp.Select:
    """Return the query of ML.CONFUSION_MATRIX."""
    options = asked.options({"threshold": "", **_LABEL, **_TUNED})
    signature = _classifier(asked)
    label = asked.label(options)
    parts = _parts(asked, signature, label, options.get("threshold"))
    classes = list(signature.classes)
    order = sorted(range(len(classes)), key=lambda index: (str(type(classes[index])), classes[index]))
    names = column_names([classes[index] for index in order])
    counts = [
        named(template(f"SELECT count_if(p = {index + 1})").expressions[0], name)
        for index, name in zip(order, names, strict=True)
    ]
    return template(
        """
        SELECT y AS expected_label, __counts
        FROM (SELECT __label AS y, __p AS p FROM __rows WHERE __label IS NOT NULL) GROUP BY y ORDER BY y
        """,
        counts=counts,
        **parts,
    )


def roc_curve(asked: Asked) -> exp.Select:
    """Return the query of ML.ROC_CURVE, for an array of thresholds, or for those at a hundred percentiles."""
    given = asked.call.args.get("params_struct")
    thresholds = None if given is None or isinstance(given, exp.Struct) else given
    options = asked.options({**_LABEL, **_TUNED}) if thresholds is None else {}
    signature = _classifier(asked)
    if len(signature.classes) != 2:
        raise asked.invalid(f"It is for two classes; {asked.subject} has {len(signature.classes)}")
    if not _scores(signature):
        raise asked.refused("it gives no probabilities")
    parts = _parts(asked, signature, asked.label(options), None)
    shares = "(SELECT quantile_disc(s, [x / 100 FOR x IN range(0, 101)]) FROM asked)"
    cuts = thresholds if thresholds is not None else template(f"SELECT {shares}").expressions[0]
    return template(_CURVE, cuts=cuts, **parts)


def _needs_rows(asked: Asked) -> None:
    if asked.inner is None:
        asked.rows((), {})


def _classifier(asked: Asked) -> Signature:
    signature = asked.predictor().signature
    _needs_rows(asked)
    if not signature.classes:
        raise asked.refused("it is no classifier of known classes")
    return signature


def _scores(signature: Signature) -> bool:
    return any("detailed" in spec.choices for spec in signature.parameters or () if spec.name == "output")


def _classification(
    asked: Asked, signature: Signature, label: Field, threshold: exp.Expression | None
) -> exp.Select:
    parts = _parts(asked, signature, label, threshold)
    if len(signature.classes) == 2 and _scores(signature):
        nan = "'NaN'::DOUBLE"
        for name in ("told", "there"):
            text = f"SELECT CASE WHEN {name} = 0 THEN {nan} ELSE CAST({name} AS DOUBLE) END"
            parts[name] = template(text).expressions[0]
        return template(_TWO, **parts)
    more = _SCORED if _scores(signature) else _UNSCORED
    return template(_SEVERAL.replace("__more", more), count=literal(len(signature.classes)), **parts)


def _parts(
    asked: Asked, signature: Signature, label: Field, threshold: exp.Expression | None
) -> dict[str, exp.Expression]:
    """Return the rows, and of each the label's class, the class that is predicted, and the scores."""
    classes, kind = signature.classes, type_of_class(signature.classes)
    value = column(label.name)
    truth = place(value, label.type, classes)
    if truth is None:
        raise asked.invalid(
            f"Column {label.name} has type {label.type}; the classes of {asked.subject} are of type {kind}"
        )
    scores = _scores(signature)
    answers = [Field("scores", array(FLOAT64)), Field("predicted_class", kind)][0 if scores else 1 :]
    rows = asked.rows(answers, {"output": "detailed" if scores else "labels"})
    predicted = place(answered("predicted_class"), kind, classes)
    assert predicted is not None
    given = answered("scores") if scores else exp.Null()
    if threshold is not None:
        if len(classes) != 2 or not scores:
            raise asked.invalid(
                f"Option threshold: it is for two classes with probabilities; {asked.subject} has "
                f"{len(classes)} classes{'' if scores else ' without'}"
            )
        predicted = template(
            "SELECT CASE WHEN __s[2] > __t THEN 2 ELSE 1 END", s=given, t=cast(threshold, "DOUBLE")
        ).expressions[0]
    return {"rows": rows, "label": value, "y": truth, "p": predicted, "s": given}


def _of_values(asked: Asked, label: Field) -> exp.Select:
    """Compare what the model answers as it is: numbers by their distance, others by being the same."""
    output = _only_output(asked, label)
    rows = asked.rows(asked.model.outputs, {})
    return _compared(rows, label, output)


def _compared(rows: exp.Expression, label: Field, output: Field) -> exp.Select:
    value, answer = column(label.name), answered(output.name)
    if _distances(label.type, output.type):
        y, p = cast(value, "DOUBLE"), cast(answer, "DOUBLE")
        return template(_REGRESSION, rows=rows, label=value, y=y, p=p)
    y, p = cast(value, "VARCHAR"), cast(answer, "VARCHAR")
    parts = {"rows": rows, "label": value, "y": y, "p": p, "s": exp.Null()}
    return template(_SEVERAL.replace("__more", _UNSCORED), **parts)


def _distances(label: Type, output: Type) -> bool:
    whole = label.kind == output.kind == "INT64"
    return label.kind in _NUMERIC and output.kind in _NUMERIC and not whole


def _only_output(asked: Asked, label: Field) -> Field:
    """Return the output that the labels are compared with; raises InvalidArgument where it is not clear."""
    outputs = asked.model.outputs
    plain = [one for one in outputs if one.type.kind in (*_NUMERIC, "BOOL", "STRING", "JSON")]
    for name in (f"predicted_{label.name}".lower(), label.name.lower()):
        plain = [one for one in plain if one.name.lower() == name] or plain
    if len(plain) != 1:
        listed = ", ".join(f"{one.name} {one.type}" for one in outputs)
        raise asked.refused(
            f"which of its outputs ({listed}) is to be compared with column {label.name} cannot be told; "
            "compute the measure over ML.PREDICT"
        )
    output = plain[0]
    fits = label.type == output.type or (label.type.kind in _NUMERIC and output.type.kind in _NUMERIC)
    if not fits and output.type.kind != "JSON":
        raise asked.invalid(
            f"Column {label.name} has type {label.type}, but output {output.name} of {asked.subject} is of "
            f"type {output.type}"
        )
    if output.type.kind == "JSON":  # what it holds is known with the rows alone
        return Field(output.name, label.type)
    return output


def _remote(asked: Asked) -> exp.Select:
    """Return one column of JSON, `remote_eval_metrics`, of rows; BigQuery fetches it from the endpoint."""
    options = asked.options({**_LABEL, **_SERIES, **_TUNED})
    if asked.inner is None:
        raise asked.invalid(
            "An endpoint keeps no evaluation that could be fetched: give TABLE t or a (query) with labels"
        )
    label = asked.label(options)
    output = _only_output(asked, label)
    compared = _compared(asked.rows(asked.model.outputs, {}), label, output)
    return template(
        "SELECT CAST(to_json(__e) AS JSON) AS remote_eval_metrics FROM __compared AS __e", compared=compared
    )


FUNCTIONS: Mapping[str, Any] = {
    "EVALUATE": evaluate,
    "CONFUSION_MATRIX": confusion_matrix,
    "ROC_CURVE": roc_curve,
}
