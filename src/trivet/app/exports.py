"""What is to be exported to another platform, as the catalog has it: values for `platforms`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from trivet.app.jobs import Place
from trivet.control import container_fields
from trivet.control.choice import default_output
from trivet.control.containers import OWN
from trivet.control.options import options
from trivet.core.containers import ContainerSpec
from trivet.core.errors import FailedPrecondition, InvalidArgument, NotFound, PermissionDenied
from trivet.core.names import name_from
from trivet.core.resources import DeployedModel, Document, Endpoint, Location, ModelVersion, Name, Query
from trivet.platforms.base import Version
from trivet.runtimes.pickles import is_pickle
from trivet.serving.lifecycle import find

if TYPE_CHECKING:
    from trivet.catalog import Transaction

PREDICT, HEALTH = "/predict", "/health"
"""Routes of containers that name none: elsewhere nobody makes any."""


@dataclass(frozen=True, slots=True)
class Exported:
    """Versions with their shares of the traffic, and how they were deployed: 0 and empty where unsaid."""

    name: str
    versions: tuple[Version, ...]
    least: int = 0
    most: int = 0
    machine_type: str = ""
    gpus: int = 0


def of_model(place: Place, name: Name) -> Exported:
    """Return a version of a model, with all of the traffic; raises NotFound."""
    with place.catalog.reading() as tx:
        version = tx.version(name)
    return Exported(_called(version), (_version(place, version, {}),))


def of_endpoint(place: Place, home: Location, text: str) -> Exported:
    """Return what is deployed at an endpoint, by its split.

    It is named in full, or by its id, or by its display name where only one has that. Raises NotFound, and
    FailedPrecondition where nothing is deployed there.
    """
    with place.catalog.reading() as tx:
        endpoint = _endpoint(tx, home, text)
        found = [(one, tx.version(one.model.at(one.version))) for one in endpoint.deployed]
    if not found:
        raise FailedPrecondition(
            f"{endpoint.name.id}: nothing is deployed there, so there is nothing to export"
        )
    versions: dict[str, Version] = {}
    for deployed, version in found:
        share = endpoint.traffic.get(deployed.id, 0)
        ref = f"{version.name}@{version.version}"
        if ref in versions:  # deployed twice
            share += versions[ref].share
        versions[ref] = _version(place, version, deployed.document, share)
    resources = [_resources(deployed) for deployed, _ in found]
    machines = (one["machineSpec"] for one in resources if one.get("machineSpec"))
    machine: Mapping[str, Any] = next(machines, {})
    return Exported(
        name=_called(endpoint),
        versions=tuple(versions.values()),
        least=max(int(one.get("minReplicaCount") or 0) for one in resources),
        most=max(int(one.get("maxReplicaCount") or 0) for one in resources),
        machine_type=str(machine.get("machineType") or ""),
        gpus=int(machine.get("acceleratorCount") or 0),
    )


def _endpoint(tx: "Transaction", home: Location, text: str) -> Endpoint:
    try:
        return tx.endpoint(Name.parse(text if "/" in text else f"{home}/endpoints/{text}", "endpoints"))
    except (NotFound, InvalidArgument):
        quoted = text.replace("\\", "\\\\").replace('"', '\\"')
        named = tx.endpoints(home, Query(filter=f'display_name="{quoted}"')).items
        if len(named) != 1:
            raise
        return named[0]


def _called(one: ModelVersion | Endpoint) -> str:
    """Return the id of a resource, or a name made of its display name where the id is a number."""
    return name_from(one.display_name) if one.name.id.isdigit() else one.name.id


def _resources(deployed: DeployedModel) -> dict[str, Any]:
    document = deployed.document
    return dict(document.get("dedicatedResources") or document.get("automaticResources") or {})


def _version(place: Place, version: ModelVersion, deployed: Document, share: int = 100) -> Version:
    files = place.store.path(version.artifact) if version.artifact else None
    made = Version(name=_called(version), version=version.version, share=share, files=files)
    if version.framework == OWN:
        return _with_container(place, version, made)
    said = options(deployed, "deployedModel").over(options(version.document, "model"))
    return replace(
        made,
        framework=version.framework,
        named=said.framework is not None or files is None,
        output=said.output or default_output(version.document),
    )


def _with_container(place: Place, version: ModelVersion, made: Version) -> Version:
    spec = container_fields.read(version.document.get("containerSpec") or {})
    if version.image is None:  # its files are the application
        spec = replace(spec, image="", folder=made.files)
        made = replace(made, files=None)
    elif version.image.folder is not None:
        spec = replace(spec, image="", folder=place.store.path(version.image.folder))
    return replace(made, framework=OWN, container=routed(spec))


def refuse_pickles(versions: Sequence[Version]) -> None:
    """Raise PermissionDenied for a model that is a pickle, which the server there would not load unasked."""
    for one in versions:
        if one.files is None or one.container is not None:
            continue
        _, file = find(one.files, one.framework if one.named else "")
        if is_pickle(file):
            raise PermissionDenied(
                f"{file.name} of {one.name}@{one.version} is a pickle: loading it runs whatever code its "
                "author put in; --allow-pickle lets the server there load it"
            )


def routed(spec: ContainerSpec) -> ContainerSpec:
    """Return a spec with routes, where it names none."""
    return replace(
        spec,
        predict_route=spec.predict_route or ("" if spec.invoke_prefix else PREDICT),
        health_route=spec.health_route or HEALTH,
    )
