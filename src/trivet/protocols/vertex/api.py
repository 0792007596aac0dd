"""The control plane's part of Vertex AI's REST API: from a call to its reply.

The table below is the whole surface; each line names who answers. Those are functions that are run in a
thread, and this module waits for them, and for operations, in the event loop.
"""

import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from urllib.parse import urlsplit

from trivet.control.plane import ControlPlane
from trivet.core.batch import BatchPredictionJob
from trivet.core.errors import Internal, InvalidArgument, NotFound, ServingError, Unavailable, Unimplemented
from trivet.core.resources import Location, Operation
from trivet.protocols.base import Call, Reply, encode_json, error_reply
from trivet.protocols.vertex import endpoints, jobs, metadata, models, operations, places, pools
from trivet.protocols.vertex.endpoints import Recorded
from trivet.protocols.vertex.jobs import HeldJob, job_json
from trivet.protocols.vertex.operations import Held, operation_json
from trivet.protocols.vertex.pages import by_bytes
from trivet.protocols.vertex.waiting import InFewThreads, InThread, Watches
from trivet.protocols.vertex.wire import Asked, Json, read_body, read_query

Answer = Json | Operation | Held | HeldJob | Recorded
Handler = Callable[[ControlPlane, Asked], Answer]


def _no_policies(control: ControlPlane, asked: Asked) -> Json:
    raise Unimplemented(
        f"{asked.parts['resource'][:200]} has no IAM policy, and cannot be given one: whoever reaches this "
        "server may do everything (see testIamPermissions)"
    )


TABLE: Sequence[tuple[str, str, Handler]] = (
    ("POST", "{api}/{parent}/models:upload", models.upload),
    ("POST", "{api}/{parent}/models:copy", models.copy),
    ("GET", "{api}/{parent}/models", by_bytes(models.list_)),
    ("GET", "{api}/{parent}/models/{id}", models.get),
    ("PATCH", "{api}/{parent}/models/{id}", models.update),
    ("DELETE", "{api}/{parent}/models/{id}", models.delete),
    ("GET", "{api}/{parent}/models/{id}:listVersions", by_bytes(models.list_versions)),
    ("POST", "{api}/{parent}/models/{id}:mergeVersionAliases", models.merge_aliases),
    ("DELETE", "{api}/{parent}/models/{id}:deleteVersion", models.delete_version),
    ("GET", "{api}/{parent}/models/{id}/evaluations", models.evaluations),
    ("POST", "{api}/{parent}/endpoints", endpoints.create),
    ("GET", "{api}/{parent}/endpoints", by_bytes(endpoints.list_)),
    ("GET", "{api}/{parent}/endpoints/{id}", endpoints.get),
    ("PATCH", "{api}/{parent}/endpoints/{id}", endpoints.update),
    ("DELETE", "{api}/{parent}/endpoints/{id}", endpoints.delete),
    ("POST", "{api}/{parent}/endpoints/{id}:update", endpoints.update_later),
    ("POST", "{api}/{parent}/endpoints/{id}:deployModel", endpoints.deploy),
    ("POST", "{api}/{parent}/endpoints/{id}:undeployModel", endpoints.undeploy),
    ("POST", "{api}/{parent}/endpoints/{id}:mutateDeployedModel", endpoints.mutate),
    ("PATCH", "{api}/{parent}/endpoints/{id}:mutateDeployedModel", endpoints.mutate),
    ("POST", "{api}/{parent}/deploymentResourcePools", pools.create),
    ("GET", "{api}/{parent}/deploymentResourcePools", by_bytes(pools.list_)),
    ("GET", "{api}/{parent}/deploymentResourcePools/{id}", pools.get),
    ("PATCH", "{api}/{parent}/deploymentResourcePools/{id}", pools.update),
    ("DELETE", "{api}/{parent}/deploymentResourcePools/{id}", pools.delete),
    (
        "GET",
        "{api}/{parent}/deploymentResourcePools/{id}:queryDeployedModels",
        by_bytes(pools.query_deployed),
    ),
    ("POST", "{api}/{parent}/batchPredictionJobs", jobs.create),
    ("GET", "{api}/{parent}/batchPredictionJobs", by_bytes(jobs.list_)),
    ("GET", "{api}/{parent}/batchPredictionJobs/{id}", jobs.get),
    ("DELETE", "{api}/{parent}/batchPredictionJobs/{id}", jobs.delete),
    ("POST", "{api}/{parent}/batchPredictionJobs/{id}:cancel", jobs.cancel),
    ("POST", "{api}/{parent}/batchPredictionJobs/{id}:resume", jobs.resume),
    ("GET", "{any}/{parent}/{of}operations", by_bytes(operations.list_)),
    ("GET", "{any}/{parent}/{of}operations/{id}", operations.get),
    ("DELETE", "{any}/{parent}/{of}operations/{id}", operations.delete),
    ("POST", "{any}/{parent}/{of}operations/{id}:wait", operations.wait),
    ("POST", "{any}/{parent}/{of}operations/{id}:cancel", operations.cancel),
    ("GET", "{any}/projects/{project}/locations", places.list_),
    ("GET", "{any}/{parent}", places.get),
    ("GET", "{any}/projects/-/serviceAccounts/{account}/allowedLocations", places.allowed),
    ("POST", "{any}/{resource}:testIamPermissions", places.test_permissions),
    ("POST", "{any}/{resource}:getIamPolicy", places.policy),
    ("GET", "{any}/{resource}:getIamPolicy", places.policy),
    ("POST", "{any}/{resource}:setIamPolicy", _no_policies),
)

