"""What one front serves, and how it comes to serve something else while requests go on."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from trivet.app.messages import (
    Remote,
    Serving,
)
from trivet.core.errors import ServingError, model_error
from trivet.runtimes.base import Permissions
from trivet.serving.container_replicas import ContainerReplicas
from trivet.serving.lifecycle import LoadedModel, ModelSpec, load
from trivet.serving.plane import DataPlane, DeployedModel, Route, local_replica
from trivet.serving.process_replicas import ProcessReplicas
from trivet.serving.replica import FAULTS, Replica
from trivet.serving.wish import Address
from trivet.telemetry import SECONDS

_LOOKS_EVERY = 0.1


@dataclass
class CannotLoad(Exception):
    """A model that the front was to load itself cannot be."""

    spec: ModelSpec
    reason: ServingError


class Deployments:
    """The deployed models of one front, by their ids. `loaded` are those it was forked with.

    `loading` is told of each model that the front is about to load itself.
    """

    def __init__(
        self,
        loaded: Mapping[str, LoadedModel],
        plane: DataPlane,
        permissions: Permissions,
        loading: Callable[[ModelSpec], None] = lambda spec: None,
    ) -> None:
        self._loaded = loaded
        self._plane = plane
        self._permissions = permissions
        self._loading = loading
        self._deployed: dict[str, DeployedModel] = {}
        self._where: dict[str, Remote | LoadedModel] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    def become(self, serving: Serving) -> None:
        """Serve this and nothing else, from the next request on; those under way are still answered.

        Raises CannotLoad, having changed nothing.
        """
        wanted = self._wanted(serving)
        before = self._deployed
        self._deployed = {
            id_: before[id_] if self._where.get(id_) == where else self._open(where)
            for id_, where in wanted.items()
        }
        self._where = wanted
        self._plane.routes = self._routes(serving.addresses)
        for id_, one in before.items():
            if self._deployed.get(id_) is not one:
                task = asyncio.get_running_loop().create_task(self._leave(one))
                self._leaving.add(task)
                task.add_done_callback(self._leaving.discard)

    def close(self) -> None:
        """Start nothing more, and answer whoever still waits."""
        for task in self._leaving:
            task.cancel()
        for one in self._deployed.values():
            one.close()

    async def _leave(self, one: DeployedModel) -> None:
        """Close a deployed model when all its requests are answered, and forget what was measured of it."""
        # a signal would cost every request, and this little
        while not one.is_idle:  # noqa: ASYNC110
            await asyncio.sleep(_LOOKS_EVERY)
        one.close()
        if one.id not in self._deployed:
            without = "" if "deployed_model" in one.labels else "deployed_model"
            self._plane.metrics.forget(one.labels, without=without)

    def _wanted(self, serving: Serving) -> "dict[str, Remote | LoadedModel]":
        """Return where each model runs that is to be served, by its id."""
        wanted: dict[str, Remote | LoadedModel] = {id_: self._loaded[id_] for id_ in serving.here}
        wanted |= {one.info.spec.id: one for one in serving.remote}
        for spec in serving.own:
            there = self._where.get(spec.id)
            if isinstance(there, LoadedModel) and there.info.spec == spec:
                wanted[spec.id] = there
                continue
            self._loading(spec)
            try:
                wanted[spec.id] = load(spec, self._permissions)
            except FAULTS as error:
                raise CannotLoad(spec, model_error(error)) from error
        return wanted

    def _open(self, where: "Remote | LoadedModel") -> DeployedModel:
        info = where.info
        replicas: Sequence[Replica]
        passes = None
        if isinstance(where, LoadedModel):
            replicas = [local_replica(where)]
        elif info.spec.container is not None:
            passes = ContainerReplicas(where.paths, info.spec.container, idempotent=info.traits.idempotent)
            replicas = [passes]
        else:
            # a slow model's requests wait here, where limits hold exactly; a quick one must not be kept idle
            replicas = [
                ProcessReplicas(
                    where.paths,
                    name=str(info.spec.ref),
                    idempotent=info.traits.idempotent,
                    each=info.slots + info.quick,
                    lanes=info.slots,
                )
            ]
        one = DeployedModel(info, replicas, self._plane.metrics, passes)
        self._plane.metrics.histogram(
            "trivet_load_duration_seconds",
            "From the artifact to a predictor that is warmed up.",
            SECONDS,
            **one.labels,
        ).observe(info.load_seconds)
        return one

    def _routes(self, addresses: Sequence[Address]) -> dict[str, Route]:
        routes = {}
        for address in addresses:
            here = {*address.split, *address.versions.values()}
            deployed = {id_: self._deployed[id_] for id_ in here}
            split = {id_: share for id_, share in address.split.items() if share}
            for name in address.names:
                routes[name] = Route(name, split, deployed, address.versions, address.anywhere, address.lost)
        return routes
