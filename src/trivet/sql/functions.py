"""The functions of DuckDB that predict: one for each version of a model, made when a statement needs it.

DuckDB calls one with at most 2,048 rows, from several of its threads at once. A row that cannot be predicted
fails the statement, or is NULL where `SAFE.ML.PREDICT` asked.
"""

from collections.abc import Callable, Iterable
from typing import Any

from trivet.core.errors import ServingError
from trivet.serving.leases import Leases
from trivet.serving.lifecycle import ModelSpec
from trivet.sql.model import SqlModel


class Functions:
    """The functions of one DuckDB instance. May be used by several threads."""

    def __init__(self, leases: Leases) -> None:
        self._leases = leases

    def ensure(
        self, connection: Any, model: SqlModel, spec: Callable[[], ModelSpec] | None, *, safe: bool
    ) -> str:
        """Return the name of a model's function, which any connection of the instance may use from now on.

        `spec` says what to load, and is only asked when a row is predicted; None for a remote model. The
        model is loaded, or the endpoint connected to, with the first row.
        """
        raise NotImplementedError

    def raised(self, error: BaseException) -> ServingError | None:
        """Return what a function raised, given DuckDB's exception for it; None where no function did."""
        raise NotImplementedError

    def interrupt(self, names: Iterable[str]) -> None:
        """Break off calls of these functions that wait for another process or a server.

        Called by any thread, beside `interrupt` of the DuckDB connection. They raise Cancelled.
        """
        raise NotImplementedError

    def forget(self, connection: Any, key: str) -> None:
        """Remove the functions of a model (`SqlModel.key`) that was dropped or replaced."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of endpoints; models are the leases' to give up."""
        raise NotImplementedError
