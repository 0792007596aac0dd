"""What `trivet export` writes is built and started: our own image and Compose's services, with podman."""

import json
import os
import subprocess
import sys
import threading
from contextlib import closing, contextmanager
from pathlib import Path
from shlex import join, quote
from shutil import which

import httpx
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from skops import io as skops_io

from tests.contract import images
from tests.contract.applications.running import plain
from trivet.containers.ports import claim
from trivet.core.containers import ContainerSpec

ROWS = [[0.5, 1.0, -2.0], [-1.0, 0.25, 3.0]]

PODMAN = """\
#!/bin/sh
name=$1
shift
{exports}
case $name in
  create|run) exec {words} "$name" {create} "$@" ;;
  build) exec {words} build {build} "$@" ;;
  *) exec {words} "$name" "$@" ;;
esac
"""
"""What stands for podman where podman-compose calls it: with all that this machine needs."""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Return a model, its file, and a function that makes others."""
    folder = tmp_path_factory.mktemp("models")
    random = np.random.default_rng(7)
    columns = random.normal(size=(200, 3))

    def made(name, number):
        trained = LogisticRegression().fit(columns, columns[:, number] > 0)
        skops_io.dump(trained, folder / f"{name}.skops")
        return trained, folder / f"{name}.skops"

    return made


@pytest.fixture(scope="module")
def serving(podman, tmp_path_factory):
    return images.serving_image(podman, tmp_path_factory.mktemp("serving") / "context")


def exported(*words, to):
    command = [sys.executable, "-m", "trivet", "export", *map(str, words), "--output", str(to)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return to


def until_well(url, seconds=60):
    turn = threading.Event()
    for _ in range(seconds * 5):
        try:
            if httpx.get(url).status_code == 200:
                return
        except httpx.TransportError:
            pass
        turn.wait(0.2)
    raise AssertionError(f"{url} did not become well")


@pytest.fixture
def compose(podman, tmp_path):
    """Return a function that runs the services of a bundle, and gives the address that they have."""
    program = which("podman-compose", path=Path(sys.executable).parent)
    assert program, "podman-compose is not installed: it is among the requirements of the tests"
    way = podman.way()
    exports = "\n".join(f"export {name}={quote(value)}" for name, value in way.tool.variables.items())
    needed = {"words": way.tool.words, "create": way.create, "build": way.build}
    stand_in = tmp_path / "podman"
    stand_in.write_text(
        PODMAN.format(exports=exports, **{name: join(words) for name, words in needed.items()})
    )
    stand_in.chmod(0o755)

    @contextmanager
    def up(bundle):
        file = bundle / "compose.yaml"
        with closing(claim()) as taken:  # long enough to publish it
            port = taken.number
        # which is the only thing that two of them on one machine cannot share
        file.write_text(file.read_text().replace("127.0.0.1:8080:", f"127.0.0.1:{port}:"))
        command = [
            program,
            "--podman-path",
            str(stand_in),
            "--file",
            str(file),
            "--project-name",
            f"trivet{port}",
        ]
        try:
            started = subprocess.run(
                [*command, "up", "--detach", "--build"],
                capture_output=True,
                text=True,
                timeout=170,
                check=False,
            )
            assert started.returncode == 0, started.stdout + started.stderr
            yield f"http://127.0.0.1:{port}"
        finally:
            subprocess.run([*command, "down", "--timeout", "1"], capture_output=True, timeout=60, check=False)

    return up


def test_a_bundle_of_compose_answers_as_the_model_does(compose, serving, model, tmp_path):
    trained, file = model("fraud", 0)
    bundle = exported(
        "compose", f"fraud={file}", "--install", "none", "--base-image", serving, to=tmp_path / "out"
    )
    with compose(bundle) as url:
        until_well(f"{url}/health")
        answer = httpx.post(f"{url}/predict", json={"instances": ROWS}).json()
    assert answer["predictions"] == trained.predict(np.array(ROWS)).tolist()


def test_a_bundle_of_compose_has_an_application_of_ones_own(compose, tmp_path):
    bundle = exported("compose", f"plain={plain(tmp_path).folder}", to=tmp_path / "out")
    with compose(bundle) as url:
        until_well(f"{url}/health")
        assert httpx.post(f"{url}/predict", json={"instances": ROWS}).json() == {"predictions": ROWS}


NAMES = ("/usr/lib/cni/dnsname", "/usr/lib/podman/aardvark-dns", "/usr/libexec/podman/aardvark-dns")
"""What lets containers of one network find each other by name, for either kind of podman's networks."""


@pytest.mark.skipif(which("nginx") is None, reason="NGINX IS NOT HERE: apt-get install nginx-light")
@pytest.mark.skipif(not any(map(os.path.exists, NAMES)), reason="PODMAN'S NETWORKS HAVE NO NAMES HERE")
def test_a_bundle_with_a_balancer_answers_through_it(podman, compose, serving, model, tmp_path):
    trained, file = model("fraud", 0)
    images.nginx_image(podman)
    own = ("--install", "none", "--base-image", serving, "--min", "2")
    bundle = exported("compose", f"fraud={file}", *own, to=tmp_path / "out")
    with compose(bundle) as url:
        until_well(f"{url}/health")
        for _ in range(10):
            answer = httpx.post(f"{url}/predict", json={"instances": ROWS}).json()
            assert answer["predictions"] == trained.predict(np.array(ROWS)).tolist()


def test_our_own_image_keeps_the_contract(podman, serving, model, tmp_path):
    trained, file = model("fraud", 0)
    own = ("--gcp-project", "p", "--install", "none", "--base-image", serving)
    [folder] = (exported("vertex", f"fraud={file}", *own, to=tmp_path / "out") / "images").iterdir()
    health, predict = "/v1/endpoints/1/deployedModels/2", "/v1/endpoints/1/deployedModels/2:predict"
    spec = ContainerSpec(folder=folder, ports=(7080,), cache=tmp_path)
    with closing(claim()) as port:
        variables = {
            "AIP_HTTP_PORT": str(port.number),
            "AIP_HEALTH_ROUTE": health,
            "AIP_PREDICT_ROUTE": predict,
        }
        running = podman.start(spec, podman.prepare(spec, print), variables, port.number, None)
        try:
            url = f"http://127.0.0.1:{port.number}"
            until_well(url + health)
            # as the clients of the samples send it
            answer = httpx.post(
                url + predict,
                content=json.dumps({"instances": ROWS}),
                headers={"Content_Type": "application/json"},
            )
            assert answer.json()["predictions"] == trained.predict(np.array(ROWS)).tolist()
            assert running.run(["python", "-c", "import os; assert os.getuid()"], 20)  # it is not root
            running.stop(30)
            assert running.ended == "ended with 0"
        finally:
            running.stop(0)
