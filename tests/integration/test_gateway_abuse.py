"""Clients that are slow, broken or too many, and a gateway that is told to stop."""

import asyncio
import errno
import socket
import ssl
import threading
from contextlib import ExitStack, suppress

import pytest
import uvloop
from google.cloud import aiplatform_v1 as v1

from tests.integration.gateway import Answered, running
from tests.integration.raw import Raw
from trivet.gateway import connections

ENDPOINT = "projects/p/locations/us-central1/endpoints/1"
GET = b"GET /v1/x HTTP/1.1\r\nhost: a\r\n\r\n"
WITHIN = 30  # seconds; a bound for hangs, not a measurement


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    with running(tmp_path_factory.mktemp("data"), uvloop.run, handshake_timeout=0.3) as found:
        yield found


@pytest.fixture(autouse=True)
def nothing_recorded(request):
    if "gateway" in request.fixturenames:
        request.getfixturevalue("gateway").upstream.forget()


def plain(gateway):
    host, port = gateway.tls.split(":")
    return socket.create_connection((host, int(port)), timeout=WITHIN)


def secure(gateway):
    context = ssl.create_default_context(cadata=gateway.ca.decode())
    return context.wrap_socket(plain(gateway), server_hostname="localhost")


def all_of(client):
    """Return what comes until the connection ends, however that is."""
    found = b""
    try:
        while part := client.recv(1 << 16):
            found += part
    except OSError:
        pass
    return found


def answers(gateway, answer=None):
    gateway.upstream.answers["GET", "/v1/x"] = answer or Answered(b"here")


