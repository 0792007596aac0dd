"""Which types meet: what GoogleSQL converts by itself, and what it refuses.

Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/conversion_rules
"""

from collections.abc import Iterable, Sequence

from sqlglot import exp

from trivet.sql.translate.forms import Node, kind, type_of

NUMBERS = ("INT64", "NUMERIC", "BIGNUMERIC", "FLOAT64")
"""Each becomes any of those behind it."""

TIMES = frozenset({"DATE", "DATETIME", "TIMESTAMP", "TIME"})
"""What a literal of STRING becomes, too."""


def known(node: Node) -> str | None:
    """Return the kind of a node's type, None also for NULL, which is of all types."""
    return None if is_null(node) else kind(node)


def is_null(node: Node) -> bool:
    """Whether a node is NULL, perhaps in parentheses."""
    while isinstance(node, exp.Paren):
        node = node.this
    return isinstance(node, exp.Null)


def is_constant(node: Node) -> bool:
    """Whether a node is a literal of STRING or a parameter, which are converted to a date or a time."""
    while isinstance(node, exp.Paren):
        node = node.this
    if isinstance(node, exp.Cast) and node.meta.get("parameter"):
        return True
    return isinstance(node, exp.Literal) and bool(node.is_string)


def common(nodes: Sequence[Node]) -> str | None:
    """Return the kind that values of these nodes have in common; None where not all are known.

    Raises TypeError where there is none.
    """
    found: str | None = None
    sure = True
    texts = False
    for node in nodes:
        one = known(node)
        if one is None:
            sure = sure and is_null(node)
        elif one == "STRING" and is_constant(node):
            texts = True
        elif found is None:
            found = one
        else:
            found = _of_two(found, one)
    if texts:
        if found is None:
            return "STRING" if sure else None
        if found not in TIMES and found != "STRING":
            raise TypeError
    return found if sure else None


def _of_two(one: str, two: str) -> str:
    if one == two:
        return one
    if one in NUMBERS and two in NUMBERS:
        return max(one, two, key=NUMBERS.index)
    if {one, two} == {"DATE", "DATETIME"}:
        return "DATETIME"
    raise TypeError


def meets(nodes: Sequence[Node]) -> bool:
    """Whether values of these nodes may stand beside one another, as far as is known."""
    try:
        common(nodes)
    except TypeError:
        return False
    return True


def shown(nodes: Iterable[Node]) -> str:
    """Return the types of nodes as errors list them, `INT64, STRING`."""
    return ", ".join(name(node) for node in nodes)


def name(node: Node) -> str:
    """Return the type of a node as GoogleSQL writes it, `ARRAY<INT64>`."""
    if is_null(node):
        return "NULL"
    type_ = node.type
    if isinstance(type_, exp.DataType) and type_.this == exp.DType.ARRAY and type_.expressions:
        holder = exp.Null()
        holder.type = type_.expressions[0]
        return f"ARRAY<{kind(holder) or '?'}>"
    return kind(node) or "?"


def type_among(nodes: Sequence[Node]) -> exp.DataType | None:
    """Return the type that nodes have in common, None where it is not known or there is none."""
    try:
        found = common(nodes)
    except TypeError:
        return None
    if found is None:
        return None
    if found in ("ARRAY", "STRUCT"):
        types = [node.type for node in nodes if not is_null(node)]
        return next((one for one in types if one is not None and one.expressions), None)
    return type_of(found)
