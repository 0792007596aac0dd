"""What the planning of a statement may ask of the connection that it is for."""

from collections.abc import Sequence
from typing import Protocol

from sqlglot import exp

from trivet.core.predictor import Predictor
from trivet.sql.model import SqlModel
from trivet.sql.types import Field


class Scope(Protocol):
    """Held by a connection for one statement. Trees are DuckDB's where nothing else is said: names resolved,
    views put in, BigQuery's functions translated.
    """

    def model(self, name: exp.Table) -> SqlModel:
        """Return the model of a name; raises NotFound `Not found: Model p:ds.m at [1:15]`."""
        ...

    def describe(self, query: exp.Expression) -> Sequence[Field]:
        """Return the columns of a query, bound but not run, in which no ML.PREDICT is left.

        Raises InvalidArgument where DuckDB cannot bind it, or two columns have the same name.
        """
        ...

    def function(self, model: SqlModel, *, safe: bool) -> str:
        """Return the name of the DuckDB function that predicts, which exists as long as the statement runs.

        Its arguments are the model's inputs in order; its result is a STRUCT of the outputs. A row that
        cannot be predicted is a NULL where `safe`, otherwise it fails the statement.
        """
        ...

    def predictor(self, model: SqlModel) -> Predictor:
        """Return the model, loaded, for what it says of itself; never a remote one. Raises as `load`."""
        ...
