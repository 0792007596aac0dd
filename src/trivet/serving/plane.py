"""The data plane: every online prediction, whatever its protocol, goes through `DataPlane.submit`."""

import asyncio
import random
from bisect import bisect_left
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from trivet.codecs.json_body import BodyDecoder, BodyLimits
from trivet.core.errors import Code, NotFound, ServingError, Unavailable
from trivet.core.instances import Instances
from trivet.core.names import ModelRef
from trivet.core.signature import Parameters
from trivet.core.traffic import choose
from trivet.serving.batching import Answer, Pending
from trivet.serving.container_replicas import ContainerReplicas
from trivet.serving.lifecycle import LoadedModel, ModelInfo, ModelSpec
from trivet.serving.replica import Awaited, InlineReplica, Replica, ThreadReplica
from trivet.serving.replica_set import ReplicaSet
from trivet.serving.running import BatchMetrics
from trivet.telemetry import ROWS, SECONDS, Counter, Histogram, Metrics

_canonical = msgspec.json.Encoder(order="sorted").encode  # equal for equal JSON, and not for 1 and 1.0

REJECTED = {
    Code.RESOURCE_EXHAUSTED: "queue_full",
    Code.DEADLINE_EXCEEDED: "deadline",
    Code.UNAVAILABLE: "unavailable",
    Code.CANCELLED: "caller_left",
}

_TOLD = 20
"""Names of models in one message."""


class DeployedModel:
    """A model behind its queue, with what is measured of it. `replicas` are what predicts for it.

    The model is a container of its own where `passes` takes requests that are passed on to it as they are.
    """

    def __init__(
        self,
        model: ModelInfo,
        replicas: Sequence[Replica],
        metrics: Metrics,
        passes: ContainerReplicas | None = None,
    ) -> None:
        self.model = model
        self.ref = model.spec.ref
        self.id = model.spec.id
        self.labels = labels_of(model.spec)
        self.passes = passes
        self.replicas = ReplicaSet(
            replicas, model.spec.limits, batch_metrics(metrics, self.labels), warm_up=model.warm_up
        )
        metrics.gauge(
            "trivet_queue_rows",
            "Rows waiting for a replica.",
            lambda: self.replicas.queue.rows,
            **self.labels,
        )
        metrics.gauge(
            "trivet_in_flight_requests",
            "Requests waiting or being predicted.",
            lambda: len(self.replicas.queue) + self.replicas.running + self._passing,
            **self.labels,
        )
        self.timeout = model.spec.limits.timeout
        self._decoders: dict[BodyLimits, BodyDecoder] = {}
        self._metrics = metrics
        self._seconds = metrics.histogram(
            "trivet_request_duration_seconds",
            "From the request's last byte to its answer.",
            SECONDS,
            **self.labels,
        )
        self._codes: dict[str, Counter] = {}
        self._ok = self._count("OK")

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits for an answer."""
        return not (self.replicas.queue.rows or self.replicas.running or self._passing)

    @property
    def _passing(self) -> int:
        return 0 if self.passes is None else self.passes.passing

    def submit(  # noqa: PLR0913, PLR0917 - called for every request, and keywords cost
        self,
        instances: Instances,
        parameters: Parameters,
        shapes: Hashable,
        now: float,
        timeout: float | None,
        done: Callable[[Pending, Answer], None],
        caller: Any,
    ) -> Pending:
        """Queue a request; `done` is called once, in the event loop, with its answer.

        Only requests of equal `shapes` are predicted together. `timeout` in seconds from `now`, the
        monotonic clock, shortens the model's own; None leaves it. Raises ResourceExhausted or Unavailable.
        """
        limit = self.timeout
        deadline = now + (limit if timeout is None or timeout > limit else timeout)
        group = shapes if parameters is self.model.defaults else (shapes, _canonical(parameters))
        pending = Pending(instances, parameters, group, now, deadline, done, caller)
        self.replicas.submit(pending)
        return pending

    def decoder(self, limits: BodyLimits) -> BodyDecoder:
        """Return what reads the bodies of its requests; one for all addresses."""
        if limits not in self._decoders:
            raw = self.passes is not None
            self._decoders[limits] = BodyDecoder(self.model.signature, limits, raw=raw)
        return self._decoders[limits]

    def served(self, pending: Pending) -> None:
        """Count a request that got its predictions, and how long it took."""
        self._ok.value += 1
        seconds, histogram = self.replicas.now - pending.arrived, self._seconds
        histogram.counts[bisect_left(histogram.bounds, seconds)] += 1  # `observe`, without the call
        histogram.total += seconds

    def passed(self, code: str, seconds: float) -> None:
        """Count a request that was passed on, and how long it took to its answer's head."""
        self._count(code).add()
        if code == "OK":
            self._seconds.observe(seconds)

    def refuse(self, error: ServingError) -> None:
        """Count a request that got no prediction."""
        self._count(error.code.name).add()
        if reason := REJECTED.get(error.code):
            self._metrics.counter(
                "trivet_rejected_requests_total",
                "Requests refused because of load or time, by reason.",
                **self.labels,
                reason=reason,
            ).add()

    def close(self) -> None:
        """Answer whoever still waits with UNAVAILABLE, and start nothing more."""
        self.replicas.close()
        self.replicas.give_up()

    def _count(self, code: str) -> Counter:
        if code not in self._codes:
            self._codes[code] = self._metrics.counter(
                "trivet_requests_total", "Requests by canonical code.", **self.labels, code=code
            )
        return self._codes[code]


