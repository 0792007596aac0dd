"""Probes against whatever may listen on a port."""

import socket
import threading
from contextlib import contextmanager
from time import monotonic

import pytest

from trivet.containers.probes import look
from trivet.core.containers import Probe


class Application:
    """One on a port, whose commands end as the test says."""

    def __init__(self, port, ran=True):
        self.port = port
        self.ran = ran

    def run(self, command, timeout):
        return self.ran


@contextmanager
def listening(answer):
    """Listen on a port; `answer` gets each connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    answer(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield Application(server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)


def says(content):
    def answer(connection):
        connection.recv(4096)
        connection.sendall(content)

    return answer


def slowly(connection):
    connection.recv(4096)
    for _ in range(100):
        if threading.Event().wait(0.05):
            return
        try:
            connection.sendall(b"x")
        except OSError:
            return


HEALTH = Probe(path="/health", timeout=0.5)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", ""),
        (b"HTTP/1.0 200\r\n\r\n", ""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "GET /health answered 204 (No Content)"),
        (b"HTTP/1.1 301 Moved\r\nLocation: /healthz\r\n\r\n", "GET /health answered 301 (Moved Permanently)"),
        (b"HTTP/1.1 503 x\r\n\r\n", "GET /health answered 503 (Service Unavailable)"),
        (b"HTTP/1.1 799 x\r\n\r\n", "GET /health answered 799"),
        (b"220 smtp ready\r\n", "GET /health was not answered in HTTP: b'220 smtp ready\\r\\n'"),
        (b"HTTP/1.1 20\r\n\r\n", "GET /health was not answered in HTTP: b'HTTP/1.1 20\\r\\n\\r\\n'"),
        (b"", "GET /health was not answered in HTTP: b''"),
    ],
)
def test_only_200_is_well(content, why):
    with listening(says(content)) as application:
        assert look(HEALTH, application) == why


@pytest.mark.parametrize("answer", [slowly, lambda connection: threading.Event().wait(2)])
def test_an_answer_has_its_time_however_slowly_it_comes(answer):
    began = monotonic()
    with listening(answer) as application:
        assert look(HEALTH, application) == "GET /health was not answered within 0.5 s"
    assert monotonic() - began < 1.5


def test_a_connection_is_enough_where_nothing_is_asked():
    with listening(lambda connection: None) as application:
        assert look(Probe(), application) == ""
    assert look(Probe(), application) == f"a connection to port {application.port} failed: Connection refused"


def test_another_port_may_be_asked():
    with listening(says(b"HTTP/1.1 200 OK\r\n\r\n")) as application:
        other = Probe(path="/health", port=application.port)
        assert look(other, Application(1)) == ""


def test_a_command_says_how_it_is():
    probe = Probe(command=("test", "-f", "ready"), timeout=3)
    assert look(probe, Application(1)) == ""
    assert look(probe, Application(1, ran=False)) == "`test -f ready` failed, or took longer than 3 s"
