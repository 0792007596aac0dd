"""Deployment resource pools."""

from trivet.core.resources import Location, Name, Page, Pool, Query


class Pools:
    """The part of a transaction that knows pools."""

    def pool(self, name: Name) -> Pool:
        """Return a pool; raises NotFound."""
        raise NotImplementedError

    def add_pool(self, one: Pool) -> Pool:
        """Add a pool; raises AlreadyExists."""
        raise NotImplementedError

    def put_pool(self, one: Pool) -> Pool:
        """Replace a pool; raises NotFound."""
        raise NotImplementedError

    def delete_pool(self, name: Name) -> None:
        """Delete a pool, whether or not it is in use; raises NotFound."""
        raise NotImplementedError

    def pools(self, parent: Location, query: Query) -> Page[Pool]:
        """List pools, by default the newest first; raises InvalidArgument."""
        raise NotImplementedError
