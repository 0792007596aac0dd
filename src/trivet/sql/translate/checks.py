"""What GoogleSQL refuses for its types, and DuckDB would convert: nothing is compared that does not compare.

Only what is certainly wrong is refused: where a type is not known, DuckDB decides.
Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/conversion_rules
"""

from collections.abc import Callable, Mapping, Sequence

from sqlglot import exp

from trivet.sql.translate.coercion import (
    NUMBERS,
    TIMES,
    common,
    is_constant,
    is_null,
    known,
    meets,
    name,
    shown,
)
from trivet.sql.translate.forms import Node, is_text, name_of, wrong
from trivet.sql.translate.texts import fits
from trivet.sql.translate.typed import of_item

_SIGNS: Mapping[type, str] = {
    exp.EQ: "=", exp.NEQ: "!=", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=",
    exp.NullSafeEQ: "IS NOT DISTINCT FROM", exp.NullSafeNEQ: "IS DISTINCT FROM",
    exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.DPipe: "||", exp.And: "AND", exp.Or: "OR",
}  # fmt: skip
_ORDERS = {exp.LT: "Less than", exp.LTE: "Less than", exp.GT: "Greater than", exp.GTE: "Greater than"}
_TEXT = ("STRING", "BYTES")


def check(tree: exp.Expression) -> None:
    """Raise InvalidArgument for the first thing whose types do not fit."""
    for node in tree.walk(bfs=False):
        rule = _CHECKS.get(type(node))
        if rule is not None:
            rule(node)


def assigned(value: Node, type_: exp.DataType | None, column: str) -> None:
    """Raise InvalidArgument for a value that cannot go to a column of a type."""
    source, target = known(value), known_type(type_)
    if source is None or target is None or source == target or {source, target} & {"ARRAY", "STRUCT"}:
        return
    if source in NUMBERS and target in NUMBERS:
        literal = isinstance(value, (exp.Literal, exp.Neg)) and target != "INT64"
        if literal or NUMBERS.index(source) < NUMBERS.index(target):
            return
    elif (source == "STRING" and is_constant(value) and target in TIMES) or (source, target) == (
        "DATE",
        "DATETIME",
    ):
        _literals([value], target)
        return
    raise wrong(
        value, f"Value of type {source} cannot be assigned to column {column}, which has type {target}"
    )


def _literals(values: Sequence[Node], type_: str | None) -> None:
    """Raise InvalidArgument for a literal that is to be a date or a time, and is none."""
    for one in values:
        if type_ in TIMES and is_text(one) and not fits(one.name, str(type_)):
            raise wrong(one, f'Could not cast literal "{one.name}" to type {type_}')


def _meet(values: Sequence[Node]) -> bool:
    if not meets(values):
        return False
    _literals(values, common(values))
    return True


def known_type(type_: exp.DataType | None) -> str | None:
    """Return the kind of a type."""
    holder = exp.Column()
    holder.type = type_
    return known(holder)


def _signature(node: Node, sign: str, values: Sequence[Node]) -> Exception:
    return wrong(node, f"No matching signature for operator {sign} for argument types: {shown(values)}")


def _function(node: Node, called: str, values: Sequence[Node]) -> Exception:
    return wrong(node, f"No matching signature for function {called} for argument types: {shown(values)}")


def _comparison(node: Node) -> None:
    if isinstance(node.parent, (exp.Update, exp.When)):
        return  # an assignment
    sides = [node.left, node.right]
    _comparable(node, sides, _ORDERS.get(type(node), "Equality"))
    if not _meet(sides):
        raise _signature(node, _SIGNS[type(node)], sides)


def _comparable(node: Node, values: Sequence[Node], what: str) -> None:
    for one in values:
        found = known(one)
        if found in ("ARRAY", "JSON") or (found == "STRUCT" and what != "Equality"):
            raise wrong(node, f"{what} is not defined for arguments of type {name(one)}")


def _between(node: exp.Between) -> None:
    values = [node.this, node.args["low"], node.args["high"]]
    _comparable(node, values, "Less than")
    if not _meet(values):
        raise _signature(node, "BETWEEN", values)


def _in(node: exp.In) -> None:
    values = [node.this, *node.expressions]
    query, unnest = node.args.get("query"), node.args.get("unnest")
    if query is not None:
        values.append(_held(query.type))
    if unnest is not None and unnest.expressions:
        values.append(_held(of_item(unnest.expressions[0].type)))
    _comparable(node, values, "Equality")
    for one in values[1:]:
        if not _meet([node.this, one]):
            raise _signature(node, "IN", [node.this, one])


def _held(type_: exp.DataType | None) -> Node:
    holder = exp.Column()
    holder.type = type_
    return holder


def _texts(node: Node) -> None:
    """LIKE and `||`."""
    values = [node.this, node.expression]
    if isinstance(node, exp.Like) and isinstance(node.expression, (exp.Any, exp.All)):
        values = [node.this]
    kinds = {known(one) for one in values} - {None}
    allowed: tuple[str, ...] = (*_TEXT, "ARRAY") if isinstance(node, exp.DPipe) else _TEXT
    if len(kinds) > 1 or not kinds <= set(allowed):
        raise _signature(node, _SIGNS.get(type(node), "LIKE"), values)


def _arithmetic(node: Node) -> None:
    values = [node.left, node.right]
    kinds = [known(one) for one in values]
    allowed = {*NUMBERS, *TIMES, "INTERVAL", None}
    if not set(kinds) <= allowed or (isinstance(node, (exp.Mul, exp.Div)) and set(kinds) & TIMES):
        raise _signature(node, _SIGNS[type(node)], values)


