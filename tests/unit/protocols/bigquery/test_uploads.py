import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

UPLOAD = "/upload/bigquery/v2/projects/p/jobs"
LINES = b'{"a": 1}\n{"a": 2}\n\n{"a": 3}\n'


def configuration(dataset, table="t"):
    name = dataset.rpartition("/")[2]
    load = {
        "sourceFormat": "NEWLINE_DELIMITED_JSON",
        "schema": {"fields": [{"name": "a", "type": "INT64"}]},
        "destinationTable": {"datasetId": name, "tableId": table},
    }
    return json.dumps({"configuration": {"load": load}}).encode()


def multipart(about, media, boundary=b"==x=="):
    part = b"--" + boundary + b"\r\ncontent-type: application/json\r\n\r\n" + about
    data = b"\r\n--" + boundary + b"\r\ncontent-type: */*\r\n\r\n" + media
    return part + data + b"\r\n--" + boundary + b"--"


def finished(answers, reply):
    assert reply.status == 200, reply.body
    job = json.loads(reply.body)["jobReference"]["jobId"]
    found = answers.ended(job)
    assert "errorResult" not in found["status"], found
    return int(found["statistics"]["load"]["outputRows"])


def begin(answers, dataset, **more):
    reply = answers.raw("POST", UPLOAD, configuration(dataset), "uploadType=resumable", **more)
    assert reply.status == 200
    path, _, query = reply.headers["location"].partition("/upload")[2].partition("?")
    return "/upload" + path, query


@pytest.mark.parametrize("quoted", [True, False])
def test_data_comes_with_the_job(answers, dataset, quoted):
    boundary = '"==x=="' if quoted else "==x=="
    kind = f"multipart/related; boundary={boundary}"
    reply = answers.raw(
        "POST", UPLOAD, multipart(configuration(dataset), LINES), "uploadType=multipart", content_type=kind
    )
    assert finished(answers, reply) == 3


@given(st.binary(max_size=300))
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_data_arrives_as_it_is_whatever_it_looks_like(answers, media):
    from trivet.protocols.base import Call
    from trivet.protocols.bigquery.uploads import _parts

    headers = {"content-type": "multipart/related; boundary=q"}
    for noise in (media, b"\r\n--q"[1:] + media, media + b"\r\n"):
        if b"\r\n--q" in b"\r\n" + noise:
            continue
        about, found = _parts(Call("POST", UPLOAD, "", headers, multipart(b"{}", noise, b"q")))
        assert (about, found) == (b"{}", noise)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "multipart/related; boundary=q"),
        (b"--q\r\n\r\n{}\r\n--q--", "multipart/related; boundary=q"),
        (b"--q--", "multipart/related; boundary=q"),
        (b"--q\r\n{}\r\n--q\r\nx\r\n--q--", "multipart/related; boundary=q"),
        (multipart(b"{}", b""), "multipart/related"),
        (multipart(b"{", b"x", b"q"), "multipart/related; boundary=q"),
        (
            multipart(b'{"configuration": {"query": {"query": "SELECT 1"}}}', b"x", b"q"),
            "multipart/related; boundary=q",
        ),
    ],
)
def test_a_body_that_has_no_two_parts_is_refused(answers, body, kind):
    reply = answers.raw("POST", UPLOAD, body, "uploadType=multipart", content_type=kind)
    assert reply.status == 400, reply.body


def test_data_comes_piece_by_piece(answers, dataset):
    path, query = begin(answers, dataset)
    for start in range(0, len(LINES), 7):
        piece = LINES[start : start + 7]
        last = start + len(piece) - 1
        total = len(LINES) if last == len(LINES) - 1 else "*"
        reply = answers.raw("PUT", path, piece, query, content_range=f"bytes {start}-{last}/{total}")
        if total == "*":
            assert (reply.status, reply.headers["range"]) == (308, f"bytes=0-{last}")
    assert finished(answers, reply) == 3
    again = answers.raw("PUT", path, b"", query, content_range=f"bytes */{len(LINES)}")
    assert again.body == reply.body  # whose answer was lost


def test_a_piece_that_comes_twice_counts_once(answers, dataset):
    path, query = begin(answers, dataset)
    half = len(LINES) // 2
    for _ in range(2):
        reply = answers.raw("PUT", path, LINES[:half], query, content_range=f"bytes 0-{half - 1}/*")
        assert reply.headers["range"] == f"bytes=0-{half - 1}"
    asked = answers.raw("PUT", path, b"", query, content_range=f"bytes */{len(LINES)}")
    assert (asked.status, asked.headers["range"]) == (308, f"bytes=0-{half - 1}")
    gap = answers.raw("PUT", path, b"x", query, content_range=f"bytes {half + 1}-{half + 1}/*")
    assert gap.status == 400
    rest = f"bytes {half - 3}-{len(LINES) - 1}/{len(LINES)}"
    assert finished(answers, answers.raw("PUT", path, LINES[half - 3 :], query, content_range=rest)) == 3


def test_data_may_have_no_bytes(answers, dataset):
    path, query = begin(answers, dataset)
    assert finished(answers, answers.raw("PUT", path, b"", query, content_range="bytes */0")) == 0


def test_pieces_may_come_without_a_range_at_once(answers, dataset):
    path, query = begin(answers, dataset)
    assert finished(answers, answers.raw("PUT", path, LINES, query)) == 3


@pytest.mark.parametrize(
    "said", ["bytes 0-1", "bytes 5-1/9", "bytes 0-99/100", "chars 0-1/2", "bytes -1-1/2"]
)
def test_a_range_that_is_none_is_refused(answers, dataset, said):
    path, query = begin(answers, dataset)
    assert answers.raw("PUT", path, b"xy", query, content_range=said).status == 400


def test_an_upload_that_is_not_known_is_not_there(answers):
    reply = answers.raw("PUT", UPLOAD, b"x", "uploadType=resumable&upload_id=../../x")
    assert (reply.status, json.loads(reply.body)["error"]["errors"][0]["reason"]) == (404, "notFound")


@pytest.mark.parametrize(
    ("address", "scheme"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://localhost:8443", "https://localhost:8443"),
        ("http://bigquery.googleapis.com", "https://bigquery.googleapis.com"),
    ],
)
def test_the_rest_goes_where_the_beginning_came_from(answers, dataset, address, scheme):
    reply = answers.raw("POST", UPLOAD, configuration(dataset), "uploadType=resumable", address=address)
    assert reply.headers["location"].startswith(f"{scheme}/upload/")


def test_files_are_gone_when_they_are_loaded(answers, dataset):
    kind = "multipart/related; boundary===x=="
    body = multipart(configuration(dataset), LINES)
    finished(answers, answers.raw("POST", UPLOAD, body, "uploadType=multipart", content_type=kind))
    broken = multipart(configuration(dataset, "u"), b"nonsense")
    reply = answers.raw("POST", UPLOAD, broken, "uploadType=multipart", content_type=kind)
    job = json.loads(reply.body)["jobReference"]["jobId"]
    found = answers.ended(job)
    assert found["status"]["errorResult"]["reason"] == "invalid"
    uploads = answers.api._uploads
    left = {one.file for one in uploads._uploads.values()}
    assert set(uploads._folder.glob("*")) <= left
