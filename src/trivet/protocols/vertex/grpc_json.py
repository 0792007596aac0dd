"""Messages to and from what JSON holds, as proto3 defines it, with instances and predictions made fast.

Those are `google.protobuf.Value`, of which every number is a message of its own; protobuf's own conversion
takes three times as long.
"""

from collections.abc import Sequence
from functools import cache
from math import isfinite
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict, ParseError

from trivet.core.errors import Internal, InvalidArgument

_VALUE = "google.protobuf.Value"


def to_object(message: Any) -> dict[str, Any]:
    """Return a message as an object for JSON, enums as numbers; the message loses what was converted.

    Raises InvalidArgument for what JSON cannot say, as numbers that are not finite.
    """
    found = {}
    for field in _values(message.DESCRIPTOR):
        value = getattr(message, field.name)
        if field.is_repeated:
            if value:
                found[field.json_name] = [_read(one, field.name) for one in value]
        elif message.HasField(field.name):
            found[field.json_name] = _read(value, field.name)
        message.ClearField(field.name)
    try:
        return {**MessageToDict(message, use_integers_for_enums=True), **found}
    except (ValueError, TypeError) as error:
        raise InvalidArgument(f"{message.DESCRIPTOR.name}: {error}") from None


def of_object(content: Any, kind: Any) -> Any:
    """Return a message of a kind with this content; what it does not know is left out.

    Raises Internal where the content does not fit.
    """
    message = kind()
    if not isinstance(content, dict):
        raise Internal(f"the server's answer is no {kind.DESCRIPTOR.name}: expected an object")
    for field in _values(kind.DESCRIPTOR):
        value, into = content.get(field.json_name), getattr(message, field.name)
        if not field.is_repeated and value is not None:
            _write(into, content.pop(field.json_name))
        elif field.is_repeated and isinstance(value, list):
            for one in content.pop(field.json_name):
                _write(into.add(), one)
    try:
        return ParseDict(content, message, ignore_unknown_fields=True)
    except ParseError as error:
        raise Internal(f"the server's answer is no {kind.DESCRIPTOR.name}: {error}") from None


@cache
def _values(descriptor: Any) -> Sequence[Any]:
    return [
        field
        for field in descriptor.fields
        if field.message_type is not None and field.message_type.full_name == _VALUE
    ]


def _read(value: Any, name: str) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "number_value":
        number = value.number_value
        if not isfinite(number):
            raise InvalidArgument(f"{name}: expected finite numbers; got {number}")
        return number
    if kind == "string_value":
        return value.string_value
    if kind == "list_value":
        return [_read(one, name) for one in value.list_value.values]
    if kind == "struct_value":
        return {key: _read(one, name) for key, one in value.struct_value.fields.items()}
    return value.bool_value if kind == "bool_value" else None


def _write(value: Any, content: Any) -> None:
    if content is None:
        value.null_value = 0
    elif isinstance(content, bool):
        value.bool_value = content
    elif isinstance(content, (int, float)):
        value.number_value = content
    elif isinstance(content, str):
        value.string_value = content
    elif isinstance(content, list):
        value.list_value.SetInParent()
        values = value.list_value.values
        for one in content:
            _write(values.add(), one)
    else:
        value.struct_value.SetInParent()
        fields = value.struct_value.fields
        for key, one in content.items():
            _write(fields[key], one)
