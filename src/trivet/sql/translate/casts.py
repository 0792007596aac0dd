"""Literals and conversions.

DuckDB reads `1.5` as a DECIMAL and `1` as an INTEGER of 32 bits, rounds half to even, and is lenient with
strings; GoogleSQL has FLOAT64 and INT64, rounds half away from zero, and is strict.
Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/conversion_functions
"""

from sqlglot import exp

from trivet.sql.translate import fractions
from trivet.sql.translate.forms import Node, Rules, form, integer, is_text, kind, refused, type_of, wrong
from trivet.sql.translate.texts import converted
from trivet.sql.translate.typed import of_item

RULES = Rules()

_INTEGER = r"^\s*[+-]?([0-9]+|0[xX][0-9a-fA-F]+)\s*$"
_DECIMAL = r"^\s*[+-]?\s*([0-9][0-9,]*\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*$"


def as_string(value: Node, *, bytes_too: bool = True) -> Node:
    """Return CAST(value AS STRING): `1` for 1.0, `1.5` for NUMERIC 1.500000000, text for BYTES.

    Unless `bytes_too`, BYTES whose type is not known before the query runs are an error then.
    """
    match kind(value):
        case "STRING":
            return value
        case "FLOAT64":
            return form(r"regexp_replace(CAST(_x AS VARCHAR), '\.0$', '')", "STRING", x=value)
        case "NUMERIC" | "BIGNUMERIC":
            return form(_TRIMMED, "STRING", x=value)
        case "BYTES":
            return form("decode(_x)", "STRING", x=value)
        case "INTERVAL" | "ARRAY" | "STRUCT" | "JSON":
            raise wrong(value, f"Invalid cast from {kind(value)} to STRING")
        case None:
            text = _AS_STRING if bytes_too else _AS_STRING.replace(_DECODED, f"error('{_NO_BYTES}')")
            return form(text, "STRING", x=value)
    timed = kind(value) in ("TIMESTAMP", "DATETIME", "TIME")
    return form(fractions.TEXT if timed else "CAST(_x AS VARCHAR)", "STRING", x=value)


_TRIMMED = r"rtrim(regexp_replace(CAST(_x AS VARCHAR), '(\.\d*?)0+$', '\1'), '.')"
_DECODED = "decode(TRY_CAST(_x AS BLOB))"
_NO_BYTES = "CONCAT of columns of BYTES: CAST one of them AS BYTES"
_AS_STRING = rf"""CASE
    WHEN typeof(_x) IN ('DOUBLE', 'FLOAT') THEN regexp_replace(CAST(_x AS VARCHAR), '\.0$', '')
    WHEN starts_with(typeof(_x), 'DECIMAL') THEN {_TRIMMED}
    WHEN typeof(_x) = 'BLOB' THEN {_DECODED}
    WHEN typeof(_x) = 'INTERVAL' THEN error('Invalid cast from INTERVAL to STRING')
    WHEN starts_with(typeof(_x), 'TIME') THEN {fractions.TEXT}
    ELSE CAST(_x AS VARCHAR) END"""


def as_bytes(value: Node) -> Node:
    """Return CAST(value AS BYTES): the UTF-8 of a string."""
    match kind(value):
        case "BYTES":
            return value
        case "STRING":
            return form("encode(_x)", "BYTES", x=value)
        case None:
            return form(
                "CASE WHEN typeof(_x) = 'BLOB' THEN TRY_CAST(_x AS BLOB) "
                "ELSE encode(CAST(_x AS VARCHAR)) END",
                "BYTES", x=value,
            )  # fmt: skip
    raise wrong(value, f"Invalid cast from {kind(value)} to BYTES")


def as_integer(value: Node) -> Node:
    """Return CAST(value AS INT64): rounded half away from zero; a string must be an integer."""
    match kind(value):
        case "FLOAT64":
            return form("CAST(round(_x) AS BIGINT)", "INT64", x=value)
        case "STRING":
            return form(_OF_STRING, "INT64", x=value)
        case None:
            return form(
                "CASE WHEN typeof(_x) IN ('DOUBLE', 'FLOAT') "
                "THEN CAST(round(TRY_CAST(_x AS DOUBLE)) AS BIGINT) "
                f"WHEN typeof(_x) = 'VARCHAR' THEN {_OF_STRING} ELSE CAST(_x AS BIGINT) END",
                "INT64", x=value,
            )  # fmt: skip
    return form("CAST(_x AS BIGINT)", "INT64", x=value)


