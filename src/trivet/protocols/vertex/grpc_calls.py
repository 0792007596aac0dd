"""Answers gRPC calls, of any kind, by asking the HTTP server."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

import grpc
import msgspec

from trivet.core.errors import ResourceExhausted, ServingError, Unavailable, Unimplemented
from trivet.protocols.vertex import grpc_errors, grpc_rest
from trivet.protocols.vertex.grpc_elements import Elements
from trivet.protocols.vertex.grpc_errors import Status
from trivet.protocols.vertex.grpc_methods import Method, common, of_version
from trivet.protocols.vertex.grpc_upstream import Answer, Upstream
from trivet.serving.offload import apart

log = logging.getLogger("trivet")

T = TypeVar("T")
Metadata = Sequence[tuple[str, str]]

_BETA = "google.cloud.aiplatform.v1beta1."
_APART_ABOVE = 64 * 1024  # bytes; what takes longer to convert would hold up everybody else
_APART = 2  # at once
_AHEAD = 16  # messages of one stream that are asked before the first is answered
_FORWARDED = re.compile(r"x-[a-z0-9_.-]+(?<!-bin)|authorization|traceparent|tracestate|baggage")
_PRINTABLE = re.compile(r"[ -~]*")
_ERROR = re.compile(rb'\{\s*"error"\s*:')


class Calls(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """Finds what answers a call, by its path; everything is bytes here that gRPC brings or takes."""

    def __init__(self, host: str, port: int, max_held_bytes: int) -> None:
        self._methods = {**common(), **of_version("v1")}
        self._upstream = Upstream(host, port)
        self._most, self._held = max_held_bytes, 0
        self._converting = asyncio.Semaphore(_APART)
        self._beta: asyncio.Future[dict[str, Method]] | None = None

    def close(self) -> None:
        """Close idle connections."""
        self._upstream.close()

    def service(self, handler_call_details: Any) -> Any:
        """Return what answers a call."""
        path = handler_call_details.method
        method = self._methods.get(path)
        if method is None:
            return grpc.stream_stream_rpc_method_handler(partial(_guarded, partial(self._late, path)))
        if method.kind == "unary":
            return grpc.unary_unary_rpc_method_handler(partial(_guarded, partial(self._unary, method)))
        if method.kind == "server stream":
            return grpc.unary_stream_rpc_method_handler(partial(_guarded, partial(self._stream, method)))
        return grpc.stream_stream_rpc_method_handler(partial(_guarded, partial(self._both, method)))

    async def _unary(self, method: Method, raw: bytes, context: Any) -> bytes:
        message, about = await self._ask(method, raw, _headers(context))
        if about:
            await context.send_initial_metadata(about)
        return message

    async def _stream(self, method: Method, raw: bytes, context: Any) -> None:
        """Write what comes: each piece of a raw answer, or each element of a JSON array."""
        async with self._asked(method, raw, _headers(context)) as answer:
            await _check(answer)
            if about := _about_the_model(answer):
                await context.send_initial_metadata(about)
            media_type = answer.headers.get("content-type", "")
            is_raw = method.gives.DESCRIPTOR.full_name == "google.api.HttpBody"
            async for part in answer.parts() if is_raw else _elements(answer):
                await context.write(grpc_rest.answer(method, part, media_type))

    async def _both(self, method: Method, messages: AsyncIterator[bytes], context: Any) -> None:
        """Answer each message of a stream as a unary call, several at once, in their order."""
        asked: asyncio.Queue[asyncio.Task[tuple[bytes, Metadata]] | None] = asyncio.Queue(_AHEAD)
        tasks: set[asyncio.Task[Any]] = set()
        first: list[Any] = []

        async def ask(raw: bytes) -> tuple[bytes, Metadata]:
            whole = grpc_rest.continued(method, raw, first)  # tasks begin in their order
            return await self._ask(method, whole, _headers(context))

        async def read() -> None:
            try:
                async for raw in messages:
                    task = asyncio.create_task(ask(raw))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                    await asked.put(task)
            except Exception:
                await asked.put(None)
                raise
            await asked.put(None)

        tasks.add(reading := asyncio.create_task(read()))
        try:
            while (task := await asked.get()) is not None:
                message, _ = await task
                await context.write(message)
            await reading
        finally:
            for left in list(tasks):
                left.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _late(self, path: str, messages: AsyncIterator[bytes], context: Any) -> None:
        """Answer a call of a method that is not known yet: one of `v1beta1` may be."""
        if path.startswith(f"/{_BETA}"):
            await self._know_beta()
        method = self._methods.get(path)
        if method is None:
            raise Unimplemented(f"{path}: Trivet has no such method")
        if method.kind == "both stream":
            await self._both(method, messages, context)
            return
        raw = await anext(aiter(messages), b"")
        if method.kind == "server stream":
            await self._stream(method, raw, context)
            return
        await context.write(await self._unary(method, raw, context))

    async def _know_beta(self) -> None:
        if self._beta is None:
            self._beta = apart(partial(of_version, "v1beta1"), "import of v1beta1")
        self._methods.update(await asyncio.shield(self._beta))

    async def _ask(self, method: Method, raw: bytes, headers: Mapping[str, str]) -> tuple[bytes, Metadata]:
        async with self._asked(method, raw, headers) as answer:
            await _check(answer)
            body = await answer.read()
        if "longrunning" in method.gives.DESCRIPTOR.full_name and _BETA.encode() in body:
            await self._know_beta()  # an operation can be read only where the types in it are known
        media_type = answer.headers.get("content-type", "")
        message = await self._converted(body, lambda: grpc_rest.answer(method, body, media_type))
        return message, _about_the_model(answer)

    @asynccontextmanager
    async def _asked(self, method: Method, raw: bytes, headers: Mapping[str, str]) -> AsyncIterator[Answer]:
        """Ask, where no more is held then than may be: a message is, until the context is left."""
        if self._held and self._held + len(raw) > self._most:
            raise ResourceExhausted(
                f"calls under way hold {self._held:,} bytes, and {len(raw):,} more are over the limit of "
                f"{self._most:,}; try again"
            )
        self._held += len(raw)
        try:
            request = await self._converted(
                raw, lambda: grpc_rest.request(method, grpc_rest.parse(method, raw))
            )
            async with self._upstream.ask(request, headers) as answer:
                yield answer
        finally:
            self._held -= len(raw)

    async def _converted(self, content: bytes, work: Callable[[], T]) -> T:
        if len(content) <= _APART_ABOVE:
            return work()
        async with self._converting:
            return await apart(work, "conversion")


async def _guarded(work: Callable[[Any, Any], Awaitable[Any]], request: Any, context: Any) -> Any:
    """Answer, or end the call with the status that an error stands for."""
    try:
        return await work(request, context)
    except Status as error:
        status = error
    except ServingError as error:
        status = Status(grpc.StatusCode[error.code.name], grpc_errors.shorten(str(error)))
    except Exception as error:  # whose text is for the log
        log.exception("a gRPC call failed")
        status = Status(grpc.StatusCode.INTERNAL, f"Trivet failed: {type(error).__name__}")
    if status.details:
        context.set_trailing_metadata((("grpc-status-details-bin", status.details),))
    return await context.abort(status.code, status.text)


async def _check(answer: Answer) -> None:
    if not 200 <= answer.status < 300:
        raise grpc_errors.of_answer(answer.status, await answer.read())


async def _elements(answer: Answer) -> AsyncIterator[bytes]:
    elements = Elements()
    async for part in answer.parts():
        for element in elements.feed(part):
            yield _no_error(element)
    if last := elements.close():
        yield _no_error(last)
    if not elements.is_whole:
        raise Unavailable("the answer broke off")


def _no_error(element: bytes) -> bytes:
    """Raise what a server says that fails in the middle of a stream."""
    if _ERROR.match(element):
        try:
            raise grpc_errors.of_element(msgspec.json.decode(element)["error"])
        except msgspec.DecodeError:
            pass
    return element


def _headers(context: Any) -> dict[str, str]:
    """Return the headers of a request: the caller's own, and the time left."""
    found = {
        name: value
        for name, value in context.invocation_metadata() or ()
        if isinstance(value, str) and _FORWARDED.fullmatch(name) and _PRINTABLE.fullmatch(value)
    }
    remaining = context.time_remaining()
    if remaining is not None:
        found["x-server-timeout"] = f"{max(remaining, 0.001):.3f}"
    return found


def _about_the_model(answer: Answer) -> Metadata:
    """Return the headers that say which model answered."""
    return [
        (name, value)
        for name, value in answer.headers.items()
        if name.startswith("x-vertex-ai-") and _PRINTABLE.fullmatch(value)
    ]
