"""The JSON texts that requests for predictions are put together from."""

import msgspec

from trivet.core.errors import InvalidArgument, ServingError
from trivet.core.instances import Column
from trivet.core.signature import Parameters

_encode = msgspec.json.Encoder().encode
_is_json = msgspec.json.Decoder(msgspec.Raw).decode


def json_texts(values: Column) -> tuple[list[bytes], dict[int, ServingError]]:
    """Return the JSON texts of instances, and why some have none; those texts are empty."""
    texts: list[bytes] = []
    errors: dict[int, ServingError] = {}
    for index, value in enumerate(values):
        try:
            if isinstance(value, msgspec.Raw):
                text = bytes(value)
                _is_json(text)  # what is two values, or ends the request's array, must not get into it
            else:
                text = _encode(value)
        except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError) as error:
            text = b""
            errors[index] = InvalidArgument(f"not valid JSON: {error}")
        texts.append(text)
    return texts, errors


def around(parameters: Parameters) -> tuple[bytes, bytes]:
    """Return what a request's body has before and after its instances."""
    after = b',"parameters":' + _encode(parameters) if parameters else b""
    return b'{"instances":[', b"]" + after + b"}"
