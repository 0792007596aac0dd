"""The work on artifacts: copying them for a new version, and deleting those of versions that are gone.

It may be interrupted at any point and is then done again from its beginning: an artifact is put under a key
of the operation, so that a half of one is written over, and belongs to nobody until the version is added.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from trivet.control.models import refuse_taken
from trivet.control.operations import CANCELLED, Kind, Operations, failure_of
from trivet.core.errors import ServingError
from trivet.core.resources import Artifact, ModelVersion, Name, Operation

if TYPE_CHECKING:
    from trivet.catalog import Catalog, Transaction
    from trivet.control.artifacts import ArtifactStore


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
        kinds["copyModel"] = Kind(work=self.copy, cancel=self.cancel)
        kinds["deleteModel"] = kinds["deleteModelVersion"] = Kind(work=self.sweep)

    def upload(self, operation: Operation) -> None:
        """Copy the artifact, find out what it is, and add the version."""
        request = operation.request
        source = request["document"].get("artifactUri") or ""
        framework = request["framework"]

        def fetch() -> Artifact | None:
            nonlocal framework
            if not source:
                return None
            artifact = self.store.put(source, operation.name.id, link=request["link"])
            framework = self._framework(artifact, framework)
            return artifact

        def described(tx: "Transaction") -> dict[str, Any]:
            return {
                "display_name": request["displayName"],
                "labels": request["labels"],
                "aliases": tuple(request["aliases"]),
                "document": request["document"],
                "framework": framework,
            }

        self._add(operation, fetch, described)

    def _framework(self, artifact: Artifact, named: str) -> str:
        """Return the runtime for an artifact; raises what tells that there is none, by its source's name."""
        from trivet.serving.lifecycle import find

        path = self.store.path(artifact)
        try:
            return find(path, named)[0]
        except ServingError as error:
            raise type(error)(str(error).replace(str(path), artifact.source)) from None

    def copy(self, operation: Operation) -> None:
        """Copy another version, with its artifact."""
        name = Name.parse(operation.request["source"], "models")

        def fetch() -> Artifact | None:
            with self.catalog.reading() as tx:
                original = tx.version(name).artifact
            return self.store.duplicate(original, operation.name.id) if original else None

        def described(tx: "Transaction") -> dict[str, Any]:
            version = tx.version(name)
            return {
                "display_name": version.display_name,
                "labels": version.labels,
                "document": version.document,
                "framework": version.framework,
            }

        self._add(operation, fetch, described)

    def _add(
        self,
        operation: Operation,
        fetch: Callable[[], Artifact | None],
        described: Callable[["Transaction"], dict[str, Any]],
    ) -> None:
        """Fetch an artifact and add the version that it is for; or have neither, and the failure."""
        artifact: Artifact | None = None
        try:
            if not operation.request.get("cancelled"):
                artifact = fetch()
            with self.catalog.transaction() as tx:
                current = tx.operation(operation.name)
                if current.done and current.failure is None:
                    return  # another has done it meanwhile
                if not current.done and not current.request.get("cancelled"):
                    version = self._version(tx, current, artifact, described(tx))
                    response = {"model": str(version.name), "modelVersionId": version.version}
                    self.operations.end(tx, current, response)
                    return
            failure = CANCELLED
        except (OSError, ServingError) as error:
            failure = failure_of(error)
        self.store.delete(
            operation.name.id
        )  # before it has failed, so that a crash leaves it to be done again
        with self.catalog.transaction() as tx:
            self.operations.fail(tx, tx.operation(operation.name), failure)

    def _version(
        self, tx: "Transaction", operation: Operation, artifact: Artifact | None, described: dict[str, Any]
    ) -> ModelVersion:
        name = Name.parse(operation.target, "models")
        if operation.request["first"]:
            refuse_taken(tx, name)
        else:
            tx.version(name)  # it may have been deleted meanwhile
        now = datetime.now(UTC)
        version = ModelVersion(
            name=name,
            version="",
            created=now,
            updated=now,
            model_created=now,
            artifact=artifact,
            **described,
        )
        return tx.add_version(version)

    def cancel(self, tx: "Transaction", operation: Operation) -> None:
        """Ask the work to end in vain; it looks when it has copied."""
        tx.put_operation(replace(operation, request={**operation.request, "cancelled": True}))

    def sweep(self, operation: Operation) -> None:
        """Delete the artifacts of versions that are gone."""
        for key in operation.request["keys"]:
            self.store.delete(key)
        with self.catalog.transaction() as tx:
            self.operations.end(tx, tx.operation(operation.name), {})
