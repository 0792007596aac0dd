"""What the container of a model version is run with: as it was uploaded, for where it is deployed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from trivet.control import container_fields, images, machines
from trivet.control.settings import OwnContainers
from trivet.core.containers import ContainerSpec
from trivet.core.resources import Artifact, Document, ModelVersion

if TYPE_CHECKING:
    from trivet.control.artifacts import ArtifactStore

OWN = "container"
"""The runtime of versions that have a container of their own."""

BUCKET = "gs://trivet-models"
"""The bucket that containers see the files of models in that are from none."""


@dataclass(frozen=True, slots=True)
class At:
    """Where a container is run: for which deployed model at which endpoint, and on which `machineSpec`.

    Jobs and SQL run it for none.
    """

    project: str = ""
    endpoint: str = "0"
    deployed: str = "0"
    machine: Mapping[str, Any] = field(default_factory=dict)

    @property
    def variables(self) -> Mapping[str, str]:
        """Return the variables that the container is told this by."""
        told = {"AIP_PROJECT_NUMBER": self.project}
        if self.endpoint != "0":
            told |= {
                "AIP_ENDPOINT_ID": self.endpoint,
                "AIP_DEPLOYED_MODEL_ID": self.deployed,
                "AIP_MODEL_NAME": self.endpoint,
                "AIP_VERSION_NAME": self.deployed,
                "AIP_MACHINE_TYPE": str(self.machine.get("machineType") or ""),
                "AIP_ACCELERATOR_TYPE": str(self.machine.get("acceleratorType") or ""),
            }
        return {name: value for name, value in told.items() if value}


def container_spec(
    version: ModelVersion, store: "ArtifactStore", settings: OwnContainers, at: At | None = None
) -> ContainerSpec | None:
    """Return what a version's container is run with; None for a version of any other runtime.

    The folder of its application is fetched first if it is not on this machine. Raises FailedPrecondition
    where that is gone.
    """
    if version.framework != OWN:
        return None
    spec = container_fields.read(version.document.get("containerSpec") or {})
    folder = None
    if version.image is None:  # its files are the application
        folder = store.path(version.artifact) if version.artifact else Path()
    elif version.image.folder is not None:
        folder = store.path(version.image.folder)
    spec = replace(
        spec,
        image=version.image.id if version.image else "",
        folder=folder,
        name=f"{version.name.id}@{version.version}",
        artifact_uri=_uri(version.artifact, store) if version.image else "",
    )
    return ready(spec, settings, at or At(version.name.project))


def unmanaged_spec(
    document: Document, settings: OwnContainers, fetch: Callable[[str], Path], artifact_uri: str
) -> ContainerSpec:
    """Return what the container of a model is run with that is in no catalog.

    `fetch` returns the local folder for the location of an application. Raises PermissionDenied,
    InvalidArgument, NotFound and FailedPrecondition as an upload of it would.
    """
    images.require(settings)
    spec = container_fields.read(document["containerSpec"])
    if source := images.folder(spec.image, settings.images):
        folder = fetch(source)
        images.check_folder(folder, spec.image, spec)
        spec = replace(spec, image="", folder=folder)
    else:
        spec = replace(spec, image=images.named(spec, settings).id)
    name = PurePosixPath(artifact_uri.rstrip("/")).name
    uri = artifact_uri if artifact_uri.startswith("gs://") or not artifact_uri else f"{BUCKET}/{name}"
    return ready(replace(spec, artifact_uri=uri), settings, At())


def ready(spec: ContainerSpec, settings: OwnContainers, at: At) -> ContainerSpec:
    """Return a spec with all that its model leaves open; routes are as Vertex makes them at a deployment."""
    route = f"/v1/endpoints/{at.endpoint}/deployedModels/{at.deployed}"
    limits = machines.resources(at.machine, limited=settings.limited)
    return replace(
        spec,
        predict_route=spec.predict_route or ("" if spec.invoke_prefix else f"{route}:predict"),
        health_route=spec.health_route or route,
        start_timeout=spec.start_timeout or settings.start_timeout,
        resources=replace(limits, shared_memory=spec.resources.shared_memory),
        concurrency=settings.concurrency,
        timeout=settings.timeout,
        engine=settings.engine,
        cache=settings.cache,
        about=tuple(at.variables.items()),
    )


def _uri(artifact: Artifact | None, store: "ArtifactStore") -> str:
    """Return the `gs://` folder in which a container sees an artifact's files; empty for none."""
    if artifact is None:
        return ""
    source = artifact.source.rstrip("/")
    if not source.startswith("gs://"):
        return f"{BUCKET}/{artifact.digest}"
    above, _, last = source.rpartition("/")
    return above if source.count("/") > 2 and (store.path(artifact) / last).is_file() else source
