"""One connection to an application: answers that have no end, or come too slowly."""

import socket
import threading
from contextlib import contextmanager, suppress

import pytest

from trivet.containers import answers
from trivet.containers.asking import Asking, Lost
from trivet.containers.life import State
from trivet.core.containers import ContainerSpec
from trivet.core.errors import DeadlineExceeded, Internal

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
PIECE = b"10000\r\n" + b"x" * 65536 + b"\r\n"


class Started:
    """An application that is well, on a port where this test answers."""

    def __init__(self, port):
        self.spec = ContainerSpec(predict_route="/predict")
        self.state = State(port, well=True)

    def application(self):
        return self

    def is_over(self, within):
        return self.state.over


class Replaced(Started):
    """The same, which ends as soon as it is asked, when another thread has it started again at once."""

    def __init__(self, port):
        super().__init__(port)
        self.ended = Started(port)

    def application(self):
        self.ended.state = State(self.state.port, well=False, over=True, reason="the container ended with 3")
        return self.ended


@contextmanager
def application(begin, again=b"", pause=0.0, *, ends=False):
    """Answer each request with `begin`, and then with `again`, until whoever asked leaves, or end it."""
    stopping = threading.Event()

    def answer(connection):
        with connection, suppress(OSError):
            asked = b""
            while data := connection.recv(1 << 16):
                asked += data
                if not asked.endswith(b"{}"):
                    continue
                connection.sendall(begin)
                while again and not stopping.wait(pause):
                    connection.sendall(again)
                if ends:
                    return

    def accept():
        with suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(listening.accept()[0],)).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=accept).start()
        yield Started(listening.getsockname()[1])
        stopping.set()
        listening.shutdown(socket.SHUT_RDWR)


def test_an_answer_without_an_end_is_none(monkeypatch):
    monkeypatch.setattr(answers, "MAX_BODY", 1 << 20)
    with application(CHUNKED, PIECE) as started:
        asking = Asking(started, 30)
        with pytest.raises(Internal, match="longer than 1,048,576 bytes"):
            asking.post(b"{}")
        asking.close()


@pytest.mark.parametrize(
    ("begin", "again"),
    [(CHUNKED, b"1\r\nx\r\n"), (b"HTTP/1.1 200 OK\r\nA: ", b"x"), (b"", b"HTTP/1.1 100 Continue\r\n\r\n")],
    ids=["body", "head", "interim"],
)
def test_an_answer_that_comes_by_drops_must_be_whole_in_time(begin, again):
    with application(begin, again, pause=0.01) as started:
        asking = Asking(started, 0.3)
        with pytest.raises(DeadlineExceeded, match=r"no answer within 0\.3 s"):
            asking.post(b"{}")


def test_a_connection_is_kept_after_a_whole_answer():
    with application(b"HTTP/1.1 503 No\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\n{}") as started:
        asking = Asking(started, 30)
        first, second = asking.post(b"{}"), asking.post(b"{}")
        asking.close()
    assert first == second
    assert (first.status, first.retry_after, first.content) == (503, "7", b"{}")


@pytest.mark.parametrize(
    ("begin", "told"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}", "gave no answer: IncompleteRead"),
        (CHUNKED + b"2\r\n{}\r\n", "gave no answer: IncompleteRead"),
        (b"\x1b]" + b"x" * 1000 + b"\r\n\r\n", r"is not HTTP: '\\x1b\]x{38}'$"),
        (b"", "gave no answer"),
    ],
    ids=["length", "chunks", "no HTTP", "nothing"],
)
def test_an_answer_that_is_not_whole_is_lost(begin, told):
    with application(begin, ends=True) as started:
        asking = Asking(started, 30)
        with pytest.raises(Lost, match=told):
            asking.post(b"{}")


def test_the_end_that_is_told_is_that_of_the_application_that_was_asked():
    with application(b"", ends=True) as there, pytest.raises(Lost, match="the container ended with 3"):
        Asking(Replaced(there.state.port), 5.0).post(b"{}")
