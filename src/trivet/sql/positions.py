"""Where in a statement something stands, as BigQuery's messages say it: ` at [line:column]`, both from 1."""

from sqlglot import exp


def at(node: exp.Expression) -> str:
    """Return where a node begins, with a blank before; empty where the parser has not kept that."""
    for one in node.walk():
        meta = one._meta or {}
        if "line" in meta:
            column = meta["col"] - (meta["end"] - meta["start"])
            return f" at [{meta['line']}:{max(column, 1)}]"
    return ""
