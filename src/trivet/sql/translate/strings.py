"""Strings and bytes.

Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/string_functions
"""

import unicodedata

from sqlglot import exp

from trivet.sql.translate.casts import as_string
from trivet.sql.translate.comparisons import like_any
from trivet.sql.translate.forms import Node, Rules, expect, form, integer, is_text, kind, refused
from trivet.sql.translate.printing import formatted

RULES = Rules()

_BLANKS = "".join(
    chr(one) for one in range(0x3001) if chr(one).isspace() and unicodedata.category(chr(one)) != "Cc"
)
_BLANKS += "\t\n\v\f\r\x85"


@RULES(exp.Like)
def _like(node: exp.Like) -> Node | None:
    """A backslash is the escape; DuckDB has none of itself."""
    pattern = node.expression
    if isinstance(pattern, (exp.Any, exp.All)) and isinstance(pattern.this, exp.Unnest):
        return like_any(node)
    if isinstance(pattern, (exp.Any, exp.All)):
        if any("\\" in one.name for one in pattern.find_all(exp.Literal)):
            raise refused(node, "with an escape in a pattern is not supported", "LIKE ANY")
        return None
    if is_text(pattern) and "\\" not in pattern.name:
        return None
    like = exp.Like(this=node.this, expression=pattern)
    return exp.Paren(this=exp.Escape(this=like, expression=exp.Literal.string("\\")))


@RULES(exp.Trim)
def _trim(node: exp.Trim) -> Node:
    name = {"LEADING": "ltrim", "TRAILING": "rtrim"}.get(str(node.args.get("position") or ""), "trim")
    if kind(node.this) == "BYTES":
        raise refused(node, "of BYTES is not supported", name.upper())
    return form(f"{name}(_x, _of)", "STRING", x=node.this, of=node.expression or _BLANKS)


@RULES(exp.StartsWith, exp.EndsWith)
def _begins(node: Node) -> Node | None:
    if kind(node.this) != "BYTES":
        return None
    name = "starts_with" if isinstance(node, exp.StartsWith) else "ends_with"
    return form(f"{name}(hex(_x), hex(_part))", "BOOL", x=node.this, part=node.expression)


@RULES(exp.Upper, exp.Lower)
def _case(node: Node) -> Node | None:
    if kind(node.this) == "BYTES":
        raise refused(node, "of BYTES is not supported")
    return None


@RULES(exp.Length)
def _length(node: exp.Length) -> Node:
    match kind(node.this):
        case "STRING":
            return form("length(_x)", "INT64", x=node.this)
        case "BYTES":
            return form("octet_length(_x)", "INT64", x=node.this)
    return form(
        "CASE WHEN typeof(_x) = 'BLOB' THEN octet_length(TRY_CAST(_x AS BLOB)) "
        "ELSE length(CAST(_x AS VARCHAR)) END",
        "INT64", x=node.this,
    )  # fmt: skip


@RULES(exp.ByteLength)
def _byte_length(node: Node) -> Node:
    match kind(node.this):
        case "STRING":
            return form("octet_length(encode(_x))", "INT64", x=node.this)
        case "BYTES":
            return form("octet_length(_x)", "INT64", x=node.this)
    return form(
        "CASE WHEN typeof(_x) = 'BLOB' THEN octet_length(TRY_CAST(_x AS BLOB)) "
        "ELSE octet_length(encode(CAST(_x AS VARCHAR))) END",
        "INT64", x=node.this,
    )  # fmt: skip


@RULES(exp.Substring)
def _substring(node: exp.Substring) -> Node:
    """Position 0 is 1, and one before the beginning is the beginning."""
    value, start, length = node.this, node.args.get("start"), node.args.get("length")
    known = integer(start)
    if known is None or known < 0:
        start = form(
            "CASE WHEN _p = 0 OR _p < -length(_x) THEN 1 ELSE _p END", "INT64", p=start, x=value.copy()
        )
    elif known == 0:
        start = exp.Literal.number(1)
    if length is None:
        return form("substring(_x, _p)", kind(value), x=value, p=start)
    if integer(length) is None or (integer(length) or 0) < 0:
        length = form(
            "CASE WHEN _n < 0 THEN error('Third argument in SUBSTR() cannot be negative') ELSE _n END",
            n=length,
        )
    return form("substring(_x, _p, _n)", kind(value), x=value, p=start, n=length)