_OF_STRING = (
    f"CASE WHEN regexp_full_match(CAST(_x AS VARCHAR), '{_INTEGER}') THEN "
    "CASE WHEN regexp_matches(CAST(_x AS VARCHAR), '^\\s*-\\s*0[xX]') "
    "THEN -CAST(replace(trim(CAST(_x AS VARCHAR)), '-', '') AS BIGINT) "
    "ELSE CAST(ltrim(trim(CAST(_x AS VARCHAR)), '+') AS BIGINT) END "
    "WHEN _x IS NULL THEN NULL ELSE error('Bad int64 value: ' || CAST(_x AS VARCHAR)) END"
)


def as_bool(value: Node) -> Node:
    """Return CAST(value AS BOOL): a string must be true or false."""
    match kind(value):
        case "STRING":
            return form(
                "CASE lower(_x) WHEN 'true' THEN TRUE WHEN 'false' THEN FALSE "
                "ELSE CASE WHEN _x IS NOT NULL THEN error('Bad bool value: ' || _x) END END",
                "BOOL", x=value,
            )  # fmt: skip
        case "INT64" | "BOOL" | None:
            return form("CAST(_x AS BOOLEAN)", "BOOL", x=value)
    raise wrong(value, f"Invalid cast from {kind(value)} to BOOL")


@RULES(exp.Cast, exp.TryCast)
def _cast(node: Node) -> Node | None:
    if isinstance(node.this, exp.Parameter) and node.meta.get("parameter"):
        return None  # says of what type the value of a parameter is
    if node.args.get("format") is not None:
        raise refused(node, "use FORMAT, FORMAT_DATE and their like", "CAST .. FORMAT")
    safe = isinstance(node, exp.TryCast)
    if node.to.this == exp.DType.INTERVAL:
        raise refused(node, "use INTERVAL n part, or MAKE_INTERVAL", "CAST AS INTERVAL")
    name = _kind_of(node.to)
    value = node.this
    if kind(value) in ("DATE", "DATETIME", "TIMESTAMP", "TIME") and name in ("INT64", "FLOAT64", "NUMERIC"):
        raise wrong(node, f"Invalid cast from {kind(value)} to {name}")
    rule = {"STRING": as_string, "BYTES": as_bytes, "INT64": as_integer, "BOOL": as_bool}.get(name or "")
    if rule is None or (name == "INT64" and isinstance(value, exp.Null)):
        if (
            name in ("FLOAT64", "NUMERIC", "BIGNUMERIC")
            and isinstance(value, exp.Literal)
            and not value.is_string
        ):
            node.set("this", exp.Literal.number(value.name))
            return None
        if name in _OF_TEXT and (is_text(value) or kind(value) in ("STRING", None)):
            return converted(value, name, node.to.sql(dialect="duckdb"), safe=safe)
        if name == "STRUCT" and isinstance(value, exp.Struct):
            _cast_fields(node, safe)
        return _cast_items(node, safe) if name == "ARRAY" else None
    new = rule(value)
    return tried(new, name) if safe else new


def _cast_items(node: Node, safe: bool) -> Node | None:
    """`ARRAY<DATE>['2024-01-05']`; arrays of strings that are no literals become nothing else."""
    item, given = (of_item(one) for one in (node.to, node.this.type))
    name = _kind_of(item) if item is not None else None
    if given is None or _kind_of(given) != "STRING" or item is None or name not in _OF_TEXT:
        return None
    if not isinstance(node.this, exp.Array):
        raise wrong(node, f"Invalid cast from ARRAY<STRING> to ARRAY<{name}>")
    for one in list(node.this.expressions):
        one.replace(converted(one.copy(), name, item.sql(dialect="duckdb"), safe=safe))
    return None


def _cast_fields(node: Node, safe: bool) -> None:
    """`STRUCT<a DATE>('2024-01-05')`."""
    for field, column in zip(node.this.expressions, node.to.expressions, strict=False):
        value = field.expression if isinstance(field, exp.PropertyEQ) else field
        type_ = column.args.get("kind")
        name = _kind_of(type_) if type_ is not None else None
        if kind(value) == "STRING" and name in _OF_TEXT:
            value.replace(converted(value.copy(), name, type_.sql(dialect="duckdb"), safe=safe))


_OF_TEXT = ("DATE", "DATETIME", "TIME", "TIMESTAMP", "FLOAT64", "NUMERIC", "BIGNUMERIC")


def tried(value: Node, name: str | None = None) -> Node:
    """Return NULL where a value cannot be had. DuckDB's TRY takes no `error()`: that is a NULL itself."""
    value = form("_x", x=value)
    for call in list(value.find_all(exp.Anonymous)):
        if call.name.lower() == "error":
            call.replace(exp.Null())
    return form("TRY(_x)", name, x=value)


