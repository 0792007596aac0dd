"""BigQuery's SQL becomes DuckDB's: a tree of the one to a tree of the other.

What both write alike and mean differently is rewritten here, so that an answer is BigQuery's; what is not
known to be right is refused by its name. Names of tables and models are another's business, as is
ML.PREDICT, which is left in the tree.
"""

from collections.abc import Mapping
from typing import Any

from sqlglot import exp

from trivet.sql.dialect import ModelFunction, refuse
from trivet.sql.translate import (
    aggregates,
    arrays,
    casts,
    changes,
    clocks,
    comparisons,
    functions,
    json_values,
    numbers,
    queries,
    searching,
    strings,
    times,
)
from trivet.sql.translate.checks import check
from trivet.sql.translate.forms import Node, Rule, kind
from trivet.sql.translate.frames import Column
from trivet.sql.translate.scopes import Known, Reader

SETTINGS = (
    "SET timezone = 'UTC'",
    "SET ieee_floating_point_ops = false",
    "SET null_order = 'nulls_last'",
    "SET python_enable_replacements = false",
)
"""What every connection to DuckDB is told first, for the answers to be BigQuery's."""

_MODULES = (
    changes,
    times,
    clocks,
    casts,
    numbers,
    comparisons,
    strings,
    searching,
    arrays,
    aggregates,
    json_values,
    queries,
    functions,
)
_RULES: Mapping[type, Rule] = {
    kind: rule for module in _MODULES for kind, rule in module.RULES.by_class.items()
}


def translate(
    tree: exp.Expression, schema: Mapping[str, Any] | None = None, known: Known | None = None
) -> exp.Expression:
    """Return the tree whose `.sql(dialect="duckdb")` means in DuckDB what `tree` means in BigQuery.

    `schema` are the columns of tables, `{"ds": {"t": {"x": "INT64"}}}`, nested as their names are; `known` is
    asked for those of other tables, and of table functions. Where a type is not known, it is DuckDB that
    looks at it when it binds. The connection has to be under `SETTINGS`.
    Raises Unimplemented for what Trivet has not, and InvalidArgument for what BigQuery has not.
    """
    refuse(tree)
    tree = tree.copy()
    changes.prepare(tree)
    queries.name_columns(tree)
    queries.aliases_first(tree)
    Reader(schema or {}, known).statement(tree)
    check(tree)
    for node in reversed(list(tree.walk(bfs=False))):
        rule = _RULES.get(type(node))
        if rule is None:
            if isinstance(node, exp.Func) and type(node) not in functions.RIGHT and not _is_prefixed(node):
                raise functions.unknown(node)
            continue
        new = rule(node)
        if new is None or new is node:
            continue
        if node.type is not None and (new.type is None or _is_fuller(node.type, new.type)):
            new.type = node.type
        if not new._meta and node._meta:
            new.update_positions(node)
        if node is tree:
            tree = new
        else:
            node.replace(new)
    return tree


def _is_fuller(one: exp.DataType, other: exp.DataType) -> bool:
    """Whether a type is another one with what it holds."""
    return one.this == other.this and bool(one.expressions) and not other.expressions


def _is_prefixed(node: Node) -> bool:
    """Whether it is the `HOST(x)` of `NET.HOST(x)`, which is looked at as a whole."""
    return isinstance(node.parent, exp.NetFunc) or (
        isinstance(node.parent, exp.Dot) and node.arg_key == "expression"
    )


__all__ = ["SETTINGS", "Column", "ModelFunction", "Node", "kind", "translate"]
