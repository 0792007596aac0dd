"""Arithmetic and its functions. 1/0, LN(0) and SQRT(-1) fail by a setting of the connection.

Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/mathematical_functions
"""

from sqlglot import exp

from trivet.sql.translate.bounds import within
from trivet.sql.translate.forms import Node, Rules, form, integer, kind, refused, wrong

RULES = Rules()


@RULES(exp.Div)
def _divide(node: exp.Div) -> Node:
    if _is_numeric(node):
        return form("CAST(_a / _b AS DECIMAL(38,9))", "NUMERIC", a=node.left, b=node.right)
    return form("_a / _b", "FLOAT64", a=node.left, b=node.right)


@RULES(exp.Mul)
def _multiply(node: exp.Mul) -> Node | None:
    if _is_numeric(node):
        return form("CAST(_a * _b AS DECIMAL(38,9))", "NUMERIC", a=node.left, b=node.right)
    return None


def _is_numeric(node: Node) -> bool:
    """Whether one side is NUMERIC, and the other becomes it, as INT64 and literals do."""
    sides = [node.left, node.right]
    kinds = [kind(one) for one in sides]
    others = [one for one, found in zip(sides, kinds, strict=True) if found not in ("NUMERIC", "INT64")]
    return "NUMERIC" in kinds and all(_is_decimal(one) for one in others)


def _is_decimal(node: Node) -> bool:
    return isinstance(node, exp.Literal) and not node.is_string and "e" not in node.name.lower()


@RULES(exp.Sub)
def _subtract(node: exp.Sub) -> Node | None:
    kinds = (kind(node.left), kind(node.right))
    if kinds == ("DATE", "DATE"):
        return form(
            "to_days(CAST(date_diff('day', _b, _a) AS INTEGER))", "INTERVAL", a=node.left, b=node.right
        )
    if kinds[0] == kinds[1] and kinds[0] in ("DATETIME", "TIMESTAMP"):
        return form("to_microseconds(epoch_us(_a) - epoch_us(_b))", "INTERVAL", a=node.left, b=node.right)
    if kinds == ("TIME", "TIME"):
        raise refused(node, "use TIME_DIFF", "TIME - TIME")
    if kinds == (None, None):
        return form(
            "CASE WHEN typeof(_a) IN ('DATE', 'TIMESTAMP', 'TIMESTAMP WITH TIME ZONE', 'TIME') "
            "AND typeof(_a) = typeof(_b) THEN error('Difference of two of ' || typeof(_a) || "
            "': use DATE_DIFF, DATETIME_DIFF, "
            "TIMESTAMP_DIFF or TIME_DIFF') ELSE _a - _b END",
            a=node.left, b=node.right,
        )  # fmt: skip
    return _moved(node)


@RULES(exp.Add)
def _moved(node: Node) -> Node | None:
    """Return a date or a time that is so many days or so long an INTERVAL away, if it is one."""
    found = kind(node)
    if found not in ("DATE", "DATETIME", "TIMESTAMP"):
        return None
    return within(type(node)(this=node.left, expression=node.right), found)


@RULES(exp.IntDiv)
def _div(node: exp.IntDiv) -> Node:
    return (
        form("CAST(trunc(_a / _b) AS BIGINT)", "INT64", a=node.left, b=node.right)
        if (kind(node.left) == "FLOAT64")
        else form("_a // _b", "INT64", a=node.left, b=node.right)
    )


@RULES(exp.Mod)
def _mod(node: exp.Mod) -> Node:
    return form("_a % _b", a=node.left, b=node.right)


@RULES(exp.SafeDivide)
def _safe_divide(node: Node) -> Node:
    return form("CASE WHEN _b <> 0 THEN _a / _b END", "FLOAT64", a=node.this, b=node.expression)


