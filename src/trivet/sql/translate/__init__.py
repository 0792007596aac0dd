"""BigQuery's SQL becomes DuckDB's: a tree of the one to a tree of the other.

What both write alike and mean differently is rewritten here, so that an answer is BigQuery's; what is not
known to be right is refused by its name. Names of tables and models are another's business, as is
ML.PREDICT, which is left in the tree.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.scope import Scope, traverse_scope
from sqlglot.schema import MappingSchema

from trivet.sql.dialect import BigQueryML, ModelFunction, refuse
from trivet.sql.translate import (
    aggregates,
    arrays,
    casts,
    clocks,
    functions,
    json_values,
    numbers,
    queries,
    strings,
    times,
)
from trivet.sql.translate.forms import Node, Rule, kind

SETTINGS = (
    "SET timezone = 'UTC'",
    "SET ieee_floating_point_ops = false",
    "SET null_order = 'nulls_last'",
    "SET python_enable_replacements = false",
)
"""What every connection to DuckDB is told first, for the answers to be BigQuery's."""

_MODULES = (times, clocks, casts, numbers, strings, arrays, aggregates, json_values, queries, functions)
_RULES: Mapping[type, Rule] = {
    kind: rule for module in _MODULES for kind, rule in module.RULES.by_class.items()
}


def translate(tree: exp.Expression, schema: Mapping[str, Any] | None = None) -> exp.Expression:
    """Return the tree whose `.sql(dialect="duckdb")` means in DuckDB what `tree` means in BigQuery.

    `schema` are the columns of tables, `{"ds": {"t": {"x": "INT64"}}}`, nested as their names are; where a
    type is not known, it is DuckDB that looks at it when it binds. The connection has to be under
    `SETTINGS`. Raises Unimplemented for what Trivet has not, and InvalidArgument for what BigQuery has not.
    """
    refuse(tree)
    tree = tree.copy()
    queries.name_columns(tree)
    queries.aliases_first(tree)
    _annotate(tree, schema)
    for node in reversed(list(tree.walk(bfs=False))):
        rule = _RULES.get(type(node))
        if rule is None:
            if isinstance(node, exp.Func) and type(node) not in functions.RIGHT and not _is_prefixed(node):
                raise functions.unknown(node)
            continue
        new = rule(node)
        if new is None or new is node:
            continue
        if new.type is None and node.type is not None:
            new.type = node.type
        if node is tree:
            tree = new
        else:
            node.replace(new)
    return tree


def _is_prefixed(node: Node) -> bool:
    """Whether it is the `HOST(x)` of `NET.HOST(x)`, which is looked at as a whole."""
    return isinstance(node.parent, exp.NetFunc) or (
        isinstance(node.parent, exp.Dot) and node.arg_key == "expression"
    )


def _annotate(tree: exp.Expression, schema: Mapping[str, Any] | None) -> None:
    """Note the types that can be known, also of columns that are named without their table."""
    lent: list[exp.Column] = []
    try:
        known = MappingSchema(dict(schema or {}), dialect=BigQueryML)
        for scope in traverse_scope(tree):
            if isinstance(scope.expression, exp.Select):
                lent += _lend_tables(scope, known)
        annotate_types(tree, schema=known, dialect=BigQueryML)
    except SqlglotError:
        pass  # then DuckDB looks at the types; what is wrong with the names, it says better
    finally:
        for column in lent:
            column.set("table", None)


def _lend_tables(scope: Scope, schema: MappingSchema) -> list[exp.Column]:
    """Write before columns the source that they are of, where there is but one that has them."""
    hidden = {one.alias.lower() for one in scope.expression.expressions if isinstance(one, exp.Alias)}
    columns = {name: _columns_of(source, schema) for name, source in scope.sources.items()}
    lent = []
    for column in scope.columns:
        if column.table or column.name.lower() in hidden:
            continue
        having = [name for name, names in columns.items() if column.name.lower() in map(str.lower, names)]
        if len(columns) == 1 or len(having) == 1:
            column.set("table", exp.to_identifier((having or list(columns))[0]))
            lent.append(column)
    return lent


def _columns_of(source: Any, schema: MappingSchema) -> Sequence[str]:
    if isinstance(source, exp.Table):
        return schema.column_names(source)
    return source.expression.named_selects if isinstance(source.expression, exp.Query) else ()


__all__ = ["SETTINGS", "ModelFunction", "Node", "kind", "translate"]
