"""What podman and docker have beyond what every engine has: images, limits, networks, and no orphans.

Docker is tested where TRIVET_WITH_DOCKER=1 says that its images may be replaced.
"""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import urlopen

import pytest

from tests.contract import images
from trivet.containers.docker import ENGINE as DOCKER
from trivet.containers.oci import owners
from trivet.containers.podman import Podman, _trouble, _ways
from trivet.core.containers import ContainerSpec, Resources
from trivet.core.errors import FailedPrecondition, NotFound

APPLICATION = """
import http.server, os, sys, urllib.request

class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        text = eval(urllib.request.unquote(self.path[1:] or "'well'"))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(text).encode())

http.server.HTTPServer(("0.0.0.0", int(os.environ["AIP_HTTP_PORT"])), Answers).serve_forever()
"""


WITH_DOCKER = os.environ.get("TRIVET_WITH_DOCKER") == "1"


@pytest.fixture(scope="module", params=["podman", *(["docker"] if WITH_DOCKER else [])])
def oci(request, tmp_path_factory):
    if request.param == "podman":
        return request.getfixturevalue("podman")
    assert DOCKER.lacks() == ""
    images.stand_in(DOCKER, tmp_path_factory.mktemp("image"))
    return DOCKER


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("application")
    (path / "main.py").write_text(APPLICATION)
    (path / "Dockerfile").write_text(
        'FROM localhost/trivet-test-python\nCOPY main.py /\nRUN python -m this\nCMD ["python", "/main.py"]\n'
    )
    return path


@pytest.fixture
def spec(folder, tmp_path):
    return ContainerSpec(folder=folder, cache=tmp_path)


@pytest.fixture
def start(oci, free_port):
    """Return a function that starts an application, and waits until it answers."""
    running = []

    def started(spec, env=(), files=None, engine=oci):
        port = free_port()
        prepared = engine.prepare(spec, print)
        variables = {"AIP_HTTP_PORT": str(port), **dict(env)}
        running.append(engine.start(spec, prepared, variables, port, files))
        wait_for(lambda: running[-1].ended or answers(running[-1]))
        return running[-1]

    yield started
    for one in running:
        one.stop(0)


@pytest.fixture
def free_port():
    def port():
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            return one.getsockname()[1]

    return port


def ask(application, expression="'well'"):

    return (
        urlopen(f"http://127.0.0.1:{application.port}/{quote(expression, safe='')}", timeout=10)
        .read()
        .decode()
    )


def answers(application):
    try:
        return ask(application)
    except OSError:
        return ""


def wait_for(thing, seconds=20):
    turn = threading.Event()
    for _ in range(seconds * 20):
        if found := thing():
            return found
        turn.wait(0.05)
    raise AssertionError("it took too long")


def test_a_folder_is_built_once(oci, spec):
    said = []
    first = oci.prepare(spec, said.append)
    again = []
    assert oci.prepare(spec, again.append) == first
    assert again == []
    assert first.image.removeprefix("sha256:").isalnum()


def test_a_build_that_fails_says_why(oci, tmp_path):
    (tmp_path / "Dockerfile").write_text(
        "FROM localhost/trivet-test-python\nRUN python -c 'raise SystemExit(\"out of luck\")'\n"
    )
    with pytest.raises(FailedPrecondition, match="cannot build the image") as raised:
        oci.prepare(ContainerSpec(folder=tmp_path, cache=tmp_path / "cache"), print)
    assert "out of luck" in str(raised.value)


def test_an_image_that_there_is_not_is_not_found(oci, tmp_path):
    with pytest.raises(NotFound, match="no image 'localhost/none'"):
        oci.prepare(ContainerSpec(image="localhost/none", cache=tmp_path), print)


def test_an_image_is_found_by_its_name_as_docker_has_it(podman, tmp_path):
    version = f"3.{sys.version_info.minor}"
    named = podman.prepare(ContainerSpec(image=f"python:{version}-slim", cache=tmp_path), print)
    assert named.image.startswith("docker.io/library/python@sha256:")
    assert podman.prepare(ContainerSpec(image=named.image, cache=tmp_path), print) == named


def test_a_procfile_is_enough(start, folder, tmp_path):
    (tmp_path / "main.py").write_bytes((folder / "main.py").read_bytes())
    (tmp_path / "Procfile").write_text("web: exec python main.py $MORE\n")
    (tmp_path / "requirements.txt").write_text("fastapi\n")  # which the image has
    running = start(ContainerSpec(folder=tmp_path, cache=tmp_path / "cache"), {"MORE": "--here"})
    assert ask(running, "sys.argv[1]") == "--here"


def test_it_has_its_variables_and_none_of_ours(start, spec, monkeypatch):
    monkeypatch.setenv("OURS", "secret")
    monkeypatch.setenv("https_proxy", "http://ours:1")
    given = {"LINES": "one\ntwo", "A.B": "dotted", "PATH": "/usr/local/bin:/bin", "DOCKER_HOST": "theirs"}
    environment = eval(ask(start(spec, given), "dict(os.environ)"))
    assert given.items() <= environment.items()
    assert "OURS" not in environment
    assert "https_proxy" not in environment


def test_values_are_not_seen_among_the_processes(start, spec):
    start(spec, {"TOKEN": "very-secret"})
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has just ended
            assert b"very-secret" not in process.read_bytes()


