"""The models that statements name: those that CREATE MODEL has made, and those registered otherwise.

Names are the catalog's; what they stand for are versions of Trivet's models, made and deleted through the
control plane, so that whatever serves models can serve these.
"""

from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from trivet.control.fields import labels
from trivet.control.plane import ControlPlane
from trivet.core.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ServingError,
    Unimplemented,
)
from trivet.core.resources import ModelVersion, Name
from trivet.serving.leases import Leases
from trivet.serving.lifecycle import ModelSpec
from trivet.serving.remote_call import endpoint_url
from trivet.sql import kept
from trivet.sql.creation import Creation, Uploads
from trivet.sql.model import REMOTE, SqlModel
from trivet.sql.names import DatasetName, ObjectName, dataset_name
from trivet.sql.versions import Versions
from trivet.storage.targets import Target

if TYPE_CHECKING:
    from trivet.catalog import Catalog
    from trivet.control.artifacts import ArtifactStore

ALTERABLE = ("description", "labels", "expires", "friendly_name", "vertex_ai_model_id")


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the catalog said last: its stamp, the number of changes, and when the next model expires."""

    stamp: int | None = None
    revision: int = -1
    expires: datetime | None = None


class Models:
    """The models of a catalog, in a location. May be used by several threads.

    Everything raises NotFound `Not found: Model p:ds.m` for a name that stands for nothing.
    """

    def __init__(
        self, catalog: "Catalog", control: ControlPlane, store: "ArtifactStore", location: str, leases: Leases
    ) -> None:
        self._catalog = catalog
        self._control = control
        self._location = location
        self._versions = Versions(control, store, location, leases)
        self._uploads = Uploads(catalog, control, location)
        self._seen = _Seen()

    def __repr__(self) -> str:
        return f"<Models in {self._catalog!r}>"

    # what names stand for

    def named(self, parts: Sequence[str], project: str, dataset: str = "") -> SqlModel:
        """Return the model of a name in one to three parts, as a connection with these defaults means it.

        A name alone is the default dataset's, or else that of a registered model (see `registered`). Raises
        InvalidArgument for a name that there cannot be.
        """
        if len(parts) == 1:
            if dataset:
                with suppress(NotFound, InvalidArgument):
                    return self.find(dataset_name(project, dataset).child(parts[0]))
            try:
                return self.registered(parts[0], project)
            except (NotFound, InvalidArgument):
                if not dataset:
                    raise
            raise _missing(dataset_name(project, dataset).child(parts[0]))
        if len(parts) not in (2, 3):
            raise InvalidArgument(f"model {'.'.join(parts)!r}: expected PROJECT.DATASET.NAME")
        *before, of, name = parts
        return self.find(dataset_name(before[0] if before else project, of).child(name))

    def find(self, name: ObjectName) -> SqlModel:
        """Return the model of a full name."""
        with self._catalog.reading() as tx:
            return kept.of(tx.sql_model(name.project, name.dataset, name.name))

    def exists(self, name: ObjectName) -> bool:
        """Whether a model has this name."""
        try:
            self.find(name)
        except NotFound:
            return False
        return True

    def registered(self, text: str, project: str) -> SqlModel:
        """Return a model of Trivet's by its id, `fraud`, with a version's number or alias, `fraud@champion`,
        or by its full name. It is loaded when it is first asked for, to know its columns.

        What an alias stands for is looked up each time.
        """
        return self._versions.registered(text, project)

    def version(self, text: str, project: str) -> ModelVersion:
        """Return the version of a registered model that a text names; raises NotFound, InvalidArgument."""
        return self._versions.version(text, project)

    def list(self, dataset: DatasetName) -> Sequence[SqlModel]:
        """Return the models of a dataset, in the order of their names."""
        with self._catalog.reading() as tx:
            return [kept.of(one) for one in tx.sql_models(dataset.project, dataset.dataset)]

    def of_project(self, project: str) -> Sequence[SqlModel]:
        """Return the models of all datasets of a project, in the order of their names."""
        with self._catalog.reading() as tx:
            return [kept.of(one) for one in tx.sql_models(project)]

    def revision(self) -> Hashable:
        """Return what is another value whenever a name may mean another model: part of a plan's key."""
        seen, stamp = self._seen, self._catalog.stamp()
        over = seen.expires is not None and seen.expires <= datetime.now(UTC)
        if stamp is None or stamp != seen.stamp or over:
            with self._catalog.reading() as tx:
                seen = self._seen = _Seen(stamp, tx.sql_revision(), tx.next_sql_expiry())
        return seen.revision, seen.expires

    def spec(self, model: SqlModel) -> ModelSpec:
        """Return what is loaded for a model: its version, as an endpoint would serve it by default.

        Raises FailedPrecondition where the version is gone, and InvalidArgument for a remote model.
        """
        return self._versions.known_spec(model)

    def check_endpoint(self, text: str, project: str) -> None:
        """Raise InvalidArgument where a text names no endpoint, NotFound where it names none of ours.

        Another server is not asked.
        """
        url = endpoint_url(text, "http://here", project, self._location)
        if "://" not in text:
            name = Name.parse(url.removeprefix("http://here/v1/"), "endpoints")
            try:
                self._control.endpoint(name)
            except NotFound:
                raise NotFound(f"Not found: Endpoint {name}") from None

    # what makes and changes them

    def create(self, asked: Creation) -> SqlModel:
        """Make a model: copy its files, load it once to know its columns, and name it.

        Where it is not sound, nothing has changed. Raises AlreadyExists where the name is taken and not to be
        replaced, and whatever loading the model raises.
        """
        self._sweep()
        before = self._before(asked)
        if asked.type == REMOTE:
            assert asked.remote is not None
            made = SqlModel(
                asked.name, REMOTE, asked.inputs or (), asked.outputs or (), owned=False, remote=asked.remote
            )
            return self._named(asked, made, before)
        if not asked.path:
            version = self.version(asked.model, asked.name.project)
            return self._named(asked, self._versions.described(asked, version, owned=False), before)
        upload = self._uploads.upload(asked, before)
        try:
            made = self._versions.described(asked, upload.version, owned=upload.owned)
            return self._named(asked, made, before)
        except BaseException:
            with suppress(ServingError):
                self._uploads.undo(upload)
            raise

    def drop(self, name: ObjectName) -> SqlModel:
        """Delete a name, with the versions that it has made; return what it stood for.

        Raises FailedPrecondition where the model is deployed, or a batch job or another name uses it.
        """
        model = self.find(name)
        self._delete_versions(model)
        with self._catalog.transaction() as tx:
            tx.delete_sql_model(name.project, name.dataset, name.name)
        self._versions.forget(model)
        return model

    def alter(self, name: ObjectName, changes: Mapping[str, Any], etag: str = "") -> SqlModel:
        """Change what is said about a model: see `ALTERABLE`; None takes away. Return it as it is now.

        `vertex_ai_model_id` gives its version to a registered model of that id. Raises InvalidArgument for
        values that cannot be, and Aborted where an etag is given that is not the present one.
        """
        if other := [key for key in changes if key not in ALTERABLE]:
            raise Unimplemented(f"{', '.join(other)}: cannot be changed; what can: {', '.join(ALTERABLE)}")
        model = changed = self.find(name)
        if etag and etag != model.etag:
            raise Aborted(f"Model {name}: has been changed since; its etag is {model.etag!r}, not {etag!r}")
        if "description" in changes:
            changed = replace(changed, description=changes["description"] or "")
        if "labels" in changes:
            changed = replace(changed, labels=labels({"labels": changes["labels"]}, "model"))
        if "expires" in changes:
            changed = replace(changed, expires=_future(changes["expires"]))
        if "friendly_name" in changes:
            options_ = {**model.options, "friendly_name": changes["friendly_name"]}
            changed = replace(changed, options={k: v for k, v in options_.items() if v is not None})
        if id_ := changes.get("vertex_ai_model_id"):
            changed = self._moved(changed, id_)
        with self._catalog.transaction() as tx:
            stored = tx.put_sql_model(kept.row(changed, datetime.now(UTC)))
        if not _same(model, changed):
            with suppress(ServingError):
                self._delete_versions(model)
        return kept.of(stored)

    def export(self, model: SqlModel, target: Target) -> Sequence[str]:
        """Write the files that a model was imported from into a folder; return their names, sorted.

        Raises FailedPrecondition where the folder has files, or the model none; InvalidArgument for a remote
        model.
        """
        return self._versions.export(model, target)

    # how

    def _before(self, asked: Creation) -> SqlModel | None:
        try:
            before = self.find(asked.name)
        except NotFound:
            return None
        if not asked.replace:
            raise AlreadyExists(f"Already Exists: Model {asked.name}")
        return before

    def _named(self, asked: Creation, made: SqlModel, before: SqlModel | None) -> SqlModel:
        """Have a name stand for what was made, in one step with its version's becoming the default one."""
        model = replace(
            made,
            options=asked.options,
            description=asked.description,
            labels=asked.labels,
            expires=_future(asked.expires),
        )
        now = datetime.now(UTC)
        with self._catalog.transaction() as tx:
            if asked.path:
                version = Name.parse(model.model, "models")
                aliases = {*tx.version(version).aliases, "default"}
                tx.name_version(version.at(""), version.version, aliases)
            row = kept.row(model, now)
            if before is None:
                stored = tx.add_sql_model(row)
            else:
                created = tx.sql_model(row.project, row.dataset, row.id).created
                stored = tx.put_sql_model(replace(row, created=created, etag=before.etag))
        if before is not None and not _same(before, model):
            with suppress(ServingError):  # who uses it keeps it, as a registered model
                self._delete_versions(before)
        return kept.of(stored)

    def _moved(self, model: SqlModel, id_: str) -> SqlModel:
        """Return a model whose version is that of a registered model with this id."""
        if not model.model:
            raise InvalidArgument(f"Model {model.name}: a remote model cannot have a vertex_ai_model_id")
        name = Name.parse(model.model, "models")
        if name.id == id_:
            return model
        copy = self._uploads.copy(name, id_)
        return replace(model, model=str(copy.version.name.at(copy.version.version)), owned=copy.owned)

    def _delete_versions(self, model: SqlModel) -> None:
        """Delete what a name has made; raises FailedPrecondition where it is used otherwise."""
        if not model.owned:
            return
        name = Name.parse(model.model, "models").at("")
        with self._catalog.reading() as tx:
            names = tx.sql_models_of(name)
        if others := [str(one) for one in names if str(one) != str(model.name)]:
            raise FailedPrecondition(
                f"Model {model.name}: {', '.join(others)} stands for the same model; drop that first"
            )
        self._uploads.delete(name)

    def _sweep(self) -> None:
        """Delete what has expired; what is in use stays, under the name of its registered model.

        What other processes have left is cleared away, too.
        """
        self._uploads.tidy()
        with self._catalog.reading() as tx:
            expired = tx.expired_sql_models()
        for one in expired:
            model = kept.of(one)
            with suppress(ServingError):
                self._delete_versions(model)
            with self._catalog.transaction() as tx, suppress(NotFound):
                tx.delete_sql_model(one.project, one.dataset, one.id)


def _missing(name: ObjectName) -> NotFound:
    return NotFound(f"Not found: Model {name}")


def _same(one: SqlModel, other: SqlModel) -> bool:
    return one.model.partition("@")[0] == other.model.partition("@")[0]


def _future(expires: datetime | None) -> datetime | None:
    if expires is not None and expires <= datetime.now(UTC):
        raise InvalidArgument(f"expiration_timestamp: expected a time to come; got {expires.isoformat()}")
    return expires