def still_answers(gateway):
    answers(gateway)
    with secure(gateway) as client:
        client.sendall(GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
        return all_of(client).endswith(b"here")


@pytest.mark.parametrize("said", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00"])
def test_a_handshake_that_does_not_come_to_an_end_is_ended(gateway, said):
    with plain(gateway) as client:
        client.sendall(said)
        assert all_of(client) == b""
    assert still_answers(gateway)


@pytest.mark.parametrize(
    "said",
    [b"\0" * 5000, b"\xff" * 5000, b"\x16\x03\x01\x00\x02xx", b"\x15\x03\x01\x00\x02\x02\x28", b"A" * 50_000],
)
def test_nonsense_is_refused(gateway, said):
    with plain(gateway) as client:
        client.sendall(said)
        all_of(client)
    assert still_answers(gateway)


def test_clients_that_are_gone_in_the_middle_leave_nothing_behind(gateway):
    answers(gateway, lambda asked: Answered(b"x" * 1_000_000))
    for _ in range(20):
        client = secure(gateway)
        client.sendall(GET)
        client.recv(1)
        reset(client)
    assert still_answers(gateway)


def reset(client):
    """Close at once, with an RST."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()


def test_the_server_hears_that_a_client_is_gone(gateway):
    def spaces():
        while not gateway.upstream.left.wait(0.01):
            yield b" "

    answers(gateway, lambda asked: Answered(parts=spaces()))
    client = secure(gateway)
    client.sendall(GET)
    client.recv(1)
    reset(client)
    assert gateway.upstream.left.wait(WITHIN)


def test_a_client_that_does_not_read_holds_up_the_server_and_not_the_memory(gateway):
    sent = []

    def much():
        for _ in range(4000):  # 256 MB
            sent.append(1)
            yield b"x" * 64_000

    answers(gateway, lambda asked: Answered(parts=much()))
    client = secure(gateway)
    client.sendall(GET)
    client.recv(1)
    while True:
        before = len(sent)
        if not still_answers(gateway):
            raise AssertionError("others are held up")
        if len(sent) == before:
            break
    assert len(sent) < 1000  # what the system and the gateway keep for it
    reset(client)
    assert gateway.upstream.left.wait(WITHIN)


def test_many_clients_at_once_are_all_answered(gateway):
    answers(gateway)
    with ExitStack() as stack:
        clients = [stack.enter_context(secure(gateway)) for _ in range(100)]
        for client in clients:
            client.sendall(GET)
        for client in clients:
            found = b""
            while not found.endswith(b"here"):
                found += client.recv(4096)


def test_more_than_so_many_connections_are_closed(tmp_path, caplog):
    with running(tmp_path, max_connections=2) as gateway, ExitStack() as stack:
        for _ in range(2):
            client = stack.enter_context(Raw(gateway.proxy))
            client.send(b"CONNECT storage.googleapis.com:443 HTTP/1.1\r\n\r\n")
            assert client.socket.recv(19) == b"HTTP/1.1 200 OK\r\n\r\n"
        for _ in range(2):
            with plain(gateway) as third:
                assert all_of(third) == b""
        client.half_close()
        assert client.is_over()
        assert answers_again(gateway)
    assert caplog.text.count("more than 2 connections") == 1


def answers_again(gateway):
    for _ in range(1000):
        with suppress(OSError):
            return still_answers(gateway)
    return False


@pytest.fixture
def stopping(tmp_path):
    """A gateway, a request whose answer waits for the test, and what stops the gateway in a thread."""
    with running(tmp_path) as gateway:
        yield gateway, threading.Event(), threading.Thread(target=gateway.stop)


def held(event):
    def answer(asked):
        assert event.wait(WITHIN)
        return Answered(b'{"displayName": "last"}')

    return answer


def test_a_gateway_that_stops_lets_requests_finish_and_takes_no_more(stopping):
    gateway, go_on, stop = stopping
    answers(gateway, held(go_on))
    gateway.upstream.answers["GET", f"/v1/{ENDPOINT}"] = held(go_on)
    client = gateway.client(v1.EndpointServiceClient)
    with secure(gateway) as rest, client:
        rest.sendall(GET)
        called = client.transport.get_endpoint.future(v1.GetEndpointRequest(name=ENDPOINT), timeout=WITHIN)
        gateway.upstream.await_asked(2)
        stop.start()
        refuses_soon(gateway)
        go_on.set()
        assert b"last" in all_of(rest)
        assert called.result().display_name == "last"
    stop.join(WITHIN)
    assert not stop.is_alive()


def refuses_soon(gateway):
    """Wait until the port takes no more connections."""
    for _ in range(1000):
        try:
            with plain(gateway) as client:
                client.settimeout(0.05)
                client.recv(1)
        except ConnectionRefusedError:
            return
        except OSError:
            continue
    raise AssertionError("it still takes connections")


def test_idle_connections_do_not_hold_it_up(stopping):
    gateway, _, stop = stopping
    answers(gateway)
    with secure(gateway) as client, Raw(gateway.proxy):
        client.sendall(GET)
        while not client.recv(4096).endswith(b"here"):
            pass
        stop.start()
        assert all_of(client) == b""
        stop.join(WITHIN)
        assert not stop.is_alive()


def test_a_request_that_takes_too_long_is_cut(tmp_path):
    go_on = threading.Event()
    with running(tmp_path, drain_timeout=0.2) as gateway:
        answers(gateway, held(go_on))
        with secure(gateway) as client:
            client.sendall(GET)
            gateway.upstream.await_asked(1)
            gateway.stop()
            assert all_of(client) == b""
        go_on.set()


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_gateway_leaves_nothing_behind(tmp_path, run):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with running(tmp_path, run, scratch=scratch) as gateway:
        assert still_answers(gateway)
        assert len(list(scratch.iterdir())) == 1
    assert list(scratch.iterdir()) == []
    with pytest.raises(ConnectionRefusedError):
        plain(gateway)


class Full(socket.socket):
    """A port where no connection can be accepted at first, as when too many files are open."""

    refuses = 1

    def accept(self):
        if self.refuses:
            self.refuses -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


async def test_a_port_that_cannot_accept_tries_again(monkeypatch, caplog):
    monkeypatch.setattr(connections, "_PAUSES", 0.01)

    async def answer(client):
        await client.write(b"here")

    accepting = connections.Connections(10)
    with Full() as port:
        port.bind(("127.0.0.1", 0))
        accepting.listen(port, answer)
        reader, writer = await asyncio.open_connection(*port.getsockname())
        assert await reader.read() == b"here"
        writer.close()
        accepting.stop_listening()
        await accepting.drain(WITHIN)
    assert "no connection can be accepted: [Errno 24] Too many open files" in caplog.text
    assert repr(accepting) == "<Connections 0 open>"
