"""The front: one ASGI application for all protocols. Finds what answers, and logs what was answered."""

import asyncio
import logging
import os
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from itertools import count
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from trivet.app import body as bodies
from trivet.config import Limits, Log
from trivet.core.errors import Internal, NotFound, ServingError, Unimplemented
from trivet.protocols.base import Headers, HotRequest, HotRoute, HttpProtocol, error_reply
from trivet.serving.batching import Pending
from trivet.serving.plane import DataPlane

log = logging.getLogger("trivet")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Answer = tuple[int, Headers, bytes]

_SAFE_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_CACHED_PATHS = 4096
_WATCH_AFTER = 0.01  # seconds
_FAULT = Internal("the server failed; its log says why, under this request's id")


class Front:
    """Answers hot paths itself and gives all others to Starlette.

    That a path among `probes` says no is no error to be logged.
    """

    def __init__(
        self,
        plane: DataPlane,
        protocols: Sequence[HttpProtocol],
        limits: Limits,
        requests: Log,
        probes: frozenset[str],
    ) -> None:
        self._plane = plane
        self._protocols = protocols
        self._limit = limits.max_body_bytes
        self._log_all = requests.requests == "all"
        self._log_errors = requests.requests != "none"
        self._probes = probes
        self._hot: dict[str, HotRoute | None] = {}
        self._hot_of: object = None
        self._id_prefix, self._ids = os.urandom(6).hex(), count(1)
        routes = [route for protocol in protocols for route in protocol.routes()]
        self._other = Starlette(
            routes=routes,
            exception_handlers={
                HTTPException: _http_error,
                ServingError: _serving_error,
                Exception: _unexpected,
            },
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._other(scope, receive, send)
            return
        started = time.perf_counter()
        given = next((value for key, value in scope["headers"] if key == b"x-request-id"), b"")
        own = _SAFE_ID.fullmatch(given) is None
        request_id = f"{self._id_prefix}{next(self._ids):x}" if own else given.decode()
        status = 0

        async def respond(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if not own or status >= 400:  # of an error, the caller can name it to the operator
                    header = (b"x-request-id", request_id.encode())
                    message["headers"] = [*message["headers"], header]
            await send(message)

        try:
            await self._serve(scope, receive, respond, request_id)
        except bodies.CallerLeft:
            return
        except Exception:
            extra = {"request_id": request_id, "path": scope["path"]}
            log.exception("the server failed", extra=extra)  # the caller has been told, unless it left
            if not status:
                await _send(respond, error_reply(_FAULT))
        failed = status >= 400 and self._log_errors and scope["path"] not in self._probes
        if self._log_all or failed:
            self._log(scope, status, request_id, time.perf_counter() - started)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        try:
            hot = self._find(scope["path"])
            if hot is None:
                await self._other(scope, receive, send)
                return
            answer = await self._answer(hot, scope, receive, request_id)
        except bodies.BodyRefused as error:
            status, headers, content = error_reply(error, error.status)
            answer = status, [*headers, *error.headers, (b"connection", b"close")], content
        except ServingError as error:
            answer = error_reply(error)
        await _send(send, answer)

    def _find(self, path: str) -> HotRoute | None:
        """Return what answers predictions on a path, remembered until the routes are replaced."""
        if self._hot_of is not self._plane.routes:
            self._hot, self._hot_of = {}, self._plane.routes
        try:
            return self._hot[path]
        except KeyError:
            found = (protocol.hot(path) for protocol in self._protocols)
            hot = next((route for route in found if route is not None), None)
            if len(self._hot) < _CACHED_PATHS:
                self._hot[path] = hot
            return hot

    async def _answer(self, hot: HotRoute, scope: Scope, receive: Receive, request_id: str) -> Answer:
        if scope["method"] != "POST":
            return _method_not_allowed(scope["method"], "POST")
        content = await bodies.read(receive, scope["headers"], self._limit)
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def reply(status: int, headers: Headers, content: bytes) -> None:
            if not answer.done():
                answer.set_result((status, headers, content))

        pending = hot.answer(HotRequest(content, scope["headers"], request_id), reply)
        if pending is None or answer.done():
            return await answer
        watch = _Watch(receive, pending)
        try:
            return await answer
        finally:
            watch.end()

    def _log(self, scope: Scope, status: int, request_id: str, seconds: float) -> None:
        log.log(
            logging.ERROR if status >= 500 else logging.WARNING if status >= 400 else logging.INFO,
            "request",
            extra={
                "request_id": request_id,
                "method": scope["method"],
                "path": scope["path"],
                "status": status,
                "duration_ms": round(seconds * 1000, 3),
            },
        )


class _Watch:
    """Notices a caller that leaves before its answer; costs a quick answer no more than a timer."""

    def __init__(self, receive: Receive, pending: Pending) -> None:
        self._receive = receive
        self._pending = pending
        self._task: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(_WATCH_AFTER, self._start)

    def end(self) -> None:
        """The answer is there."""
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _start(self) -> None:
        self._task = asyncio.ensure_future(self._wait())

    async def _wait(self) -> None:
        await self._receive()  # the body has been read: what comes now is the end of the connection
        self._pending.abandon()


async def _send(send: Send, answer: Answer) -> None:
    status, headers, content = answer
    length = (b"content-length", str(len(content)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": content})


def _method_not_allowed(method: str, *allowed: str) -> Answer:
    error = Unimplemented(f"method {method} is not allowed here; expected {' or '.join(allowed)}")
    status, headers, content = error_reply(error, 405)
    return status, [*headers, (b"allow", ", ".join(allowed).encode())], content


def _response(answer: Answer) -> Response:
    status, headers, content = answer
    return Response(content, status, {key.decode(): value.decode() for key, value in headers})


def _serving_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServingError)
    return _response(error_reply(error))


def _http_error(request: Request, error: Exception) -> Response:
    """Say in Trivet's words what Starlette's router refuses: a path or a method."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        allowed = sorted((error.headers or {}).get("Allow", "").split(", "))
        return _response(_method_not_allowed(request.method, *allowed))
    path = request.url.path
    return _response(
        error_reply(NotFound(f"there is nothing at {path[:200]}; what is served: GET /v1/models"))
    )


def _unexpected(request: Request, error: Exception) -> Response:
    return _response(error_reply(_FAULT))