@RULES(exp.Pad)
def _pad(node: exp.Pad) -> Node:
    name = "lpad" if node.args.get("is_left") else "rpad"
    return form(
        f"{name}(_x, CAST(_n AS INTEGER), _fill)", "STRING",
        x=node.this, n=node.expression, fill=node.args.get("fill_pattern") or " ",
    )  # fmt: skip


@RULES(exp.Left, exp.Right)
def _left(node: Node) -> Node:
    name = type(node).__name__.lower()
    if kind(node.this) == "BYTES":
        raise refused(node, "of BYTES is not supported", name.upper())
    count = node.expression
    if integer(count) is None:
        count = form(
            f"CASE WHEN _n < 0 THEN error('Second argument in {name.upper()}() cannot be negative') "
            "ELSE _n END",
            n=count,
        )
    return form(f"{name}(_x, _n)", "STRING", x=node.this, n=count)


@RULES(exp.Concat)
def _concat(node: exp.Concat) -> Node:
    """NULL where any part is; numbers and dates become strings as by CAST."""
    parts = list(node.expressions)
    kinds = {kind(one) for one in parts}
    if "BYTES" not in kinds:
        parts = [as_string(one, bytes_too=kinds != {None}) for one in parts]
    result = parts[0]
    for part in parts[1:]:
        result = form("_a || _b", a=result, b=part)
    return form("_x", "BYTES" if "BYTES" in kinds else "STRING" if kinds != {None} else None, x=result)


@RULES(exp.Unicode, exp.Ascii)
def _unicode(node: Node) -> Node:
    return form("CASE WHEN _x = '' THEN 0 ELSE unicode(_x) END", "INT64", x=node.this)


@RULES(exp.Chr)
def _chr(node: exp.Chr) -> Node:
    (code,) = node.expressions
    return form("CASE WHEN _c = 0 THEN '' ELSE chr(CAST(_c AS INTEGER)) END", "STRING", c=code)


@RULES(exp.Normalize)
def _normalize(node: exp.Normalize) -> Node:
    mode = node.args.get("form")
    if node.args.get("is_casefold") or (mode and mode.name.upper() != "NFC"):
        raise refused(node, "only NFC is supported", "NORMALIZE")
    return form("nfc_normalize(_x)", "STRING", x=node.this)


@RULES(exp.ToCodePoints)
def _code_points(node: Node) -> Node:
    if kind(node.this) == "BYTES":
        raise refused(node, "of BYTES is not supported", "TO_CODE_POINTS")
    return form(
        "CASE WHEN _x = '' THEN [] ELSE list_transform(range(1, length(_x) + 1), "
        "lambda e_: CAST(unicode(substring(_x, e_, 1)) AS BIGINT)) END",
        "ARRAY", x=node.this,
    )  # fmt: skip


@RULES(exp.CodePointsToString)
def _of_code_points(node: Node) -> Node:
    return form(
        "CASE WHEN len(list_filter(_x, lambda e_: e_ IS NULL)) > 0 THEN NULL ELSE coalesce(list_aggregate("
        "list_transform(list_filter(_x, lambda e_: e_ <> 0), lambda e_: chr(CAST(e_ AS INTEGER))), "
        "'string_agg', ''), '') END",
        "STRING", x=node.this,
    )  # fmt: skip


@RULES(exp.Split)
def _split(node: exp.Split) -> Node:
    if kind(node.this) == "BYTES":
        raise refused(node, "of BYTES is not supported", "SPLIT")
    return form(
        "CASE WHEN _x = '' THEN [''] ELSE string_split(_x, _by) END", "ARRAY", x=node.this, by=node.expression
    )


