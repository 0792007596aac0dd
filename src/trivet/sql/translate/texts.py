"""Which strings become dates, times and numbers: DuckDB's parsers take more than GoogleSQL's, and some less.

Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/lexical#literals and
https://cloud.google.com/bigquery/docs/reference/standard-sql/conversion_functions
"""

import re

from sqlglot import exp

from trivet.sql.translate.bounds import within
from trivet.sql.translate.forms import Node, form, is_text, kind

_DAY = "(?:000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})-[0-9]{1,2}-[0-9]{1,2}"
_CLOCK = r"(?:[01]?[0-9]|2[0-3]):[0-5]?[0-9]:[0-5]?[0-9](?:\.[0-9]{1,6})?"
_OFFSET = "[+-](?:0?[0-9]|1[0-4])(?::?[0-5][0-9])?"
_ZONE = f"(?:[Zz]|(?: UTC)?{_OFFSET}| [A-Za-z][A-Za-z0-9_+/-]*)"
_NUMBER = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"

_PATTERNS = {
    "DATE": _DAY,
    "DATETIME": f"{_DAY}(?:[ Tt]{_CLOCK})?",
    "TIME": _CLOCK,
    "TIMESTAMP": f"{_DAY}(?:[ Tt](?:{_CLOCK}{_ZONE}?|{_OFFSET}))?",
    "FLOAT64": rf"\s*(?:[+-]?(?:{_NUMBER}|(?i:inf(?:inity)?))|(?i:nan))\s*",
    "NUMERIC": rf"\s*[+-]?{_NUMBER}\s*",
}
_PATTERNS["BIGNUMERIC"] = _PATTERNS["NUMERIC"]

_REWRITTEN = {
    "DATETIME": (("t", " "),),
    "TIMESTAMP": (
        ("^([0-9-]+)[Tt]", r"\1 "),
        ("([0-9])z$", r"\1Z"),
        ("^([0-9-]+) ([+-])", r"\1 00:00:00\2"),
        ("^([0-9-]+ [0-9:.]+) UTC([+-])", r"\1\2"),
        ("^([0-9-]+ [0-9:.]+[+-])([0-9])(:[0-9]{2})?$", r"\g<1>0\2\3"),
    ),
}
"""What DuckDB does not take as it is."""

_PLAIN = {
    "DATETIME": f"{_DAY}(?:[ T]{_CLOCK})?",
    "TIMESTAMP": f"{_DAY}(?:[ T]{_CLOCK}(?:Z|[+-](?:0[0-9]|1[0-4])(?::?[0-5][0-9])?)?)?",
}
"""What it does, and most strings are: there is nothing to replace in them."""

_BAD = {
    "FLOAT64": "Bad double value",
    "NUMERIC": "Invalid NUMERIC value",
    "BIGNUMERIC": "Invalid NUMERIC value",
}


def fits(text: str, type_: str) -> bool:
    """Whether a string has the form of a type's values."""
    return re.fullmatch(_PATTERNS[type_], text, re.ASCII) is not None


def converted(value: Node, type_: str, to: str, *, safe: bool = False) -> Node:
    """Return the conversion of a string, or of what may be one, to a type that is `to` in DuckDB.

    What is no such value fails as a conversion of DuckDB's, or is NULL where it is `safe`.
    """
    cast = "TRY_CAST" if safe else "CAST"
    if is_text(value):
        new = form(f"{cast}(_x AS {to})", type_, x=_literal(value.name, type_))
        return _ranged(new, type_, safe) if value.name[:4] in ("0001", "9999") else new
    found = kind(value)
    if found not in ("STRING", None) or isinstance(value, exp.Null):
        return form(f"{cast}(_x AS {to})", type_, x=value)
    plain = isinstance(value, (exp.Column, exp.Parameter))
    name = "_x" if plain else "v_"
    if found == "STRING":
        text = f"{cast}({_guarded(name, type_)} AS {to})"
    else:
        inner = _guarded(f"CAST({name} AS VARCHAR)", type_)
        text = f"{cast}({inner} AS {to}) ELSE {cast}({name} AS {to}) END"
        text = f"CASE WHEN typeof({name}) = 'VARCHAR' THEN {text}"
    if not plain:
        text = f"list_extract(list_transform([_x], lambda v_: {text}), 1)"
    return _ranged(form(text, type_, x=value), type_, safe)


def _ranged(value: Node, type_: str, safe: bool) -> Node:
    """A zone may bring a timestamp out of range."""
    if type_ != "TIMESTAMP":
        return value
    return form("TRY(_x)", type_, x=within(value, type_)) if safe else within(value, type_)


def _literal(text: str, type_: str) -> Node:
    if not fits(text, type_):
        return exp.Literal.string(f"{_bad(type_)}: {text}")
    for pattern, new in _REWRITTEN.get(type_, ()):
        text = re.sub(pattern, new, text)
    return exp.Literal.string(text)


def _guarded(text: str, type_: str) -> str:
    """Return the SQL of a string that is as it is where it fits, and else says what is wrong with it."""
    found = text
    for pattern, new in _REWRITTEN.get(type_, ()):
        found = f"regexp_replace({found}, '{pattern}', '{new.replace('g<1>', '1')}')"
    if type_ in _PLAIN:
        found = f"{text} WHEN regexp_full_match({text}, '{_PATTERNS[type_]}') THEN {found}"
    return (
        f"CASE WHEN regexp_full_match({text}, '{_PLAIN.get(type_, _PATTERNS[type_])}') THEN {found} "
        f"ELSE '{_bad(type_)}: ' || {text} END"
    )


def _bad(type_: str) -> str:
    return _BAD.get(type_) or f"Invalid {type_.lower()}"
