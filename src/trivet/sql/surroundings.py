"""What statements about models ask of the connection that they are for."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from trivet.sql import model_statements
from trivet.sql.names import DatasetName, ObjectName
from trivet.sql.plan import Plan
from trivet.sql.result import Done
from trivet.storage.targets import Target, target

if TYPE_CHECKING:
    from trivet.sql.plan import Planner


class Surroundings:
    """Of one statement."""

    def __init__(self, planner: "Planner") -> None:
        self._planner = planner
        self._connection = planner.connection
        self.runs = False

    @property
    def folder(self) -> Path | None:
        """What relative paths are relative to."""
        return self._connection.database.place.here

    def name(self, table: exp.Table) -> ObjectName:
        """Return the full name of a model."""
        return self._planner.names.full(table)

    def require_dataset(self, name: DatasetName) -> None:
        """Raise NotFound where there is no such dataset; make it where that is for this connection to do."""
        self._connection.require_dataset(name, make=self.runs)

    def has_table(self, name: ObjectName) -> bool:
        """Whether a table or view has this name."""
        return self._connection.store.kind(name) is not None

    def value(self, expression: exp.Expression) -> Any:
        """Return the value of an expression."""
        return self._planner.value(expression)

    def exports(self, uri: str) -> Target:
        """Return the folder that a path or a URI means."""
        place = self._connection.database.place
        return target(uri, place.buckets, place.folders)


def plan(planner: "Planner", tree: exp.Expression, written: exp.Expression) -> Plan:
    """Return how to run CREATE, DROP, ALTER or EXPORT MODEL."""
    place, database = Surroundings(planner), planner.connection.database
    planned = model_statements.planned(tree, database.models, place)

    def act() -> Done:
        place.runs = True
        before = None
        name = planned.target
        if isinstance(name, ObjectName) and planned.operation in ("REPLACE", "DROP"):
            before = database.models.find(name)
        done = model_statements.run(tree, database.models, place)
        if before is not None and (before.owned or not before.model):  # no other name stands for it
            database.functions.forget(database.root, before.key)
        return done

    return Plan(planned, written, act=act)
