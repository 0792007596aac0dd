"""The columns of what is in no schema: DuckDB is asked, and models say what they answer."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sqlglot import exp

from trivet.core.errors import ServingError
from trivet.sql import predict
from trivet.sql.columns import outputs_of
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
            return predict.rewrite(translate(query, self.planner.schema(), self.columns), self.planner)
        finally:
            self.inside = False

    def _predicted(self, call: exp.Predict, given: Sequence[Column] | None) -> Sequence[Column] | None:
        outputs = [_column(one) for one in outputs_of(self.planner.model(call.this))]
        if given is None:
            return None
        names = {one.name.lower() for one in outputs}
        return outputs + [one for one in given if one.name.lower() not in names]


def _bare(table: exp.Expression) -> exp.Expression:
    """Return a table without what hangs on it."""
    table = table.copy()
    for part in ("alias", "joins", "pivots", "laterals", "sample"):
        table.set(part, None)
    return table


def _column(one: Field) -> Column:
    return Column(one.name, exp.DataType.build(str(one.type), dialect="bigquery"))
