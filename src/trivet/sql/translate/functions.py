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

SUPPORTED = frozenset({
    "ABS", "ACOS", "ACOSH", "ANY_VALUE", "APPROX_COUNT_DISTINCT", "APPROX_QUANTILES", "ARRAY_AGG",
    "ARRAY_CONCAT", "ARRAY_CONCAT_AGG", "ARRAY_FIRST", "ARRAY_LAST", "ARRAY_LENGTH", "ARRAY_REVERSE",
    "ARRAY_SLICE", "ARRAY_TO_STRING", "ASCII", "ASIN", "ASINH", "ATAN", "ATAN2", "ATANH", "AVG", "BIT_AND",
    "BIT_COUNT", "BIT_OR", "BIT_XOR", "BOOL", "BYTE_LENGTH", "CAST", "CBRT", "CEIL", "CEILING",
    "CHARACTER_LENGTH", "CHAR_LENGTH", "CHR", "COALESCE", "CODE_POINTS_TO_STRING", "CONCAT",
    "CONTAINS_SUBSTR", "CORR", "COS", "COSH", "COSINE_DISTANCE", "COT", "COTH", "COUNT", "COUNTIF",
    "COVAR_POP", "COVAR_SAMP", "CSC", "CSCH", "CUME_DIST", "CURRENT_DATE", "CURRENT_DATETIME",
    "CURRENT_TIME", "CURRENT_TIMESTAMP", "DATE", "DATETIME", "DATETIME_ADD", "DATETIME_DIFF",
    "DATETIME_SUB", "DATETIME_TRUNC", "DATE_ADD", "DATE_DIFF", "DATE_FROM_UNIX_DATE", "DATE_SUB",
    "DATE_TRUNC", "DENSE_RANK", "DIV", "EDIT_DISTANCE", "ENDS_WITH", "ERROR", "EUCLIDEAN_DISTANCE", "EXP",
    "EXTRACT", "FIRST_VALUE", "FLOAT64", "FLOOR", "FORMAT", "FORMAT_DATE", "FORMAT_DATETIME", "FORMAT_TIME",
    "FORMAT_TIMESTAMP", "FROM_BASE64", "FROM_HEX", "GENERATE_ARRAY", "GENERATE_DATE_ARRAY",
    "GENERATE_TIMESTAMP_ARRAY", "GENERATE_UUID", "GREATEST", "GROUPING", "IEEE_DIVIDE", "IF", "IFNULL",
    "INITCAP", "INSTR", "INT64", "IS_INF", "IS_NAN", "JSON_ARRAY", "JSON_EXTRACT", "JSON_EXTRACT_ARRAY",
    "JSON_EXTRACT_SCALAR", "JSON_EXTRACT_STRING_ARRAY", "JSON_OBJECT", "JSON_QUERY", "JSON_QUERY_ARRAY",
    "JSON_TYPE", "JSON_VALUE", "JSON_VALUE_ARRAY", "LAG", "LAST_DAY", "LAST_VALUE", "LEAD", "LEAST", "LEFT",
    "LENGTH", "LN", "LOG", "LOG10", "LOGICAL_AND", "LOGICAL_OR", "LOWER", "LPAD", "LTRIM", "MAKE_INTERVAL",
    "MAX", "MAX_BY", "MD5", "MIN", "MIN_BY", "ML.SIGMOID", "MOD", "NORMALIZE", "NTH_VALUE", "NTILE",
    "NULLIF", "OCTET_LENGTH", "PARSE_BIGNUMERIC", "PARSE_DATE", "PARSE_DATETIME", "PARSE_JSON",
    "PARSE_NUMERIC", "PARSE_TIME", "PARSE_TIMESTAMP", "PERCENTILE_CONT", "PERCENTILE_DISC", "PERCENT_RANK",
    "POW", "POWER", "RAND", "RANGE_BUCKET", "RANK", "REGEXP_CONTAINS", "REGEXP_EXTRACT",
    "REGEXP_EXTRACT_ALL", "REGEXP_INSTR", "REGEXP_REPLACE", "REGEXP_SUBSTR", "REPEAT", "REPLACE", "REVERSE",
    "RIGHT", "ROUND", "ROW_NUMBER", "RPAD", "RTRIM", "SAFE_ADD", "SAFE_CAST",
    "SAFE_CONVERT_BYTES_TO_STRING", "SAFE_DIVIDE", "SAFE_MULTIPLY", "SAFE_NEGATE", "SAFE_SUBTRACT", "SEC",
    "SECH", "SHA1", "SHA256", "SIGN", "SIN", "SINH", "SPLIT", "SQRT", "STARTS_WITH", "STDDEV", "STDDEV_POP",
    "STDDEV_SAMP", "STRING", "STRING_AGG", "STRPOS", "SUBSTR", "SUBSTRING", "SUM", "TAN", "TANH", "TIME",
    "TIMESTAMP", "TIMESTAMP_ADD", "TIMESTAMP_DIFF", "TIMESTAMP_MICROS", "TIMESTAMP_MILLIS",
    "TIMESTAMP_SECONDS", "TIMESTAMP_SUB", "TIMESTAMP_TRUNC", "TIME_ADD", "TIME_DIFF", "TIME_SUB",
    "TIME_TRUNC", "TO_BASE64", "TO_CODE_POINTS", "TO_HEX", "TO_JSON", "TO_JSON_STRING", "TRANSLATE", "TRIM",
    "TRUNC", "UNICODE", "UNIX_DATE", "UNIX_MICROS", "UNIX_MILLIS", "UNIX_SECONDS", "UPPER", "VARIANCE",
    "VAR_POP", "VAR_SAMP",
})  # fmt: skip
"""The functions of GoogleSQL that can be called, each of which a test calls."""

WHY: Mapping[str, str] = {
    "FARM_FINGERPRINT": "DuckDB has no such function; MD5 and SHA256 are there",
    "SOUNDEX": "DuckDB has no such function",
    "SESSION_USER": "Trivet has no users",
    "TYPEOF": "the names of types would be DuckDB's",
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


ANONYMOUS: Mapping[str, Callable[[Node], Node]] = {
    "IEEE_DIVIDE": ieee_divide,
    "JSON_OBJECT": json_object,
    "ERROR": lambda node: form("error(_x)", x=node.expressions[0]),
}

_ML: Mapping[str, Callable[[Node], Node]] = {"SIGMOID": sigmoid}


@RULES(exp.Anonymous)
def _anonymous(node: exp.Anonymous) -> Node | None:
    if isinstance(node.parent, exp.NetFunc) or (
        isinstance(node.parent, exp.Dot) and node.arg_key == "expression"
    ):
        return None  # which are looked at as a whole
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
    if isinstance(call, (ModelFunction, exp.Predict)):
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


__all__ = ["ANONYMOUS", "IMAGES", "RIGHT", "RULES", "SUPPORTED", "WHY", "unknown"]
