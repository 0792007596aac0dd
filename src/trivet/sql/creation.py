"""What CREATE MODEL asks for, and how the versions that it stands for come to be and go."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from trivet.control.plane import ControlPlane
from trivet.core import errors
from trivet.core.errors import (
    AlreadyExists,
    Code,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ServingError,
)
from trivet.core.resources import Document, Location, ModelVersion, Name, Operation
from trivet.core.signature import Signature
from trivet.sql.columns import packs
from trivet.sql.model import Remote, SqlModel
from trivet.sql.names import ObjectName
from trivet.sql.types import Field

if TYPE_CHECKING:
    from trivet.catalog import Catalog

_READ_FROM_FILE = frozenset(("TENSORFLOW", "ONNX"))
_ORIGIN = {"sourceType": "BQML"}
"""What Google's API says of a registered model that SQL has made."""

_ID_LENGTH = 63


@dataclass(frozen=True, slots=True)
class Creation:
    """A model to be made: of files at `path`, an absolute one or a URI; of the registered model `model`; or
    of what a `remote` endpoint answers.

    `inputs` and `outputs` are those of the clauses, None where there is none. `options` are all that were
    given, by their names in lower case. `model_id` is the id that the registered model is to have.
    """

    name: ObjectName
    type: str
    path: str = ""
    framework: str = ""
    model: str = ""
    remote: Remote | None = None
    inputs: tuple[Field, ...] | None = None
    outputs: tuple[Field, ...] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    description: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    expires: datetime | None = None
    model_id: str = ""
    aliases: tuple[str, ...] = ()
    replace: bool = False

    def check_clauses(self) -> None:
        """Raise InvalidArgument where the clauses are not allowed, whatever is in the files."""
        if self.type in _READ_FROM_FILE and self.outputs is not None:
            raise InvalidArgument(
                f"OUTPUT: a model of type {self.type} says itself what it gives; leave it out"
            )
        if self.type != "XGBOOST":
            return
        if (self.inputs is None) != (self.outputs is None):
            given, missing = ("OUTPUT", "INPUT") if self.inputs is None else ("INPUT", "OUTPUT")
            raise InvalidArgument(f"{given} without {missing}: an XGBoost model needs both, or neither")
        if self.outputs is not None and len(self.outputs) != 1:
            raise InvalidArgument(
                f"OUTPUT: an XGBoost model has one output; {len(self.outputs)} are declared"
            )

    def check(self, signature: Signature) -> None:
        """Raise InvalidArgument where the clauses do not suit what the files turned out to be."""
        if self.type in _READ_FROM_FILE and self.inputs is not None and not packs(signature, self.inputs):
            raise InvalidArgument(
                f"INPUT: a model of type {self.type} says itself what it takes; leave it out. (Only where it "
                "takes one row of numbers without names may INPUT give them names.)"
            )
        if self.type == "XGBOOST" and self.inputs is None and not _has_names(signature):
            raise InvalidArgument(
                "the XGBoost model holds no feature_names: name its inputs and its output, as in "
                "INPUT(f0 FLOAT64, ..) OUTPUT(predicted_label FLOAT64)"
            )


def _has_names(signature: Signature) -> bool:
    return bool(signature.inputs and signature.inputs[0].fields) or len(signature.inputs) > 1


@dataclass(frozen=True, slots=True)
class Upload:
    """A version that was uploaded: whether it is the first of a new model, and whether that is the name's."""

    version: ModelVersion
    first: bool
    owned: bool


