"""Which functions are right as sqlglot and DuckDB have them, which are forms of ours, and which are refused.

A function that is in neither table is refused by its name: nothing is sent to DuckDB in the hope that it
means the same there.
"""

from collections.abc import Callable, Mapping

from sqlglot import exp

from trivet.sql.dialect import ModelFunction
from trivet.sql.translate.casts import tried
from trivet.sql.translate.forms import Node, Rules, form, kind, name_of, refused, wrong
from trivet.sql.translate.json_values import json_object
from trivet.sql.translate.numbers import ieee_divide, sigmoid
from trivet.sql.translate.queries import fields_of

RULES = Rules()

RIGHT: frozenset[type] = frozenset({
    # Not functions to GoogleSQL, or conditions
    exp.And, exp.Or, exp.Xor, exp.Case, exp.If, exp.Coalesce, exp.Nullif, exp.Exists, exp.Any, exp.All,
    exp.Array, exp.Struct, exp.Cast, exp.TryCast, exp.Predict, ModelFunction, exp.Unnest, exp.WeekStart,
    # Aggregates
    exp.Count, exp.Sum, exp.Min, exp.Max, exp.Stddev, exp.StddevPop, exp.StddevSamp, exp.Variance,
    exp.VariancePop, exp.Corr, exp.CovarPop, exp.CovarSamp, exp.ApproxDistinct, exp.ArgMax, exp.ArgMin,
    exp.BitwiseAndAgg, exp.BitwiseOrAgg, exp.BitwiseXorAgg, exp.Grouping,
    # Windows
    exp.RowNumber, exp.Rank, exp.DenseRank, exp.PercentRank, exp.CumeDist, exp.Ntile, exp.FirstValue,
    exp.LastValue, exp.NthValue, exp.Lag, exp.Lead,
    # Numbers
    exp.Abs, exp.Sign, exp.Sqrt, exp.Ln, exp.Sin, exp.Cos, exp.Tan, exp.Asin, exp.Acos, exp.Atan, exp.Atan2,
    exp.Sinh, exp.Cosh, exp.Tanh, exp.Asinh, exp.Acosh, exp.Atanh, exp.Cbrt, exp.Cot, exp.BitwiseCount,
    # Strings
    exp.Upper, exp.Lower, exp.StartsWith, exp.EndsWith, exp.RegexpLike, exp.RegexpExtract,
    exp.RegexpExtractAll, exp.RegexpReplace, exp.Translate, exp.Initcap,
    # Vectors
    exp.CosineDistance, exp.EuclideanDistance,
})  # fmt: skip

WHY: Mapping[str, str] = {
    "FARM_FINGERPRINT": "DuckDB has no such function; MD5 and SHA256 are there",
    "SOUNDEX": "DuckDB has no such function",
    "SESSION_USER": "Trivet has no users",
    "TYPEOF": "the names of types would be DuckDB's",
    "SAFE_CAST": "",
}

_PREFIXES: Mapping[str, str] = {
    "NET": "functions of networks are not supported",
    "HLL_COUNT": "sketches are not supported; APPROX_COUNT_DISTINCT is there",
    "KLL_QUANTILES": "sketches are not supported; APPROX_QUANTILES is there",
    "KEYS": "functions of encryption are not supported",
    "AEAD": "functions of encryption are not supported",
    "DETERMINISTIC_ENCRYPT": "functions of encryption are not supported",
    "AI": "functions of Google's models are not supported",
    "OBJ": "objects in Cloud Storage are not supported",
    "EXTERNAL_QUERY": "other databases are not supported",
}

IMAGES = frozenset({"DECODE_IMAGE", "RESIZE_IMAGE", "CONVERT_COLOR_SPACE", "CONVERT_IMAGE_TYPE"})
"""Functions of ML that are left in the tree, `ML.X(..)`, for who has them."""


def _log10(node: Node) -> Node:
    return form("log10(_x)", "FLOAT64", x=node.expressions[0])


ANONYMOUS: Mapping[str, Callable[[Node], Node]] = {
    "IEEE_DIVIDE": ieee_divide,
    "JSON_OBJECT": json_object,
    "LOG10": _log10,
    "ERROR": lambda node: form("error(_x)", x=node.expressions[0]),
    "STRING_AGG": lambda node: node,
    "APPROX_COUNT_DISTINCT": lambda node: node,
    "SEC": lambda node: form("1 / cos(_x)", "FLOAT64", x=node.expressions[0]),
    "CSC": lambda node: form("1 / sin(_x)", "FLOAT64", x=node.expressions[0]),
}

_ML: Mapping[str, Callable[[Node], Node]] = {"SIGMOID": sigmoid}


@RULES(exp.Anonymous)
def _anonymous(node: exp.Anonymous) -> Node | None:
    if isinstance(node.parent, exp.Dot) and node.arg_key == "expression":
        return None
    rule = ANONYMOUS.get(name_of(node))
    if rule is None:
        raise unknown(node)
    return rule(node)


@RULES(exp.Dot)
def _dot(node: exp.Dot) -> Node | None:
    call = node.expression
    if not isinstance(call, exp.Func):
        if kind(node.this) == "JSON" and isinstance(call, exp.Identifier):
            return form("json_extract(_x, _path)", "JSON", x=node.this, path=f'$."{call.name}"')
        return fields_of(node)
    prefix, name = node.this.name.upper(), name_of(call)
    if prefix == "ML" and name in IMAGES:
        return None
    if prefix == "ML" and name in _ML:
        return _ML[name](call)
    if isinstance(call, ModelFunction):
        raise wrong(node, f"{prefix}.{name} is a table function: it stands in FROM")
    raise refused(node, _PREFIXES.get(prefix, "not a function that Trivet knows"), f"{prefix}.{name}")


@RULES(exp.NetFunc)
def _net(node: exp.NetFunc) -> Node:
    raise refused(node, _PREFIXES["NET"], f"NET.{name_of(node.this)}")


@RULES(exp.SafeFunc)
def _safe(node: exp.SafeFunc) -> Node:
    """NULL where the function fails."""
    return tried(node.this)


@RULES(exp.DPipe)
def _joined(node: exp.DPipe) -> Node | None:
    return None


def unknown(node: Node) -> Exception:
    """Return the error for a function that is not known to be right."""
    name = name_of(node)
    if name.startswith(("ST_", "S2_")):
        return refused(node, "GEOGRAPHY is not supported")
    if name.startswith("RANGE"):
        return refused(node, "RANGE is not supported")
    return refused(node, WHY.get(name, "not a function that Trivet knows"))


__all__ = ["ANONYMOUS", "IMAGES", "RIGHT", "RULES", "WHY", "unknown"]
