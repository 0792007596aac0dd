"""Aggregates, and the windows over them.

Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/aggregate_functions
"""

from sqlglot import exp

from trivet.sql.translate.forms import Node, Rules, form, integer, kind, refused, wrong

RULES = Rules()


def _limited(node: Node, null: bool = False) -> tuple[Node | None, Node]:
    """Take LIMIT off an argument; return the limit and the argument."""
    inner = node.this
    if isinstance(inner, exp.Limit):
        limit = inner.expression
        node.set("this", inner.this)
        return limit, node
    return None, node


@RULES(exp.ArrayAgg, exp.ArrayConcatAgg, exp.GroupConcat)
def _collected(node: Node) -> Node | None:  # noqa: C901 - the three share all of it
    limit, node = _limited(node)
    nulls_out = isinstance(node.parent, exp.IgnoreNulls)
    order = node.this if isinstance(node.this, exp.Order) else None
    value = order.this if order is not None else node.this
    distinct = isinstance(value, exp.Distinct)
    if distinct:
        (value,) = value.expressions
    ordering = [one.copy() for one in order.expressions] if order is not None else []
    separator = node.args.get("separator")
    text = isinstance(node, exp.GroupConcat)
    if text and kind(value) == "BYTES":
        raise refused(node, "of BYTES is not supported", "STRING_AGG")
    argument: Node = exp.Distinct(expressions=[value]) if distinct else value
    if ordering:
        argument = exp.Order(this=argument, expressions=ordering)
    result: Node = exp.Anonymous(this="list", expressions=[argument])
    if text or nulls_out or isinstance(node, exp.ArrayConcatAgg):
        result = exp.Filter(this=result, expression=exp.Where(this=form("_x IS NOT NULL", x=value.copy())))
    window = node.parent.parent if nulls_out else node.parent
    if isinstance(window, exp.Window):
        if limit is not None or isinstance(node, exp.ArrayConcatAgg):
            raise refused(node, "LIMIT in a window is not supported")
        if not text:
            return result
        raise refused(node, "as a window function is not supported", "STRING_AGG")
    if limit is not None:
        result = form("list_slice(_x, 1, _n)", x=result, n=limit)
    if isinstance(node, exp.ArrayConcatAgg):
        result = form("flatten(_x)", x=result)
    if text:
        result = form("list_aggregate(_x, 'string_agg', _by)", x=result, by=separator or ",")
    return form("_x", "STRING" if text else "ARRAY", x=result)


@RULES(exp.IgnoreNulls)
def _ignore_nulls(node: exp.IgnoreNulls) -> Node | None:
    inner = node.this
    if isinstance(inner, (exp.FirstValue, exp.LastValue, exp.NthValue, exp.Lead, exp.Lag)):
        return None
    return inner


@RULES(exp.RespectNulls)
def _respect_nulls(node: exp.RespectNulls) -> Node | None:
    if isinstance(
        node.this, (exp.FirstValue, exp.LastValue, exp.NthValue, exp.Lead, exp.Lag, exp.ArrayAgg)
    ) or (isinstance(node.this, exp.Anonymous) and node.this.name == "list"):
        return node.this
    raise refused(node, "is not supported here", "RESPECT NULLS")


@RULES(exp.AnyValue)
def _any_value(node: exp.AnyValue) -> Node | None:
    having = node.this
    if not isinstance(having, exp.HavingMax):
        return form("any_value(_x)", kind(having), x=having)
    name = "arg_max_null" if having.args.get("max") else "arg_min_null"
    return form(f"{name}(_x, _y)", x=having.this, y=having.expression)


@RULES(exp.ApproxQuantiles)
def _quantiles(node: exp.ApproxQuantiles) -> Node:
    """Exact ones."""
    count = integer(node.expression)
    if count is None or not 0 < count <= 10000:
        raise refused(node, "the number of quantiles must be a literal", "APPROX_QUANTILES")
    value = node.this
    if isinstance(value, exp.Distinct):
        raise refused(node, "DISTINCT is not supported", "APPROX_QUANTILES")
    steps = exp.Array(expressions=[exp.Literal.number(repr(i / count)) for i in range(count + 1)])
    return form("quantile_disc(_x, _steps)", "ARRAY", x=value, steps=steps)


@RULES(exp.PercentileCont, exp.PercentileDisc)
def _percentile(node: Node) -> Node | None:
    if not isinstance(node.find_ancestor(exp.Window, exp.Select), exp.Window):
        raise wrong(node, "PERCENTILE_CONT and PERCENTILE_DISC are window functions: OVER (..) is missing")
    name = "quantile_cont" if isinstance(node, exp.PercentileCont) else "quantile_disc"
    value = node.this
    if name == "quantile_cont":
        value = form("CAST(_x AS DOUBLE)", "FLOAT64", x=value)
    return exp.Anonymous(this=name, expressions=[value, node.expression])


@RULES(exp.CountIf)
def _countif(node: exp.CountIf) -> Node:
    if isinstance(node.this, exp.Distinct):
        raise refused(node, "DISTINCT is not supported", "COUNTIF")
    return form("count(CASE WHEN _x THEN 1 END)", "INT64", x=node.this)  # count_if is NULL over nothing


@RULES(exp.LogicalAnd, exp.LogicalOr)
def _logical(node: Node) -> Node:
    name = "bool_and" if isinstance(node, exp.LogicalAnd) else "bool_or"
    return exp.Anonymous(this=name, expressions=[node.this])


@RULES(exp.Corr, exp.CovarSamp)
def _pairs(node: Node) -> Node:
    """NULL for fewer than two pairs."""
    name = "corr" if isinstance(node, exp.Corr) else "covar_samp"
    if isinstance(node.parent, exp.Window):
        raise refused(node, "as a window function is not supported")
    return form(
        f"CASE WHEN regr_count(_y, _x) > 1 THEN {name}(_y, _x) END", "FLOAT64", y=node.this, x=node.expression
    )


@RULES(exp.Avg)
def _avg(node: exp.Avg) -> Node | None:
    if kind(node.this) == "NUMERIC" and not isinstance(node.parent, exp.Window):
        return form("CAST(avg(_x) AS DECIMAL(38,9))", "NUMERIC", x=node.this)
    return None