MAX_BODY = 1 << 20
"""Bytes of a call's body. Resources are kept as they are given, and lists are of many."""

HOME = Location("local", "us-central1")

_PARTS = {
    "{api}": r"/(?P<api>v1|v1beta1)",
    "{any}": r"/(?P<api>v1|v1beta1|ui)",
    "{parent}": r"(?P<parent>projects/[^/]+/locations/[^/:]+)",
    "{of}": r"(?P<of>(?:[^/:]+/[^/:]+/)*)",
    "{resource}": r"(?P<resource>projects/.+)",
}

_GLANCE = 0.01
"""Seconds for which the answer to a change is held, so that what is done at once is said to be done."""

_SETTLES_WITHIN = 10.0
_LOOKS_EVERY = 0.1
"""Seconds between two looks at a job that somebody waits for: its process tells nobody that it has ended."""

_FAULT = Internal("the control plane failed; its log says why")

log = logging.getLogger("trivet")


def _pattern(path: str) -> re.Pattern[str]:
    def part(match: re.Match[str]) -> str:
        return _PARTS.get(match[0]) or rf"(?P<{match[0][1:-1]}>[^/:]+)"

    return re.compile(re.sub(r"\{\w+\}", part, path))


_ROUTES = [(method, _pattern(path), handler) for method, path, handler in TABLE]


