"""HTTP errors as gRPC statuses: the canonical code of the body, else the nearest to the HTTP status."""

from contextlib import suppress
from string import printable
from typing import Any
from urllib.parse import quote

import grpc
import msgspec
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.json_format import ParseDict, ParseError
from google.rpc import error_details_pb2, status_pb2

_BY_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    412: "FAILED_PRECONDITION",
    413: "INVALID_ARGUMENT",
    415: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_TEXT = 3000  # a status travels in headers, of which clients take 8 KiB in all
_DETAILS = 3000
_KNOWN_DETAILS = error_details_pb2.DESCRIPTOR.package  # imported for the types that details are of


class Status(Exception):
    """How a call ends that failed; `details` is a google.rpc.Status in bytes, or empty."""

    def __init__(self, code: Any, text: str, details: bytes = b"") -> None:
        super().__init__(code, text, details)
        self.code, self.text, self.details = code, text, details


def of_answer(status: int, body: bytes) -> Status:
    """Return the status that an HTTP answer stands for."""
    error = _error(body)
    name = error.get("status")
    code = getattr(grpc.StatusCode, name if isinstance(name, str) else "", None)
    if not isinstance(code, grpc.StatusCode) or code is grpc.StatusCode.OK:
        code = grpc.StatusCode[_BY_STATUS.get(status, "INTERNAL")]
    message = error.get("message")
    text = message if isinstance(message, str) else body[:_TEXT].decode("utf-8", "replace")
    text = shorten(text or f"the server answered {status}")
    return Status(code, text, _details(code, text, error.get("details")))


def of_element(error: Any) -> Status:
    """Return the status of an error that comes in the middle of a stream: the `error` object itself."""
    code = error.get("code") if isinstance(error, dict) else None
    return of_answer(code if isinstance(code, int) else 500, msgspec.json.encode({"error": error}))


def shorten(text: str) -> str:
    """Return no more of a text than fits into a status, where it is percent-encoded."""
    short = text[:_TEXT]
    while len(quote(short, safe=printable)) > _TEXT:
        short = short[: len(short) * 3 // 4]
    return text if short == text else f"{short} ..."


def _error(body: bytes) -> dict[str, Any]:
    try:
        content = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    if isinstance(content, list) and content:  # as the answers of streams are
        content = content[0]
    error = content.get("error") if isinstance(content, dict) else None
    return error if isinstance(error, dict) else {}


def _details(code: Any, text: str, details: Any) -> bytes:
    status = status_pb2.Status(code=code.value[0], message=text)
    for detail in details if isinstance(details, list) else ():
        # one of a type that nobody here knows is left out
        with suppress(ParseError, TypeError):
            parsed = ParseDict(detail, AnyMessage(), ignore_unknown_fields=True)
            if parsed.type_url:
                status.details.append(parsed)
    packed = bytes(status.SerializeToString()) if status.details else b""
    return packed if len(packed) <= _DETAILS else b""
