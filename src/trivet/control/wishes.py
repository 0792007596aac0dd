"""The wish: what every machine is to serve, derived from the catalog alone."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from trivet.control.choice import default_output, to_load
from trivet.control.containers import OWN, At, container_spec
from trivet.control.options import Options, duration, options, replicas
from trivet.control.settings import ControlSettings
from trivet.core.containers import ContainerSpec
from trivet.core.errors import ServingError
from trivet.core.names import ModelRef
from trivet.core.resources import DeployedModel, Document, Endpoint, ModelVersion, Name
from trivet.serving.lifecycle import ModelSpec
from trivet.serving.wish import Address, Wish

if TYPE_CHECKING:
    from trivet.catalog import Catalog, Transaction
    from trivet.control.artifacts import ArtifactStore

log = logging.getLogger("trivet")


def wish(catalog: "Catalog", store: "ArtifactStore", settings: ControlSettings) -> Wish:
    """Return everything to serve: models ready or being loaded, and addresses over the ready ones.

    Fetches artifacts that are not on this machine yet.
    """
    models: list[tuple[ModelSpec, ModelVersion, At]] = []
    addresses: list[Address] = []
    with catalog.reading() as tx:
        revision = tx.revision()
        reader = _Reader(tx, settings)
        for endpoint in tx.all_endpoints():
            for deployed in endpoint.deployed:
                try:
                    models.append(reader.spec(endpoint, deployed))
                except ServingError as error:  # of one, and the rest must be served anyway
                    log.error("%s: deployed model %s: %s", endpoint.name, deployed.id, error)
            if any(deployed.state == "READY" for deployed in endpoint.deployed):
                addresses.append(_address(endpoint, settings))
    located = [
        replace(spec, path=_path(store, version), container=_container(store, version, settings, at))
        for spec, version, at in models
    ]
    return Wish(revision, tuple(located), tuple(addresses))


def _path(store: "ArtifactStore", version: ModelVersion) -> Path:
    artifact = version.artifact
    if artifact is None:
        return Path()
    try:
        return to_load(version.document, store.path(artifact))
    except ServingError as error:
        log.error("%s", error)
        return Path(artifact.key)  # there is nothing: whoever loads it says so of this model alone


def _container(
    store: "ArtifactStore", version: ModelVersion, settings: ControlSettings, at: At
) -> ContainerSpec | None:
    try:
        return container_spec(version, store, settings.containers, at)
    except ServingError as error:
        log.error("%s: %s", version.name, error)
        return ContainerSpec(folder=Path(version.copies[-1].key))  # as above


class _Reader:
    """Reads what a deployment refers to, each thing once."""

    def __init__(self, tx: "Transaction", settings: ControlSettings) -> None:
        self.tx = tx
        self.settings = settings
        self.versions = dict(tx.deployed_versions())  # one by one they would take seconds for a thousand
        self.pools: dict[str, Document] = {}

    def spec(self, endpoint: Endpoint, deployed: DeployedModel) -> tuple[ModelSpec, ModelVersion, At]:
        """Return how to serve a deployed model, but for where its files are, and where it is."""
        version = self.version(deployed.model.at(deployed.version))
        said = options(deployed.document, "deployedModel")
        limits = self.settings.limits
        if version.framework == OWN:  # which gets requests as their callers made them
            limits = replace(limits, max_rows=1)
        if timeout := endpoint.document.get("clientConnectionConfig", {}).get("inferenceTimeout"):
            limits = replace(limits, timeout=duration(timeout, "inferenceTimeout"))
        spec = ModelSpec(
            ref=ModelRef(deployed.model.id, deployed.version),
            path=Path(),
            framework=version.framework,
            output=said.output or default_output(version.document),
            placement=said.placement or self.settings.placement,
            replicas=self.replicas(deployed, said),
            limits=said.limits(limits),
            id=deployed.id,
            model=str(deployed.model),
            display_name=version.display_name,
        )
        at = At(endpoint.name.project, endpoint.name.id, deployed.id, self.machine(deployed))
        return spec, version, at

    def version(self, name: Name) -> ModelVersion:
        if name not in self.versions:
            self.versions[name] = self.tx.version(name)
        return self.versions[name]

    def replicas(self, deployed: DeployedModel, said: Options) -> int:
        if said.replicas is not None:
            return said.replicas
        if not deployed.pool:
            return replicas(deployed.document, "deployedModel")
        return replicas(self.pool(deployed.pool), "deploymentResourcePool")

    def machine(self, deployed: DeployedModel) -> Document:
        """Return the machineSpec of a deployed model; empty where nothing has said one."""
        document = self.pool(deployed.pool) if deployed.pool else deployed.document
        machine: Document = (document.get("dedicatedResources") or {}).get("machineSpec") or {}
        return machine

    def pool(self, name: str) -> Document:
        if name not in self.pools:
            self.pools[name] = self.tx.pool(Name.parse(name, "deploymentResourcePools")).document
        return self.pools[name]


def _address(endpoint: Endpoint, settings: ControlSettings) -> Address:
    name = endpoint.name
    ready = [deployed for deployed in endpoint.deployed if deployed.state == "READY"]
    names = [f"{name.project}/{name.location}/{name.id}"]
    if name.parent == settings.parent:
        names.append(name.id)
    return Address(
        names=tuple(names),
        split=dict(endpoint.traffic),
        versions=_versions(ready, endpoint.traffic),
        flavour=flavour(endpoint.document, settings),
        anywhere=False,
    )


def _versions(ready: Iterable[DeployedModel], traffic: Mapping[str, int]) -> dict[str, str]:
    """Return a deployed model for each version: of several, the one with most traffic, or the newest."""
    by_weight = sorted(ready, key=lambda one: (traffic.get(one.id, 0), one.created))
    return {one.version: one.id for one in by_weight}


def flavour(document: Document, settings: ControlSettings) -> str:
    """Return what kind of endpoint a document describes: private (peered), dedicated or shared."""
    if document.get("network"):
        return "private"
    if (
        document.get("dedicatedEndpointEnabled")
        or document.get("privateServiceConnectConfig")
        or settings.all_dedicated
    ):
        return "dedicated"
    return "shared"
