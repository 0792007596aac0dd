"""Comparisons: NaN is no number, and structs are compared field by field.

Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/operators#comparison_operators
"""

from functools import reduce

from sqlglot import exp

from trivet.sql.translate.forms import Node, Rules, form, kind, refused

RULES = Rules()


@RULES(exp.GT, exp.GTE, exp.LT, exp.LTE)
def _order(node: Node) -> Node | None:
    """DuckDB has NaN above all numbers, GoogleSQL nowhere."""
    above = node.left if isinstance(node, (exp.GT, exp.GTE)) else node.right
    if not _may_be_nan(above):
        return None
    return form("_is AND NOT isnan(_x)", "BOOL", **{"is": _same(node), "x": above.copy()})


@RULES(exp.EQ, exp.NEQ)
def _equal(node: Node) -> Node | None:
    """DuckDB has NaN equal to itself, and two structs with NULL in them unequal."""
    if isinstance(node.parent, (exp.Update, exp.When)):
        return None
    equal = isinstance(node, exp.EQ)
    if kind(node.left) == kind(node.right) == "STRUCT":
        parts = _parts(node)
        if parts is not None:
            return parts if equal else form("NOT (_x)", "BOOL", x=parts)
        return None
    if not (_may_be_nan(node.left) and _may_be_nan(node.right)):
        return None
    if equal:
        return form("_is AND NOT isnan(_x)", "BOOL", **{"is": _same(node), "x": node.left.copy()})
    return form("_is OR isnan(_x)", "BOOL", **{"is": _same(node), "x": node.left.copy()})


def _may_be_nan(node: Node) -> bool:
    return (
        kind(node) == "FLOAT64" and not isinstance(node, (exp.Literal, exp.Neg)) and not node.find(exp.Query)
    )


def _same(node: Node) -> Node:
    return type(node)(this=node.left, expression=node.right)


def _parts(node: Node) -> Node | None:
    """Return the comparison of two structs as those of their fields."""
    count = len(node.left.type.expressions)
    if not count or count != len(node.right.type.expressions):
        return None
    sides = [
        [form(f"struct_extract_at(_x, {place})", x=side.copy()) for place in range(1, count + 1)]
        for side in (node.left, node.right)
    ]
    pairs = [form("_a = _b", "BOOL", a=one, b=two) for one, two in zip(*sides, strict=True)]
    return exp.Paren(this=reduce(lambda one, two: form("_a AND _b", "BOOL", a=one, b=two), pairs))


def like_any(node: exp.Like) -> Node:
    """Return `x LIKE ANY UNNEST(array)`, or ALL."""
    every = isinstance(node.expression, exp.All)
    array = node.expression.this
    if len(array.expressions) != 1:
        raise refused(node, "takes one array", "LIKE ANY UNNEST")
    return form(
        "CASE WHEN _x IS NULL OR _a IS NULL THEN NULL ELSE "
        f"len(list_filter(_a, lambda e_: _x LIKE e_ ESCAPE '\\')) {'= len(_a)' if every else '> 0'} END",
        "BOOL", x=node.this, a=array.expressions[0],
    )  # fmt: skip
