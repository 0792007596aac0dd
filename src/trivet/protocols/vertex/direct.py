"""Direct predictions: tensors there and back, or the body of an ordinary prediction as bytes.

Both become an ordinary prediction of the same deployed model, so that they are decoded, queued and counted
as any other.
"""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from trivet.codecs.json_body import parse
from trivet.core.errors import Internal, InvalidArgument, ServingError
from trivet.core.signature import Signature
from trivet.protocols.base import Caller, HotRoute, RequestHead, encode_json, error_reply
from trivet.protocols.vertex import tensor_answers, tensors
from trivet.protocols.vertex.proto import Message
from trivet.protocols.vertex.raw import Translated
from trivet.protocols.vertex.tensors import Tensor
from trivet.serving.batching import Pending

T = TypeVar("T")

_TOO_DEEP = "the body is nested too deeply"


class _Direct(msgspec.Struct):
    inputs: list[Tensor] = []
    parameters: Tensor | None = None


class _DirectRaw(msgspec.Struct):
    input: bytes = b""


_direct = Message(_Direct).read
_direct_raw = Message(_DirectRaw).read


class DirectRoute:
    """Answers `{"inputs": [...], "parameters": ...}` with `{"outputs": [...]}`, or with an array of that."""

    def __init__(self, inner: HotRoute, signature: Signature, *, stream: bool = False) -> None:
        self._inner = inner
        self._signature = signature
        self._stream = stream

    def answer(self, caller: Caller, head: RequestHead, body: bytes, now: float) -> Pending | None:
        """Predict; every failure becomes an error reply."""
        try:
            asked = _read(_direct, body)
            plain = encode_json(
                {
                    "instances": tensors.rows(asked.inputs, self._signature),
                    "parameters": tensors.parameters(asked.parameters),
                }
            )
        except ServingError as error:
            caller.reply(*error_reply(error))
            return None
        except RecursionError:
            caller.reply(*error_reply(InvalidArgument(_TOO_DEEP)))
            return None
        return self._inner.answer(Translated(caller, self._outputs), head, plain, now)

    def _outputs(self, body: bytes) -> bytes:
        try:
            answer = encode_json(
                {"outputs": tensor_answers.outputs(parse(body)["predictions"], self._signature)}
            )
        except RecursionError:
            raise Internal("the prediction is nested too deeply to be written as tensors") from None
        return b"[" + answer + b"]" if self._stream else answer


class DirectRawRoute:
    """Answers `{"methodName", "input": base64}` with `{"output": base64}`: JSON bodies of a prediction."""

    def __init__(self, inner: HotRoute) -> None:
        self._inner = inner

    def answer(self, caller: Caller, head: RequestHead, body: bytes, now: float) -> Pending | None:
        """Predict; every failure becomes an error reply."""
        try:
            asked = _read(_direct_raw, body)
        except ServingError as error:
            caller.reply(*error_reply(error))
            return None
        return self._inner.answer(Translated(caller, _output), head, asked.input, now)


def _output(body: bytes) -> bytes:
    return encode_json({"output": body})


def _read(decode: Callable[[bytes], T], body: bytes) -> T:
    try:
        return decode(body)
    except RecursionError:
        raise InvalidArgument(_TOO_DEEP) from None
