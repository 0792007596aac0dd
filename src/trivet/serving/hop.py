"""The wire between a front and a replica process: frames on a unix stream socket, and what they say.

A frame is its length (four bytes, little-endian) and one msgpack array. The replica says `Hello` first.
Then the front asks for batches, any number at a time, and each of their requests is answered once, in any
order. What nobody waits for any more it cancels: the replica answers that at once, unless it has begun to
predict it. A replica that is about to end says `Goodbye`: the front asks nothing more, and closes when it has
its answers.
"""

import traceback
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from trivet.codecs.json_body import encode_predictions
from trivet.codecs.tensors import UNSENDABLE, Tensor, encode_into, pack, read_extension, unpack
from trivet.core.errors import Internal, ResourceExhausted, ServingError
from trivet.core.instances import Instances, Predictions
from trivet.core.signature import Parameters
from trivet.serving.batching import Answer

VERSION = 2
MAX_FRAME = 1 << 29
"""Bytes of a frame at most: above what a batch of ordinary limits needs, and little enough to hold."""

HEADER = 4
Count = Annotated[int, Meta(ge=0)]


class Malformed(Exception):
    """What came over the wire is not of this protocol; only the connection can be closed."""


class RemoteError(Exception):
    """An exception that a model raised in another process; its text is the traceback there."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class Hello(Struct, array_like=True, tag=0):
    """The first message of a replica: what it speaks, and the id of its process."""

    version: int
    pid: int


class Ask(Struct, array_like=True, tag=1):
    """Several requests to predict together: `counts` rows of each, one behind the other.

    After its deadline, seconds of the machine's monotonic clock, nobody waits for the answer to one.
    """

    id: int
    deadlines: list[float]
    parameters: dict[str, Any]
    counts: Annotated[list[Count], Meta(min_length=1)]
    columns: list[Tensor]


class Answered(Struct, array_like=True, tag=2):
    """The answer to an ask when all its requests got predictions, which are joined."""

    id: int
    columns: list[Tensor]


class Failure(Struct, omit_defaults=True):
    """A failed request: the number of a canonical code, and the traceback where the model raised."""

    code: int
    message: str
    retry_after: float | None = None
    traceback: str | None = None


class Separate(Struct, array_like=True, tag=3):
    """The answer to an ask, request by request; None for one that is answered by another such message."""

    id: int
    each: list[list[Tensor] | Failure | None]


class Goodbye(Struct, array_like=True, tag=4):
    """The replica process is about to end: ask it no more."""


class Cancel(Struct, array_like=True, tag=5):
    """Nobody waits any more for the answers to these requests of an ask, by their places in it."""

    id: int
    requests: list[Count]


Reply = Hello | Answered | Separate | Goodbye
_M = TypeVar("_M")
_asked = msgspec.msgpack.Decoder(Ask | Cancel, ext_hook=read_extension)
_reply = msgspec.msgpack.Decoder(Reply, ext_hook=read_extension)
_ERRORS = {error.code.value: error for error in ServingError.__subclasses__()}


class Frames:
    """Cuts a stream of bytes into frames. However it comes in pieces, each byte is joined but once."""

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self._size = 0
        self._needed = HEADER

    def feed(self, data: bytes) -> Iterable[memoryview]:
        """Return the content of every frame that is complete now; take them all before feeding again.

        Raises Malformed at a frame that is longer than the limit, once those before it are taken.
        """
        if not self._size and int.from_bytes(data[:HEADER], "little") == len(data) - HEADER <= self._limit:
            return (memoryview(data)[HEADER:],)  # as most come
        return self._cut(data)

    def _cut(self, data: bytes) -> Iterator[memoryview]:
        self._pieces.append(data)
        self._size += len(data)
        if self._size < self._needed:
            return
        view = memoryview(data if len(self._pieces) == 1 else b"".join(self._pieces))
        start, stop, self._needed = 0, len(view), HEADER
        while stop - start >= HEADER:
            size = int.from_bytes(view[start : start + HEADER], "little")
            if size > self._limit:
                raise Malformed(f"a frame of {size} bytes; at most {self._limit} are expected")
            if stop - start < HEADER + size:
                self._needed = HEADER + size
                break
            start += HEADER
            yield view[start : start + size]
            start += size
        self._pieces = [bytes(view[start:])] if start < stop else []
        self._size = stop - start


def write(message: Ask | Cancel | Reply) -> bytearray:
    """Return the frame of a message; raises UNSENDABLE, of which ValueError for one that is too large."""
    frame = bytearray(HEADER)
    encode_into(message, frame, HEADER)
    size = len(frame) - HEADER
    if size > MAX_FRAME:
        raise ValueError(f"{size} bytes; at most {MAX_FRAME} can be sent to or from a replica process")
    frame[:HEADER] = size.to_bytes(HEADER, "little")
    return frame


def write_ask(
    id_: int, parts: Sequence[Instances], parameters: Parameters, deadlines: Sequence[float]
) -> tuple[bytearray, list[int]]:
    """Return the frame that asks for parts which can be joined, and their counts; raises as `write`."""
    joined = Instances.join(parts)
    counts = [part.count for part in parts]
    return write(Ask(id_, list(deadlines), dict(parameters), counts, pack(joined))), counts


def read_ask(frame: memoryview) -> tuple[Ask, Instances] | Cancel:
    """Return what a front asks and its instances, which are the reader's own, or what it cancels.

    Raises Malformed.
    """
    ask = _read(_asked, frame)
    if isinstance(ask, Cancel):
        return ask
    if len(ask.deadlines) != len(ask.counts):
        raise Malformed(f"{len(ask.deadlines)} deadlines of {len(ask.counts)} requests")
    try:
        return ask, unpack(ask.columns, Instances, sum(ask.counts), owned=True)
    except ValueError as error:
        raise Malformed(str(error)) from None


def write_answers(id_: int, answers: Sequence[Answer | None]) -> bytearray:
    """Return the frame that answers an ask, but for what is None in it.

    Predictions that cannot travel become Internal errors.
    """
    try:
        if (joined := _joined(answers)) is not None:
            return write(Answered(id_, pack(joined)))
    except UNSENDABLE:
        pass  # the reason comes below, for whom it concerns
    each = [_separate(answer) for answer in answers]
    try:
        return write(Separate(id_, each))
    except UNSENDABLE as error:  # all of them together are too large
        refusal = failure(Internal(f"the predictions cannot be sent: {error}"))
        return write(Separate(id_, [None if answer is None else refusal for answer in answers]))


def read_reply(frame: memoryview) -> Reply:
    """Return what a replica says; raises Malformed."""
    reply: Reply = _read(_reply, frame)
    return reply


def answers(message: Answered | Separate, counts: Sequence[int]) -> list[Answer | None]:
    """Return what is said of each request of the ask, given how many rows each has; raises Malformed."""
    try:
        if isinstance(message, Answered):
            joined = unpack(message.columns, Predictions, sum(counts), owned=False)
            return list(joined.split(counts))
        return [_answer(one, count) for one, count in zip(message.each, counts, strict=True)]
    except ValueError as error:
        raise Malformed(str(error)) from None


def failure(error: ServingError) -> Failure:
    """Return what tells another process of an error and, where a model raised it, of the traceback."""
    cause = error.__cause__
    return Failure(
        error.code.value,
        _sendable(str(error)),
        getattr(error, "retry_after", None),
        None if cause is None else _sendable("".join(traceback.format_exception(cause))),
    )


def error_of(told: Failure) -> ServingError:
    """Undo `failure`; the traceback is that of the error's cause, for the log."""
    kind = _ERRORS.get(told.code, Internal)
    if kind is ResourceExhausted:
        error: ServingError = ResourceExhausted(told.message, told.retry_after)
    else:
        error = kind(told.message)
    if told.traceback is not None:
        error.__cause__ = RemoteError(told.traceback)
    return error


