"""On which addresses of this machine applications listen."""

import logging
import socket

import pytest

from trivet.containers.processes import listening

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
LOOPBACK, ALL = "0100007F", "00000000"


def line(address, port, state="0A"):
    return f"   0: {address}:{port:04X} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000 0 0 1\n"


@pytest.fixture
def tables(tmp_path, monkeypatch):
    """Return a function that writes what the kernel would tell."""
    files = (tmp_path / "tcp", tmp_path / "tcp6")
    monkeypatch.setattr(listening, "_TABLES", files)

    def write(*texts):
        for file, text in zip(files, texts, strict=False):
            file.write_text(HEAD + text)

    return write


@pytest.mark.parametrize(
    ("texts", "known"),
    [
        ((line(LOOPBACK, 80),), False),
        ((line(ALL, 80),), True),
        ((line(LOOPBACK, 80), line(4 * ALL, 80)), True),
        (("", line(f"{3 * ALL}01000000", 80)), False),
        ((line(ALL, 81) + line(ALL, 80, "01"),), None),
        (("nonsense",), None),
    ],
)
def test_who_can_reach_a_port(tables, texts, known):
    tables(*texts)
    assert listening.everywhere(80) is known


def test_one_that_all_can_reach_is_warned_of_once(tables, caplog):
    tables(line(ALL, 80))
    with caplog.at_level(logging.WARNING, "trivet"):
        listening._wait(80, "app", lambda: "")
    assert caplog.messages[0].startswith("app listens on all addresses")


def test_one_that_has_ended_is_not_waited_for(tables):
    tables("")
    listening._wait(80, "app", lambda: "ended with 0")


def test_the_kernel_is_understood():
    with socket.create_server(("127.0.0.1", 0)) as one:
        assert listening.everywhere(one.getsockname()[1]) is False