@dataclass(frozen=True, slots=True)
class Uploads:
    """Makes and deletes versions of registered models, and waits until that is done."""

    catalog: "Catalog"
    control: ControlPlane
    location: str

    def upload(self, asked: Creation, before: SqlModel | None) -> Upload:
        """Copy the files of a model that is to be made; the version is not the default one yet.

        A version is added to the model that the name has made `before`, if it still is the one asked for.
        Raises AlreadyExists where the model's id is taken by another.
        """
        parent = Location(asked.name.project, self.location)
        id_ = asked.model_id or own_id(asked.name)
        first, owned = self._place(parent.child("models", id_), asked, before)
        options: dict[str, Any] = {"framework": asked.framework} if asked.framework else {}
        if "output" in asked.options:
            options["output"] = asked.options["output"]
        document: Document = {
            "displayName": str(asked.options.get("friendly_name") or _short(asked.name)),
            "artifactUri": asked.path,
            **({"description": asked.description} if asked.description else {}),
            "labels": dict(asked.labels),
            "versionAliases": list(asked.aliases),
            "modelSourceInfo": _ORIGIN,
            "trivet": options,
        }
        operation = self.control.upload_model(
            parent,
            document,
            model_id=id_ if first else "",
            parent_model="" if first else str(parent.child("models", id_)),
            attended=True,
        )
        done = self._done(operation)
        assert done.response is not None
        name = Name.parse(str(done.response["model"]), "models").at(str(done.response["modelVersionId"]))
        return Upload(self.control.model(name), first, owned)

    def undo(self, upload: Upload) -> None:
        """Delete what was uploaded."""
        name = upload.version.name
        if upload.first:
            self.delete(name)
        else:
            self.control.run(self.control.delete_version(name.at(upload.version.version)).name)

    def delete(self, name: Name) -> None:
        """Delete a model, if there is one; raises FailedPrecondition where it is in use."""
        try:
            operation = self.control.delete_model(name)
        except NotFound:
            return
        self.control.run(operation.name)

    def tidy(self) -> None:
        """Undo uploads, and finish deletions, that were broken off with their processes."""
        for name in self.control.take_over():
            self.control.run(name)

    def copy(self, source: Name, id_: str) -> Upload:
        """Give a version to a new model, which has this id, or add it to the one that has it."""
        parent = source.parent
        there = self._is_there(parent.child("models", id_))
        operation = self.control.copy_model(
            parent,
            source,
            model_id="" if there else id_,
            parent_model=str(parent.child("models", id_)) if there else "",
        )
        assert operation.response is not None
        version = str(operation.response["modelVersionId"])
        return Upload(self.control.model(parent.child("models", id_).at(version)), not there, not there)

    def _place(self, name: Name, asked: Creation, before: SqlModel | None) -> tuple[bool, bool]:
        """Return whether a model of this name is to be made, and whether it is then the asking name's."""
        if before is not None and before.model.partition("@")[0] == str(name):
            return not self._is_there(name), before.owned
        try:
            there = self.control.model(name)
        except NotFound:
            return True, True
        if asked.model_id:
            return False, False
        with self.catalog.reading() as tx:
            used = bool(tx.sql_models_of(name))
        if there.document.get("modelSourceInfo") == _ORIGIN and not used:
            return False, True  # a statement that was broken off has left it
        raise AlreadyExists(
            f"{name.id} is the id of a model that was registered otherwise: choose another for "
            f"{asked.name} with OPTIONS(vertex_ai_model_id='..')"
        )

    def _is_there(self, name: Name) -> bool:
        try:
            self.control.model(name)
        except NotFound:
            return False
        return True

    def _done(self, operation: Operation) -> Operation:
        self.control.run(operation.name)
        done = self.control.operation(operation.name)
        if not done.done:
            raise FailedPrecondition(f"{operation.name}: is still being carried out by another process")
        if done.failure is not None:
            raise _error(done.failure.code, done.failure.message)
        return done


def own_id(name: ObjectName) -> str:
    """Return the id of the model that a name makes: `ds-m`, made unique where letters had to be changed."""
    plain = f"{name.dataset}-{name.name}"
    id_ = "".join(one if one.isascii() and (one.isalnum() or one in "_-") else "-" for one in plain.lower())
    if id_ == plain and len(id_) <= _ID_LENGTH and id_[0].isalnum() and id_[-1].isalnum():
        return id_
    digest = blake2b(plain.encode(), digest_size=4).hexdigest()
    return f"{id_[: _ID_LENGTH - 9]}-{digest}".lstrip("_-")


def _short(name: ObjectName) -> str:
    return f"{name.dataset}.{name.name}"[:128]


_BY_CODE: Mapping[int, type[ServingError]] = {
    kind.code.value: kind for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, ServingError) and kind is not ServingError
}  # fmt: skip


def _error(code: int, message: str) -> ServingError:
    return _BY_CODE.get(code, _BY_CODE[Code.INTERNAL.value])(message)
