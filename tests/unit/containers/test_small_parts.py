"""The smaller parts of running applications: output, variables, the environment, ports and folders."""

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivet.containers import inherited, ports
from trivet.containers.output import KEPT, LONGEST, Output
from trivet.containers.processes import scratch
from trivet.containers.recipes import bases
from trivet.containers.variables import expanded


def printed(*parts):
    """Return the lines that are kept of what is written to a pipe in these parts, and those that are told."""
    told = []
    reads, writes = os.pipe()
    output = Output(reads, told.append)
    with open(writes, "wb", buffering=0) as pipe:
        for part in parts:
            pipe.write(part)
    output.wait(10)
    return output.tail(KEPT), told


def test_lines_are_told_and_the_last_ones_kept():
    kept, told = printed(b"one\ntw", b"o\n\nthree")
    assert kept == told == ["one", "two", "", "three"]


def test_only_so_many_lines_are_kept():
    kept, told = printed(*(b"%d\n" % number for number in range(KEPT + 50)))
    assert len(told) == KEPT + 50
    assert kept == told[50:]


def test_a_line_without_an_end_is_broken():
    kept, _ = printed(b"x" * (3 * LONGEST + 5))
    assert [len(line) for line in kept] == [LONGEST, LONGEST, LONGEST, 5]
    assert [len(line) for line in printed(b"y" * (LONGEST + 1) + b"\n")[0]] == [LONGEST, 1]


def test_nothing_moves_a_terminals_cursor():
    assert printed(b"\x1b[31mred\x1b[0m\x07\r\n10%\r20%\n\xff\tx")[0] == ["red", "20%", "\ufffd\tx"]
    assert printed("a\u2028b\u202ec\u2066d\x85e\n".encode())[0] == ["abcde"]


def test_the_tail_has_at_most_as_many_lines_as_asked_for():
    reads, writes = os.pipe()
    os.write(writes, b"a\nb\nc\n")
    os.close(writes)
    output = Output(reads, lambda line: None)
    output.wait(10)
    assert output.tail(2) == ["b", "c"]
    assert output.tail(0) == []


@pytest.mark.parametrize(
    ("word", "value"),
    [("$(A)", "1"), ("x$(A)y$(A)", "x1y1"), ("$(NONE)", "$(NONE)"), ("$$(A)", "$(A)"), ("$A", "$A")],
)
def test_references_are_replaced_as_kubernetes_does(word, value):
    assert expanded([word], {"A": "1"}) == (value,)


def test_nothing_of_the_servers_environment_goes_on_but_what_is_named(monkeypatch, tmp_path):
    (tmp_path / "pyvenv.cfg").touch()
    for name in list(os.environ):
        monkeypatch.delenv(name)
    secret = {
        "AWS_SECRET_ACCESS_KEY": "s",
        "GOOGLE_APPLICATION_CREDENTIALS": "s",
        "TRIVET_KEY": "s",
        "PYTHONPATH": "s",
    }
    own = {
        "HOME": "/home/me",
        "PIP_INDEX_URL": "https://me:s@x.example",
        "HTTPS_PROXY": "http://me:s@x.example",
    }
    known = {"LANG": "C.UTF-8", "LC_ALL": "C", "CUDA_VISIBLE_DEVICES": "1"}
    path = {"PATH": f"{tmp_path}/bin:/usr/bin:relative::/bin"}
    for name, value in {**secret, **own, **known, **path, "PIP_TARGET": "/x"}.items():
        monkeypatch.setenv(name, value)
    assert inherited.for_applications() == {**known, "PATH": "/usr/bin:/bin"}
    builds = inherited.for_builds()
    assert builds.keys() == {"PATH", "LANG", "LC_ALL", "PIP_USER", *own}


@pytest.mark.parametrize(
    ("image", "python", "plain"),
    [
        ("python", "", True),
        ("python:3.9-slim", "3.9", True),
        ("docker.io/library/python:3.12@sha256:0a", "3.12", True),
        ("ghcr.io/astral-sh/uv:python3.13-bookworm", "3.13", True),
        ("localhost:5000/team/base:python3.10", "3.10", False),
        ("tensorflow/serving", "", False),
        ("debian:12", "", True),
    ],
)
def test_the_name_of_an_image_tells_its_python(image, python, plain):
    base = bases.of(image)
    assert (base.python, base.plain) == (python, plain)


def test_claims_are_of_different_ports_until_they_are_closed():
    claims = [ports.claim() for _ in range(20)]
    assert len({one.number for one in claims}) == 20
    assert ports._hold(claims[0].number) is None
    claims[0].close()
    held = ports._hold(claims[0].number)
    assert held is not None
    for one in (*claims, held):
        one.close()


def test_a_port_on_which_somebody_listens_is_not_free():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        assert not ports._is_free(listening.getsockname()[1])


def test_claimed_ports_are_below_those_of_connections():
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    with_all = [ports.claim() for _ in range(5)]
    assert all(one.number < lowest for one in with_all)
    for one in with_all:
        one.close()


def test_folders_of_runs_that_are_over_are_removed_and_others_stay(tmp_path):
    used, left = scratch.make(tmp_path), scratch.make(tmp_path)
    left.let_go()
    another = scratch.make(tmp_path)
    assert used.folder.exists()
    assert not left.folder.exists()
    for one in (used, another):
        one.remove()
        one.let_go()
    assert list(tmp_path.iterdir()) == []


@settings(deadline=None)
@given(st.lists(st.binary(max_size=50), max_size=10))
def test_any_bytes_are_lines(parts):
    kept, _ = printed(*parts)
    assert all("\n" not in line for line in kept)
