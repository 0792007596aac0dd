"""Enters into an empty catalog what is served already, where models come from settings (`trivet serve`)."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from trivet.control.options import to_serve_as
from trivet.control.settings import ControlSettings
from trivet.core.resources import DeployedModel, Endpoint, ModelVersion, Name
from trivet.serving.lifecycle import ModelSpec
from trivet.serving.wish import Wish

if TYPE_CHECKING:
    from trivet.catalog import Catalog
    from trivet.control.artifacts import ArtifactStore


def seed(catalog: "Catalog", store: "ArtifactStore", settings: ControlSettings, wish: Wish) -> None:
    """Add a model version for each that is served, and an endpoint for each address, if it is empty.

    A version that is no number gets one, and its own name as an alias.
    """
    now = datetime.now(UTC)
    with catalog.transaction() as tx:
        if tx.revision():
            return
        specs = {spec.id: spec for spec in wish.models}
        versions: dict[str, ModelVersion] = {}
        for spec in sorted(wish.models, key=_age):
            versions[spec.id] = tx.add_version(
                ModelVersion(
                    name=_model(spec, settings),
                    version=spec.ref.version if spec.ref.version.isdigit() else "",
                    display_name=spec.ref.name,
                    created=now,
                    updated=now,
                    model_created=now,
                    aliases=() if spec.ref.version.isdigit() else (spec.ref.version,),
                    document={"artifactUri": str(spec.path)},
                    artifact=store.link(spec.path) if _has_files(spec.path) else None,
                    framework=spec.framework,
                )
            )
        for address in wish.addresses:
            deployed = tuple(_deployed(specs[id_], versions[id_], now) for id_ in address.versions.values())
            tx.add_endpoint(
                Endpoint(
                    name=settings.parent.child("endpoints", address.names[0]),
                    display_name=address.names[0],
                    created=now,
                    updated=now,
                    traffic=address.split,
                    deployed=deployed,
                )
            )
        tx.bump()


def _deployed(spec: ModelSpec, version: ModelVersion, now: datetime) -> DeployedModel:
    return DeployedModel(
        id=spec.id,
        model=version.name,
        version=version.version,
        display_name=version.display_name,
        created=now,
        document={"trivet": to_serve_as(spec)},
        state="READY",
    )


def _model(spec: ModelSpec, settings: ControlSettings) -> Name:
    return settings.parent.child("models", spec.ref.name)


def _has_files(path: Path) -> bool:
    return path != Path() and path.exists()


def _age(spec: ModelSpec) -> tuple[int, str]:
    version = spec.ref.version
    return (int(version), "") if version.isdigit() else (0, version)
