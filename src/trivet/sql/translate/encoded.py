"""SQL values as JSON: a text is built by what is known of the type, for DuckDB's own has other encodings.

Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/json_functions#json_encodings
"""

import json

from sqlglot import exp

from trivet.sql.translate.casts import as_string
from trivet.sql.translate.coercion import is_null
from trivet.sql.translate.forms import Node, form, kind, refused, type_of
from trivet.sql.translate.fractions import TEXT
from trivet.sql.translate.typed import fields, of_item

_PLAIN = ("BOOL", "STRING", "DATE", "JSON")
_SAFE = "BETWEEN -9007199254740992 AND 9007199254740992"
_DIGITS = {"NUMERIC": 9, "BIGNUMERIC": 18}


def plain(value: Node) -> bool:
    """Whether `to_json` of DuckDB gives what TO_JSON does."""
    return is_null(value) or _plain(value.type if kind(value) in ("ARRAY", "STRUCT") else kind(value))


def _plain(type_: exp.DataType | str | None) -> bool:
    if isinstance(type_, exp.DataType):
        item, inner = of_item(type_), fields(type_)
        if item is not None:
            return _plain(item)
        if inner is not None:
            return all(_plain(one) for _, one in inner)
        return _plain(kind(_of(type_)))
    return type_ == "INT64" or type_ in _PLAIN


def _of(type_: exp.DataType | None, node: Node | None = None) -> Node:
    node = exp.Column() if node is None else node
    node.type = type_
    return node


def encoded(call: Node, name: str, value: Node, *, stringify: bool) -> Node:
    """Return the text of a value as JSON, which is no NULL; `stringify` numbers that a FLOAT64 does not hold.

    Raises Unimplemented for a type that has no such text here.
    """
    return _Encoding(call, name, stringify).of(value, 0)


