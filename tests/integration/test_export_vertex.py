"""What `trivet export vertex` writes, tried against a server of Vertex's API: Trivet's own."""

import re
import subprocess
import sys

from tests.integration.plane import Plane
from tests.integration.server import up
from tests.integration.test_export import APPLICATION, ROWS, export


def test_vertex_requests_are_answered_by_a_server_of_its_api(tmp_path):
    """Trivet's own, which takes what `deploy.py` sends and then answers as the endpoint."""
    out = tmp_path / "out"
    export("vertex", f"echo={APPLICATION}", "--output", out, "--gcp-project", "p", "--image", "r.io/p/echo")
    with vertex(out, tmp_path) as server:
        deployed(out, server)
        plane = Plane(server.client)
        assert plane.predict("echo", ROWS)["predictions"] == ROWS
        (first,) = plane.get("endpoints/echo")["deployedModels"]
        assert plane.get("endpoints/echo")["trafficSplit"] == {first["id"]: 100}
        deployed(out, server)
        (second,) = plane.get("endpoints/echo")["deployedModels"]
        assert plane.get("endpoints/echo")["trafficSplit"] == {second["id"]: 100}
        assert [one["modelVersionId"] for one in (first, second)] == ["1", "2"]
        assert plane.get("models/echo@v1")["versionId"] == "2"
        assert plane.predict("echo", ROWS)["predictions"] == ROWS
        server.stop()


def test_a_rollout_on_vertex_leaves_models_of_others_without_traffic(tmp_path):
    mine, other = (tmp_path / name for name in ("mine", "other"))
    for name, out in (("echo", mine), ("other", other)):
        export("vertex", f"{name}={APPLICATION}", "--output", out, "--name", "scoring", "--gcp-project", "p",
               "--image", "r.io/p/echo")  # fmt: skip
    with vertex(mine, tmp_path, other) as server:
        deployed(other, server)
        said = deployed(mine, server)
        there = Plane(server.client).get("endpoints/scoring")
        ids = {one["displayName"]: one["id"] for one in there["deployedModels"]}
        assert set(ids) == {"other-1", "echo-1"}
        assert there["trafficSplit"].get(ids["other-1"], 0) == 0
        assert there["trafficSplit"][ids["echo-1"]] == 100
        assert f"{ids['other-1']}, of " in said
        server.stop()


def vertex(out, tmp_path, *others):
    """Start a server of Vertex's API that has the images which bundles tell of."""
    files = (file for folder in (out, *others) for file in folder.glob("*-upload-*.json"))
    images = {re.findall(r'"imageUri": "(.*)"', file.read_text())[0] for file in files}
    stands_for = ",".join(f"{image}={APPLICATION}" for image in sorted(images))
    told = {"TRIVET_CONTAINERS_IMAGES": stands_for, "TRIVET_CONTAINERS_ENGINE": "process"}
    return up(tmp_path / "data", **told)


def deployed(out, server):
    """Run a bundle's `deploy.py`; return what it printed."""
    environment = {"VERTEX": server.url, "TOKEN": "t", "PATH": "/usr/bin:/bin"}
    command = [sys.executable, out / "deploy.py"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
