"""The CONNECT proxy, with clients that find it in their environment."""

import socket
import threading
from contextlib import contextmanager

import grpc
import pytest
import requests
from google.cloud import aiplatform_v1

from tests.integration.gateway import Answered, running
from tests.integration.raw import Raw
from trivet.gateway import proxy

ENDPOINT = "projects/p/locations/us-central1/endpoints/1"
GOOGLE = "us-central1-aiplatform.googleapis.com"
WITHIN = 30  # seconds; a bound for hangs, not a measurement


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    with running(tmp_path_factory.mktemp("data")) as found:
        yield found


@pytest.fixture(autouse=True)
def found_by_environment(gateway, monkeypatch):
    gateway.upstream.forget()
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, gateway.proxy)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", gateway.bundle)


@pytest.mark.parametrize(
    "host",
    [
        GOOGLE,
        "storage.googleapis.com",
        "aiplatform.eu.rep.googleapis.com",
        "1.us-central1-2.prediction.vertexai.goog",
    ],
)
def test_googles_hosts_are_answered_here(gateway, host):
    gateway.upstream.answers["POST", f"/v1/{ENDPOINT}:rawPredict"] = lambda asked: Answered(asked.body)
    with requests.Session() as session:
        for _ in range(2):
            answer = session.post(f"https://{host}/v1/{ENDPOINT}:rawPredict", data=b"x", timeout=WITHIN)
            assert answer.content == b"x"
    assert [one.headers["host"] for one in gateway.upstream.asked] == [host] * 2


def test_grpc_finds_its_way_through_the_proxy(gateway):
    gateway.upstream.answers["GET", f"/v1/{ENDPOINT}"] = Answered({"name": ENDPOINT})
    channel = grpc.secure_channel(f"{GOOGLE}:443", grpc.ssl_channel_credentials(gateway.ca))
    kind = aiplatform_v1.EndpointServiceClient
    with kind(transport=kind.get_transport_class("grpc")(channel=channel)) as client:
        assert client.get_endpoint(name=ENDPOINT, timeout=WITHIN).name == ENDPOINT


@contextmanager
def elsewhere():
    """A server that is not Google's: says what it has heard when its client has said all."""

    def serve():
        client, _ = listening.accept()
        with client:
            heard = b"".join(iter(lambda: client.recv(4096), b""))
            client.sendall(b"heard " + heard)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        thread.join(WITHIN)
        assert not thread.is_alive()


def test_other_hosts_are_reached_too_and_each_way_ends_for_itself(gateway):
    with elsewhere() as host, Raw(gateway.proxy) as tunnel:
        client = tunnel.send(f"CONNECT {host} HTTP/1.1\r\nhost: x\r\n\r\nearly ".encode()).socket
        assert client.recv(19) == b"HTTP/1.1 200 OK\r\n\r\n"
        client.sendall(b"and late")
        client.shutdown(socket.SHUT_WR)
        assert b"".join(iter(lambda: client.recv(4096), b"")) == b"heard early and late"


@pytest.mark.parametrize(
    ("line", "status", "text"),
    [
        ("GET http://example.org/ HTTP/1.1", 405, b"set https_proxy but not http_proxy"),
        ("POST / HTTP/1.1", 405, b"expected CONNECT"),
        ("CONNECT example.org HTTP/1.1", 400, b"CONNECT host:port"),
        ("CONNECT example.org:443 HTTP/2", 400, b"CONNECT host:port"),
        ("CONNECT  HTTP/1.1", 400, b"CONNECT host:port"),
        ("nonsense", 405, b"expected CONNECT"),
    ],
)
def test_all_but_connect_is_refused(gateway, line, status, text):
    with Raw(gateway.proxy) as client:
        client.send(f"{line}\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc".encode())
        answer = client.answer()
        assert answer[0] == status
        assert text in answer[2]
        client.half_close()
        assert client.is_over()


def test_a_host_that_cannot_be_reached_is_a_bad_gateway(gateway):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with Raw(gateway.proxy) as client:
        status, _, body = client.send(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\n".encode()).answer()
    assert status == 502
    assert b"Connect call failed" in body


def test_a_name_that_nobody_has_is_a_bad_gateway(gateway):
    with Raw(gateway.proxy) as client:
        assert client.send(b"CONNECT no-such-host.invalid:443 HTTP/1.1\r\n\r\n").status() == 502


def test_a_proxy_may_be_for_googles_hosts_alone(tmp_path):
    with running(tmp_path, tunnel=False) as gateway, Raw(gateway.proxy) as client:
        status, _, body = client.send(b"CONNECT 127.0.0.1:1 HTTP/1.1\r\n\r\n").answer()
        assert status == 403
        assert b"127.0.0.1: no host of Google's" in body
        with Raw(gateway.proxy) as other:
            other.send(f"CONNECT {GOOGLE}:443 HTTP/1.1\r\n\r\n".encode())
            assert other.socket.recv(19) == b"HTTP/1.1 200 OK\r\n\r\n"


def test_a_head_that_does_not_end_is_refused(gateway, monkeypatch):
    with Raw(gateway.proxy) as client:
        client.send(b"CONNECT a:1 HTTP/1.1\r\nx: " + b"y" * 200_000)
        assert client.status() == 431
    monkeypatch.setattr(proxy, "_HEAD_WITHIN", 0.1)
    with Raw(gateway.proxy) as client:
        assert client.send(b"CONNECT a:1").status() == 408


def test_a_client_that_says_nothing_and_leaves_is_no_error(gateway, caplog):
    with Raw(gateway.proxy) as client:
        client.half_close()
        assert client.is_over()
    assert not [one for one in caplog.records if one.levelname in ("WARNING", "ERROR")]
