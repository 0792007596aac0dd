"""What the answer of an application means: its predictions, or whose fault it is that there are none."""

from typing import Any

import msgspec

from trivet.core.errors import Internal, InvalidArgument, ResourceExhausted, ServingError, Unavailable

MAX_BODY = 1 << 29
"""Bytes of an answer at most: above what a request of ordinary limits needs, and little enough to hold."""

_SHOWN = 200
"""Characters of an answer that a caller is shown."""


class _Answer(msgspec.Struct):
    predictions: list[Any]


class _Texts(msgspec.Struct):
    predictions: list[msgspec.Raw]


_answer = msgspec.json.Decoder(_Answer)
_texts = msgspec.json.Decoder(_Texts)


def predictions(content: bytes, count: int) -> list[Any]:
    """Read the body of an answer of status 200 to so many instances: JSON values, one for each.

    Raises Internal that shows how the body begins, or says how many predictions there are instead.
    """
    return _read(_answer, content, count)


def texts(content: bytes, count: int) -> list[Any]:
    """Return the same as JSON texts (`msgspec.Raw`), as the application wrote them; raises as that does."""
    return _read(_texts, content, count)


def _read(decoder: msgspec.json.Decoder[Any], content: bytes, count: int) -> list[Any]:
    try:
        if not content.isascii():
            content.decode()  # nobody else looks at what texts are made of
        found: list[Any] = decoder.decode(content).predictions
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        told = f'the container answered {shown(content)}; expected JSON, as {{"predictions": [...]}}'
        raise Internal(f"{told}: {error}") from None
    if len(found) != count:
        raise Internal(f"the container gave {len(found)} predictions for {count} instances")
    return found


def too_long() -> Internal:
    """Return what is said of an answer of more than MAX_BODY bytes."""
    return Internal(f"the container's answer is longer than {MAX_BODY:,} bytes")


def refusal(status: int, retry_after: str | None, content: bytes) -> ServingError:
    """Return what an answer means that has another status; `retry_after` is its header of that name."""
    told = f"the container answered {status}: {shown(content)}"
    if status == 429:
        return ResourceExhausted(told, _seconds(retry_after))
    if status == 503:
        return Unavailable(told)
    if 400 <= status < 500:
        return InvalidArgument(told)
    return Internal(told)


def shown(content: bytes) -> str:
    """Return the beginning of a body as people can read it, whatever it is."""
    return repr(content[: 4 * _SHOWN].decode("utf-8", "replace")[:_SHOWN])


def _seconds(given: str | None) -> float | None:
    """Read Retry-After, of which a minute is believed; a date is taken for no statement."""
    try:
        return min(60.0, max(0.0, float(given or "")))
    except ValueError:
        return None