def _read(decoder: msgspec.msgpack.Decoder[_M], frame: memoryview) -> _M:
    try:
        return decoder.decode(frame)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Malformed(f"a frame that cannot be read: {error}") from None


def _answer(told: list[Tensor] | Failure | None, count: int) -> Answer | None:
    if told is None or isinstance(told, Failure):
        return None if told is None else error_of(told)
    return unpack(told, Predictions, count, owned=False)


def _joined(answers: Sequence[Answer | None]) -> Predictions | None:
    """Join answers that are all predictions, of the same columns; None where they are not."""
    parts = [answer for answer in answers if isinstance(answer, Predictions)]
    if len(parts) < len(answers):
        return None
    if (together := Predictions.neighbours(parts)) is not None:
        return together
    names = parts[0].columns.keys()
    if any(part.columns.keys() != names for part in parts):
        return None
    for name in names:
        columns = [part.columns[name] for part in parts]
        if len({(column.dtype, column.shape[1:]) for column in columns}) > 1:
            return None  # joining would change numbers into others
    return Predictions.join(parts)


def _separate(answer: Answer | None) -> list[Tensor] | Failure | None:
    if answer is None or isinstance(answer, ServingError):
        return None if answer is None else failure(answer)
    try:
        tensors = pack(answer)
        encode_into(tensors, bytearray(), 0)
    except UNSENDABLE as error:
        return failure(_unsendable(answer, error))
    return tensors


def _unsendable(answer: Predictions, reason: BaseException) -> ServingError:
    """Return the error that the predictions would have met in the front, where there is one."""
    try:
        encode_predictions(answer)
    except Internal as error:
        return error
    return Internal(f"the prediction cannot be sent: {type(reason).__name__}: {reason}")


def _sendable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
