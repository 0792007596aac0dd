"""Nodes: the machines that serve what the catalog says."""

from collections.abc import Mapping

from trivet.core.resources import Failure, Node


class Nodes:
    """The part of a transaction that knows nodes."""

    def beat(self, node: str, applied: int, failures: Mapping[str, Failure]) -> None:
        """Note that a node is alive, which revision it has applied, and which deployed models it could not load."""
        raise NotImplementedError

    def nodes(self, alive_within: float) -> list[Node]:
        """Return the nodes that have been seen within so many seconds, by id."""
        raise NotImplementedError

    def delete_node(self, node: str) -> None:
        """Forget a node, if there is one."""
        raise NotImplementedError
