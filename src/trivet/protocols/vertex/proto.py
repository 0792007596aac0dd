"""Reads messages of proto-JSON into structs, in every form that its readers must take.

https://protobuf.dev/programming-guides/json/: fields in camelCase or snake_case, null for one that is not
there, bytes in base64 of either alphabet, padded or not.
"""

from functools import cache
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import inspect

from trivet.codecs.json_body import parse
from trivet.core.errors import InvalidArgument
from trivet.protocols.vertex.wire import camel

T = TypeVar("T")

_ALPHABET = str.maketrans("-_", "+/")


class Message(Generic[T]):
    """Reads bodies as one type of message: a struct whose fields are named in camelCase."""

    def __init__(self, kind: type[T]) -> None:
        self._kind = kind
        self._type = inspect.type_info(kind)
        self._decode = msgspec.json.Decoder(kind).decode

    def read(self, body: bytes) -> T:
        """Return the message; raises InvalidArgument, or RecursionError for what is nested too deeply.

        What clients send as a rule is read in one pass, and anything that might have another form with care.
        """
        if b"_" not in body and b"null" not in body:
            try:
                return self._decode(body)
            except (msgspec.MsgspecError, ValueError):
                pass  # it is told with care, too
        plain = _plain(parse(body), self._type)
        try:
            return msgspec.convert(plain, self._kind)
        except msgspec.ValidationError as error:
            raise InvalidArgument(f"the body: {error}") from None


def _plain(value: Any, type_: inspect.Type) -> Any:
    """Return a value of JSON in the one form that msgspec reads; what does not fit stays as it is."""
    match type_:
        case inspect.UnionType():
            for one in type_.types:
                value = _plain(value, one)
        case inspect.BytesType() if isinstance(value, str):
            text = value.translate(_ALPHABET).rstrip("=")
            value = text + "=" * (-len(text) % 4)
        case inspect.ListType() if isinstance(value, list):
            value = [_plain(item, type_.item_type) for item in value] if _varies(type_.item_type) else value
        case inspect.DictType() if isinstance(value, dict):
            value = {key: _plain(item, type_.value_type) for key, item in value.items()}
        case inspect.StructType() if isinstance(value, dict):
            value = _fields(value, type_)
    return value


def _varies(type_: inspect.Type) -> bool:
    return isinstance(type_, inspect.StructType | inspect.BytesType)


def _fields(value: dict[str, Any], type_: inspect.StructType) -> dict[str, Any]:
    types, made = _types(type_.cls), {}
    for key, item in value.items():
        name = key if key in types else camel(key)
        if name not in types:
            made[key] = item
        elif name in made:
            raise InvalidArgument(f"{name}: given twice, as {name} and as {key}")
        elif item is not None:
            made[name] = _plain(item, types[name])
    return made


@cache
def _types(kind: type) -> dict[str, inspect.Type]:
    """Return the types of a struct's fields by their names in JSON."""
    struct = inspect.type_info(kind)
    assert isinstance(struct, inspect.StructType)
    return {field.encode_name: field.type for field in struct.fields}
