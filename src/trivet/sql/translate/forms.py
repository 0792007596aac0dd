"""DuckDB's expressions written as templates, and what is known of the type of a node."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, ClassVar

from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.parsers.duckdb import DuckDBParser

from trivet.core.errors import InvalidArgument, Unimplemented
from trivet.sql.positions import at

Node = Any
"""A node of a tree; sqlglot's own types are too wide to be of use here."""

Rule = Callable[[Node], Node | None]
"""Returns what a node becomes, or None where it stays; its children have been translated already."""


class Rules:
    """A table of rules by the class of a node, filled by decorators."""

    def __init__(self) -> None:
        self.by_class: dict[type, Rule] = {}

    def __call__(self, *classes: type) -> Callable[[Rule], Rule]:
        """Enter a function for these classes."""

        def enter(rule: Rule) -> Rule:
            for one in classes:
                self.by_class[one] = rule
            return rule

        return enter


class _Plain(DuckDB):
    """DuckDB's SQL in which a function is its name and its arguments, and nothing is rewritten."""

    class Parser(DuckDBParser):
        """Only CAST and its like have a syntax of their own."""

        FUNCTIONS: ClassVar = {}
        FUNCTION_PARSERS: ClassVar = {
            name: rule for name, rule in DuckDBParser.FUNCTION_PARSERS.items() if name in ("CAST", "TRY_CAST")
        }
        NO_PAREN_FUNCTIONS: ClassVar = {}


@lru_cache(maxsize=1024)
def _template(text: str) -> Node:
    tree: Node = _Plain().parse(text)[0]
    for one in tree.walk():  # where something stands in a template is no place in the statement
        one._meta = None
    return tree


def form(text: str, type_: str | None = None, **parts: Node | str | int) -> Node:
    """Return the expression of a template in DuckDB's SQL, `date_sub('hour', _start, _end)`.

    A name that begins with `_` stands for the part of that name without it; a part may stand several times,
    a string is a literal. `type_` is what GoogleSQL calls the type of the result, where that is certain.
    """
    tree = _template(text).copy()
    used: set[str] = set()
    for column in list(tree.find_all(exp.Column)):
        name = column.name[1:]
        if not column.name.startswith("_") or name not in parts:
            continue
        part = parts[name]
        if isinstance(part, str):
            part = exp.Literal.string(part)
        elif isinstance(part, int):
            part = exp.Literal.number(part)
        elif name in used:
            part = part.copy()
        used.add(name)
        loose = isinstance(part, _LOOSE) and not isinstance(column.parent, (exp.Anonymous, exp.Paren))
        new = exp.Paren(this=part) if loose else part
        if column is tree:
            tree = new
        else:
            column.replace(new)
    if type_ is not None:
        tree.type = type_of(type_)
    return tree


_LOOSE = (exp.Binary, exp.Unary, exp.Between, exp.In, exp.Case, exp.Interval, exp.Bracket, exp.Lambda)

_NAMES = {
    "INT64": exp.DType.BIGINT, "FLOAT64": exp.DType.DOUBLE, "STRING": exp.DType.TEXT,
    "BYTES": exp.DType.BINARY, "BOOL": exp.DType.BOOLEAN, "DATE": exp.DType.DATE, "TIME": exp.DType.TIME,
    "DATETIME": exp.DType.DATETIME, "TIMESTAMP": exp.DType.TIMESTAMPTZ, "JSON": exp.DType.JSON,
    "INTERVAL": exp.DType.INTERVAL, "ARRAY": exp.DType.ARRAY, "NUMERIC": exp.DType.DECIMAL,
    "BIGNUMERIC": exp.DType.BIGDECIMAL, "STRUCT": exp.DType.STRUCT,
}  # fmt: skip
_KINDS = {
    **{kind: name for name, kind in _NAMES.items()},
    exp.DType.INT: "INT64", exp.DType.SMALLINT: "INT64", exp.DType.TINYINT: "INT64",
    exp.DType.INT128: "INT64",
    exp.DType.FLOAT: "FLOAT64", exp.DType.VARCHAR: "STRING", exp.DType.CHAR: "STRING",
    exp.DType.VARBINARY: "BYTES", exp.DType.TIMESTAMP: "DATETIME", exp.DType.TIMESTAMPLTZ: "TIMESTAMP",
}  # fmt: skip


def type_of(kind: str) -> exp.DataType:
    """Return sqlglot's type of GoogleSQL's name."""
    return exp.DataType(this=_NAMES[kind])


def kind(node: Node) -> str | None:
    """Return GoogleSQL's name of the type of a node, None where it is not known before DuckDB binds it."""
    while isinstance(node, exp.Paren):
        node = node.this
    if isinstance(node, exp.Literal):
        if node.is_string:
            return "STRING"
        return "INT64" if node.name.isdigit() else "FLOAT64"
    type_ = node.type if node is not None else None
    return _KINDS.get(type_.this) if isinstance(type_, exp.DataType) else None


def is_text(node: Node) -> bool:
    """Whether a node is a string literal, which GoogleSQL coerces to a date or a time."""
    return isinstance(node, exp.Literal) and bool(node.is_string)


def integer(node: Node) -> int | None:
    """Return the value of an integer literal, with its sign."""
    if isinstance(node, exp.Paren):
        return integer(node.this)
    if isinstance(node, exp.Neg):
        value = integer(node.this)
        return None if value is None else -value
    if isinstance(node, exp.Literal) and not node.is_string and node.name.isdigit():
        return int(node.name)
    return None


def name_of(node: Node) -> str:
    """Return the name by which a function was called, in capitals."""
    written = node.meta.get("bigquery_name")
    if isinstance(node, exp.Anonymous):
        return str(node.name).upper()
    if written is None and isinstance(node, exp.Func):
        written = node.sql_name()
    return str(written or type(node).__name__).upper()


def refused(node: Node, why: str = "not supported", name: str | None = None) -> Unimplemented:
    """Return the error for what GoogleSQL has and Trivet has not."""
    return Unimplemented(f"{name or name_of(node)}: {why}{at(node)}")


def wrong(node: Node, message: str) -> InvalidArgument:
    """Return the error for what GoogleSQL refuses, too."""
    return InvalidArgument(f"{message}{at(node)}")


_DUCKDB_TYPES = {
    "DATE": ("DATE",),
    "DATETIME": ("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"),
    "TIMESTAMP": ("TIMESTAMP WITH TIME ZONE",),
    "TIME": ("TIME",),
    "STRING": ("VARCHAR",),
}


def expect(node: Node, name: str, *kinds: str) -> Node:
    """Return a node whose type is one of these: it is looked at when DuckDB binds, where it is not known.

    A wrong type is an error that names the function and the type, in DuckDB's words for it.
    """
    if kind(node) in kinds or isinstance(node, exp.Null):
        return node
    found = kind(node)
    if found is not None:
        raise wrong(node, f"No matching signature for function {name}: expected {kinds[0]}, found {found}")
    names = [one for each in kinds for one in _DUCKDB_TYPES[each]]
    listed = ", ".join(f"'{one}'" for one in [*names, '"NULL"'])
    return form(
        f"CASE WHEN typeof(_x) IN ({listed}) THEN _x ELSE error('No matching signature for function {name}: "
        f"expected {kinds[0]}, found ' || typeof(_x)) END",
        x=node,
    )
