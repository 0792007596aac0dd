"""Models and their versions: what may be uploaded, copied, changed and deleted.

The artifacts are `uploads`'."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from trivet.control import choice, images
from trivet.control.containers import OWN
from trivet.control.fields import aliases, check_id, display_name, labels, masked, merged, text
from trivet.control.listing import select
from trivet.control.operations import Begun, Operations
from trivet.control.options import check_replicas, options
from trivet.core.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from trivet.core.resources import Document, Location, ModelVersion, Name, Operation, Page, Query

if TYPE_CHECKING:
    from trivet.catalog import Catalog, Transaction

_KEPT_ELSEWHERE = (
    "name",
    "versionId",
    "displayName",
    "labels",
    "versionAliases",
    "etag",
    "createTime",
    "updateTime",
    "versionCreateTime",
    "versionUpdateTime",
    "deployedModels",
    "supportedDeploymentResourcesTypes",
    "supportedInputStorageFormats",
    "supportedOutputStorageFormats",
    "supportedExportFormats",
)
_MUTABLE = ("displayName", "description", "labels", "versionDescription", "trivet")


@dataclass(frozen=True, slots=True)
class Ids:
    """What a version is to be of: a new model, of this id or a made one, or the model `parent`."""

    model: str = ""
    parent: str = ""


@dataclass(frozen=True, slots=True)
class Models:
    """The calls that concern models."""

    catalog: "Catalog"
    operations: Operations

    def upload(
        self, parent: Location, document: Document, ids: "Ids", *, attended: bool, api: str
    ) -> Operation:
        """Begin an upload of what is sound so far."""
        checked = {
            "displayName": display_name(document, "model"),
            "labels": labels(document, "model"),
            "aliases": list(aliases(document.get("versionAliases") or (), "model.versionAliases")),
            "document": {key: value for key, value in document.items() if key not in _KEPT_ELSEWHERE},
            "framework": choice.framework(document),
        }
        if checked["framework"] == OWN:
            images.require(self.operations.settings.containers)
        source = text(document, "artifactUri", "model")
        if source and not source.startswith("/") and "://" not in source:
            # It would be relative to wherever the server was started.
            raise InvalidArgument(f"model.artifactUri: expected an absolute path or URI; got {source!r}")
        check_replicas({"trivet": document.get("trivet")}, "model", self.operations.settings.max_replicas)
        for field in ("description", "versionDescription"):
            text(document, field, "model")
        with self.catalog.transaction() as tx:
            name, first = self._name(tx, parent, ids)
            by = {"attended": self.operations.settings.node} if attended else {}
            request = {**checked, "first": first, **by}
            operation = self.operations.begin(tx, Begun("uploadModel", name, api, request=request))
        self.operations.nudge()
        return operation

    def copy(
        self, parent: Location, source: Name, *, model_id: str, parent_model: str, api: str
    ) -> Operation:
        """Copy a version. It shares the artifact, which is immutable."""
        now = datetime.now(UTC)
        with self.catalog.transaction() as tx:
            version = tx.version(source)
            name, _ = self._name(tx, parent, Ids(model_id, parent_model))
            copy = replace(
                version, name=name, version="", aliases=(), created=now, updated=now, model_created=now
            )
            response = {"model": str(name), "modelVersionId": tx.add_version(copy).version}
            return self.operations.begin(tx, Begun("copyModel", name, api, response=response))

    def _name(self, tx: "Transaction", parent: Location, ids: "Ids") -> tuple[Name, bool]:
        """Return what is uploaded to, and whether that is a model of its own."""
        model_id, parent_model = ids.model, ids.parent
        if parent_model:
            if model_id:
                raise InvalidArgument("modelId: a version of parentModel has its id; leave out one of them")
            name = Name.parse(parent_model, "models").at("")
            if name.parent != parent:
                raise InvalidArgument(f"parentModel: {name} is not in {parent}")
            tx.version(name)
            return name, False
        if not model_id:
            return parent.child("models", tx.new_id()), True
        name = parent.child("models", check_id(model_id, "modelId"))
        refuse_taken(tx, name)
        return name, True

    def get(self, name: Name) -> ModelVersion:
        """Return a version."""
        with self.catalog.reading() as tx:
            return tx.version(name)

    def page(self, parent: Location, query: Query) -> Page[ModelVersion]:
        """Return the default versions."""
        with self.catalog.reading() as tx:
            return tx.models(parent, query)

    def versions(self, name: Name, query: Query) -> Page[ModelVersion]:
        """Return the versions of a model."""
        with self.catalog.reading() as tx:
            return select(tx.versions(name.at("")), query)

    def update(self, name: Name, changes: Mapping[str, Any], mask: Sequence[str]) -> ModelVersion:
        """Change a version's own fields."""
        paths = masked(changes, mask, _MUTABLE, "model")
        with self.catalog.transaction() as tx:
            old = tx.version(name)
            document = merged(
                old.document, changes, [p for p in paths if p.partition(".")[0] not in _KEPT_ELSEWHERE]
            )
            for field in ("description", "versionDescription"):
                text(document, field, "model")
            check_replicas(document, "model", self.operations.settings.max_replicas)
            if options(document, "model").framework != options(old.document, "model").framework:
                raise InvalidArgument(
                    "model.trivet.framework: it cannot be changed; upload a version with it"
                )
            new = replace(old, document=document, etag=changes.get("etag") or old.etag)
            if "displayName" in paths:
                new = replace(new, display_name=display_name(changes, "model"))
            if any(path.partition(".")[0] == "labels" for path in paths):
                told = merged({"labels": old.labels}, changes, [p for p in paths if p.startswith("labels")])
                new = replace(new, labels=labels(told, "model"))
            updated = old if new == old else tx.put_version(new)
            shown = new.display_name != old.display_name and bool(tx.deployments_of(old.name, old.version))
            if shown:
                tx.bump()  # predictions give it as modelDisplayName
        if shown:
            self.operations.nudge()
        return updated

    def merge_aliases(self, name: Name, given: Sequence[str]) -> ModelVersion:
        """Give aliases to a version, and take those away that begin with a `-`."""
        added = aliases([one for one in given if not one.startswith("-")], "versionAliases")
        taken = aliases([one[1:] for one in given if one.startswith("-")], "versionAliases")
        if both := set(added) & set(taken):
            raise InvalidArgument(f"versionAliases: {', '.join(sorted(both))}: both given and taken away")
        if "default" in taken:
            raise InvalidArgument("versionAliases: default cannot be taken away; give it to another version")
        with self.catalog.transaction() as tx:
            old = tx.version(name)
            kept = [alias for alias in old.aliases if alias not in taken]
            merged_ = tuple(dict.fromkeys((*kept, *added)))
            return old if merged_ == old.aliases else tx.name_version(old.name, old.version, merged_)

    def delete(self, name: Name, *, api: str) -> Operation:
        """Delete a model; its artifacts go when no machine serves them any more."""
        if name.version:
            raise InvalidArgument(f"{name}: a model is deleted whole; delete one version by :deleteVersion")
        with self.catalog.transaction() as tx:
            versions = tx.versions(name)
            _refuse_used(tx, name)
            tx.delete_model(name)
            operation = self._sweep(tx, "deleteModel", name, versions, api)
        self.operations.nudge()
        return operation

    def delete_version(self, name: Name, *, api: str) -> Operation:
        """Delete a version; its artifact goes when no machine serves it any more."""
        if not name.version:
            raise InvalidArgument(f"{name}: expected a version, as in {name}@1")
        with self.catalog.transaction() as tx:
            version = tx.version(name)
            if len(tx.versions(version.name)) == 1:
                raise FailedPrecondition(f"{name} is the only version of its model; delete the model instead")
            if "default" in version.aliases:
                raise FailedPrecondition(
                    f"{name} is the default version; give the alias default to another version first"
                )
            _refuse_used(tx, version.name, version.version)
            tx.delete_version(version.name, version.version)
            operation = self._sweep(tx, "deleteModelVersion", name, [version], api)
        self.operations.nudge()
        return operation

    def _sweep(
        self, tx: "Transaction", kind: str, name: Name, versions: Sequence[ModelVersion], api: str
    ) -> Operation:
        artifacts = [asdict(copy) for one in versions for copy in one.copies]
        return self.operations.begin(
            tx, Begun(kind, name, api, request={"artifacts": artifacts}, revision=tx.revision())
        )


def refuse_taken(tx: "Transaction", name: Name) -> None:
    """Raise AlreadyExists where there is a model of that name."""
    try:
        tx.version(name)
    except NotFound:
        return
    raise AlreadyExists(f"{name} exists; upload a version of it with parentModel, or choose another modelId")


def _refuse_used(tx: "Transaction", name: Name, version: str = "") -> None:
    if jobs := tx.batch_jobs_using(name, version):
        listed = ", ".join(f'"{job}"' for job in jobs[:10])
        raise FailedPrecondition(
            f'The Model "{name.at(version)}" is used by batch prediction jobs that have not ended: '
            f"[{listed}]. Cancel them first"
        )
    if used := tx.deployments_of(name, version):
        endpoints = ", ".join(dict.fromkeys(f'"{endpoint}"' for endpoint, _ in used))
        raise FailedPrecondition(
            f'The Model "{name.at(version)}" is deployed or being deployed at the following Endpoint(s): '
            f"[{endpoints}]. Undeploy it first"
        )
