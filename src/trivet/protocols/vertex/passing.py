"""Requests that are passed on to a model's container as they are: raw predictions, and `invoke`.

    POST .../endpoints/E:rawPredict  :streamRawPredict               to the predict route
    ANY  .../endpoints/E/invoke/PATH                                 to PATH, below the invoke route prefix
    ANY  .../endpoints/E/deployedModels/D/invoke/PATH                the same, of one deployed model

The container's answer goes back as it comes. What concerns only the connection stays on each side, and so do
the caller's credentials, which were meant for this server.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from urllib.parse import unquote_to_bytes

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as AsgiRoute
from starlette.types import Receive, Scope, Send

from trivet.containers import answers
from trivet.core.errors import (
    Cancelled,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ServingError,
    Unimplemented,
)
from trivet.protocols.base import BrokenOff, Headers, RequestHead, Services, error_response
from trivet.protocols.forwarding import Matching
from trivet.protocols.predict import ModelRoute
from trivet.protocols.vertex.ids import ENDPOINT, Endpoint, endpoint, headers, in_headers
from trivet.protocols.vertex.raw import RawRoute, unwrapped, wrapped
from trivet.serving.container_replicas import ContainerReplicas
from trivet.serving.passing import Passing
from trivet.serving.passing import Request as Passed
from trivet.serving.plane import DeployedModel

PASSED = ("rawPredict", "streamRawPredict")

_RAW = re.compile(ENDPOINT + r":(?P<verb>rawPredict|streamRawPredict)")
_INVOKE = re.compile(ENDPOINT + r"(?:/deployedModels/(?P<deployed>[^/]+))?/invoke(?P<path>/.*)?")

_CLIMBS = re.compile(r"(?:^|[/\\])\.\.?(?:;[^/\\]*)?(?:[/\\]|$)")
"""A step that leads out of a folder, in all forms in which applications take one."""

_OURS = frozenset(
    (
        b"authorization", b"connection", b"content-encoding", b"content-length", b"expect", b"host",
        b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te", b"trailer",
        b"transfer-encoding", b"upgrade",
    )
)  # fmt: skip
"""Headers of a request that end here. A compressed body has been unpacked."""

_THEIRS = frozenset(
    (
        b"connection", b"date", b"keep-alive", b"proxy-authenticate", b"proxy-connection", b"trailer",
        b"transfer-encoding", b"upgrade",
    )
)  # fmt: skip
"""Headers of an answer that end here."""

_SANDBOX = (b"content-security-policy", b"sandbox allow-scripts allow-forms allow-popups")
"""A page of a container that a browser shows has an origin of its own: with that of this server, it could ask
for all that its reader may. A policy of the container holds beside it."""

_LEAVES_WITHIN = 0.05
"""Seconds in which a caller who has ended its side may still have an answer begin: as a rule it has left."""

_CODES = {429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED"}


def routes(services: Services) -> Sequence[AsgiRoute]:
    """Return the routes to containers."""
    passes = _Passes(services)
    return [Matching(_RAW, passes.raw), Matching(_INVOKE, passes.invoke)]


class _Passes:
    """Finds the deployed model that a request is for, and passes the request on to its container."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def raw(self, request: Request) -> Response:
        """Answer a raw prediction."""
        match = _RAW.fullmatch(request.scope["path"])
        assert match is not None  # or the route would not have been chosen
        if request.method != "POST":
            error = Unimplemented(f"method {request.method} is not allowed here; expected POST")
            return error_response(error, 405, allow="POST, OPTIONS")
        at = self._endpoint(match)
        deployed = _chosen(at)
        is_stream = match["verb"] == "streamRawPredict"
        if deployed.passes is None:
            return await _predicted(at, deployed, request, stream=is_stream)
        container = deployed.passes.container
        if not container.predict_route:
            raise FailedPrecondition(
                f"deployed model {deployed.id} has an invoke route prefix in place of a predict route; use "
                f"{at.parent}/endpoints/{at.name}/invoke/PATH"
            )
        body, fields = await request.body(), _fields(request)
        inner = unwrapped(request.scope["query_string"], body)
        wrap = None
        if inner is not None:
            body, wrap = inner.data, _Wrapping(stream=is_stream)
            fields = [field for field in fields if field[0] != b"content-type"]
            fields.append((b"content-type", _header(inner.content_type or "application/json")))
        passed = Passed("POST", container.predict_route.encode(), fields, body, deployed.passes.idempotent)
        return await self._pass_on(request, at, deployed, passed, wrap)

    async def invoke(self, request: Request) -> Response:
        """Answer a request of any method for any path of a container."""
        match = _INVOKE.fullmatch(request.scope["path"])
        assert match is not None
        at = self._endpoint(match)
        deployed = _chosen(at, match["deployed"])
        if deployed.passes is None:
            raise Unimplemented(
                f"invoke passes requests on to a model's container; deployed model {deployed.id} has none. "
                "Use :predict"
            )
        prefix = deployed.passes.container.invoke_prefix
        if not prefix:
            raise FailedPrecondition(
                f"the container of deployed model {deployed.id} was uploaded without an invoke route prefix "
                "(invokeRoutePrefix); use :predict or :rawPredict"
            )
        target, path = _below(request, match["path"] or "/")
        if not path.startswith(prefix.rstrip("*")):
            raise NotFound(f"{path[:200]}: this container's paths begin with {prefix}")
        passed = Passed(request.method, target, _fields(request), await request.body())
        return await self._pass_on(request, at, deployed, passed)

    def _endpoint(self, match: re.Match[str]) -> Endpoint:
        return endpoint(self._services.plane, match, self._services.limits)

    async def _pass_on(
        self,
        request: Request,
        at: Endpoint,
        deployed: DeployedModel,
        passed: Passed,
        wrap: "_Wrapping | None" = None,
    ) -> Response:
        """Return the answer, once it has begun; a caller who leaves before has it end."""
        assert isinstance(deployed.passes, ContainerReplicas)
        began = monotonic()
        try:
            passing = deployed.passes.pass_on(passed)
            watching = asyncio.create_task(
                _leave(request.receive, passing, request.scope["state"].get("ended"))
            )
            try:
                await passing.begin(_within(request, deployed))
            finally:
                watching.cancel()
        except ServingError as error:
            deployed.refuse(error)
            raise
        deployed.passed(_code(passing.answer.status), monotonic() - began)
        return _Answer(passing, headers(at, deployed), wrap)


