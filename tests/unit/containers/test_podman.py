"""How podman finds out what works; what each way comes to on a real machine is in the contract."""

from subprocess import CompletedProcess

import pytest

from trivet.containers import podman
from trivet.containers.base import Near
from trivet.containers.podman import Podman

NONE_FOUND = "Error: crun: executable file `/there-is-no-such-command` not found in $PATH"
NETWORK = '[{"subnets": [{"gateway": "10.9.0.1"}]}]'


class FakeTool:
    """A podman whose containers start where `works` says so of their options."""

    def __init__(self, works, network=NETWORK):
        self.works = works
        self.network = network
        self.tried = []

    def run(self, *words, **_):
        if words[0] == "network":
            return CompletedProcess(words, 0, self.network, "")
        self.tried.append(words)
        if self.works(words):
            return CompletedProcess(words, 127, "", NONE_FOUND)
        return CompletedProcess(words, 126, "", "Error: crun: operation not permitted")


@pytest.fixture
def way(monkeypatch):
    """Return a function that finds the way with such a tool, for root with all it needs or else."""
    monkeypatch.setattr(podman.sys, "platform", "linux")

    def found(tool, *, root=True, limits=True, programs=("podman",)):
        monkeypatch.setattr(podman.place, "tool", lambda: tool)
        monkeypatch.setattr(podman.os, "geteuid", lambda: 0 if root else 1000)
        monkeypatch.setattr(podman, "_may_raise_limits", lambda: limits)
        monkeypatch.setattr(podman.shutil, "which", lambda name: name if name in programs else None)
        return Podman()

    return found


def test_a_machine_with_all_it_needs_has_containers_in_a_network_of_their_own(way):
    tool = FakeTool(lambda words: True)
    found = way(tool).way()
    assert (found.bridged, found.limits, found.near) == (True, True, Near("10.9.0.1", "10.9.0.1"))
    assert found.create == ("--http-proxy=false",)
    assert found.build == ()
    assert len(tool.tried) == 1


def test_root_without_the_right_to_more_has_the_limits_of_this_process(way):
    found = way(FakeTool(lambda words: any("--ulimit=nofile" in word for word in words)), limits=False).way()
    assert {word.partition(":")[0].rpartition("=")[0] for word in found.build} == {
        "--ulimit=nofile",
        "--ulimit=nproc",
    }
    assert found.bridged


def test_where_networks_cannot_be_made_it_is_on_that_of_the_machine(way):
    found = way(FakeTool(lambda words: "--network=host" in words)).way()
    assert (found.bridged, found.limits, found.near) == (False, True, Near())
    assert found.build == ("--network=host",)


def test_where_there_are_no_cgroups_it_does_without(way):
    found = way(FakeTool(lambda words: "--cgroups=disabled" in words)).way()
    assert (found.bridged, found.limits) == (False, False)
    assert "--isolation=chroot" in found.build


def test_users_who_are_not_root_reach_this_machine_by_slirp4netns_or_share_its_network(way):
    with_it = way(FakeTool(lambda words: True), root=False, programs=("podman", "slirp4netns")).way()
    assert with_it.near == Near(called="10.0.2.2")
    assert "--network=slirp4netns:allow_host_loopback=true" in with_it.create
    without = way(FakeTool(lambda words: True), root=False).way()
    assert not without.bridged


def test_what_is_lacking_is_told(way):
    assert way(FakeTool(lambda words: False), programs=()).lacks() == "podman is not installed"
    lacking = way(FakeTool(lambda words: False)).lacks()
    assert lacking == "podman is installed, but cannot run containers here: crun: operation not permitted"
    assert way(FakeTool(lambda words: True)).lacks() == ""


def test_it_is_found_out_once(way):
    tool = FakeTool(lambda words: True)
    engine = way(tool)
    assert engine.way() is engine.way()
    assert len(tool.tried) == 1