class _Encoding:
    """Writes values as JSON for one call of a function."""

    def __init__(self, call: Node, name: str, stringify: bool) -> None:
        self.call = call
        self.name = name
        self.stringify = stringify

    def of(self, value: Node, depth: int) -> Node:
        """Return the text of a value, which is evaluated once."""
        if is_null(value):
            return form("'null'")
        if isinstance(value, (exp.Column, exp.Literal)):
            return self._text(value, depth)
        name = f"_v{depth}"
        held = _of(value.type, exp.column(name))
        text = self._text(held, depth + 1)
        body = exp.Lambda(this=text, expressions=[exp.to_identifier(name)])
        return form("list_extract(list_transform([_x], _body), 1)", x=value, body=body)

    def _text(self, value: Node, depth: int) -> Node:
        match kind(value):
            case "ARRAY":
                return self._array(value, depth)
            case "STRUCT":
                return self._struct(value, depth)
            case "INTERVAL":
                raise refused(self.call, "INTERVAL is not supported", self.name)
            case None:
                return self._any(value)
            case found:
                text = self._one(found, value)
                return form("CASE WHEN _x IS NULL THEN 'null' ELSE _t END", x=value, t=text)

    def _one(self, found: str, value: Node) -> Node:  # noqa: PLR0911 - a case each
        """Return the text of a value that is no NULL, and neither array nor struct."""
        match found:
            case "INT64" if self.stringify:
                text = _shown(value)
                return form(f"CASE WHEN _x {_SAFE} THEN _t ELSE {_quoted('_t')} END", x=value, t=text)
            case "INT64":
                return _shown(value)
            case "FLOAT64":
                return form(
                    "CASE WHEN isnan(_x) THEN '\"NaN\"' WHEN isinf(_x) THEN "
                    "CASE WHEN _x > 0 THEN '\"Infinity\"' ELSE '\"-Infinity\"' END ELSE _t END",
                    x=form("CAST(_x AS DOUBLE)", x=value), t=as_string(_of(type_of("FLOAT64"), value.copy())),
                )  # fmt: skip
            case "NUMERIC" | "BIGNUMERIC":
                return self._numeric(found, value)
            case "BYTES":
                return form(_quoted("to_base64(_x)"), x=value)
            case "TIMESTAMP":
                return form(_quoted(f"replace(replace({TEXT}, ' ', 'T'), '+00', 'Z')"), x=value)
            case "DATETIME":
                return form(_quoted(f"replace({TEXT}, ' ', 'T')"), x=value)
            case "TIME":
                return form(_quoted(TEXT), x=value)
        return form("CAST(to_json(_x) AS VARCHAR)", x=value)

    def _numeric(self, found: str, value: Node) -> Node:
        text = as_string(_of(type_of(found), value.copy()))
        if self.stringify:
            return form(
                f"CASE WHEN _x = trunc(_x) AND _x {_SAFE} THEN _t ELSE {_quoted('_t')} END", x=value, t=text
            )
        double = "CAST(CAST(_x AS DOUBLE) AS VARCHAR)"
        return form(
            "CASE WHEN _x = trunc(_x) AND TRY_CAST(_x AS BIGINT) IS NOT NULL THEN _t "
            f"WHEN TRY_CAST({double} AS DECIMAL(38, {_DIGITS[found]})) = _x "
            f"THEN regexp_replace({double}, '\\.0$', '') "
            f"ELSE error('{self.name}: JSON cannot hold ' || _t || ' without loss of precision') END",
            x=value, t=text,
        )  # fmt: skip

    def _array(self, value: Node, depth: int) -> Node:
        item = of_item(value.type)
        if item is None:
            return self._any(value)
        name = f"_v{depth}"
        text = self._text(_of(item, exp.column(name)), depth + 1)
        body = exp.Lambda(this=text, expressions=[exp.to_identifier(name)])
        return form(
            "CASE WHEN _x IS NULL THEN 'null' "
            "ELSE '[' || array_to_string(list_transform(_x, _body), ',') || ']' END",
            x=value, body=body,
        )  # fmt: skip

    def _struct(self, value: Node, depth: int) -> Node:
        inner = fields(value.type)
        if inner is None:
            if value.type.expressions:
                raise refused(self.call, "a STRUCT whose fields have no names is not supported", self.name)
            return self._any(value)
        pieces: list[Node] = []
        for place, (name, type_) in enumerate(inner):
            key = ("," if place else "{") + json.dumps(name, ensure_ascii=False) + ":"
            field = form("struct_extract(_x, _name)", x=value.copy(), name=name)
            pieces += [exp.Literal.string(key), self._text(_of(type_, field), depth)]
        whole = exp.Anonymous(this="concat", expressions=[*pieces, exp.Literal.string("}")])
        return form("CASE WHEN _x IS NULL THEN 'null' ELSE _t END", x=value, t=whole)

    def _any(self, value: Node) -> Node:
        """Return the text of what DuckDB alone knows the type of: of one value, or of what needs no rule."""
        parts: dict[str, Node] = {}
        for key, (type_, cast) in _CASTS.items():
            held = form(f"TRY_CAST(CAST(_x AS VARCHAR) AS {cast})", type_, x=value.copy())
            parts[key] = self._one(type_, held)
        ruled = _RULED + ("|INT" if self.stringify else "")
        return form(
            "CASE WHEN _x IS NULL THEN 'null' WHEN regexp_full_match(typeof(_x), '\\w*INT(EGER)?') THEN _i "
            "WHEN typeof(_x) IN ('DOUBLE', 'FLOAT') THEN _f WHEN typeof(_x) = 'BLOB' THEN _b "
            "WHEN regexp_full_match(typeof(_x), 'DECIMAL\\(\\d+,\\d+\\)') THEN _n "
            "WHEN typeof(_x) = 'TIMESTAMP WITH TIME ZONE' THEN _ts WHEN typeof(_x) = 'TIMESTAMP' THEN _dt "
            f"WHEN typeof(_x) = 'TIME' THEN _t WHEN NOT regexp_matches(typeof(_x), '{ruled}') "
            "THEN CAST(to_json(_x) AS VARCHAR) "
            f"ELSE error('{self.name}: the type is known too late here: ' || typeof(_x)) END",
            x=value, **parts,
        )  # fmt: skip


_CASTS = {
    "i": ("INT64", "HUGEINT"), "f": ("FLOAT64", "DOUBLE"), "b": ("BYTES", "BLOB"),
    "n": ("NUMERIC", "DECIMAL(38, 9)"), "ts": ("TIMESTAMP", "TIMESTAMPTZ"), "dt": ("DATETIME", "TIMESTAMP"),
    "t": ("TIME", "TIME"),
}  # fmt: skip
_RULED = "BLOB|TIME|DECIMAL|DOUBLE|FLOAT|INTERVAL|TUPLE"


def _shown(value: Node) -> Node:
    return form("CAST(_x AS VARCHAR)", x=value.copy())


def _quoted(template: str) -> str:
    return f"""('"' || {template} || '"')"""
