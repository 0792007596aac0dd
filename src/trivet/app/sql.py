"""Opens what SQL works on: a catalog, a store of artifacts, and a control plane without a server."""

from dataclasses import dataclass
from pathlib import Path

from trivet.app import jobs, owners
from trivet.app.models import permissions_of
from trivet.catalog import Catalog
from trivet.control.artifacts import ArtifactStore
from trivet.control.plane import ControlPlane, ControlSettings
from trivet.serving.leases import Isolation, Leases
from trivet.settings import Settings
from trivet.sql.models import Models


@dataclass(frozen=True, slots=True)
class Place:
    """Where SQL is at home. `close` it when nothing is asked of it any more."""

    settings: Settings
    data: Path
    catalog: Catalog
    store: ArtifactStore
    control: ControlPlane
    leases: Leases
    models: Models

    def close(self) -> None:
        """Give up the models that are loaded, and the catalog's connections."""
        self.leases.close()
        self.catalog.close()


def place(settings: Settings, data: str | Path, *, isolate: Isolation = "auto") -> Place:
    """Open the catalog and the store that the settings name, by default those in the data folder.

    The folder is made where there is none. Raises FailedPrecondition and Unavailable where that cannot be.
    """
    folder = Path(data).absolute()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    opened = jobs.open_place(settings, folder, settings.catalog.url, settings.catalog.store)
    about = ControlSettings(
        node=owners.own(),
        project=settings.catalog.project,
        location=settings.catalog.location,
        limits=settings.batching,
        alive_within=10.0 if settings.catalog.url else 300.0,  # as those that serve have it
        serves=False,
        lives=owners.lives,
    )
    control = ControlPlane(opened.catalog, opened.store, about)
    leases = Leases(permissions_of(settings), isolate=isolate)
    models = Models(opened.catalog, control, opened.store, settings.catalog.location, leases)
    return Place(settings, folder, opened.catalog, opened.store, control, leases, models)
