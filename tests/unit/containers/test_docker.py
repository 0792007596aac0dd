from subprocess import CompletedProcess

import pytest

from trivet.containers import docker
from trivet.containers.base import Near
from trivet.containers.docker import Docker

NETWORK = '[{"IPAM": {"Config": [{"Gateway": "172.17.0.1"}]}}]'


@pytest.fixture
def engine(monkeypatch):
    """Return a function that makes a docker whose commands answer so, by their first words."""

    def made(**answers):
        class FakeTool:
            def __init__(self, words):
                assert words == ("docker",)

            def run(self, *words, **_):
                status, text = answers.get(words[0], (0, ""))
                return CompletedProcess(words, status, "" if status else text, text if status else "")

        monkeypatch.setattr(docker, "Tool", FakeTool)
        monkeypatch.setattr(docker.shutil, "which", lambda name: name)
        monkeypatch.setattr(docker.sys, "platform", "linux")
        return Docker()

    return made


def test_containers_call_the_gateway_of_their_network(engine):
    way = engine(info=(0, "Debian GNU/Linux 12"), network=(0, NETWORK)).way()
    assert (way.bridged, way.near) == (True, Near("172.17.0.1", "172.17.0.1"))


def test_without_a_network_of_their_own_they_share_the_machines(engine):
    way = engine(info=(0, "Debian GNU/Linux 12"), network=(1, "no such network")).way()
    assert (way.bridged, way.near) == (False, Near())
    assert way.create == ("--network=host",)


def test_in_a_machine_of_its_own_docker_has_a_name_for_this_one(engine):
    way = engine(info=(0, "Docker Desktop")).way()
    assert way.near == Near(called="host.docker.internal")


def test_a_daemon_that_does_not_run_is_told(engine):
    lacking = engine(version=(1, "Cannot connect to the Docker daemon. Is it running?")).lacks()
    assert (
        lacking
        == "docker is installed, but does not work: Cannot connect to the Docker daemon. Is it running?"
    )


def test_what_is_not_installed_is_told(engine, monkeypatch):
    one = engine()
    monkeypatch.setattr(docker.shutil, "which", lambda name: None)
    assert one.lacks() == "docker is not installed"
