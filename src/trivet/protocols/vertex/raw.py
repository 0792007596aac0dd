"""Raw predictions: any body there, the model's own answer back.

Google's own client wraps both: `{"httpBody": {"contentType", "data"}}` there, `{"contentType", "data"}`
back, on the same path. Its calls are told apart by their query, which names the form of the answer.
"""

from collections.abc import Callable
from contextlib import suppress

import msgspec

from trivet.core.errors import InvalidArgument, ServingError
from trivet.protocols.base import JSON, Caller, Headers, HotRoute, RequestHead, encode_json, error_reply
from trivet.protocols.vertex.proto import Message
from trivet.serving.batching import Pending


class HttpBody(msgspec.Struct, rename="camel"):
    """A body as Google's own client sends it."""

    data: bytes = b""
    content_type: str = ""


class _Wrapped(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    http_body: HttpBody
    endpoint: str = ""


_read = Message(_Wrapped).read


def unwrapped(query: bytes, body: bytes) -> HttpBody | None:
    """Take the wrapping off a body; None for one that has none."""
    if b"alt=" in query and (b"httpBody" in body or b"http_body" in body):
        with suppress(InvalidArgument, RecursionError):  # it is a body of the model's own
            return _read(body).http_body
    return None


class RawRoute:
    """Answers raw predictions, wrapped or not. A wrapped stream is an array of its parts, here one."""

    def __init__(self, inner: HotRoute, *, stream: bool = False) -> None:
        self._inner = inner
        self._wrap = _wrapped_stream if stream else _wrapped

    def answer(self, caller: Caller, head: RequestHead, body: bytes, now: float) -> Pending | None:
        """Predict, having taken the wrapping off."""
        if (inner := unwrapped(head.query, body)) is not None:
            body = inner.data
            caller = Translated(caller, self._wrap)
        return self._inner.answer(caller, head, body, now)


class Translated:
    """A caller who is given predictions in another form; errors stay as they are."""

    def __init__(self, caller: Caller, translate: Callable[[bytes], bytes]) -> None:
        self._caller = caller
        self._translate = translate

    def reply(self, status: int, headers: Headers, body: bytes) -> None:
        """Give the answer on."""
        if status == 200:
            try:
                body = self._translate(body)
            except ServingError as error:
                status, headers, body = error_reply(error)
        self._caller.reply(status, headers, body)

    def request_id(self) -> str:
        """Return the id of the request."""
        return self._caller.request_id()


def wrapped(body: bytes, content_type: str) -> bytes:
    """Put the wrapping around an answer, or a part of one."""
    return encode_json({"contentType": content_type, "data": body})


def _wrapped(body: bytes) -> bytes:
    return wrapped(body, JSON.partition(b": ")[2].strip().decode())


def _wrapped_stream(body: bytes) -> bytes:
    return b"[" + _wrapped(body) + b"]"
