"""Arrays: places are checked, NULL arrays stay NULL.

Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/array_functions
"""

from sqlglot import exp

from trivet.sql.translate import json_values
from trivet.sql.translate.forms import Node, Rules, form, integer, kind, refused, wrong

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
    if kind(node.this) != "ARRAY":
        node.set("this", _array(node.this))
    base = 1 - int(node.args.get("offset") or 0)
    known = integer(index)
    place = exp.Literal.number(known + base) if known is not None else form(f"_i + {base}", i=index)
    item = form("list_extract(_x, _p)", x=node.this, p=place)
    if node.args.get("safe"):
        if known is not None and known + base > 0:
            return item
        return form("CASE WHEN _p > 0 THEN _item END", p=place.copy(), item=item)
    return form(
        "CASE WHEN _p < 1 OR _p > len(_x) THEN error('Array index ' || _i || ' is out of bounds') "
        "ELSE _item END",
        p=place.copy(), x=node.this.copy(), i=index.copy(), item=item,
    )  # fmt: skip


def _array(value: Node) -> Node:
    if isinstance(value, (exp.Array, exp.Anonymous)):
        return value
    return form(
        "CASE WHEN typeof(_x) IN ('JSON', 'VARCHAR') THEN error('A subscript of JSON whose type is not known "
        "before the query runs: use JSON_QUERY(json, path)') ELSE _x END",
        x=value,
    )


@RULES(exp.Struct)
def _struct(node: exp.Struct) -> Node | None:
    """Fields are called as their columns; those of a type, `STRUCT<x INT64>(..)`, as the type has them."""
    parent = node.parent
    names = _field_names(parent.to) if isinstance(parent, exp.Cast) else []
    fields: list[Node] = []
    for place, one in enumerate(node.expressions):
        value = one.expression if isinstance(one, exp.PropertyEQ) else one
        if place < len(names):
            name = names[place]
        elif isinstance(one, exp.PropertyEQ):
            name = one.name
        else:
            name = value.name if isinstance(value, (exp.Column, exp.Dot)) else ""
        fields.append((name, value))
    return named(fields)


def named(fields: list[Node]) -> Node:
    """Return a struct of names and values; without any name, its fields are matched by their places."""
    if not any(name for name, _ in fields):
        return exp.Anonymous(this="row", expressions=[value for _, value in fields])
    shown = [
        exp.PropertyEQ(this=exp.to_identifier(name or f"_field_{place}"), expression=value)
        for place, (name, value) in enumerate(fields, 1)
    ]
    return exp.Struct(expressions=shown)


def _field_names(type_: exp.DataType) -> list[str]:
    if type_.this == exp.DType.ARRAY and type_.expressions:
        return _field_names(type_.expressions[0])
    if type_.this != exp.DType.STRUCT:
        return []
    return [one.name for one in type_.expressions if isinstance(one, exp.ColumnDef)]


@RULES(exp.Array)
def _array_of(node: exp.Array) -> Node | None:
    """`[STRUCT(1 AS a), (2)]`: all structs have the names of the first, or of the type."""
    if not node.expressions or isinstance(node.expressions[0], exp.Query):
        return None
    parent = node.parent
    names = _field_names(parent.to) if isinstance(parent, exp.Cast) else []
    first = node.expressions[0]
    if not names and isinstance(first, exp.Struct):
        names = [one.name for one in first.expressions]
    if names:
        node.set("expressions", [renamed(one, names) for one in node.expressions])
    return None


def renamed(value: Node, names: list[str]) -> Node:
    """Return a struct that is written out, with these names for its fields."""
    if isinstance(value, exp.Paren) and len(names) == 1:
        values = [value.this]
    elif isinstance(value, exp.Struct):
        values = [one.expression for one in value.expressions]
    elif isinstance(value, exp.Tuple) or (isinstance(value, exp.Anonymous) and value.name == "row"):
        values = list(value.expressions)
    else:
        return value
    if len(values) != len(names):
        raise wrong(value, f"a STRUCT of {len(values)} fields, expected {len(names)}")
    return named(list(zip(names, values, strict=True)))


@RULES(exp.Union, exp.Except, exp.Intersect)
def _set_operation(node: exp.SetOperation) -> Node | None:
    if node.args.get("side") or node.args.get("kind") or node.args.get("on"):
        raise refused(node, "only UNION .. BY NAME is supported", "BY NAME")
    if node.args.get("by_name") and not isinstance(node, exp.Union):
        raise refused(node, "only UNION .. BY NAME is supported", "BY NAME")
    first = node.this
    while isinstance(first, (exp.SetOperation, exp.Subquery)):
        first = first.this
    other = node.expression
    if isinstance(first, exp.Select) and isinstance(other, exp.Select):
        for one, two in zip(first.expressions, other.expressions, strict=False):
            struct, value = one.unalias(), two.unalias()
            if isinstance(struct, exp.Struct) and isinstance(value, exp.Struct):
                value.replace(renamed(value, [field.name for field in struct.expressions]))
    return None


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
    if not integer(step):
        step = form("CASE WHEN _s = 0 THEN error('Sequence step cannot be 0.') ELSE _s END", s=step)
    return form(
        "generate_series(CAST(_begin AS BIGINT), CAST(_end AS BIGINT), CAST(_step AS BIGINT))",
        "ARRAY", begin=begin, end=end, step=step,
    )  # fmt: skip


@RULES(exp.ArrayDistinct)
def _distinct(node: Node) -> Node:
    raise refused(node, name="ARRAY_DISTINCT")
