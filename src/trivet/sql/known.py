"""The columns of what is in no schema: DuckDB is asked, and models say what they answer."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sqlglot import exp

from trivet.core.errors import ServingError
from trivet.sql import predict
from trivet.sql.columns import outputs_of
from trivet.sql.resolve import READY
from trivet.sql.translate import Column, translate
from trivet.sql.types import Field

if TYPE_CHECKING:
    from trivet.sql.plan import Planner


class Known:
    """Columns of files, temporary tables, table functions, and of what is DuckDB's SQL already (`ready`)."""

    def __init__(self, planner: "Planner", ready: Mapping[str, exp.Expression]) -> None:
        self.planner = planner
        self.ready = ready
        self.inside = False

    def columns(self, table: exp.Expression, given: Sequence[Column] | None) -> Sequence[Column] | None:
        """Return the columns of a table, or of a table function whose query has the columns `given`.

        None where they cannot be had: then what is wrong is said where the statement is planned.
        """
        try:
            if isinstance(table.this, exp.Predict):
                return self._predicted(table.this, given)
            query: exp.Expression | None = self.ready.get(table.name)
            if query is None:
                query = exp.Select(expressions=[exp.Star()], from_=exp.From(this=_bare(table)))
            if not isinstance(table.this, exp.Identifier):
                if self.inside:
                    return None
                query = self._planned(predict.in_place(query, table))
            return [_column(one) for one in self.planner.describe(query)]
        except ServingError:
            return None

    def _planned(self, query: exp.Expression) -> exp.Expression:
        self.inside = True
        try:
            translated = translate(query, self.planner.schema(), self.columns)
            put_back(translated, self.ready)
            return predict.rewrite(translated, self.planner)
        finally:
            self.inside = False

    def _predicted(self, call: exp.Predict, given: Sequence[Column] | None) -> Sequence[Column] | None:
        outputs = [_column(one) for one in outputs_of(self.planner.model(call.this))]
        if given is None:
            return None
        names = {one.name.lower() for one in outputs}
        return outputs + [one for one in given if one.name.lower() not in names]


def taken_out(tree: exp.Expression) -> dict[str, exp.Expression]:
    """Put a name in the place of what is DuckDB's SQL already."""
    ready: dict[str, exp.Expression] = {}
    found: list[exp.Expression] = [one for one in tree.find_all(exp.Query) if isinstance(one, exp.Expression)]
    for node in found:
        if node.meta.get(READY) and node.parent is not None:
            name = f"__ready_{len(ready)}"
            ready[name] = node
            node.replace(exp.select("*").from_(exp.to_table(name)))
    return ready


def put_back(tree: exp.Expression, ready: Mapping[str, exp.Expression]) -> None:
    """Put copies of it back into its places."""
    for table in list(tree.find_all(exp.Table)):
        if table.name in ready:
            select = table.find_ancestor(exp.Select)
            assert select is not None
            select.replace(ready[table.name].copy())


def _bare(table: exp.Expression) -> exp.Expression:
    """Return a table without what hangs on it."""
    table = table.copy()
    for part in ("alias", "joins", "pivots", "laterals", "sample"):
        table.set(part, None)
    return table


def _column(one: Field) -> Column:
    return Column(one.name, exp.DataType.build(str(one.type), dialect="bigquery"))