@RULES(exp.SafeAdd, exp.SafeSubtract, exp.SafeMultiply)
def _safe_arithmetic(node: Node) -> Node:
    sign = {exp.SafeAdd: "+", exp.SafeSubtract: "-", exp.SafeMultiply: "*"}[type(node)]
    left, right = (_wide(one) for one in (node.this, node.expression))
    return form(f"TRY(_a {sign} _b)", a=left, b=right)


@RULES(exp.SafeNegate)
def _safe_negate(node: Node) -> Node:
    return form("TRY(-(_a))", a=_wide(node.this))


def _wide(node: Node) -> Node:
    return form("CAST(_x AS BIGINT)", "INT64", x=node) if integer(node) is not None else node


@RULES(exp.Round)
def _round(node: exp.Round) -> Node:
    if node.args.get("truncate") is not None:
        raise refused(node, "the rounding mode is not supported", "ROUND")
    value, digits = node.this, node.args.get("decimals")
    if kind(value) == "INT64":
        value = form("CAST(_x AS DOUBLE)", "FLOAT64", x=value)
    if digits is None:
        return _kept(form("round(_x)", kind(value), x=value), kind(value))
    return _kept(form("round(_x, CAST(_n AS INTEGER))", kind(value), x=value, n=digits), kind(value))


def _kept(value: Node, name: str | None) -> Node:
    """Return NUMERIC with 9 digits behind the point, and FLOAT64, where DuckDB has others."""
    to = {"NUMERIC": "DECIMAL(38,9)", "FLOAT64": "DOUBLE"}.get(name or "")
    return form(f"CAST(_x AS {to})", name, x=value) if to else value


@RULES(exp.Sign)
def _sign(node: exp.Sign) -> Node | None:
    return _kept(form("sign(_x)", x=node.this), kind(node.this))


@RULES(exp.Trunc)
def _trunc(node: exp.Trunc) -> Node:
    value, digits = node.this, node.args.get("decimals")
    places = integer(digits) if digits is not None else 0
    if kind(value) == "NUMERIC" and places is not None and abs(places) < 10:
        unit = f"1e{-places}" if places < 1 else f"0.{'0' * (places - 1)}1"
        return form(f"_x - _x % CAST('{unit}' AS DECIMAL(38,9))", "NUMERIC", x=value)
    if digits is None:
        return form("trunc(CAST(_x AS DOUBLE))", "FLOAT64", x=value)
    return form(
        "CASE WHEN _n >= 0 THEN trunc(CAST(_x AS DOUBLE) * pow(10e0, _n)) / pow(10e0, _n) "
        "ELSE trunc(CAST(_x AS DOUBLE) / pow(10e0, -(_n))) * pow(10e0, -(_n)) END",
        "FLOAT64", x=value, n=digits,
    )  # fmt: skip


@RULES(exp.Ceil, exp.Floor)
def _ceil(node: Node) -> Node:
    name = type(node).__name__.lower()
    value = node.this
    if kind(value) == "INT64":
        value = form("CAST(_x AS DOUBLE)", "FLOAT64", x=value)
    return _kept(form(f"{name}(_x)", kind(value), x=value), kind(value))


@RULES(exp.Log)
def _log(node: exp.Log) -> Node:
    if integer(node.this) in (2, 10):
        return form(f"log{integer(node.this)}(_x)", "FLOAT64", x=node.expression)
    return form("ln(_x) / ln(_base)", "FLOAT64", x=node.expression, base=node.this)


@RULES(exp.Exp)
def _exp(node: exp.Exp) -> Node:
    return form(
        "CASE WHEN exp(CAST(_x AS DOUBLE)) = 'inf' AND _x < 'inf'::DOUBLE "
        "THEN error('Floating point overflow in function: EXP') ELSE exp(CAST(_x AS DOUBLE)) END",
        "FLOAT64", x=node.this,
    )  # fmt: skip


_TRIGONOMETRIC = {exp.Sec: "cos", exp.Csc: "sin", exp.Sech: "cosh", exp.Csch: "sinh", exp.Coth: "tanh"}


