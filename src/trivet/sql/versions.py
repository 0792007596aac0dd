"""The versions of registered models that names stand for: found by a text, described, loaded and exported."""

import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from shutil import copyfileobj
from typing import TYPE_CHECKING

from trivet import storage
from trivet.control.choice import default_output, to_load
from trivet.control.containers import container_spec
from trivet.control.options import options
from trivet.control.plane import ControlPlane
from trivet.core.errors import FailedPrecondition, InvalidArgument, NotFound, ServingError
from trivet.core.names import ModelRef
from trivet.core.resources import Location, ModelVersion, Name
from trivet.serving.leases import Leases
from trivet.serving.lifecycle import ModelSpec
from trivet.sql.columns import Declared, described
from trivet.sql.creation import Creation
from trivet.sql.model import TRIVET, SqlModel
from trivet.sql.names import ObjectName
from trivet.storage.targets import Target

if TYPE_CHECKING:
    from trivet.control.artifacts import ArtifactStore


class Versions:
    """The registered models in a location. What was found out of a version is kept: it does not change."""

    def __init__(self, control: ControlPlane, store: "ArtifactStore", location: str, leases: Leases) -> None:
        self._control = control
        self._store = store
        self._location = location
        self._leases = leases
        self._registered: dict[str, SqlModel] = {}
        self._specs: dict[str, ModelSpec] = {}

    def version(self, text: str, project: str) -> ModelVersion:
        """Return the version that a text names, as `Models.registered` has it; raises NotFound."""
        full = text if text.startswith("projects/") else f"{Location(project, self._location)}/models/{text}"
        try:
            return self._control.model(Name.parse(full, "models"))
        except (NotFound, InvalidArgument):
            raise NotFound(f"Not found: Model {ObjectName(project, '', text)}") from None

    def registered(self, text: str, project: str) -> SqlModel:
        """Return the model that a text names."""
        version = self.version(text, project)
        full = str(version.name.at(version.version))
        known = self._registered.get(full)
        if known is None:
            asked = Creation(ObjectName(version.name.project, "", version.name.id), TRIVET)
            known = self._registered[full] = self.described(asked, version, owned=False)
        return replace(
            known,
            name=ObjectName(version.name.project, "", text),
            description=str(version.document.get("description") or ""),
            labels=version.labels,
            created=version.model_created,
            modified=version.updated,
            etag=version.etag,
        )

    def described(self, asked: Creation, version: ModelVersion, *, owned: bool) -> SqlModel:
        """Return the model that a version makes of what was asked for; it is loaded for that.

        Raises whatever loading it raises, and InvalidArgument where it contradicts the statement.
        """
        declared = Declared(asked.inputs, asked.outputs, asked.options)
        try:
            with self._leases.lease(self.spec(version)) as loaded:
                asked.check(loaded.info.signature)
                inputs, outputs, parameters = described(loaded, asked.type, declared)
        except ServingError as error:
            raise _of_source(error, version) from None
        full = str(version.name.at(version.version))
        return SqlModel(asked.name, asked.type, inputs, outputs, full, owned, parameters=parameters)

    def of(self, model: SqlModel) -> ModelVersion:
        """Return the version of a model; raises FailedPrecondition where it is gone."""
        if not model.model:
            raise InvalidArgument(f"Model {model.name}: is a remote model, of which there are no files here")
        try:
            return self._control.model(Name.parse(model.model, "models"))
        except NotFound:
            raise FailedPrecondition(
                f"Model {model.name}: {model.model}, which it stands for, was deleted; create it again"
            ) from None

    def known_spec(self, model: SqlModel) -> ModelSpec:
        """Return what is loaded for a model, without asking the catalog where that is known."""
        known = self._specs.get(model.model)
        if known is not None and _is_there(known):
            return known
        return self.spec(self.of(model))

    def spec(self, version: ModelVersion) -> ModelSpec:
        """Return what is loaded for a version, with the answers that an endpoint would give by default."""
        path = Path()
        if version.artifact is not None:
            path = to_load(version.document, self._store.path(version.artifact))
        spec = ModelSpec(
            ref=ModelRef(version.name.id, version.version),
            path=path,
            framework=version.framework,
            output=options(version.document, "model").output or default_output(version.document),
            model=str(version.name),
            display_name=version.display_name,
            container=container_spec(version, self._store, self._control.settings.containers),
        )
        self._specs[str(version.name.at(version.version))] = spec
        return spec

    def forget(self, model: SqlModel) -> None:
        """Let go of what is known of a version that is deleted."""
        self._specs.pop(model.model, None)
        self._registered.pop(model.model, None)

    def export(self, model: SqlModel, target: Target) -> Sequence[str]:
        """Write the files that a version was made of into a folder; return their names."""
        version = self.of(model)
        if version.artifact is None:
            raise FailedPrecondition(f"Model {model.name}: has no files to export")
        target.probe()
        if target.sizes():
            raise FailedPrecondition(f"{target.location}: expected an empty folder, or none yet")
        path = self._store.path(version.artifact)
        root = path if path.is_dir() else path.parent
        names = [one.name for one in storage.LocalFiles(path, version.artifact.source).files()]
        with ExitStack() as undo:
            for name in names:
                folder = target
                *folders, file = name.split("/")
                for part in folders:
                    folder = folder.at(part)
                _copy(root / name, folder, file)
                undo.callback(folder.remove, [file])
            undo.pop_all()
        return names


def _is_there(spec: ModelSpec) -> bool:
    folder = spec.container.folder if spec.container else None
    return spec.path.exists() and (folder is None or folder.exists())


def _of_source(error: ServingError, version: ModelVersion) -> ServingError:
    """Return an error with the names that its user knows the files by, instead of those of their copies."""
    said = str(error)
    for copy in version.copies:
        source = copy.source.rstrip("/").replace("\\", "\\\\")
        said = re.sub(rf"(?:[^\s'\"]*/)?{re.escape(copy.key)}", source, said)
    return error if said == str(error) else type(error)(said)


def _copy(source: Path, folder: Target, name: str) -> None:
    upload = folder.open(name)
    try:
        with source.open("rb") as file:
            copyfileobj(file, upload.file)
        upload.commit()
    finally:
        upload.discard()
