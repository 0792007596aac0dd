"""Deployment resource pools."""

from typing import Any

from sqlalchemy import Row

from trivet.catalog import tables
from trivet.catalog.listing import Field, Listed, under
from trivet.catalog.rows import Rows, name_of
from trivet.core.resources import Location, Name, Page, Pool, Query

_KIND = "DeploymentResourcePool"


class Pools(Rows):
    """The part of a transaction that knows pools."""

    def pool(self, name: Name) -> Pool:
        """Return a pool; raises NotFound."""
        return _pool(self._find(tables.pools, name, _KIND))

    def add_pool(self, one: Pool) -> Pool:
        """Add a pool; raises AlreadyExists."""
        values = {"created": one.created, "document": dict(one.document)}
        self._add(tables.pools, one.name, _KIND, values)
        return self.pool(one.name)

    def put_pool(self, one: Pool) -> Pool:
        """Replace a pool; raises NotFound."""
        self.pool(one.name)
        self._put(tables.pools, one.name, {"document": dict(one.document)})
        return self.pool(one.name)

    def delete_pool(self, name: Name) -> None:
        """Delete a pool, whether or not it is in use; raises NotFound."""
        self._delete(tables.pools, name, _KIND)

    def pools(self, parent: Location, query: Query) -> Page[Pool]:
        """List pools, by default the newest first; raises InvalidArgument.

        Filters and orders may speak of id, name and create_time.
        """
        table = tables.pools
        fields = under(parent, "deploymentResourcePools", table.c.id)
        fields["create_time"] = Field("time", table.c.created)
        listed = Listed(f"pools of {parent}", table.c.parent == str(parent), fields)
        rows, token = self._page(table, listed, query)
        return Page([_pool(row) for row in rows], token)


def _pool(row: Row[Any]) -> Pool:
    return Pool(name_of(row.parent, "deploymentResourcePools", row.id), row.created, row.document)
