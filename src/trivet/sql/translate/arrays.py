"""Arrays: places are checked, NULL arrays stay NULL.

Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/array_functions
"""

from sqlglot import exp

from trivet.sql.translate import json_values
from trivet.sql.translate.forms import Node, Rules, form, integer, kind, refused

RULES = Rules()


@RULES(exp.Bracket)
def _item(node: exp.Bracket) -> Node | None:
    if len(node.expressions) != 1 or isinstance(node.expressions[0], exp.Slice):
        raise refused(node, name="SLICE")
    (index,) = node.expressions
    if node.args.get("offset") is None:
        found = json_values.subscript(node)
        if found is not None:
            return found
    base = 1 - int(node.args.get("offset") or 0)
    known = integer(index)
    place = exp.Literal.number(known + base) if known is not None else form(f"_i + {base}", i=index)
    item = form("list_extract(_x, _p)", x=node.this, p=place)
    if node.args.get("safe"):
        if known is not None and known + base > 0:
            return item
        return form("CASE WHEN _p > 0 THEN _item END", p=place.copy(), item=item)
    return form(
        "CASE WHEN _p < 1 OR _p > len(_x) THEN error('Array index ' || _i || ' is out of bounds') ELSE _item END",
        p=place.copy(), x=node.this.copy(), i=index.copy(), item=item,
    )  # fmt: skip


@RULES(exp.ArrayFirst, exp.ArrayLast)
def _ends(node: Node) -> Node:
    name, place = ("ARRAY_FIRST", 1) if isinstance(node, exp.ArrayFirst) else ("ARRAY_LAST", -1)
    return form(
        f"CASE WHEN len(_x) = 0 THEN error('{name} cannot get the element of an empty array') "
        f"ELSE list_extract(_x, {place}) END",
        x=node.this,
    )


@RULES(exp.ArraySize)
def _length(node: Node) -> Node:
    return form("len(_x)", "INT64", x=node.this)


@RULES(exp.ArrayReverse)
def _reverse(node: Node) -> Node:
    return form("list_reverse(_x)", "ARRAY", x=node.this)


@RULES(exp.ArrayConcat)
def _concat(node: exp.ArrayConcat) -> Node:
    """NULL where any array is."""
    arrays = [node.this, *node.expressions]
    result = arrays[0]
    for one in arrays[1:]:
        result = form("_a || _b", "ARRAY", a=result, b=one)
    return result


@RULES(exp.ArrayToString)
def _to_string(node: Node) -> Node:
    array, by, null = node.this, node.expression, node.args.get("null")
    if null is not None:
        array = form("list_transform(_x, lambda e_: coalesce(e_, _null))", x=array, null=null)
    return form(
        "CASE WHEN _x IS NULL OR _by IS NULL THEN NULL "
        "ELSE coalesce(list_aggregate(_x, 'string_agg', _by), '') END",
        "STRING", x=array, by=by,
    )  # fmt: skip


@RULES(exp.ArraySlice)
def _slice(node: exp.ArraySlice) -> Node:
    """Both ends belong to it and are counted from 0, or from the end when negative."""
    return form(
        "CASE WHEN _a IS NULL OR _b IS NULL OR _x IS NULL THEN NULL ELSE list_slice(_x, "
        "CASE WHEN _a < 0 THEN greatest(len(_x) + _a, 0) ELSE _a END + 1, "
        "CASE WHEN _b < 0 THEN len(_x) + _b ELSE _b END + 1) END",
        "ARRAY", x=node.this, a=node.args["start"], b=node.args["end"],
    )  # fmt: skip


@RULES(exp.GenerateSeries)
def _series(node: exp.GenerateSeries) -> Node:
    begin, end = node.args["start"], node.args["end"]
    step = node.args.get("step") or exp.Literal.number(1)
    if {kind(begin), kind(end), kind(step)} & {"FLOAT64", "NUMERIC", "BIGNUMERIC"}:
        return form(
            "list_transform(generate_series(0, CAST(floor((_end - _begin) / _step + 1e-9) AS BIGINT)), "
            "lambda e_: _begin + e_ * _step)",
            "ARRAY", begin=begin, end=end, step=step,
        )  # fmt: skip
    return form(
        "generate_series(CAST(_begin AS BIGINT), CAST(_end AS BIGINT), CAST(_step AS BIGINT))",
        "ARRAY", begin=begin, end=end, step=step,
    )  # fmt: skip


@RULES(exp.ArrayDistinct)
def _distinct(node: Node) -> Node:
    raise refused(node, name="ARRAY_DISTINCT")