class Api:
    """Answers calls to a control plane.

    `changed` returns when something in the catalog may have changed, or after so many seconds. `home` is
    the project and location of clients that name none, `tls` the `host:port` of the TLS port.
    """

    def __init__(
        self,
        control: ControlPlane,
        in_thread: InThread,
        changed: Callable[[float], Awaitable[None]],
        home: Location = HOME,
        tls: str = "",
    ) -> None:
        self._control = control
        self._in_thread = InFewThreads(in_thread)
        self._watches = Watches(self._in_thread, changed)
        self._home = home
        self._tls = tls

    async def answer(self, call: Call) -> Reply:
        """Return the reply to a call; every failure is one, in the form of Google's APIs."""
        try:
            call.path = re.sub("/{2,}", "/", call.path)
            if call.path.startswith(metadata.PREFIX):
                return self._metadata(call)
            if call.path == "/token":
                return metadata.token() if call.method == "POST" else _not_allowed(call, ["POST"])
            return await self._answer(call)
        except ServingError as error:
            return refusal(error)
        except Exception:
            log.exception("the control plane failed", extra={"path": call.path})
            return refusal(_FAULT)

    def _metadata(self, call: Call) -> Reply:
        try:
            return metadata.metadata(call, self._home)
        except ServingError as error:  # without this header clients take it for another server's answer
            reply = refusal(error)
            reply.headers |= metadata.HEADERS
            return reply

    async def _answer(self, call: Call) -> Reply:
        method = "GET" if call.method == "HEAD" else call.method
        found = [
            (verb, match, handler)
            for verb, pattern, handler in _ROUTES
            if (match := pattern.fullmatch(call.path)) is not None
        ]
        if not found:
            raise NotFound(f"there is nothing at {call.path[:200]}")
        for verb, match, handler in found:
            if verb == method:
                if len(call.body) > MAX_BODY:
                    raise InvalidArgument(
                        f"the body: expected at most {MAX_BODY} bytes in a call of the control plane; "
                        f"got {len(call.body)}"
                    )
                asked = Asked(
                    api=match["api"],
                    parts=match.groupdict(),
                    query=read_query(call.query),
                    body={} if method in ("GET", "DELETE") else read_body(call.body),
                    address=plain_address(call, self._tls),
                    home=self._home,
                    client=call.headers.get("x-goog-api-client", ""),
                )
                answer = await self._in_thread(partial(handler, self._control, asked))
                return Reply(200, encode_json(await self._settled(answer)))
        return _not_allowed(call, [verb for verb, _, _ in found])

    async def _settled(self, answer: Answer) -> Json:
        """Wait for what an answer depends on, as long as its caller should."""
        match answer:
            case Operation():
                return operation_json(await self._done(answer, _GLANCE))
            case Held(operation=operation, seconds=seconds):
                return operation_json(await self._done(operation, seconds))
            case HeldJob(job=job, seconds=seconds, plainly=plainly):
                return job_json(await self._ended(job, seconds), plainly=plainly)
            case Recorded(answer=recorded, revision=revision):
                if revision and not await self._reached(revision):
                    raise Unavailable(
                        f"the change is recorded (revision {revision}) and still being applied: not every "
                        f"machine has done so within {_SETTLES_WITHIN:g} s"
                    )
                return recorded
        return answer

    async def _reached(self, revision: int) -> bool:
        def reached() -> bool | None:
            return self._control.reached(revision) or None

        return await self._watches.until(revision, reached, _SETTLES_WITHIN) or False

    async def _done(self, operation: Operation, seconds: float) -> Operation:
        def done() -> Operation | None:
            latest = self._control.operation(operation.name)
            return latest if latest.done else None

        if operation.done:
            return operation
        return await self._watches.until(operation.name, done, seconds) or operation

    async def _ended(self, job: BatchPredictionJob, seconds: float) -> BatchPredictionJob:
        def ended() -> BatchPredictionJob | None:
            latest = self._control.batch_job(job.name)
            return latest if latest.is_ended else None

        if job.is_ended or not seconds:
            return job
        if (found := await self._watches.until(job.name, ended, seconds, longest=_LOOKS_EVERY)) is not None:
            return found
        return await self._in_thread(lambda: self._control.batch_job(job.name))


def plain_address(call: Call, tls: str) -> str:
    """Return the URL at which a caller finds the server over plain HTTP.

    One who came by the TLS port is told the other port of that host. Behind the proxy the server has the name
    of a host of Google's, where nothing of ours is without TLS.
    """
    try:
        found, bound = urlsplit(call.address), urlsplit(call.bound)
        host = found.hostname or ""
        if call.bound and host.endswith(".googleapis.com"):
            return call.bound
        if bound.port and tls and found.port == urlsplit(f"//{tls}").port:
            return f"http://{f'[{host}]' if ':' in host else host}:{bound.port}"
    except ValueError:  # what is no address is given back as it came
        pass
    return call.address


def refusal(error: ServingError, status: int = 0, **headers: str) -> Reply:
    """Return the reply that tells of an error."""
    status, lines, body = error_reply(error, status)
    told = (line.partition(b": ") for line in lines.splitlines())
    named = {name.decode(): value.decode() for name, _, value in told if name != b"content-type"}
    return Reply(status, body, headers={**named, **headers})


def _not_allowed(call: Call, methods: Sequence[str]) -> Reply:
    allow = ", ".join([*sorted({*methods}), "OPTIONS"])
    if call.method == "OPTIONS":
        return Reply(200, headers={"allow": allow})
    expected = " or ".join(sorted({*methods}))
    error = Unimplemented(f"method {call.method} is not allowed at {call.path[:200]}; expected {expected}")
    return refusal(error, 405, allow=allow)
