"""Requests that are passed on to a container as they are: raw predictions, streams, and `invoke`."""

import socket
from base64 import b64decode, b64encode
from pathlib import Path

import httpx
import pytest

from tests.integration.plane import PARENT, Plane
from tests.integration.server import up
from tests.integration.test_container_online import PROCESS, upload

FRANK = Path(__file__).parent / "frank"
AS_THE_SDK = "?%24alt=json%3Benum-encoding%3Dint"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with up(tmp_path_factory.mktemp("data"), **PROCESS) as server:
        server.client.timeout = 60
        yield server
        assert server.stop() == 0


@pytest.fixture(scope="module")
def plane(server):
    """A server with the container at `frank`, and at `any` with an invoke route prefix."""
    plane = Plane(server.client)
    plane.endpoint("frank")
    plane.deploy("frank", upload(plane, "frank", FRANK))
    plane.endpoint("any")
    plane.deploy("any", upload(plane, "any", FRANK, predictRoute=None, invokeRoutePrefix="/*"))
    plane.endpoint("below")
    plane.deploy("below", upload(plane, "below", FRANK, predictRoute=None, invokeRoutePrefix="/v1/*"))
    plane.endpoint("echo")
    plane.deploy("echo", upload(plane, "other", FRANK))
    return plane


def raw(plane, verb="rawPredict", endpoint="frank", query="", **more):
    return plane.client.post(f"{PARENT}/endpoints/{endpoint}:{verb}{query}", **more)


@pytest.mark.parametrize("verb", ["rawPredict", "streamRawPredict"])
@pytest.mark.parametrize("status", [200, 201, 299, 404, 418, 500])
def test_a_raw_prediction_is_what_the_container_makes_of_the_bytes(plane, verb, status):
    body = bytes(range(256)) * 1000
    answer = raw(plane, verb, content=body, headers={"Content-Type": "image/x", "X-Status": str(status)})
    assert (answer.status_code, answer.content) == (status, body)
    assert answer.headers["content-type"] == "image/x"
    assert answer.headers.get_list("x-own") == ["one", "two"]
    assert answer.headers["x-vertex-ai-endpoint-id"] == "frank"
    assert answer.headers["x-vertex-ai-deployed-model-id"]


def test_only_what_is_for_the_container_goes_on(plane):
    answer = plane.client.post(
        f"{PARENT}/endpoints/any/invoke/x/tell?a=1&b=%20",
        content=b"{}",
        headers={"Authorization": "Bearer secret", "X-More": "m", "Connection": "x-hop", "X-Hop": "h"},
    )
    told = answer.json()
    assert (told["method"], told["target"], told["body"]) == ("POST", "/x/tell?a=1&b=%20", "{}")
    assert told["headers"]["x-more"] == "m"
    assert not {"authorization", "x-hop", "connection"} & set(told["headers"])


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"])
def test_invoke_reaches_any_path_with_any_method(plane, method):
    (deployed,) = plane.get("endpoints/any")["deployedModels"]
    for way in ("", f"/deployedModels/{deployed['id']}"):
        answer = plane.client.request(method, f"{PARENT}/endpoints/any{way}/invoke/v1/a%2Fb/tell")
        assert answer.status_code == 200
        if method != "HEAD":
            assert (answer.json()["method"], answer.json()["target"]) == (method, "/v1/a%2Fb/tell")


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("endpoints/any/invoke/a/%2e%2e/b", 400, "without `.` and `..`"),
        ("endpoints/any/deployedModels/7/invoke/a", 404, "no deployed model '7'"),
        ("endpoints/any/invoke/a/..;x/b", 400, "without `.` and `..`"),
        ("endpoints/any/invoke/a/..%5Cb", 400, "without `.` and `..`"),
        ("endpoints/below/invoke/v2/tell", 404, "paths begin with /v1/"),
        ("endpoints/below/invoke//v1/tell", 404, "paths begin with /v1/"),
        ("endpoints/below%2Finvoke%2Fv1/invoke/v2/tell", 400, "without escapes"),
        ("endpoints/frank/invoke/a", 400, "without an invoke route prefix"),
        ("endpoints/any:predict", 400, "in place of a predict route"),
        ("endpoints/any:rawPredict", 400, "in place of a predict route"),
        ("endpoints/none/invoke/a", 404, "nothing is deployed"),
    ],
)
def test_what_cannot_be_passed_on_is_refused(plane, path, status, told):
    answer = plane.client.post(f"{PARENT}/{path}", content=b'{"instances": [1]}')
    assert answer.status_code == status
    assert told in answer.json()["error"]["message"]


def test_an_answer_without_a_body_has_no_length(plane):
    answer = raw(plane, content=b"", headers={"X-Status": "204"})
    assert (answer.status_code, answer.content) == (204, b"")
    assert "content-length" not in answer.headers


def test_a_page_of_a_container_has_another_origin_than_the_control_plane(plane):
    answer = plane.client.get(f"{PARENT}/endpoints/any/invoke/tell")
    assert answer.headers["content-security-policy"].startswith("sandbox")
    assert "allow-same-origin" not in answer.headers["content-security-policy"]
    of_such_a_page = plane.client.get(f"{PARENT}/endpoints", headers={"Origin": "null"})
    assert of_such_a_page.status_code == 403


