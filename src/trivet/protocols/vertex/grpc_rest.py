"""A gRPC message as the HTTP request of the same meaning, and the HTTP answer as a gRPC message."""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import msgspec
from google.api_core import path_template
from google.api_core.rest_helpers import flatten_query_params
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError

from trivet.core.errors import Internal, InvalidArgument
from trivet.protocols.vertex.grpc_json import of_object, to_object
from trivet.protocols.vertex.grpc_methods import Method

_AS_THE_SDK = (("$alt", "json;enum-encoding=int"),)  # enums are numbers, as in its REST transport
_HEADER = re.compile(r"[ -~]*")
_SAID_ONCE = ("endpoint", "method_name")
_VARIABLE = re.compile(r"\{([^=}]+)=?([^}]*)\}")
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked over HTTP. `is_repeatable` says that asking it twice does no harm."""

    verb: str
    target: str
    body: bytes = b""
    media_type: str = ""
    is_repeatable: bool = False


def parse(method: Method, raw: bytes) -> Any:
    """Return the message that a client sent; raises InvalidArgument."""
    try:
        return method.takes.FromString(raw)
    except DecodeError as error:
        raise InvalidArgument(f"{method.name}: not a {method.takes.DESCRIPTOR.name}: {error}") from None


def continued(method: Method, raw: bytes, first: list[Any]) -> bytes:
    """Return a message of a stream with what only the first one had to say: to whom it goes.

    `first` is empty at the first message, which is put there.
    """
    message = parse(method, raw)
    if not first:
        first.append(message)
        return raw
    missing = [
        name
        for name in _SAID_ONCE
        if name in message.DESCRIPTOR.fields_by_name and not getattr(message, name)
    ]
    for name in missing:
        setattr(message, name, getattr(first[0], name))
    return bytes(message.SerializeToString()) if missing else raw


def request(method: Method, message: Any) -> Request:
    """Return a message as a request; raises InvalidArgument where it names nothing that can be asked."""
    try:
        found = path_template.transcode(method.rules, message)
    except ValueError:
        raise InvalidArgument(f"{method.name}: {_expected(method, message)}") from None
    verb, target = found["method"].upper(), found["uri"]
    if "http_body" in method.takes.DESCRIPTOR.fields_by_name:
        raw = message.http_body
        if not _HEADER.fullmatch(raw.content_type):
            raise InvalidArgument(f"http_body.content_type: expected a media type; got {raw.content_type!r}")
        return Request(verb, target, raw.data, raw.content_type or "application/json", method.is_repeatable)
    query = MessageToDict(found["query_params"], use_integers_for_enums=True)
    target += "?" + urlencode([*flatten_query_params(query, strict=True), *_AS_THE_SDK])
    if "body" not in found:
        return Request(verb, target, is_repeatable=method.is_repeatable)
    body = _encode(to_object(found["body"]))
    return Request(verb, target, body, "application/json", method.is_repeatable)


def answer(method: Method, body: bytes, media_type: str) -> bytes:
    """Return what was answered as the message that the method gives; raises Internal where it is none."""
    kind = method.gives
    if kind.DESCRIPTOR.full_name == "google.api.HttpBody":
        return bytes(kind(content_type=media_type, data=body).SerializeToString())
    try:
        content = _decode(body or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Internal(f"{method.name}: the server's answer is not JSON: {error}") from None
    return bytes(of_object(content, kind).SerializeToString())


def _expected(method: Method, message: Any) -> str:
    """Say which names a method wants, and what it got."""
    wanted: dict[str, list[str]] = {}
    for rule in method.rules:
        for field, pattern in _VARIABLE.findall(rule["uri"]):
            wanted.setdefault(field, []).append(pattern or "*")
    return "; ".join(
        f"{field}: expected {' or '.join(patterns)}; got {path_template.get_field(message, field)!r}"
        for field, patterns in wanted.items()
    )
