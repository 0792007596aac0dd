"""What can be read and written in one transaction."""

from trivet.catalog.endpoints import Endpoints
from trivet.catalog.models import Models
from trivet.catalog.nodes import Nodes
from trivet.catalog.operations import Operations
from trivet.catalog.pools import Pools


class Transaction(Models, Endpoints, Pools, Operations, Nodes):
    """The resources of a catalog, as of one moment. Valid until the context that gave it ends.

    Adding keeps the given `created` and `updated`; putting keeps what was stored as `created`, and gives an
    `updated` later than the stored one. All names are full; errors name them.
    """

    def bump(self) -> int:
        """Make a new revision of the wishes, and return its number."""
        raise NotImplementedError

    def revision(self) -> int:
        """Return the revision of the wishes."""
        raise NotImplementedError

    def new_id(self) -> str:
        """Return an id that nothing has: 19 digits, as Google's are."""
        raise NotImplementedError