def test_other_methods_of_a_raw_prediction_are_refused(plane):
    answer = plane.client.get(f"{PARENT}/endpoints/frank:rawPredict")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST, OPTIONS")


def test_pieces_come_when_the_container_sends_them(plane, tmp_path):
    query = {"next": str(tmp_path / "go"), "pieces": 3}
    with plane.client.stream("GET", f"{PARENT}/endpoints/any/invoke/stream", params=query) as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        for number, piece in enumerate(answer.iter_raw()):
            assert piece == b"data: %d\n\n" % number
            (tmp_path / f"go-{number + 1}").touch()
    assert number == 2


def test_a_stream_that_breaks_off_is_seen_to(plane, tmp_path):
    query = {"next": str(tmp_path / "go"), "pieces": 3, "dies": 1}
    with plane.client.stream("GET", f"{PARENT}/endpoints/any/invoke/stream", params=query) as answer:
        pieces = answer.iter_raw()
        assert next(pieces) == b"data: 0\n\n"
        (tmp_path / "go-1").touch()
        with pytest.raises(httpx.RemoteProtocolError):
            next(pieces)
    assert plane.client.get(f"{PARENT}/endpoints/any/invoke/tell").status_code == 200


def test_there_must_be_a_first_byte_in_time(plane, tmp_path):
    target = f"{PARENT}/endpoints/any/invoke/wait?next={tmp_path / 'go'}"
    answer = plane.client.get(target, headers={"X-Server-Timeout": "0.3"})
    (tmp_path / "go").touch()
    assert answer.status_code == 504
    assert "no answer within 0.3 s; it was in the container" in answer.json()["error"]["message"]
    assert passing(plane) == 0


def test_a_caller_who_leaves_ends_the_stream(server, plane, tmp_path):
    address = httpx.URL(server.url)
    with socket.create_connection((address.host, address.port)) as caller:
        target = f"{PARENT}/endpoints/any/invoke/stream?pieces=2&next={tmp_path / 'go'}"
        caller.sendall(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        came = b""
        while b"data: 0" not in came:
            came += caller.recv(1 << 16)
        assert passing(plane) == 1
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset
    while passing(plane):
        pass
    (tmp_path / "go-1").touch()


def test_a_caller_who_leaves_before_the_first_byte_ends_its_request(server, plane, tmp_path):
    address = httpx.URL(server.url)
    with socket.create_connection((address.host, address.port)) as caller:
        target = f"{PARENT}/endpoints/any/invoke/wait?next={tmp_path / 'go'}"
        caller.sendall(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        while not passing(plane):
            pass
        caller.shutdown(socket.SHUT_WR)  # as the system does for a caller who closes its socket
        assert caller.recv(1 << 16).startswith(b"HTTP/1.1 499")
    assert not passing(plane)
    (tmp_path / "go").touch()


def passing(plane):
    lines = plane.client.get("/metrics").text.splitlines()
    found = [line for line in lines if line.startswith("trivet_in_flight_requests") and 'model="any"' in line]
    return float(found[0].rpartition(" ")[2])


def test_googles_own_client_wraps_bodies(plane):
    wrapped = {"httpBody": {"contentType": "text/x", "data": b64encode(b"\xffhi").decode()}}
    answer = raw(plane, query=AS_THE_SDK, json=wrapped)
    assert answer.headers["content-type"] == "application/json"
    assert (answer.json()["contentType"], b64decode(answer.json()["data"])) == ("text/x", b"\xffhi")
    (part,) = raw(plane, "streamRawPredict", query=AS_THE_SDK, json=wrapped).json()
    assert b64decode(part["data"]) == b"\xffhi"
    refused = raw(plane, query=AS_THE_SDK, json=wrapped, headers={"X-Status": "422"})
    assert (refused.status_code, refused.content) == (422, b"\xffhi")


def test_a_container_and_another_model_share_an_endpoint(plane, tmp_path):
    (tmp_path / "predictor.py").write_text("class Predictor:\n def predict(self, rows): return rows\n")
    (one,) = plane.get("endpoints/echo")["deployedModels"]
    other = plane.deploy("echo", plane.upload(tmp_path, "python"), split={"0": 100, one["id"]: 0})
    body = b'{"instances": [1.50]}'
    answer = raw(plane, endpoint="echo", content=body)
    assert (answer.content, answer.headers["x-vertex-ai-deployed-model-id"]) == (
        b'{"predictions":[1.5]}',
        other,
    )
    plane.split("echo", {one["id"]: 100})
    assert raw(plane, endpoint="echo", content=body).content == body


def test_requests_that_are_passed_on_are_counted(plane):
    raw(plane, content=b"x", headers={"X-Status": "429"})
    lines = plane.client.get("/metrics").text.splitlines()
    counted = [line for line in lines if line.startswith("trivet_requests_total") and 'model="frank"' in line]
    assert any('code="RESOURCE_EXHAUSTED"' in line for line in counted)
    assert any('code="OK"' in line for line in counted)
