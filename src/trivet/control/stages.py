"""How a deployment goes on once the machines have caught up: it gets its traffic, or nothing has changed.

What has happened so far is read from the deployed model itself: PENDING is being loaded, READY is answering
already and waits for every machine to send it its share.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from trivet.control.deployments import with_, without
from trivet.control.operations import CANCELLED, Kind, Operations, failure_of
from trivet.core.errors import Code, FailedPrecondition, NotFound, ServingError
from trivet.core.resources import DeployedModel, Endpoint, Failure, Name, Operation
from trivet.core.traffic import active, settle, withdraw

if TYPE_CHECKING:
    from trivet.catalog import Transaction


@dataclass(frozen=True, slots=True)
class Stages:
    """What becomes of operations that deploy or mutate."""

    operations: Operations

    def register(self) -> None:
        """Tell the operations."""
        self.operations.kinds["deployModel"] = Kind(stage=self.deploy, cancel=self.cancel)
        self.operations.kinds["mutateDeployedModel"] = Kind(stage=self.mutate)

    def deploy(self, tx: "Transaction", operation: Operation, failure: Failure | None) -> None:
        """Give a loaded model its traffic; end where it has it, or take it away where it failed."""
        found = self._found(tx, operation)
        if found is None:
            gone = f"{operation.target} was deleted, or the model undeployed from it, before it was ready"
            self.operations.fail(tx, operation, Failure(Code.ABORTED.value, gone))
            return
        endpoint, deployed = found
        if failure is not None:
            self._undo(tx, operation, endpoint, deployed, failure)
        elif deployed.state == "READY":
            self.operations.end(tx, operation, {"deployedModel": {"id": deployed.id}})
        else:
            self._ready(tx, operation, endpoint, deployed)

    def _ready(
        self, tx: "Transaction", operation: Operation, endpoint: Endpoint, deployed: DeployedModel
    ) -> None:
        request = operation.request
        others = [one.id for one in endpoint.deployed if one.state == "READY"]
        try:
            traffic = settle(request["split"], request["before"], endpoint.traffic, others, deployed.id)
        except ServingError as error:
            self._undo(tx, operation, endpoint, deployed, failure_of(error))
            return
        tx.redeploy(replace(with_(endpoint, replace(deployed, state="READY")), traffic=traffic))
        settled = {"former": dict(endpoint.traffic), "settled": traffic}
        tx.put_operation(replace(operation, request={**request, **settled}, revision=tx.bump()))

    def _undo(
        self,
        tx: "Transaction",
        operation: Operation,
        endpoint: Endpoint,
        deployed: DeployedModel,
        failure: Failure,
    ) -> None:
        traffic = endpoint.traffic
        if deployed.state == "READY":  # some machine was started anew and could not load it this time
            traffic = _restored(endpoint, operation, deployed.id)
        tx.redeploy(without(endpoint, deployed.id, traffic))
        tx.bump()
        self.operations.fail(tx, operation, failure)

    def mutate(self, tx: "Transaction", operation: Operation, failure: Failure | None) -> None:
        """End, or make the deployed model what it was where it cannot be loaded so."""
        if failure is None:
            self.operations.end(tx, operation, operation.response or {})
            return
        found = self._found(tx, operation)
        if found is not None and found[1].document == operation.request["document"]:
            endpoint, deployed = found
            tx.redeploy(with_(endpoint, replace(deployed, document=operation.request["former"])))
            tx.bump()
        self.operations.fail(tx, operation, failure)

    def cancel(self, tx: "Transaction", operation: Operation) -> None:
        """Take a model away that is still being loaded."""
        found = self._found(tx, operation)
        if found is not None and found[1].state == "PENDING":
            self._undo(tx, operation, *found, CANCELLED)

    def _found(self, tx: "Transaction", operation: Operation) -> tuple[Endpoint, DeployedModel] | None:
        try:
            endpoint = tx.endpoint(Name.parse(operation.target, "endpoints"))
        except NotFound:
            return None
        id_ = operation.request["deployedModelId"]
        return next(((endpoint, one) for one in endpoint.deployed if one.id == id_), None)


def _restored(endpoint: Endpoint, operation: Operation, id_: str) -> Mapping[str, int]:
    """Return the traffic without a model that has had its share: as before it, if that still holds."""
    left = [one.id for one in endpoint.deployed if one.id != id_ and one.state == "READY"]
    former, settled = operation.request["former"], operation.request["settled"]
    if active(endpoint.traffic) == active(settled) and active(former).keys() <= set(left):
        return {other: share for other, share in former.items() if other in left}
    try:
        return withdraw(endpoint.traffic, id_, left)
    except FailedPrecondition:
        return {}  # it had everything, and what was before is not there any more
