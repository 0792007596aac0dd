"""Deployments: what is asked for at an endpoint. How a deployment goes on from there is `stages`'."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec import structs

from trivet.control.fields import display_name, masked, merged
from trivet.control.operations import Begun, Operations
from trivet.control.options import check_replicas, one_kind, options, said
from trivet.core.errors import FailedPrecondition, InvalidArgument, NotFound
from trivet.core.resources import DeployedModel, Document, Endpoint, Name, Operation
from trivet.core.traffic import check, leave, replace_without

if TYPE_CHECKING:
    from trivet.catalog import Catalog, Transaction

_ID = re.compile(r"[1-9][0-9]{0,18}")
_KEPT_ELSEWHERE = (
    "id",
    "model",
    "modelVersionId",
    "displayName",
    "createTime",
    "sharedResources",
    "privateEndpoints",
    "status",
)
_MUTABLE = (
    "dedicatedResources.minReplicaCount",
    "dedicatedResources.maxReplicaCount",
    "dedicatedResources.requiredReplicaCount",
    "dedicatedResources.initialReplicaCount",
    "dedicatedResources.autoscalingMetricSpecs",
    "dedicatedResources.scaleToZeroSpec",
    "disableContainerLogging",
    "enableContainerLogging",
    "trivet",
)


@dataclass(frozen=True, slots=True)
class Deployments:
    """The calls that concern deployed models."""

    catalog: "Catalog"
    operations: Operations

    def deploy(
        self, name: Name, document: Document, split: Mapping[str, int] | None, *, api: str
    ) -> Operation:
        """Add a deployed model that is to be loaded, and begin the operation that goes on with it."""
        with self.catalog.transaction() as tx:
            endpoint = tx.endpoint(name)
            split = self._split(endpoint, split)
            deployed = self._deployed(tx, endpoint, document)
            tx.redeploy(replace(endpoint, deployed=(*endpoint.deployed, deployed)))
            operation = self.operations.begin(
                tx,
                Begun(
                    "deployModel",
                    name,
                    api,
                    request={
                        "deployedModelId": deployed.id,
                        "split": split,
                        "before": dict(endpoint.traffic),
                    },
                    revision=tx.bump(),
                ),
            )
        self.operations.nudge()
        return operation

    def _split(self, endpoint: Endpoint, split: Mapping[str, int] | None) -> dict[str, int] | None:
        if endpoint.document.get("network"):
            if split and dict(split) != {"0": 100}:
                raise InvalidArgument(f"trafficSplit: {endpoint.name} is private, and has no traffic split")
            if endpoint.deployed:
                raise FailedPrecondition(
                    f"{endpoint.name} is private and takes one model; undeploy "
                    f"{endpoint.deployed[0].id} first"
                )
            return None
        return check(split, _ready(endpoint), new=True) if split else None

    def _deployed(self, tx: "Transaction", endpoint: Endpoint, document: Document) -> DeployedModel:
        where = "deployedModel"
        if not isinstance(document.get("model"), str):
            raise InvalidArgument(
                f"{where}.model: required; expected projects/P/locations/L/models/M[@VERSION]"
            )
        model = Name.parse(document["model"], "models")
        if model.location != endpoint.name.location:
            raise InvalidArgument(
                f"{where}.model: {model} is not in the location of the endpoint, {endpoint.name.location}"
            )
        version = tx.version(model)
        own = options(document, where)
        if own.framework is not None:
            raise InvalidArgument(f"{where}.trivet.framework: it is the model's; upload a version with it")
        one_kind(document, where)
        kept = {key: value for key, value in document.items() if key not in _KEPT_ELSEWHERE}
        if served := said(structs.replace(own.over(options(version.document, "model")), framework=None)):
            kept["trivet"] = served  # a change of the model's holds for later deployments
        check_replicas(kept, where, self.operations.settings.max_replicas)
        return DeployedModel(
            id=self._id(tx, str(document.get("id") or "")),
            model=version.name,
            version=version.version,
            display_name=display_name(document, where, default=version.display_name),
            created=datetime.now(UTC),
            document=kept,
            pool=self._pool(tx, document, endpoint),
        )

    def _id(self, tx: "Transaction", id_: str) -> str:
        if not id_:
            return tx.new_id()
        if not _ID.fullmatch(id_):
            raise InvalidArgument(f"deployedModel.id {id_!r}: expected a number of at most 19 digits, not 0")
        there = {one.id: endpoint.name for endpoint in tx.all_endpoints() for one in endpoint.deployed}
        begun = {one.request.get("deployedModelId"): one.target for one in tx.unfinished()}
        if taken := there.get(id_) or begun.get(id_):
            raise InvalidArgument(f"deployedModel.id {id_}: in use at {taken}; leave it out to be given one")
        return id_

    def _pool(self, tx: "Transaction", document: Document, endpoint: Endpoint) -> str:
        given = document.get("sharedResources")
        if not given:
            return ""
        pool = Name.parse(str(given), "deploymentResourcePools")
        if pool.location != endpoint.name.location:
            raise InvalidArgument(
                f"deployedModel.sharedResources: {pool} is not in the location of the endpoint, "
                f"{endpoint.name.location}"
            )
        return str(tx.pool(pool).name)

    def undeploy(self, name: Name, id_: str, split: Mapping[str, int] | None, *, api: str) -> Operation:
        """Take a deployed model out of the wish: one without traffic, or whose share the split gives away."""
        with self.catalog.transaction() as tx:
            endpoint = tx.endpoint(name)
            find(endpoint, id_)
            left = [other for other in _ready(endpoint) if other != id_]
            traffic = replace_without(split, id_, left) if split else leave(endpoint.traffic, id_, left)
            tx.redeploy(without(endpoint, id_, traffic))
            operation = self.operations.begin(
                tx, Begun("undeployModel", name, api, revision=tx.bump(), response={})
            )
        self.operations.nudge()
        return operation

    def mutate(self, name: Name, document: Document, mask: Sequence[str], *, api: str) -> Operation:
        """Change how a deployed model is served; a machine that cannot makes it what it was."""
        with self.catalog.transaction() as tx:
            endpoint = tx.endpoint(name)
            old = find(endpoint, str(document.get("id") or ""))
            paths = masked(document, mask, _MUTABLE, "deployedModel")
            if old.pool and any(path.startswith("dedicatedResources") for path in paths):
                raise FailedPrecondition(
                    f"deployed model {old.id} is in {old.pool}, which has the replicas; change the pool"
                )
            if any(
                one.kind == "mutateDeployedModel" and one.request["deployedModelId"] == old.id
                for one in tx.unfinished()
            ):
                raise FailedPrecondition(
                    f"deployed model {old.id} is being changed already; wait for that operation"
                )
            new = replace(old, document=merged(old.document, document, paths))
            if options(new.document, "deployedModel").framework is not None:
                raise InvalidArgument(
                    "deployedModel.trivet.framework: it is the model's and cannot be changed"
                )
            check_replicas(new.document, "deployedModel", self.operations.settings.max_replicas)
            tx.redeploy(with_(endpoint, new))
            operation = self.operations.begin(
                tx,
                Begun(
                    "mutateDeployedModel",
                    name,
                    api,
                    request={
                        "deployedModelId": old.id,
                        "former": dict(old.document),
                        "document": dict(new.document),
                    },
                    revision=tx.bump(),
                    response={"deployedModel": {"id": old.id}},
                ),
            )
        self.operations.nudge()
        return operation


def find(endpoint: Endpoint, id_: str) -> DeployedModel:
    """Return a deployed model that callers see; raises NotFound."""
    for deployed in endpoint.deployed:
        if deployed.id == id_ and deployed.state == "READY":
            return deployed
    there = ", ".join(_ready(endpoint)) or "none"
    raise NotFound(f"{endpoint.name} has no deployed model {id_!r}; it has: {there}")


def with_(endpoint: Endpoint, deployed: DeployedModel) -> Endpoint:
    """Return an endpoint with a deployed model in the place of the one with its id."""
    return replace(
        endpoint, deployed=tuple(deployed if one.id == deployed.id else one for one in endpoint.deployed)
    )


def without(endpoint: Endpoint, id_: str, traffic: Mapping[str, int]) -> Endpoint:
    """Return an endpoint without a deployed model, with this traffic."""
    return replace(
        endpoint, deployed=tuple(one for one in endpoint.deployed if one.id != id_), traffic=traffic
    )


def _ready(endpoint: Endpoint) -> list[str]:
    return [one.id for one in endpoint.deployed if one.state == "READY"]