def labels_of(spec: ModelSpec) -> dict[str, str]:
    """Return what distinguishes the metrics of a deployed model."""
    name, version = spec.ref.name, spec.ref.version
    labels = {"model": name, "version": version}
    return labels if spec.id == f"{name}-{version}" else {**labels, "deployed_model": spec.id}


def batch_metrics(metrics: Metrics, labels: Mapping[str, str], prefix: str = "trivet") -> BatchMetrics:
    """Return what is measured of the batches of one deployed model."""

    def seconds(name: str, help_: str) -> Histogram:
        return metrics.histogram(f"{prefix}_{name}_duration_seconds", help_, SECONDS, **labels)

    return BatchMetrics(
        queue_seconds=seconds("queue", "The wait for a replica of the oldest request of a batch."),
        predict_seconds=seconds("predict", "A batch in the model."),
        rows=metrics.histogram(f"{prefix}_batch_rows", "Rows predicted together.", ROWS, **labels),
    )


def local_replica(model: LoadedModel) -> Replica:
    """Return what runs a model in this process, in its event loop or beside it."""
    if model.info.placement.where == "thread" or isinstance(model.predictor, Awaited):
        loop = asyncio.get_running_loop()
        return ThreadReplica(model.predictor, loop, str(model.info.spec.ref), model.info.slots)
    return InlineReplica(model.predictor)


@dataclass(frozen=True, slots=True)
class Route:
    """An address as the hot path sees it: shares of 100 by deployed model, and what answers for each.

    `deployed` holds those without traffic as well, and `versions` names them by their model's version.
    A plain name is that of an endpoint of any project and location if it is found `anywhere`. One that is
    `lost` has no split, since what it shares the requests among could not be loaded.
    """

    name: str
    split: Mapping[str, int]
    deployed: Mapping[str, DeployedModel]
    versions: Mapping[str, str]
    anywhere: bool = True
    lost: bool = False

    def check(self) -> None:
        """Raise Unavailable where nothing can be chosen now, and that is to change."""
        if self.lost:
            raise Unavailable(
                f"what is deployed at {self.name} could not be started, or not yet; the server's log says why"
            )

    def choose(self) -> str:
        """Pick the deployed model that answers a request, by the traffic split."""
        return choose(self.split, random.random())


@dataclass
class DataPlane:
    """All routes of this process. The table is replaced whole, never edited."""

    metrics: Metrics
    routes: Mapping[str, Route] = field(default_factory=dict)
    ready: bool = False
    draining: bool = False

    def route(self, name: str) -> Route:
        """Return a route; raises NotFound, or Unavailable while models are being loaded."""
        route = self.routes.get(name)
        if route is None:
            self._check_ready()
            raise NotFound(f"model {name!r} is not served here; served: {self._plain_names()}")
        return route

    def endpoint(self, project: str, location: str, name: str) -> Route:
        """Return an endpoint's route; raises as `route` does."""
        plain = self.routes.get(name)
        route = self.routes.get(f"{project}/{location}/{name}") or (
            plain if plain is not None and plain.anywhere else None
        )
        if route is None:
            self._check_ready()
            full = f"projects/{project}/locations/{location}/endpoints/{name}"
            raise NotFound(f"nothing is deployed at {full[:300]}, or there is no such endpoint")
        return route

    def deployed(self, ref: ModelRef) -> DeployedModel:
        """Return one version of a model; raises as `route` does."""
        route = self.route(ref.name)
        if ref.version not in route.versions:
            known = ", ".join(sorted(route.versions))
            raise NotFound(f"model {ref.name!r} has no version {ref.version!r}; served: {known}")
        return route.deployed[route.versions[ref.version]]

    def _plain_names(self) -> str:
        """Return the names that `route` finds, for a message; those with slashes are of endpoints."""
        names = sorted(name for name in self.routes if "/" not in name)
        more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
        return ", ".join(names[:_TOLD]) + more or "none"

    def _check_ready(self) -> None:
        if not self.ready:
            raise Unavailable("models are being loaded; try again in a moment")
