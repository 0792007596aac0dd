"""The control plane: every call that reads or changes models, endpoints, deployments, pools and operations.

A call changes the catalog in one transaction and returns; what takes longer is an operation, whose state is
in the catalog too, so that nothing is lost by a crash at any point. Two things go on with operations: `run`
copies and deletes artifacts, and `applied` is told how far each machine serves what is wished. All of it is
synchronous and may be called by any thread.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trivet.control.deployments import Deployments
from trivet.control.endpoints import Endpoints
from trivet.control.jobs import BatchJobs, Discard
from trivet.control.models import Ids, Models
from trivet.control.operations import Operations
from trivet.control.pools import Pools
from trivet.control.settings import ControlSettings
from trivet.control.stages import Stages
from trivet.control.uploads import Uploads
from trivet.control.wishes import wish
from trivet.core.batch import BatchPredictionJob
from trivet.core.resources import (
    DeployedModel,
    Document,
    Endpoint,
    Failure,
    Location,
    ModelVersion,
    Name,
    Operation,
    Page,
    Pool,
    Query,
)
from trivet.serving.wish import Wish

if TYPE_CHECKING:
    from trivet.catalog import Catalog
    from trivet.control.artifacts import ArtifactStore

__all__ = ["ControlPlane", "ControlSettings"]


class ControlPlane:
    """The rules. Whoever asks is a protocol; `nudge` is called when operations, jobs or wishes have changed,
    `discard` for a job that is deleted: it removes what the job has left besides its output.

    Everything raises NotFound for a name that is not there, InvalidArgument for a request that is wrong by
    itself and FailedPrecondition for one that the state of things forbids. `changes` and documents are the
    resource's JSON: camelCase, enums by name, whole numbers as such. Masks are dotted paths, camelCase or
    snake_case; an empty one (or `*`) means every field in `changes` that may be changed. A non-empty `etag`
    in a document is checked: Aborted where it is not the present one, which only an update of such fields
    changes: not a deployment, nor an alias that moves. An operation is not done where nothing
    says otherwise; its `api` is that of the call.
    """

    def __init__(
        self,
        catalog: "Catalog",
        store: "ArtifactStore",
        settings: ControlSettings,
        nudge: Callable[[], None] = lambda: None,
        discard: Discard | None = None,
    ) -> None:
        self._catalog = catalog
        self._store = store
        self.settings = settings
        self._operations = Operations(catalog, settings, nudge)
        self._models = Models(catalog, self._operations)
        self._endpoints = Endpoints(catalog, self._operations, settings)
        self._deployments = Deployments(catalog, self._operations)
        self._pools = Pools(catalog, self._operations)
        self._jobs = BatchJobs(catalog, self._operations, discard)
        self._jobs.register()
        Uploads(catalog, store, self._operations).register()
        Stages(self._operations).register()

    # models

    def upload_model(
        self,
        parent: Location,
        document: Document,
        *,
        model_id: str = "",
        parent_model: str = "",
        attended: bool = False,
        api: str = "v1",
    ) -> Operation:
        """Begin to copy an artifact; then a model, or the next version of `parent_model`, exists.

        `document` is a Model with displayName, artifactUri, containerSpec, labels, versionAliases... and
        `trivet` (see `control.options`). The operation's kind is `uploadModel`, its response
        `{"model": NAME, "modelVersionId": "1"}`. One that is `attended` is carried out by the caller alone,
        and cancelled where that is gone.
        Raises AlreadyExists for a `model_id` in use, FailedPrecondition for an image that has no runtime.
        """
        ids = Ids(model_id, parent_model)
        return self._models.upload(parent, document, ids, attended=attended, api=api)

    def copy_model(
        self, parent: Location, source: Name, *, model_id: str = "", parent_model: str = "", api: str = "v1"
    ) -> Operation:
        """Copy a model version, the default one where the name has none.

        Kind `copyModel`, done, response as for an upload.
        """
        return self._models.copy(parent, source, model_id=model_id, parent_model=parent_model, api=api)

    def model(self, name: Name) -> ModelVersion:
        """Return a version by its number or alias, or the default one."""
        return self._models.get(name)

    def models(self, parent: Location, query: Query) -> Page[ModelVersion]:
        """Return the default version of each model."""
        return self._models.page(parent, query)

    def versions(self, name: Name, query: Query) -> Page[ModelVersion]:
        """Return the versions of a model, newest last."""
        return self._models.versions(name, query)

    def update_model(self, name: Name, changes: Mapping[str, Any], mask: Sequence[str]) -> ModelVersion:
        """Change displayName, description, labels, versionDescription or trivet of a version.

        What `trivet` says holds for deployments made from then on.
        """
        return self._models.update(name, changes, mask)

    def merge_aliases(self, name: Name, aliases: Sequence[str]) -> ModelVersion:
        """Give a version these aliases, taking them from the others; `-x` takes it from this one.

        `default` can be given, never taken away.
        """
        return self._models.merge_aliases(name, aliases)

    def delete_model(self, name: Name, *, api: str = "v1") -> Operation:
        """Delete a model with all its versions. FailedPrecondition where one is deployed."""
        return self._models.delete(name, api=api)

    def delete_version(self, name: Name, *, api: str = "v1") -> Operation:
        """Delete one version: a named one, not deployed, not the default. Kind `deleteModelVersion`."""
        return self._models.delete_version(name, api=api)

    # endpoints

    def create_endpoint(
        self, parent: Location, document: Document, *, endpoint_id: str = "", api: str = "v1"
    ) -> Operation:
        """Create an endpoint. Kind `createEndpoint`, done, response `{"name": NAME}`."""
        return self._endpoints.create(parent, document, endpoint_id=endpoint_id, api=api)

    def endpoint(self, name: Name) -> Endpoint:
        """Return an endpoint with those of its deployed models that are ready.

        Its document has `dedicatedEndpointEnabled` and `dedicatedEndpointDns` as they are now.
        """
        return self._endpoints.get(name)

    def endpoints(self, parent: Location, query: Query) -> Page[Endpoint]:
        """Return endpoints, as `endpoint` does."""
        return self._endpoints.page(parent, query)

    def update_endpoint(
        self, name: Name, changes: Mapping[str, Any], mask: Sequence[str]
    ) -> tuple[Endpoint, int]:
        """Change displayName, description, labels, trafficSplit or the configs for logging and connections.

        Returns the endpoint and the revision after which it is served so (see `reached`), or 0.
        """
        return self._endpoints.update(name, changes, mask)

    def update_endpoint_later(
        self, name: Name, changes: Mapping[str, Any], mask: Sequence[str] = (), *, api: str = "v1"
    ) -> Operation:
        """The same as an operation (`POST endpoints/E:update`): kind `updateEndpoint`, `{"name": NAME}`."""
        return self._endpoints.update_later(name, changes, mask, api=api)

    def delete_endpoint(self, name: Name, *, force: bool = False, api: str = "v1") -> Operation:
        """Delete an endpoint; one with deployed models only by force. Kind `deleteEndpoint`."""
        return self._endpoints.delete(name, force=force, api=api)

    # deployed models

    def deploy(
        self, endpoint: Name, deployed: Document, split: Mapping[str, int] | None, *, api: str = "v1"
    ) -> Operation:
        """Begin to load a model at an endpoint; once every machine has it, give it its share of the traffic.

        `deployed` is a DeployedModel with at least `model`; in the `split`, "0" is the new one. Without a
        split the first model gets 100 and others 0. Where the endpoint's traffic changed meanwhile, the
        shares of the others are those of then, scaled to what this split leaves them. minReplicaCount 0 is
        taken, and counts as 1 until scale to zero exists. Kind `deployModel`, response
        `{"deployedModel": {"id": ID}}`; a model that cannot be loaded fails it, and nothing has changed.
        """
        return self._deployments.deploy(endpoint, deployed, split, api=api)

    def undeploy(
        self, endpoint: Name, id_: str, split: Mapping[str, int] | None = None, *, api: str = "v1"
    ) -> Operation:
        """Take a deployed model away: the last, one without traffic, or one to which the split gives none.

        Raises FailedPrecondition where it has a share and there is no split. Kind `undeployModel`, response
        `{}`.
        """
        return self._deployments.undeploy(endpoint, id_, split, api=api)

    def mutate_deployed(
        self, endpoint: Name, deployed: Document, mask: Sequence[str], *, api: str = "v1"
    ) -> Operation:
        """Change replica counts, autoscaling, container logging or `trivet` of the deployed model `id`.

        Kind `mutateDeployedModel`, response `{"deployedModel": {"id": ID}}`.
        """
        return self._deployments.mutate(endpoint, deployed, mask, api=api)

    # pools

    def create_pool(self, parent: Location, id_: str, document: Document, *, api: str = "v1") -> Operation:
        """Create a deployment resource pool. Kind `createDeploymentResourcePool`, done, `{"name": NAME}`."""
        return self._pools.create(parent, id_, document, api=api)

    def pool(self, name: Name) -> Pool:
        """Return a pool."""
        return self._pools.get(name)

    def pools(self, parent: Location, query: Query) -> Page[Pool]:
        """Return pools."""
        return self._pools.page(parent, query)

    def update_pool(
        self, name: Name, changes: Mapping[str, Any], mask: Sequence[str], *, api: str = "v1"
    ) -> Operation:
        """Change the replica counts or autoscaling of a pool. Kind `updateDeploymentResourcePool`."""
        return self._pools.update(name, changes, mask, api=api)

    def delete_pool(self, name: Name, *, api: str = "v1") -> Operation:
        """Delete a pool that nothing is deployed in. Kind `deleteDeploymentResourcePool`, done."""
        return self._pools.delete(name, api=api)

    def deployed_in(self, pool: Name, query: Query) -> Page[tuple[Name, DeployedModel]]:
        """Return what is deployed in a pool, each with its endpoint."""
        return self._pools.deployed_in(pool, query)

    # batch prediction jobs

    def create_batch_job(
        self, parent: Location, document: Document, *, job_id: str = "", owner: str = ""
    ) -> BatchPredictionJob:
        """Ask for a job; whoever runs jobs begins it (see `waiting_batch_jobs`).

        `document` is a BatchPredictionJob, perhaps with `trivet` (see `control.job_documents`). The same id
        with the same document is the same job; AlreadyExists for another document. An `owner` will run it
        itself, and is left alone with it as long as it is heard of.
        """
        return self._jobs.create(parent, document, job_id=job_id, owner=owner)

    def batch_job(self, name: Name) -> BatchPredictionJob:
        """Return a job as it is now."""
        return self._jobs.get(name)

    def batch_jobs(self, parent: Location, query: Query) -> Page[BatchPredictionJob]:
        """Return jobs."""
        return self._jobs.page(parent, query)

    def cancel_batch_job(self, name: Name) -> BatchPredictionJob:
        """Have a job end: at once where nobody has begun it, otherwise when its runner hears of it.

        Nothing happens to one that has ended.
        """
        return self._jobs.cancel(name)

    def resume_batch_job(self, name: Name, *, owner: str = "") -> BatchPredictionJob:
        """Have a job go on that failed, with the shards that are not done; or take over one that was left."""
        return self._jobs.resume(name, owner=owner)

    def delete_batch_job(self, name: Name, *, api: str = "v1") -> Operation:
        """Forget a job that has ended; its output stays. Kind `deleteBatchPredictionJob`, response `{}`."""
        return self._jobs.delete(name, api=api)

    def waiting_batch_jobs(self) -> list[Name]:
        """Return the jobs that nobody has and somebody should run, the oldest first.

        One that is CANCELLING only has to be cleaned up.
        """
        return self._jobs.waiting()

    # operations

    def operation(self, name: Name) -> Operation:
        """Return an operation as it is now."""
        return self._operations.get(name)

    def operations(self, parent: Location, query: Query) -> Page[Operation]:
        """Return operations, done ones too."""
        return self._operations.page(parent, query)

    def cancel_operation(self, name: Name) -> None:
        """Make an upload, copy or deploy fail with CANCELLED if it is still in time; others go on."""
        self._operations.cancel(name)

    def delete_operation(self, name: Name) -> None:
        """Forget an operation that is done."""
        self._operations.delete(name)

    # what the process around it does

    def recover(self) -> None:
        """At start: say that this machine serves nothing yet. Operations go on by themselves."""
        self._operations.recover()

    def pending(self) -> list[Name]:
        """Return the operations that have artifacts to copy or delete here."""
        return self._operations.pending()

    def take_over(self) -> list[Name]:
        """Make operations this machine's own that others have left, with work to do; return these alone."""
        return self._operations.take_over()

    def run(self, operation: Name) -> None:
        """Carry one of those out; done twice, or by two threads at once, it is as if done once.

        Raises nothing for what the operation can fail of.
        """
        self._operations.run(operation)

    def revision(self) -> int:
        """Return the newest revision of the wish: cheap, for the process's main loop."""
        return self._catalog.revision()

    def frameworks(self) -> Sequence[str]:
        """Return the frameworks of all models that there are."""
        with self._catalog.reading() as tx:
            return tx.frameworks()

    def wish(self) -> Wish:
        """Return what is to be served, as of the newest revision."""
        return wish(self._catalog, self._store, self.settings)

    def applied(self, revision: int, failures: Mapping[str, Failure]) -> None:
        """Hear that this machine serves the wish of a revision, but for these deployed models, by id.

        Goes on with the operations that waited for it. Call it for every wish applied, and every few seconds
        in between: it is also the sign of life that other machines wait for.
        """
        self._operations.applied(revision, failures)

    def reached(self, revision: int) -> bool:
        """Say whether every machine that is alive serves that revision, or a later one."""
        return self._operations.reached(revision)
