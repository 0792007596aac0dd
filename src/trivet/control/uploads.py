"""The work on artifacts: copying them for a new version, and deleting those of versions that are gone.

It may be interrupted at any point and is then done again from its beginning. Versions with equal files share
an artifact: so it is deleted, and a version added, only in a transaction that has looked for the other.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from trivet.control import choice, container_fields, images
from trivet.control.containers import OWN
from trivet.control.models import refuse_taken
from trivet.control.operations import CANCELLED, Kind, Operations
from trivet.core.errors import Aborted, Cancelled, FailedPrecondition, NotFound, ServingError
from trivet.core.resources import Artifact, Document, Image, ModelVersion, Name, Operation
from trivet.serving.replica import FAULTS

if TYPE_CHECKING:
    from trivet.catalog import Catalog, Transaction
    from trivet.control.artifacts import ArtifactStore

_ATTEMPTS = 3
_KEYS = ("key", "imageKey")
"""Under which an operation's request notes what it copies: the artifact, and the folder of the container."""

_LOOKS_EVERY = 1.0
"""Seconds after which a copy that is under way looks whether it is still wanted."""


@dataclass(frozen=True, slots=True)
class Uploads:
    """Carries out the operations that concern artifacts."""

    catalog: "Catalog"
    store: "ArtifactStore"
    operations: Operations

    def register(self) -> None:
        """Tell the operations."""
        kinds = self.operations.kinds
        kinds["uploadModel"] = Kind(work=self.upload, cancel=self.cancel)
        kinds["deleteModel"] = kinds["deleteModelVersion"] = Kind(work=self.sweep)

    def upload(self, operation: Operation) -> None:
        """Copy the artifact, find out what it is, and add the version; or leave neither, and raise why."""
        if any(operation.request.get(key) for key in _KEYS):
            with self.catalog.transaction() as tx:
                self._discard(tx, operation)  # what an attempt has left that was interrupted
        try:
            if operation.request.get("attended", operation.owner) != operation.owner:
                raise Cancelled("whoever began the upload, and waited for it, is gone")
            for _ in range(_ATTEMPTS):  # it may be deleted with a version that had equal files
                source = operation.request["document"].get("artifactUri")
                artifact = (
                    self._copied(operation, self._add(operation, source), source, "key") if source else None
                )
                image = self._image(operation)
                framework = self._framework(artifact, operation.request)
                if framework is not None and self._added(operation, artifact, image, framework):
                    return
            raise Aborted(f"{operation.target}: models with equal files were being deleted; upload it again")
        except FAULTS:
            with self.catalog.transaction() as tx, suppress(NotFound):
                self._discard(tx, tx.operation(operation.name))
            raise

    def _add(self, operation: Operation, source: str) -> Callable[..., Artifact]:
        """Return what copies the files of a model, which may be those of an application."""
        own = choice.is_own(operation.request["document"])  # whose files they are, whatever they are
        unsaid = operation.request["framework"] in ("", OWN) and not own
        is_application = unsaid and self.store.has(source, images.BUILT_BY)
        return self.store.add_application if is_application else self.store.add

    def _copied(
        self, operation: Operation, add: Callable[..., Artifact], source: str, noted: str
    ) -> Artifact:
        """Have a method of the store copy a source, and note its key before in the request, as `noted`."""
        look = 0.0

        def progress(_copied: int, _size: int) -> None:
            nonlocal look
            if (now := monotonic()) >= look:
                look = now + _LOOKS_EVERY
                if self._is_over(operation):
                    raise Cancelled(CANCELLED.message)

        def known(key: str) -> None:
            """Note what is about to be there, so that it can be found again whatever happens."""
            with self.catalog.transaction() as tx:
                current = tx.operation(operation.name)
                if current.done:
                    raise Cancelled(CANCELLED.message)
                tx.put_operation(replace(current, request={**current.request, noted: key}))

        return add(source, progress, known)

    def _image(self, operation: Operation) -> Image | None:
        """Keep the image of a version with a container of its own; None for any other."""
        document = operation.request["document"]
        if not choice.is_own(document):
            return None
        settings = self.operations.settings.containers
        spec = container_fields.read(document["containerSpec"])
        source = images.folder(spec.image, settings.images)
        if not source:
            return images.named(spec, settings)
        try:
            copy = self._copied(operation, self.store.add_application, source, "imageKey")
        except ServingError as error:  # which folder stands for an image is the operator's to know
            raise type(error)(str(error).replace(source, spec.image)) from None
        images.check_folder(self.store.path(copy), spec.image, spec)
        return Image(folder=copy)

    def _is_over(self, operation: Operation) -> bool:
        """Whether somebody has ended an operation, on whichever machine."""
        try:
            with self.catalog.reading() as tx:
                return tx.operation(operation.name).done
        except NotFound:
            return True
        except ServingError:
            return False  # the database may be away for a while; it is asked again before the end

    def _framework(self, artifact: Artifact | None, request: Document) -> str | None:
        """Return the runtime of an artifact, None where that is gone again.

        Raises what says that it has none, by the name of its source.
        """
        if artifact is None:
            return str(request["framework"])
        path = Path()
        try:
            path = self.store.path(artifact)
            return choice.detected(request["document"], request["framework"], path)
        except ServingError as error:
            if not self._is_there(artifact):
                return None
            raise type(error)(str(error).replace(str(path), artifact.source)) from None

    def _added(
        self, operation: Operation, artifact: Artifact | None, image: Image | None, framework: str
    ) -> bool:
        """Add the version and end the operation; False where a copy is gone again."""
        copies = [copy for copy in (artifact, image.folder if image else None) if copy]
        with self.catalog.transaction() as tx:
            current = tx.operation(operation.name)
            if current.done:  # it was cancelled, or another has carried it out
                for copy in copies:
                    self._remove(tx, copy)
                return True
            if not all(map(self._is_there, copies)):
                return False
            version = _add(tx, current, artifact, image, framework)
            response = {"model": str(version.name), "modelVersionId": version.version}
            self.operations.end(tx, current, response)
        return True

    def _is_there(self, artifact: Artifact) -> bool:
        try:
            return self.store.path(artifact).exists()
        except FailedPrecondition:
            return False

    def _discard(self, tx: "Transaction", operation: Operation) -> None:
        """Delete what an operation has noted that it copied, unless a version has it."""
        for noted in _KEYS:
            if key := operation.request.get(noted):
                self._remove(tx, Artifact(key=key, source=operation.target, digest=key, size=0))

    def _remove(self, tx: "Transaction", artifact: Artifact) -> None:
        if not tx.artifact_is_used(artifact.key):
            self.store.remove(artifact)

    def cancel(self, tx: "Transaction", operation: Operation) -> None:
        """Fail an upload at once; who is copying finds that when it looks, and leaves nothing."""
        self._discard(tx, operation)
        self.operations.fail(tx, operation, CANCELLED)

    def sweep(self, operation: Operation) -> None:
        """Delete the artifacts of versions that are gone, unless another version has the same."""
        with self.catalog.transaction() as tx:
            for fields in operation.request["artifacts"]:
                self._remove(tx, Artifact(**fields))
            self.operations.end(tx, tx.operation(operation.name), {})


def _add(
    tx: "Transaction", operation: Operation, artifact: Artifact | None, image: Image | None, framework: str
) -> ModelVersion:
    name = Name.parse(operation.target, "models")
    request = operation.request
    if request["first"]:
        refuse_taken(tx, name)
    else:
        tx.version(name)  # it may have been deleted meanwhile
    now = datetime.now(UTC)
    return tx.add_version(
        ModelVersion(
            name=name,
            version="",
            display_name=request["displayName"],
            created=now,
            updated=now,
            model_created=now,
            labels=request["labels"],
            aliases=tuple(request["aliases"]),
            document=request["document"],
            artifact=artifact,
            framework=framework,
            image=image,
        )
    )