def test_it_reads_the_files_of_its_model_and_cannot_write_them(start, spec, tmp_path):
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "weights").write_text("0.5")
    running = start(spec, files=tmp_path / "files")
    assert ask(running, "open(os.environ['TRIVET_MODEL_DIR'] + '/weights').read()") == "0.5"
    assert not running.run(["touch", "/trivet/model/more"], 5)


def test_it_has_no_more_memory_than_it_may(start, spec, oci):
    if not oci.way().limits:
        pytest.skip("there are no limits here")
    limited = ContainerSpec(
        folder=spec.folder, cache=spec.cache, resources=Resources(cpus=0.5, memory=64 << 20)
    )
    running = start(limited)
    with pytest.raises((URLError, ConnectionError)):
        ask(running, "len([bytearray(b'1' * 10_000_000) for _ in range(100)])")
    told = wait_for(lambda: running.ended)
    assert told.startswith("ended with 137: killed")
    assert "lack of memory, of which it may use 64 MiB" in told


def test_it_reaches_what_listens_near(start, spec, oci):
    oci.prepare(spec, print)
    near = oci.near()

    class Near(HTTPServer):
        def server_bind(self):
            self.socket.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND
            super().server_bind()

    class Hello(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *_):
            pass

    with Near((near.listen, 0), Hello) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://{near.called}:{server.server_address[1]}/"
        try:
            assert ask(start(spec), f"urllib.request.urlopen('{url}', timeout=5).read()") == "b'hello'"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("number", range(3))
def test_every_way_to_run_it_that_works_here_builds_and_runs(podman, number, start, folder, tmp_path):
    ways = list(_ways())
    if number >= len(ways) or (trouble := _trouble(ways[number])):
        pytest.skip(
            f"podman does not work like that here: {trouble if number < len(ways) else 'no such way'}"
        )
    (tmp_path / "main.py").write_bytes((folder / "main.py").read_bytes())
    text = (folder / "Dockerfile").read_text()
    (tmp_path / "Dockerfile").write_text(f"{text}RUN python -c 'print({number}, {os.getpid()})'\n")
    engine = Podman()
    engine._way = ways[number]
    limits = Resources(memory=1 << 30)
    spec = ContainerSpec(folder=tmp_path, cache=tmp_path / "cache", resources=limits)
    running = start(spec, engine=engine)
    listens = "8080" if ways[number].bridged else str(running.port)
    assert ask(running, "os.environ['AIP_HTTP_PORT']") == listens


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can do so")
@pytest.mark.parametrize("cpu", sorted(os.sched_getaffinity(0))[:2])
def test_podman_works_in_a_namespace_of_mounts_too(podman, cpu):
    told = "from trivet.containers.podman import ENGINE; print(ENGINE.lacks() or 'nothing')"
    command = ["taskset", "-c", str(cpu), "unshare", "--mount", sys.executable, "-c", told]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "nothing\n"


def test_a_command_that_there_is_not(start, spec):
    running = start(
        ContainerSpec(folder=spec.folder, cache=spec.cache, command=("/none", "$(AIP_HTTP_PORT)"))
    )
    assert running.ended.startswith("could not be started: ")
    assert "/none" in running.ended


OWNER = textwrap.dedent(
    """
    import pathlib, sys, threading
    from trivet.containers.registry import engines
    from trivet.core.containers import ContainerSpec
    name, folder, cache, port = sys.argv[1:]
    ENGINE = engines()[name]
    spec = ContainerSpec(folder=pathlib.Path(folder), cache=pathlib.Path(cache))
    prepared = ENGINE.prepare(spec, lambda _: None)
    running = ENGINE.start(spec, prepared, {"AIP_HTTP_PORT": port}, int(port), None)
    print(running._container, running._guard.pid, flush=True)
    threading.Event().wait()
    """
)


@pytest.fixture
def owner(oci, spec, free_port):
    """Return a process that has a container, with the container and the guard."""
    command = [sys.executable, "-c", OWNER, oci.name, str(spec.folder), str(spec.cache), str(free_port())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            container, guard = process.stdout.readline().split()
            yield process, container, int(guard)
        finally:
            process.kill()


def test_a_container_ends_with_its_process(oci, owner):
    process, container, _ = owner
    process.kill()
    process.wait()
    wait_for(lambda: oci.way().tool.run("container", "inspect", container).returncode, seconds=10)


def test_one_that_is_being_stopped_when_its_process_ends_ends_as_well(oci, owner):
    process, container, _ = owner
    tool = oci.way().tool
    first = int(tool.run("inspect", "--format={{.State.Pid}}", container).stdout)
    with tool.begin(("stop", "--time=60", container), subprocess.DEVNULL) as stopping:
        threading.Event().wait(1)  # it does not end by SIGTERM
        stopping.kill()
    process.kill()
    process.wait()
    wait_for(lambda: not os.path.exists(f"/proc/{first}"), seconds=10)


def test_a_container_whose_guard_was_killed_too_is_removed_by_the_next(oci, owner):
    process, container, guard = owner
    os.kill(guard, signal.SIGKILL)
    process.kill()
    process.wait()
    tool = oci.way().tool
    assert not tool.run("container", "inspect", container).returncode
    owners.sweep(tool, oci.label_of)
    assert tool.run("container", "inspect", container).returncode
