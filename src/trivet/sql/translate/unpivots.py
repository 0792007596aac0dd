"""UNPIVOT: the columns of values come first, then that of names; DuckDB has them the other way round.

Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/query-syntax#unpivot_operator
"""

from sqlglot import exp

from trivet.sql.translate.forms import Node


def unpivoted(node: Node) -> Node | None:
    """Return a table or a query of FROM with its columns in GoogleSQL's order; None without UNPIVOT."""
    pivots = list(node.args.get("pivots") or [])
    place = next((place for place, one in enumerate(pivots) if one.args.get("unpivot")), None)
    if place is None:
        return None
    inner, rest = node.copy(), pivots[place + 1 :]
    inner.set("pivots", [one.copy() for one in pivots[: place + 1]])
    inner.set("joins", None)
    names = pivots[place].args["fields"][0].this
    shown = [exp.Star(except_=[names.copy()]), exp.column(names.copy())]
    alias = pivots[-1].alias or node.alias_or_name
    outer = exp.Subquery(
        this=exp.Select(expressions=shown, from_=exp.From(this=inner)),
        alias=exp.TableAlias(this=exp.to_identifier(alias)) if alias and not rest else None,
        pivots=[one.copy() for one in rest] or None,
        joins=node.args.get("joins"),
    )
    return unpivoted(outer) or outer