@RULES(exp.Replace)
def _replace(node: exp.Replace) -> Node:
    return form(
        "CASE WHEN _a = '' THEN _x ELSE replace(_x, _a, _b) END", "STRING",
        x=node.this, a=node.expression, b=node.args["replacement"],
    ) if not is_text(node.expression) or not node.expression.name else form(
        "replace(_x, _a, _b)", "STRING", x=node.this, a=node.expression, b=node.args["replacement"]
    )  # fmt: skip


@RULES(exp.Repeat)
def _repeat(node: exp.Repeat) -> Node:
    times = node.args["times"]
    if integer(times) is None or (integer(times) or 0) < 0:
        times = form(
            "CASE WHEN _n < 0 THEN error('Second argument in REPEAT() cannot be negative') ELSE _n END",
            n=times,
        )
    return form("repeat(_x, CAST(_n AS BIGINT))", kind(node.this), x=node.this, n=times)


@RULES(exp.Reverse)
def _reverse(node: exp.Reverse) -> Node:
    """By code points; DuckDB's own goes by what looks like one character."""
    if kind(node.this) == "BYTES":
        return form(
            "unhex(coalesce(list_aggregate(list_reverse(regexp_extract_all(hex(_x), '..')), 'string_agg', "
            "''), CASE WHEN _x IS NOT NULL THEN '' END))",
            "BYTES", x=node.this,
        )  # fmt: skip
    return form(
        "CASE WHEN _x = '' THEN '' ELSE list_aggregate(list_reverse(list_transform(range(1, length(_x) + 1), "
        "lambda e_: substring(_x, e_, 1))), 'string_agg', '') END",
        "STRING", x=expect(node.this, "REVERSE", "STRING"),
    )  # fmt: skip


@RULES(exp.MD5Digest, exp.SHA1Digest, exp.SHA2Digest)
def _digest(node: Node) -> Node:
    if isinstance(node, exp.SHA2Digest) and integer(node.args.get("length")) != 256:
        raise refused(node, "DuckDB has no such function", "SHA512")
    name = {exp.MD5Digest: "md5", exp.SHA1Digest: "sha1", exp.SHA2Digest: "sha256"}[type(node)]
    return form(f"unhex({name}(_x))", "BYTES", x=node.this)


@RULES(exp.MD5)
def _md5(node: exp.MD5) -> Node:
    return form("md5(_x)", "STRING", x=node.this)  # TO_HEX(MD5(x))


@RULES(exp.LowerHex, exp.Hex)
def _hex(node: Node) -> Node:
    return form("lower(hex(_x))", "STRING", x=node.this)


@RULES(exp.Unhex)
def _unhex(node: Node) -> Node:
    return form("unhex(_x)", "BYTES", x=node.this)


@RULES(exp.ToBase64)
def _to_base64(node: Node) -> Node:
    return form("to_base64(_x)", "STRING", x=node.this)


@RULES(exp.FromBase64)
def _from_base64(node: Node) -> Node:
    return form("from_base64(_x)", "BYTES", x=node.this)


@RULES(exp.SafeConvertBytesToString)
def _safe_convert(node: Node) -> Node:
    return form("decode(_x)", "STRING", x=node.this)  # fails where BigQuery would write U+FFFD


@RULES(exp.Levenshtein)
def _levenshtein(node: Node) -> Node:
    if node.args.get("max_dist") is not None:
        raise refused(node, "max_distance is not supported", "EDIT_DISTANCE")
    return form("levenshtein(_a, _b)", "INT64", a=node.this, b=node.expression)


@RULES(exp.Format)
def _format(node: exp.Format) -> Node:
    return formatted(node)


@RULES(exp.Uuid)
def _uuid(_node: Node) -> Node:
    return form("CAST(uuid() AS VARCHAR)", "STRING")


@RULES(exp.Typeof)
def _typeof(node: Node) -> Node:
    raise refused(node, name="TYPEOF")
