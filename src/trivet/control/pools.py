"""Deployment resource pools: processes that several deployed models share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from trivet.control.fields import check_id, masked, merged
from trivet.control.operations import Begun, Operations
from trivet.control.options import check_replicas
from trivet.core.errors import FailedPrecondition, InvalidArgument
from trivet.core.resources import DeployedModel, Document, Location, Name, Operation, Page, Pool, Query

if TYPE_CHECKING:
    from trivet.catalog import Catalog

_KEPT_ELSEWHERE = ("name", "createTime", "etag")
_MUTABLE = (
    "dedicatedResources.minReplicaCount",
    "dedicatedResources.maxReplicaCount",
    "dedicatedResources.requiredReplicaCount",
    "dedicatedResources.autoscalingMetricSpecs",
)
_ONE = Query(page_size=100)


@dataclass(frozen=True, slots=True)
class Pools:
    """The calls that concern pools."""

    catalog: "Catalog"
    operations: Operations

    def create(self, parent: Location, id_: str, document: Document, *, api: str) -> Operation:
        """Create a pool."""
        where = "deploymentResourcePool"
        check_id(id_, "deploymentResourcePoolId")
        if not document.get("dedicatedResources"):
            raise InvalidArgument(f"{where}.dedicatedResources: required")
        check_replicas(document, where, self.operations.settings.max_replicas)
        kept = {key: value for key, value in document.items() if key not in _KEPT_ELSEWHERE}
        pool = Pool(parent.child("deploymentResourcePools", id_), datetime.now(UTC), kept)
        with self.catalog.transaction() as tx:
            tx.add_pool(pool)
            return self.operations.begin(
                tx, Begun("createDeploymentResourcePool", pool.name, api, response={"name": str(pool.name)})
            )

    def get(self, name: Name) -> Pool:
        """Return a pool."""
        with self.catalog.reading() as tx:
            return tx.pool(name)

    def page(self, parent: Location, query: Query) -> Page[Pool]:
        """Return pools."""
        with self.catalog.reading() as tx:
            return tx.pools(parent, query)

    def update(self, name: Name, changes: Mapping[str, Any], mask: Sequence[str], *, api: str) -> Operation:
        """Change a pool's replicas, and wait until what is deployed in it has them."""
        with self.catalog.transaction() as tx:
            old = tx.pool(name)
            paths = masked(changes, mask, _MUTABLE, "deploymentResourcePool")
            new = replace(old, document=merged(old.document, changes, paths))
            limit = self.operations.settings.max_replicas
            check_replicas(new.document, "deploymentResourcePool", limit)
            tx.put_pool(new)
            used = bool(tx.deployments_in(name, _ONE).items)
            operation = self.operations.begin(
                tx,
                Begun(
                    "updateDeploymentResourcePool",
                    name,
                    api,
                    revision=tx.bump() if used else 0,
                    response={"name": str(name)},
                ),
            )
        self.operations.nudge()
        return operation

    def delete(self, name: Name, *, api: str) -> Operation:
        """Delete a pool that is not in use."""
        with self.catalog.transaction() as tx:
            tx.pool(name)
            used = tx.deployments_in(name, _ONE)
            if used.items:
                endpoints = ", ".join(sorted({str(endpoint) for endpoint, _ in used.items}))
                raise FailedPrecondition(
                    f"{name} is in use by deployed models of: {endpoints}. Undeploy them first"
                )
            tx.delete_pool(name)
            return self.operations.begin(tx, Begun("deleteDeploymentResourcePool", name, api, response={}))

    def deployed_in(self, name: Name, query: Query) -> Page[tuple[Name, DeployedModel]]:
        """Return what is deployed in a pool, of what callers see."""
        with self.catalog.reading() as tx:
            tx.pool(name)
            page = tx.deployments_in(name, query)
        return Page([one for one in page.items if one[1].state == "READY"], page.next_page_token)
