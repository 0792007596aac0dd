"""REST on the TLS port, with clients that check its certificate."""

import logging
import queue
import socket
import ssl

import pytest
import requests
from google.auth.credentials import AnonymousCredentials
from google.cloud import aiplatform_v1

from tests.integration.gateway import Answered, running
from trivet.protocols.vertex import grpc

ENDPOINT = "projects/p/locations/us-central1/endpoints/1"
WITHIN = 30  # seconds; a bound for hangs, not a measurement


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    with running(tmp_path_factory.mktemp("data")) as found:
        yield found


@pytest.fixture
def session(gateway, monkeypatch):
    gateway.upstream.forget()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", gateway.bundle)
    with requests.Session() as found:
        yield found


def dial(gateway, *protocols, trusts=True):
    """Return a TLS connection that offers some protocols."""
    context = (
        ssl.create_default_context(cadata=gateway.ca.decode()) if trusts else ssl.create_default_context()
    )
    if protocols:
        context.set_alpn_protocols(protocols)
    host, port = gateway.tls.split(":")
    plain = socket.create_connection((host, int(port)), timeout=WITHIN)
    return context.wrap_socket(plain, server_hostname=host)


def test_requests_are_passed_on_and_connections_kept(gateway, session):
    gateway.upstream.answers["GET", "/v1/a b"] = Answered({"a": "ä"}, headers={"x-one": "1"})
    for _ in range(3):
        answer = session.get(f"https://{gateway.tls}/v1/a%20b?c=d", timeout=WITHIN)
        assert (answer.status_code, answer.json(), answer.headers["x-one"]) == (200, {"a": "ä"}, "1")
    assert [one.headers["host"] for one in gateway.upstream.asked] == [gateway.tls] * 3
    assert len({one.connection for one in gateway.upstream.asked}) == 1


@pytest.mark.parametrize("size", [0, 1, 16 * 1024, 5_000_000])
def test_bodies_of_any_size_come_through(gateway, session, size):
    gateway.upstream.answers["POST", "/v1/echo"] = lambda asked: Answered(asked.body)
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    assert session.post(f"https://{gateway.tls}/v1/echo", data=body, timeout=WITHIN).content == body


def test_a_stream_comes_as_it_is_sent(gateway, session):
    given = queue.SimpleQueue()
    parts = iter(lambda: given.get(timeout=WITHIN), None)
    gateway.upstream.answers["POST", f"/v1/{ENDPOINT}:streamRawPredict"] = Answered(parts=parts)
    given.put(b"data: 1\n")
    url = f"https://{gateway.tls}/v1/{ENDPOINT}:streamRawPredict"
    with session.post(url, stream=True, timeout=WITHIN) as answer:
        lines = answer.iter_lines(chunk_size=1)
        assert next(lines) == b"data: 1"
        given.put(b"data: 2\n")
        assert next(lines) == b"data: 2"
        given.put(None)
        assert list(lines) == []


def test_the_rest_transport_of_the_sdk_works(gateway, session):
    gateway.upstream.answers["GET", f"/v1/{ENDPOINT}"] = Answered({"name": ENDPOINT})
    client = aiplatform_v1.EndpointServiceClient(
        credentials=AnonymousCredentials(), client_options={"api_endpoint": gateway.tls}, transport="rest"
    )
    with client:
        assert client.get_endpoint(name=ENDPOINT, timeout=WITHIN).name == ENDPOINT


def test_a_client_that_does_not_trust_the_authority_is_told_and_logged(gateway, caplog):
    with caplog.at_level(logging.INFO, "trivet"):
        with pytest.raises(ssl.SSLCertVerificationError):
            dial(gateway, trusts=False)
        for _ in range(100):
            if "UNKNOWN_CA" in caplog.text:
                break
            dial(gateway).close()  # after which the other may have been dealt with
        assert "UNKNOWN_CA" in caplog.text


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [((), None), (("h2", "http/1.1"), "http/1.1"), (("http/1.1",), "http/1.1"), (("h2",), "h2")],
)
def test_only_who_speaks_nothing_but_http_2_gets_grpc(gateway, session, offered, chosen):
    gateway.upstream.answers["GET", "/v1/x"] = Answered(b"here", headers={"connection": "close"})
    with dial(gateway, *offered) as client:
        assert client.selected_alpn_protocol() == chosen
        if chosen == "h2":
            client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
            assert client.recv(9)[3] == 4  # a SETTINGS frame
        else:
            client.sendall(b"GET /v1/x HTTP/1.1\r\nhost: a\r\n\r\n")
            assert b"".join(iter(lambda: client.recv(4096), b"")).endswith(b"here")


def test_http_on_the_tls_port_is_told_so(gateway):
    host, port = gateway.tls.split(":")
    with socket.create_connection((host, int(port)), timeout=WITHIN) as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert answer.endswith(b"this port speaks TLS: use https://\n")


def test_a_server_that_is_down_is_unavailable(tmp_path, monkeypatch):
    with running(tmp_path) as gateway:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", gateway.bundle)
        gateway.upstream.close()
        answer = requests.get(f"https://{gateway.tls}/v1/x", timeout=WITHIN)
        assert (answer.status_code, answer.text) == (503, "the server is not ready; try again\n")


def test_without_its_libraries_there_is_rest_but_no_grpc(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(grpc, "_NEEDS", {"no.such.module": "grpcio", "no_such": "google-cloud-aiplatform"})
    with running(tmp_path) as gateway:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", gateway.bundle)
        gateway.upstream.answers["GET", "/v1/x"] = Answered({})
        assert requests.get(f"https://{gateway.tls}/v1/x", timeout=WITHIN).json() == {}
        with dial(gateway, "h2") as client:
            assert client.selected_alpn_protocol() is None
    assert "gRPC is not served, for want of grpcio, google-cloud-aiplatform" in caplog.text
    assert "pip install 'trivet[google]'" in caplog.text


def test_libraries_that_are_not_as_expected_leave_rest_alone(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("trivet.protocols.vertex.grpc_methods.SERVICES", ("no_such",))
    with running(tmp_path) as gateway:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", gateway.bundle)
        gateway.upstream.answers["GET", "/v1/x"] = Answered({})
        assert requests.get(f"https://{gateway.tls}/v1/x", timeout=WITHIN).json() == {}
        with dial(gateway, "h2") as client:
            assert client.recv(1) == b""
    assert "google-cloud-aiplatform is not as expected" in caplog.text