def _kind_of(type_: exp.DataType) -> str | None:
    holder = exp.Null()
    holder.type = type_
    return kind(holder)


@RULES(exp.DataType)
def _data_type(node: exp.DataType) -> Node | None:
    """NUMERIC has 38 digits, 9 of them behind the point; DuckDB's DECIMAL would have 3."""
    match node.this:
        case exp.DType.DECIMAL if not node.expressions:
            node.set("expressions", _digits(38, 9))
        case exp.DType.BIGDECIMAL:
            given = [int(one.name) for one in node.expressions]
            scale = given[1] if len(given) > 1 else 0 if given else 18
            if given and given[0] > 38:
                raise refused(node, "DuckDB has 38 digits", f"BIGNUMERIC({given[0]})")
            node.set("this", exp.DType.DECIMAL)
            node.set("expressions", _digits(given[0] if given else 38, scale))
        case exp.DType.GEOGRAPHY | exp.DType.GEOMETRY | exp.DType.RANGE | exp.DType.USERDEFINED:
            raise refused(node, "Trivet has no such type", str(node.args.get("kind") or node.this.value))
        case exp.DType.TEXT | exp.DType.VARCHAR | exp.DType.BINARY | exp.DType.VARBINARY if node.expressions:
            node.set("expressions", [])
    return None


def _digits(precision: int, scale: int) -> list[Node]:
    return [exp.DataTypeParam(this=exp.Literal.number(one)) for one in (precision, scale)]


_WHOLE = (
    exp.Add, exp.Sub, exp.Mul, exp.Mod, exp.Neg, exp.Paren, exp.Alias, exp.Array, exp.Struct, exp.PropertyEQ,
    exp.Tuple, exp.If, exp.Case, exp.Coalesce, exp.Select, exp.Nullif, exp.Greatest, exp.Least,
)  # fmt: skip


@RULES(exp.Literal)
def _literal(node: exp.Literal) -> Node | None:  # noqa: PLR0911 - a case each
    """`1.5` is FLOAT64, `1` is INT64 wherever that can be seen."""
    if node.is_string:
        return None
    parent = node.parent
    text = node.name
    if not text.isdigit():
        if isinstance(parent, exp.Cast) and parent.to.this in (exp.DType.DECIMAL, exp.DType.BIGDECIMAL):
            return None
        if isinstance(parent, exp.Binary) and "NUMERIC" in (kind(parent.left), kind(parent.right)):
            return None
        return None if "e" in text.lower() else _typed(exp.Literal.number(f"{text}e0"), "FLOAT64")
    if isinstance(parent, _WHOLE) and not _is_position(node):
        other = None
        if isinstance(parent, (exp.Add, exp.Sub, exp.Mul, exp.Mod)):
            other = parent.right if parent.left is node else parent.left
        if other is not None and integer(other) is None:
            return None  # a column of INT64 makes it one; a DATE takes no BIGINT
        if int(text) >= 2**63:
            if int(text) == 2**63 and isinstance(parent, exp.Neg):
                return None
            raise wrong(node, f"Invalid integer literal: {text}")
        return form(f"CAST({text} AS BIGINT)", "INT64")
    return None


def _is_position(node: Node) -> bool:
    parent = node.parent
    while isinstance(parent, (exp.Paren, exp.Neg, exp.Tuple)):
        parent = parent.parent
    return isinstance(
        parent, (exp.Bracket, exp.Interval, exp.DataType, exp.Limit, exp.Offset, exp.Group, exp.Ordered)
    )


def _typed(node: Node, name: str) -> Node:
    node.type = type_of(name)
    return node


@RULES(exp.ByteString)
def _bytes(node: exp.ByteString) -> Node:
    return (
        form("unhex(_x)", "BYTES", x=node.name.encode("latin-1", "surrogateescape").hex())
        if _latin(node)
        else (form("unhex(_x)", "BYTES", x=node.name.encode().hex()))
    )


def _latin(node: exp.ByteString) -> bool:
    return all(ord(one) < 256 for one in node.name) and any(ord(one) > 127 for one in node.name)


@RULES(exp.ParseNumeric, exp.ParseBignumeric)
def _parse_numeric(node: Node) -> Node:
    digits = 9 if isinstance(node, exp.ParseNumeric) else 18
    return form(
        f"CASE WHEN regexp_full_match(_x, '{_DECIMAL}') "
        f"THEN CAST(replace(replace(_x, ',', ''), ' ', '') AS DECIMAL(38,{digits})) "
        "WHEN _x IS NULL THEN NULL ELSE error('Invalid NUMERIC value: ' || _x) END",
        "NUMERIC", x=node.this,
    )  # fmt: skip