def _condition(sign: str) -> Callable[[Node], None]:
    def rule(node: Node) -> None:
        values = [node.left, node.right] if isinstance(node, exp.Binary) else [node.this]
        if any(known(one) not in ("BOOL", None) for one in values):
            raise _signature(node, sign, values)

    return rule


def _clause(title: str) -> Callable[[Node], None]:
    def rule(node: Node) -> None:
        found = known(node.this)
        if found not in ("BOOL", None):
            raise wrong(node.this, f"{title} clause should return type BOOL, but returns {found}")

    return rule


def _join(node: exp.Join) -> None:
    on = node.args.get("on")
    if on is not None and known(on) not in ("BOOL", None):
        raise wrong(on, f"JOIN ON clause should return type BOOL, but returns {known(on)}")


def _if(node: exp.If) -> None:
    if isinstance(node.parent, exp.Case):
        if node.parent.this is None and known(node.this) not in ("BOOL", None):
            raise wrong(node.this, f"CASE condition should be of type BOOL, but is {known(node.this)}")
        return
    values = [node.args["true"], *([node.args["false"]] if node.args.get("false") else [])]
    if known(node.this) not in ("BOOL", None) or not _meet(values):
        raise wrong(
            node, f"No matching signature for function IF for argument types: {shown([node.this, *values])}"
        )


def _case(node: exp.Case) -> None:
    values = [one.args["true"] for one in node.args["ifs"]]
    if node.args.get("default") is not None:
        values.append(node.args["default"])
    if not _meet(values):
        raise wrong(node, f"No matching signature for operator CASE for argument types: {shown(values)}")
    if node.this is not None:
        for one in node.args["ifs"]:
            if not _meet([node.this, one.this]):
                raise _signature(one.this, "CASE", [node.this, one.this])


def _together(node: Node) -> None:
    """Functions whose arguments have to have a type in common."""
    second = [node.expression] if isinstance(node, exp.Nullif) else node.expressions
    values = [node.this, *second]
    if not _meet(values):
        called = "IFNULL" if isinstance(node, exp.Coalesce) and len(values) == 2 else name_of(node)
        raise _function(node, called, values)


def _array(node: exp.Array) -> None:
    if any(isinstance(one, exp.Query) for one in node.expressions):
        return
    if not _meet(node.expressions):
        kinds = ", ".join(dict.fromkeys(name(one) for one in node.expressions if not is_null(one)))
        raise wrong(node, f"Array elements of types {{{kinds}}} do not have a common supertype")
    if any(known(one) == "ARRAY" for one in node.expressions):
        raise wrong(
            node, "Cannot construct array with element type ARRAY because nested arrays are not supported"
        )


def _ordered(node: exp.Ordered) -> None:
    if known(node.this) in ("ARRAY", "STRUCT", "JSON"):
        raise wrong(node.this, f"ORDER BY does not support expressions of type {name(node.this)}")


def _set_operation(node: exp.SetOperation) -> None:
    title = type(node).__name__.upper()
    if not node.args.get("distinct") and not isinstance(node, exp.Union):
        raise wrong(node, f"{title} ALL is not supported: {title} DISTINCT is")
    for side in (node.this, node.expression):
        if isinstance(side, exp.SetOperation) and (
            type(side) is not type(node)
            or bool(side.args.get("distinct")) != bool(node.args.get("distinct"))
            or (side is node.this and not isinstance(node, exp.Union))
        ):
            raise wrong(
                node, "Syntax error: Different set operations cannot be used in the same query without using "
                "parentheses for grouping",
            )  # fmt: skip


def _takes(*kinds: str) -> Callable[[Node], None]:
    def rule(node: Node) -> None:
        value = node.this
        while isinstance(value, (exp.Order, exp.Limit, exp.Distinct)):
            value = value.this if not isinstance(value, exp.Distinct) else value.expressions[0]
        if isinstance(value, exp.Expression) and known(value) not in (*kinds, None):
            raise wrong(
                node,
                f"No matching signature for function {name_of(node)} for argument types: {shown([value])}",
            )

    return rule


_CHECKS: Mapping[type, Callable[[Node], None]] = {
    **dict.fromkeys((exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.NullSafeEQ, exp.NullSafeNEQ),
                    _comparison),
    exp.Between: _between, exp.In: _in, exp.Like: _texts, exp.DPipe: _texts,
    **dict.fromkeys((exp.Add, exp.Sub, exp.Mul, exp.Div), _arithmetic),
    exp.And: _condition("AND"), exp.Or: _condition("OR"), exp.Not: _condition("NOT"),
    exp.Where: _clause("WHERE"), exp.Having: _clause("HAVING"), exp.Qualify: _clause("QUALIFY"),
    exp.Join: _join, exp.If: _if, exp.Case: _case,
    **dict.fromkeys((exp.Coalesce, exp.Nullif, exp.Greatest, exp.Least), _together),
    exp.Array: _array, exp.Ordered: _ordered,
    **dict.fromkeys((exp.Union, exp.Except, exp.Intersect), _set_operation),
    **dict.fromkeys((exp.Upper, exp.Lower, exp.Length, exp.Trim, exp.Substring, exp.Replace, exp.StartsWith,
                     exp.EndsWith, exp.RegexpLike, exp.RegexpExtract, exp.RegexpReplace, exp.StrPosition,
                     exp.Pad, exp.Left, exp.Right, exp.Repeat, exp.Split, exp.Reverse, exp.Initcap),
                    _takes(*_TEXT)),
    **dict.fromkeys((exp.Sum, exp.Avg), _takes(*NUMBERS, "INTERVAL")),
    **dict.fromkeys((exp.Abs, exp.Sign, exp.Round, exp.Trunc, exp.Ceil, exp.Floor, exp.Sqrt, exp.Exp, exp.Ln,
                     exp.Neg), _takes(*NUMBERS, "INTERVAL")),
}  # fmt: skip
