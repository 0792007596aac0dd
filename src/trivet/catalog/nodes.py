"""Nodes: the machines that serve what the catalog says."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta

from sqlalchemy import delete, insert, select, update

from trivet.catalog import tables
from trivet.catalog.rows import Rows
from trivet.core.resources import Failure, Node


class Nodes(Rows):
    """The part of a transaction that knows nodes."""

    def beat(self, node: str, applied: int, failures: Mapping[str, Failure]) -> None:
        """Note that a node is alive, what revision it has applied, and what it could not load."""
        table = tables.nodes
        values = {
            "applied": applied,
            "seen": self._now(),
            "failures": {id_: asdict(failure) for id_, failure in failures.items()},
        }
        if self._connection.execute(update(table).where(table.c.id == node).values(**values)).rowcount == 0:
            self._connection.execute(insert(table).values(id=node, **values))

    def nodes(self, alive_within: float) -> list[Node]:
        """Return the nodes that have been seen within so many seconds, by id."""
        table = tables.nodes
        since = self._now() - timedelta(seconds=alive_within)
        rows = select(table).where(table.c.seen >= since).order_by(table.c.id)
        return [
            Node(
                row.id,
                row.applied,
                row.seen,
                {id_: Failure(**failure) for id_, failure in row.failures.items()},
            )
            for row in self._connection.execute(rows)
        ]

    def delete_node(self, node: str) -> None:
        """Forget a node, if there is one."""
        self._connection.execute(delete(tables.nodes).where(tables.nodes.c.id == node))