@RULES(*_TRIGONOMETRIC)
def _reciprocal(node: Node) -> Node:
    return form(f"1 / {_TRIGONOMETRIC[type(node)]}(_x)", "FLOAT64", x=node.this)


@RULES(exp.Pow)
def _pow(node: exp.Pow) -> Node:
    return form(
        "CASE WHEN _a < 0 AND _b <> trunc(CAST(_b AS DOUBLE)) OR _a = 0 AND _b < 0 "
        "THEN error('Floating point error in function: POW') ELSE pow(CAST(_a AS DOUBLE), _b) END",
        "FLOAT64", a=node.this, b=node.expression,
    )  # fmt: skip


@RULES(exp.Greatest, exp.Least)
def _greatest(node: Node) -> Node:
    """NULL where any argument is, and NaN for GREATEST where any is."""
    name = "greatest" if isinstance(node, exp.Greatest) else "least"
    values = [node.this, *node.expressions]
    call = exp.Anonymous(this=name, expressions=values)
    checks = [form("_x IS NULL", x=one.copy()) for one in values if not isinstance(one, exp.Literal)]
    if not checks:
        return call
    return form("CASE WHEN _any THEN NULL ELSE _x END", x=call, any=exp.or_(*checks, copy=False))


@RULES(exp.RangeBucket)
def _range_bucket(node: Node) -> Node:
    return form(
        "CASE WHEN _x IS NULL THEN NULL ELSE len(list_filter(_a, lambda e_: e_ <= _x)) END",
        "INT64", x=node.this, a=node.expression,
    )  # fmt: skip


@RULES(exp.IsInf, exp.IsNan)
def _is(node: Node) -> Node:
    name = "isinf" if isinstance(node, exp.IsInf) else "isnan"
    return form(f"{name}(CAST(_x AS DOUBLE))", "BOOL", x=node.this)


@RULES(exp.Rand)
def _rand(node: exp.Rand) -> Node:
    if node.this is not None:
        raise wrong(node, "Number of arguments does not match for function RAND")
    return form("random()", "FLOAT64")


@RULES(exp.BitwiseLeftShift, exp.BitwiseRightShift)
def _shift(node: Node) -> Node:
    if kind(node.left) == "BYTES":
        raise refused(node, "of BYTES is not supported", "<<")
    if isinstance(node, exp.BitwiseLeftShift):
        return form(
            "CASE WHEN _n >= 64 THEN 0 ELSE CAST((CAST(CAST(_x AS BIGINT)::BIT::UBIGINT AS UHUGEINT) << _n) "
            "% 18446744073709551616 AS UBIGINT)::BIT::BIGINT END",
            "INT64", x=node.left, n=node.right,
        )  # fmt: skip
    return form(
        "CASE WHEN _n >= 64 THEN 0 ELSE (CAST(_x AS BIGINT)::BIT::UBIGINT >> _n)::BIT::BIGINT END",
        "INT64", x=node.left, n=node.right,
    )  # fmt: skip


def ieee_divide(node: Node) -> Node:
    """Return IEEE_DIVIDE: infinite or NaN where a division fails."""
    a, b = node.expressions
    return form(
        "CASE WHEN _b <> 0 OR _b IS NULL OR _a IS NULL "
        "THEN CAST(_a AS DOUBLE) / nullif(CAST(_b AS DOUBLE), 0) "
        "WHEN _a = 0 OR isnan(CAST(_a AS DOUBLE)) THEN CAST('nan' AS DOUBLE) "
        "WHEN _a > 0 THEN CAST('inf' AS DOUBLE) ELSE CAST('-inf' AS DOUBLE) END",
        "FLOAT64", a=a, b=b,
    )  # fmt: skip


def sigmoid(node: Node) -> Node:
    """Return ML.SIGMOID."""
    return form("1 / (1 + exp(-CAST(_x AS DOUBLE)))", "FLOAT64", x=node.expressions[0])
