"""The words that podman and docker are called with; that they mean what is expected is in the contract."""

import json
from subprocess import CompletedProcess

import pytest

from trivet.containers.base import Near, Prepared
from trivet.containers.docker import Docker
from trivet.containers.oci import engine
from trivet.containers.oci.engine import Way
from trivet.containers.podman import Podman
from trivet.core.containers import ContainerSpec, Resources
from trivet.core.errors import FailedPrecondition, NotFound


class FakeTool:
    """Answers as told, by the first words of a command, and keeps all commands."""

    def __init__(self, **answers):
        self.answers = answers
        self.commands = []
        self.variables = {}

    def run(self, *words, timeout=None, variables=None):
        self.commands.append(words)
        self.variables.update(variables or {})
        status, out = self.answers.get(words[0], (0, ""))
        return CompletedProcess(words, status, "" if status else out, out if status else "")

    def follow(self, words, says):
        told = self.run(*words)
        return told.returncode, told.stderr.splitlines()

    def words(self, name):
        return next(words for words in self.commands if words[0] == name)


@pytest.fixture
def podman(monkeypatch):
    """Return a function that makes a podman of that tool and way, which starts nothing."""
    monkeypatch.setattr(engine, "OciApplication", lambda tool, container, *_: container)

    def made(kind=Podman, **way):
        one = kind()
        way = {"near": Near("10.1.0.1", "10.1.0.1"), "tool": FakeTool(create=(0, "abc\n")), **way}
        one._way = Way(**way)
        return one, way["tool"]

    return made


ENV = {"AIP_HTTP_PORT": "40000", "PORT": "40000", "MODULE_NAME": "main2"}


def start(one, spec, files=None):
    return one.start(spec, Prepared(image="img"), ENV, 40000, files)


def test_a_container_listens_on_its_own_port_which_is_published_here_alone(podman):
    one, tool = podman()
    assert start(one, ContainerSpec(image="x", ports=(9000, 9001))) == "abc"
    assert "--publish=127.0.0.1:40000:9000" in tool.words("create")
    assert tool.variables == {"AIP_HTTP_PORT": "9000", "PORT": "9000", "MODULE_NAME": "main2"}


def test_on_the_network_of_the_machine_it_listens_on_the_port_that_was_found(podman):
    one, tool = podman(bridged=False, create=("--network=host",))
    start(one, ContainerSpec(image="x", ports=(9000,)))
    assert not any(word.startswith("--publish") for word in tool.words("create"))
    assert tool.variables == {**ENV, "HOST": "127.0.0.1"}


def test_command_and_arguments_go_in_place_of_the_images_own(podman):
    one, tool = podman()
    start(one, ContainerSpec(image="x", command=("sh", "-c"), args=("serve $(MODULE_NAME) $(NONE)",)))
    words = tool.words("create")
    assert "--entrypoint=sh" in words
    assert words[-3:] == ("img", "-c", "serve main2 $(NONE)")


def test_arguments_alone_leave_its_entrypoint(podman):
    one, tool = podman()
    start(one, ContainerSpec(image="x", args=("--fast",)))
    assert not any(word.startswith("--entrypoint") for word in tool.words("create"))
    assert tool.words("create")[-2:] == ("img", "--fast")


def test_files_are_mounted_to_be_read(podman, tmp_path):
    one, tool = podman()
    start(one, ContainerSpec(image="x"), tmp_path)
    assert f"--mount=type=bind,source={tmp_path},target=/trivet/model,ro" in tool.words("create")
    assert tool.variables["TRIVET_MODEL_DIR"] == "/trivet/model"


@pytest.mark.parametrize(
    ("kind", "gpus"),
    [(Podman, {"--device=nvidia.com/gpu=0", "--device=nvidia.com/gpu=1"}), (Docker, {"--gpus=2"})],
)
def test_limits_and_devices(podman, kind, gpus, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    one, tool = podman(kind)
    start(one, ContainerSpec(image="x", resources=Resources(8, 1 << 30, 1 << 20, 2)))
    wanted = {"--cpus=4", "--memory=1073741824b", "--memory-swap=1073741824b", "--shm-size=1048576b"}
    assert (wanted | gpus) <= set(tool.words("create"))


def test_limits_that_there_cannot_be_are_told_of(podman, caplog):
    one, tool = podman(limits=False)
    start(one, ContainerSpec(image="x", resources=Resources(1, 1 << 30)))
    assert not any(word.startswith(("--cpus", "--memory")) for word in tool.words("create"))
    assert "x: podman cannot bound memory and CPU on this machine" in caplog.text


def test_a_container_that_cannot_be_made_says_why(podman):
    one, _ = podman(tool=FakeTool(create=(125, "Error: no space left\n")))
    with pytest.raises(FailedPrecondition, match="podman cannot make the container: no space left"):
        start(one, ContainerSpec(image="x"))


def test_a_fetched_image_goes_by_its_digest_and_one_made_here_by_its_id(podman):
    about = {"Id": "abc", "RepoDigests": ["localhost/a@sha256:1", "docker.io/a@sha256:2"]}
    one, _ = podman(tool=FakeTool(image=(0, json.dumps([about]))))
    assert one.prepare(ContainerSpec(image="a"), print).image == "docker.io/a@sha256:2"
    about["RepoDigests"] = None
    one, _ = podman(tool=FakeTool(image=(0, json.dumps([about]))))
    assert one.prepare(ContainerSpec(image="a"), print).image == "abc"


def test_an_image_that_cannot_be_fetched_is_not_found(podman):
    one, tool = podman(tool=FakeTool(image=(125, ""), pull=(125, "Error: no such host")))
    with pytest.raises(NotFound, match="no image 'a' here, and podman cannot fetch it: no such host"):
        one.prepare(ContainerSpec(image="a"), print)
    assert tool.words("pull") == ("pull", "a")


def test_containers_of_processes_that_ended_are_removed_first(podman):
    one, tool = podman(tool=FakeTool(create=(0, "abc"), ps=(0, "1 \n2 elsewhere/1/2/3\n3\n")))
    start(one, ContainerSpec(image="x"))
    assert not any(words[0] == "rm" for words in tool.commands)
    assert "--filter=label=trivet.owner" in tool.words("ps")
