"""FORMAT(): GoogleSQL's printf, which takes no value of another type, written as DuckDB's.

Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/string_functions#format_string
"""

import re

from sqlglot import exp

from trivet.sql.translate.casts import as_string
from trivet.sql.translate.coercion import is_null
from trivet.sql.translate.forms import Node, form, is_text, kind, refused, wrong

_PRINTED = re.compile(r"%(?P<flags>[-+ #0']*)(?P<width>\d+|\*)?(?:\.(?P<digits>\d+|\*))?(?P<type>[a-zA-Z%])")
_KNOWN = "dioxXfFeEgGstT"
_SCALES = {"NUMERIC": 9, "BIGNUMERIC": 18}
_INTEGER = "regexp_full_match(typeof(_x), '\\w*INT(EGER)?')"
_FLOAT = "typeof(_x) IN ('DOUBLE', 'FLOAT')"


def formatted(node: exp.Format) -> Node:
    """Return FORMAT('..', values) as printf."""
    if not is_text(node.this):
        raise refused(node, "the format must be a string literal", "FORMAT")
    values = list(node.expressions)
    text: list[str] = []
    used: list[Node] = []
    at = 0
    for found in _PRINTED.finditer(node.this.name):
        text.append(node.this.name[at : found.start()])
        at = found.end()
        if found["type"] == "%":
            text.append("%%")
            continue
        if "*" in found[0] or "'" in found["flags"] or found["type"] not in _KNOWN:
            raise refused(node, f"the format specifier {found[0]} is not supported", "FORMAT")
        if len(used) == len(values):
            raise refused(node, "there are fewer values than the format asks for", "FORMAT")
        specifier, value = _value(node, found, values[len(used)])
        text.append(specifier)
        used.append(value)
    text.append(node.this.name[at:])
    if len(used) < len(values):
        raise refused(node, "there are more values than the format asks for", "FORMAT")
    call = exp.Anonymous(this="printf", expressions=[exp.Literal.string("".join(text)), *used])
    return form("_x", "STRING", x=call)


def _value(node: Node, found: re.Match[str], value: Node) -> tuple[str, Node]:
    """Return the specifier and the value for DuckDB's printf."""
    type_ = found["type"]
    if type_ in "tT":
        return found[0][:-1] + "s", _shown(node, value, type_)
    if type_ == "s":
        return found[0], _of_type(value, found[0], ("STRING",), "typeof(_x) = 'VARCHAR'", "VARCHAR")
    if type_ in "dioxX":
        if found["digits"] is not None and int(found["digits"]) == 0:
            raise refused(node, f"the format specifier {found[0]} is not supported", "FORMAT")
        whole = _of_type(value, found[0], ("INT64",), _INTEGER, "BIGINT")
        return found[0], _no_sign(whole, found[0]) if type_ in "oxX" else whole
    if kind(value) in _SCALES:
        return _decimal(node, found, value)
    return found[0], _of_type(value, found[0], ("FLOAT64",), _FLOAT, "DOUBLE")


def _of_type(value: Node, specifier: str, kinds: tuple[str, ...], test: str, duckdb: str) -> Node:
    """Return a value that has to be of a type; DuckDB looks at it where it is not known."""
    if is_null(value) or kind(value) in kinds:
        return form(f"CAST(_x AS {duckdb})", x=value)
    if kind(value) is not None:
        raise wrong(value, f"FORMAT: {specifier} takes {' or '.join(kinds)}, found {kind(value)}")
    return form(
        f"CASE WHEN _x IS NULL THEN NULL WHEN {test} THEN TRY_CAST(CAST(_x AS VARCHAR) AS {duckdb}) "
        f"ELSE error('FORMAT: ' || _s || ' takes {' or '.join(kinds)}, found ' || typeof(_x)) END",
        x=value, s=specifier,
    )  # fmt: skip


def _no_sign(value: Node, specifier: str) -> Node:
    return form(
        "CASE WHEN _x < 0 THEN error('FORMAT: ' || _s || ' takes no negative value') ELSE _x END",
        x=value, s=specifier,
    )  # fmt: skip


def _decimal(node: Node, found: re.Match[str], value: Node) -> tuple[str, Node]:
    """Return what has all digits of a NUMERIC, which a DOUBLE has not."""
    digits = int(found["digits"] or 6)
    if found["type"] not in "fF" or set(found["flags"]) - {"-"} or digits > _SCALES[str(kind(value))]:
        raise refused(node, f"{found[0]} is not supported for {kind(value)}; CAST it AS FLOAT64", "FORMAT")
    rounded = f"CAST(_x AS DECIMAL(38, {digits}))"
    text = form(
        f"CASE WHEN _x < 0 AND {rounded} = 0 THEN '-' ELSE '' END || CAST({rounded} AS VARCHAR)", x=value
    )
    left = "-" if found["flags"] else ""
    return f"%{left}{found['width'] or ''}s", text


def _shown(node: Node, value: Node, type_: str) -> Node:
    found = kind(value)
    if type_ == "T" and found not in ("INT64", "BOOL", "STRING"):
        raise refused(node, "the format specifier %T is supported for INT64, BOOL and STRING", "FORMAT")
    if type_ == "T" and found == "STRING":
        return form(
            """coalesce('"' || replace(replace(_x, '\\', '\\\\'), '"', '\\"') || '"', 'NULL')""", x=value
        )
    if found in ("BYTES", "INTERVAL", "ARRAY", "STRUCT", "JSON"):
        raise refused(node, f"%t is not supported for {found}", "FORMAT")
    if found is None:
        text = form(
            f"CASE WHEN {_FLOAT} OR starts_with(typeof(_x), 'DECIMAL') THEN _f WHEN typeof(_x) = 'BLOB' "
            "THEN error('FORMAT: %t is not supported for BYTES') ELSE _t END",
            x=value, t=as_string(value.copy()), f=_pointed(as_string(value.copy())),
        )  # fmt: skip
    else:
        text = as_string(value)
        if found in ("FLOAT64", "NUMERIC", "BIGNUMERIC"):
            text = _pointed(text)
    return form("coalesce(_x, 'NULL')", x=text)


def _pointed(text: Node) -> Node:
    """Return the text of a number with a point, or an exponent."""
    return form(
        "CASE WHEN lower(_x) = 'nan' THEN 'NaN' WHEN regexp_full_match(_x, '-?\\d+') THEN _x || '.0' "
        "ELSE _x END",
        x=text,
    )  # fmt: skip
