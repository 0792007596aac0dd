import json
from urllib.parse import quote

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from trivet.core.errors import Code
from trivet.protocols.base import STATUS
from trivet.protocols.vertex import grpc_errors


def body(**error):
    return json.dumps({"error": error}).encode()


@pytest.mark.parametrize("code", list(Code))
def test_the_canonical_code_of_the_body_is_kept(code):
    status = grpc_errors.of_answer(STATUS[code], body(code=STATUS[code], message="why", status=code.name))
    assert status.code is grpc.StatusCode[code.name]
    assert status.code.value[0] == code.value
    assert status.text == "why"


@pytest.mark.parametrize(
    ("http", "name"),
    [
        (400, "INVALID_ARGUMENT"),
        (401, "UNAUTHENTICATED"),
        (403, "PERMISSION_DENIED"),
        (404, "NOT_FOUND"),
        (409, "ALREADY_EXISTS"),
        (418, "INTERNAL"),
        (429, "RESOURCE_EXHAUSTED"),
        (500, "INTERNAL"),
        (502, "UNAVAILABLE"),
        (503, "UNAVAILABLE"),
        (504, "DEADLINE_EXCEEDED"),
        (302, "INTERNAL"),
    ],
)
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>",
        b"{}",
        b"[]",
        b"7",
        b'{"error": 7}',
        b'{"error": {"status": "NONSENSE"}}',
        b'{"error": {"status": "OK"}}',
        b'{"error": {"status": 5, "message": 5, "details": 5}}',
        b"\xff\xfe",
    ],
)
def test_without_one_the_http_status_says_which(http, name, content):
    status = grpc_errors.of_answer(http, content)
    assert status.code is grpc.StatusCode[name]
    assert status.text


def test_the_answer_of_a_stream_may_hold_the_error_in_an_array():
    status = grpc_errors.of_answer(404, b"[" + body(status="NOT_FOUND", message="no such model") + b"]")
    assert (status.code, status.text) == (grpc.StatusCode.NOT_FOUND, "no such model")


def test_details_are_kept_where_their_type_is_known():
    known = {
        "@type": "type.googleapis.com/google.rpc.BadRequest",
        "fieldViolations": [{"field": "displayName", "description": "too long"}],
    }
    unknown = {"@type": "type.googleapis.com/nobody.Knows", "a": 1}
    content = body(status="INVALID_ARGUMENT", message="m", details=[unknown, known, 7, {}])
    status = status_pb2.Status.FromString(grpc_errors.of_answer(400, content).details)
    assert (status.code, status.message, len(status.details)) == (3, "m", 1)
    violations = error_details_pb2.BadRequest()
    assert status.details[0].Unpack(violations)
    assert violations.field_violations[0].field == "displayName"


@pytest.mark.parametrize("text", ["a" * 100_000, "ä" * 100_000, "\n" * 100_000, "😀" * 5000])
def test_a_text_is_cut_to_what_headers_hold(text):
    status = grpc_errors.of_answer(400, body(status="INVALID_ARGUMENT", message=text))
    assert len(quote(status.text)) < 10_000
    assert status.text.endswith(" ...")
    assert status.text.startswith(text[:200])


def test_details_that_headers_do_not_hold_are_left_out():
    detail = {"@type": "type.googleapis.com/google.rpc.DebugInfo", "detail": "x" * 5000}
    assert grpc_errors.of_answer(500, body(status="INTERNAL", message="m", details=[detail])).details == b""
