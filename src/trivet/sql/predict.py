"""ML.PREDICT as DuckDB runs it: two nested selects around one function that predicts a row.

    ML.PREDICT(MODEL ds.m, (inner)) AS p

becomes

    (SELECT struct_extract(__r, 'y') AS "y", "a", "b"
     FROM (SELECT *, ml_1f2e(CAST("a" AS DOUBLE), ..) AS __r FROM (inner) AS __i) AS __j) AS p

The function gives all outputs at once, so that a model runs once for each row, whatever is made of it; DuckDB
moves filters on other columns below it, and does not call it where no output is used. Where the model has but
one output, the inner select is left out: a query for one row is planned in less time than the model takes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

from sqlglot import exp

from trivet.core.errors import InvalidArgument
from trivet.core.signature import unknown
from trivet.sql.bind import INVALID, bound
from trivet.sql.columns import INSTANCES, outputs_of, takes_arrays
from trivet.sql.dialect import ModelFunction, is_safe
from trivet.sql.model import SqlModel
from trivet.sql.nodes import constant
from trivet.sql.positions import at, positioned
from trivet.sql.scope import Scope
from trivet.sql.types import Field

_MOVED = ("alias", "joins", "pivots", "laterals", "sample")
"""What sqlglot hangs on a table in FROM."""

_OPTIONS = {
    "threshold": "for classifiers trained in BigQuery ML; compare the model's probability in the query",
    "keep_original_columns": "for PCA; choose columns in the SELECT",
    "trial_id": "for models tuned in BigQuery ML",
}


def rewrite(tree: exp.Expression, scope: Scope) -> exp.Expression:
    """Replace every ML.PREDICT, and other functions of models, in a statement.

    The tree is changed, and returned. Raises InvalidArgument for what the model does not take, and whatever
    `scope` raises.
    """
    for call in list(_calls(tree)):
        table = call.parent
        name = "PREDICT" if isinstance(call, exp.Predict) else call.args["function"]
        if not isinstance(table, exp.Table):
            raise InvalidArgument(f"ML.{name} is a table-valued function: it belongs into FROM{at(call)}")
        relation = exp.Subquery(this=_replaced(call, scope))
        for part in _MOVED:
            if value := table.args.get(part):
                relation.set(part, value)
        table.replace(relation)
    return tree


def _calls(node: exp.Expression) -> Iterator[exp.Expression]:
    """Yield calls after those that their own queries are made of: inner ones, and those in CTEs before."""
    parts = sorted(node.args.items(), key=lambda part: part[0] != "with_")
    for _, value in parts:
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, exp.Expression):
                yield from _calls(one)
    if isinstance(node, exp.Predict | ModelFunction):
        yield node


def _replaced(call: exp.Expression, scope: Scope) -> exp.Expression:
    """Return the query that stands for a call."""
    if not isinstance(call, exp.Predict):
        from trivet.sql import model_functions

        inner = _query(call.expression) if call.args.get("expression") else None
        columns = scope.describe(in_place(inner, call)) if inner is not None else ()
        return model_functions.query(call, scope, inner, columns)
    model = _asked(call, scope.model(call.this))
    inner = _query(call.expression)
    return _scored(call, scope, model, inner, scope.describe(in_place(inner, call)))


def _scored(
    call: exp.Expression, scope: Scope, model: SqlModel, inner: exp.Expression, columns: Sequence[Field]
) -> exp.Expression:
    hidden = _hidden({one.name.lower() for one in columns})
    safe = is_safe(call)
    refused: list[exp.Expression] = []
    given = bound(model, columns, at(call), refused if safe else None)
    answer: exp.Expression = exp.Anonymous(this=scope.function(model, safe=safe), expressions=given)
    if refused:
        no_row = [exp.If(this=one, true=exp.Null()) for one in refused]
        answer = exp.Case(ifs=no_row, default=answer)
    rows = exp.Subquery(this=inner, alias=_alias("__i"))
    outputs = outputs_of(model)
    if len(outputs) > 1:
        made = exp.Alias(this=answer, alias=exp.to_identifier(hidden, quoted=True))
        once = exp.Select(expressions=[exp.Star(), made], from_=exp.From(this=rows))
        rows, answer = exp.Subquery(this=once, alias=_alias("__j")), _named(hidden)
    shadowed = {one.name.lower() for one in outputs}
    answers: list[exp.Expression] = [_output(one, answer) for one in outputs]
    passed = [_named(one.name) for one in columns if one.name.lower() not in shadowed]
    return exp.Select(expressions=answers + passed, from_=exp.From(this=rows))


def _named(column: str) -> exp.Expression:
    return exp.column(exp.to_identifier(column, quoted=True))


def _output(field: Field, answer: exp.Expression) -> exp.Expression:
    value = exp.Anonymous(this="struct_extract", expressions=[answer.copy(), exp.Literal.string(field.name)])
    return exp.Alias(this=value, alias=exp.to_identifier(field.name, quoted=True))


def _query(given: exp.Expression) -> exp.Expression:
    """Return what is predicted as a query of its own, without an alias."""
    given = given.copy()
    given.set("alias", None)
    bare = isinstance(given, exp.Subquery) and not any(
        value for name, value in given.args.items() if name != "this"
    )
    if bare and isinstance(given.this, exp.Query):
        return cast(exp.Expression, given.this.pop())
    return exp.Select(expressions=[exp.Star()], from_=exp.From(this=given))


def in_place(query: exp.Expression, call: exp.Expression) -> exp.Expression:
    """Return a query as it may stand alone: with the CTEs that can be seen where the call is."""
    query = query.copy()
    below: Any = call
    above: Any = call.parent
    while above is not None:
        if (with_ := above.args.get("with_")) is not None and with_ is not below:
            query = _with(with_, with_.expressions, query)
        if isinstance(above, exp.With):  # below is one of its CTEs, which sees those before it
            places = [one is below for one in above.expressions]
            before = above.expressions[: places.index(True)]
            query = _with(above, before, query)
        below, above = above, above.parent
    return query


def _with(of: exp.Expression, ctes: Sequence[exp.Expression], query: exp.Expression) -> exp.Expression:
    if not ctes:
        return query
    copied = exp.With(expressions=[one.copy() for one in ctes], recursive=of.args.get("recursive"))
    source = exp.From(this=exp.Subquery(this=query, alias=_alias("__q")))
    return exp.Select(expressions=[exp.Star()], from_=source, with_=copied)


def _asked(call: exp.Expression, model: SqlModel) -> SqlModel:
    """Return a model as the options of the call have it asked."""
    given = call.args.get("params_struct")
    if given is None:
        return model
    if not isinstance(given, exp.Struct):
        raise InvalidArgument(f"{INVALID}\nExpected STRUCT(value AS option, ..) after the query{at(given)}")
    for one in given.expressions:
        name = one.name.lower() if isinstance(one, exp.PropertyEQ) else ""
        if not name:
            raise InvalidArgument(f"{INVALID}\nThe options of STRUCT need names{at(one) or at(call)}")
        if name == INSTANCES:
            model = _with_instances(model, one)
            continue
        reason = _OPTIONS.get(name)
        told = f"it is {reason}" if reason else unknown(name, (INSTANCES, *_OPTIONS), "option")
        raise InvalidArgument(
            f"{INVALID}\nOption {name} is not supported for model {model.name} of type {model.type}: {told}"
            f"{at(one) or at(call)}"
        )
    return model


def _with_instances(model: SqlModel, option: exp.PropertyEQ) -> SqlModel:
    """Return a model that is given objects, or arrays, as the option says."""
    asked = constant(option.expression)
    options = {**model.options, INSTANCES: asked.sql() if isinstance(asked, exp.Expression) else asked}
    with positioned(at(option)):
        takes_arrays(options)
    return replace(model, options=options)


def _hidden(taken: set[str]) -> str:
    """Return a name that no column has."""
    name, number = "__r", 0
    while name in taken:
        number += 1
        name = f"__r{number}"
    return name


def _alias(name: str) -> exp.TableAlias:
    return exp.TableAlias(this=exp.to_identifier(name))
