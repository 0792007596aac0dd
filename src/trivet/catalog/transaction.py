"""What can be read and written in one transaction."""

import secrets

from trivet.catalog.endpoints import Endpoints
from trivet.catalog.jobs import Jobs
from trivet.catalog.models import Models
from trivet.catalog.nodes import Nodes
from trivet.catalog.operations import Operations
from trivet.catalog.pools import Pools
from trivet.catalog.sql_models import SqlModels


class Transaction(Models, Endpoints, Pools, Operations, Nodes, Jobs, SqlModels):
    """The resources of a catalog, as of one moment. Valid until the context that gave it ends.

    Adding keeps the given `created` and `updated`; putting keeps what was stored as `created`, and gives an
    `updated` later than the stored one. All names are full; errors name them. Text with a NUL or a lone
    surrogate in it is InvalidArgument.
    """

    def bump(self) -> int:
        """Make a new revision of the wishes, and return its number."""
        self._bump("revision")
        return self.revision()

    def revision(self) -> int:
        """Return the revision of the wishes."""
        return self._count("revision")

    def new_id(self) -> str:
        """Return an id that nothing has: 19 digits, as Google's are."""
        return str(10**18 + secrets.randbelow(8 * 10**18))
