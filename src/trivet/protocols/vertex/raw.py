"""Raw predictions: any body there, the model's own answer back.

Google's own client wraps both: `{"httpBody": {"contentType", "data"}}` there, `{"contentType", "data"}`
back, on the same path. Its calls are told apart by their query, which names the form of the answer.
"""

from collections.abc import Callable

import msgspec

from trivet.core.errors import InvalidArgument, ServingError
from trivet.protocols.base import JSON, Caller, Headers, HotRoute, RequestHead, encode_json, error_reply
from trivet.protocols.vertex.proto import Message
from trivet.serving.batching import Pending


class _HttpBody(msgspec.Struct):
    data: bytes = b""


class _Wrapped(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    http_body: _HttpBody
    endpoint: str = ""


_unwrap = Message(_Wrapped).read


class RawRoute:
    """Answers raw predictions, wrapped or not. A wrapped stream is an array of its parts, here one."""

    def __init__(self, inner: HotRoute, *, stream: bool = False) -> None:
        self._inner = inner
        self._wrap = _wrapped_stream if stream else _wrapped

    def answer(self, caller: Caller, head: RequestHead, body: bytes, now: float) -> Pending | None:
        """Predict, having taken the wrapping off."""
        if b"alt=" in head.query and (b"httpBody" in body or b"http_body" in body):
            try:
                body = _unwrap(body).http_body.data
            except (InvalidArgument, RecursionError):
                pass  # it is a body of the model's own
            else:
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


def _wrapped(body: bytes) -> bytes:
    content_type = JSON.partition(b": ")[2].strip().decode()
    return encode_json({"contentType": content_type, "data": body})


def _wrapped_stream(body: bytes) -> bytes:
    return b"[" + _wrapped(body) + b"]"