class _Answer(Response):
    """An answer that goes on as it comes."""

    def __init__(self, passing: Passing, more: Mapping[str, str], wrap: "_Wrapping | None") -> None:
        super().__init__(status_code=passing.answer.status)
        self._passing = passing
        self._wrap = wrap if passing.answer.status == 200 else None  # errors stay as they are
        said = {name.encode(): value.encode() for name, value in more.items()}
        ended = {*_THEIRS, *said, *((b"content-length",) if self.status_code == 204 else ())}
        fields = [field for field in passing.answer.fields if field[0] not in ended]
        if self._wrap is not None:
            self._wrap.media_type = (passing.answer.value(b"content-type") or b"").decode("latin-1")
            fields = [field for field in fields if not field[0].startswith(b"content-")]
            fields.append((b"content-type", b"application/json"))
        self.raw_headers = [*fields, *said.items(), _SANDBOX]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        watching = asyncio.create_task(_leave(receive, self._passing))
        try:
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            pieces = self._passing.pieces()
            async for piece in pieces if self._wrap is None else self._wrap.around(pieces):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except Cancelled:
            pass  # nobody is there
        except ServingError as error:
            raise BrokenOff(str(error)) from None
        finally:
            watching.cancel()
            self._passing.leave()


@dataclass(slots=True)
class _Wrapping:
    """Puts answers into what Google's own client expects; a `stream` is an array of its parts."""

    stream: bool
    media_type: str = ""

    async def around(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield what is sent in place of the pieces."""
        if not self.stream:
            whole, size = [], 0
            async for piece in pieces:
                whole.append(piece)
                if (size := size + len(piece)) > answers.MAX_BODY:
                    raise answers.too_long()
            yield wrapped(b"".join(whole), self.media_type)
            return
        before = b"["
        async for piece in pieces:
            yield before + wrapped(piece, self.media_type)
            before = b","
        yield b"]" if before == b"," else b"[]"


class _Waiting:
    """A caller for whom a route that is not hot waits."""

    def __init__(self) -> None:
        self.replied: asyncio.Future[tuple[int, Headers, bytes]] = asyncio.get_running_loop().create_future()

    def reply(self, status: int, headers: Headers, body: bytes) -> None:
        """Take the answer."""
        if not self.replied.done():
            self.replied.set_result((status, headers, body))

    def request_id(self) -> str:
        """Return none: the listener knows it."""
        return ""


async def _predicted(at: Endpoint, deployed: DeployedModel, request: Request, *, stream: bool) -> Response:
    """Answer for a deployed model without a container, which shares its endpoint with one that has one."""
    scope, caller = request.scope, _Waiting()
    head = RequestHead(
        request.method,
        scope["path"],
        scope["raw_path"],
        scope["query_string"],
        tuple(scope["headers"]),
        timeout=_asked(request),
    )
    hot = RawRoute(ModelRoute(deployed, in_headers(at, deployed), at.limits), stream=stream)
    pending = hot.answer(caller, head, await request.body(), monotonic())
    try:
        status, lines, body = await caller.replied
    except asyncio.CancelledError:
        if pending is not None:
            pending.abandon()
        raise
    answer = Response(body, status)
    named = (line.partition(b": ") for line in lines.split(b"\r\n")[:-1])
    answer.raw_headers = [(name, value) for name, _, value in named]
    return answer


def _chosen(at: Endpoint, id_: str | None = None) -> DeployedModel:
    """Return the deployed model that a path names, else the one that the traffic split picks."""
    if id_ is not None:
        if id_ not in at.route.deployed:
            raise NotFound(f"endpoint {at.name} has no deployed model {id_[:100]!r}")
        return at.route.deployed[id_]
    at.route.check()
    if not at.route.split:
        raise FailedPrecondition(f"endpoint {at.name} has no deployed model that takes traffic")
    return at.route.deployed[at.route.choose()]


def _below(request: Request, path: str) -> tuple[bytes, str]:
    """Return the target for the container, with the query and with escapes as sent, and its plain path."""
    if _CLIMBS.search(path):
        raise InvalidArgument(f"{path[:200]}: expected a path without `.` and `..`")
    as_sent = _INVOKE.fullmatch(request.scope["raw_path"].decode("ascii"))
    # an escaped slash further ahead would make another path of it than the one that is looked at
    if as_sent is None or unquote_to_bytes(as_sent["path"] or "/").decode("utf-8", "replace") != path:
        raise InvalidArgument("expected the path up to `/invoke` without escapes")
    query = request.scope["query_string"]
    return (as_sent["path"] or "/").encode() + (b"?" + query if query else b""), path


def _fields(request: Request) -> list[tuple[bytes, bytes]]:
    """Return the headers that go on."""
    fields = request.scope["headers"]
    named = b",".join(value for name, value in fields if name == b"connection").lower()
    options = {option.strip() for option in named.split(b",")}
    return [(name, value) for name, value in fields if name not in _OURS and name not in options]


def _header(value: str) -> bytes:
    if not (value.isascii() and value.isprintable()):
        raise InvalidArgument(f"httpBody.contentType: expected a media type; got {value[:100]!r}")
    return value.encode()


def _asked(request: Request) -> float | None:
    given = request.headers.get("x-server-timeout", "")
    return float(given) if given else None  # the listener has seen that it is a number


def _within(request: Request, deployed: DeployedModel) -> float:
    asked = _asked(request)
    return deployed.timeout if asked is None else min(asked, deployed.timeout)


def _code(status: int) -> str:
    if status < 400:
        return "OK"
    return _CODES.get(status, "INVALID_ARGUMENT" if status < 500 else "INTERNAL")


async def _leave(
    receive: Callable[[], Awaitable[object]], passing: Passing, ended: asyncio.Event | None = None
) -> None:
    """Let go of the container's answer when the caller has left, or has only `ended` its side for a while."""
    gone = [asyncio.ensure_future(receive())]
    if ended is not None:
        gone.append(asyncio.ensure_future(_for_a_while(ended)))
    try:
        await asyncio.wait(gone, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in gone:
            one.cancel()
    passing.leave()


async def _for_a_while(ended: asyncio.Event) -> None:
    await ended.wait()
    await asyncio.sleep(_LEAVES_WITHIN)
