"""`trivet serve` has a catalog, too: it begins with what is served, and lasts as long as the server."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.integration.plane import PARENT, Failed, Plane
from tests.integration.processes import family
from tests.integration.server import STARTS_WITHIN, serve
from tests.integration.test_deploy import PREDICTOR


@pytest.fixture
def models(tmp_path):
    for index in (1, 2, 3):
        (tmp_path / f"m{index}").mkdir()
        (tmp_path / f"m{index}/predictor.py").write_text(PREDICTOR.format(answer=index))
    return tmp_path


def plane_of(server):
    """Return a plane as soon as there is one: predictions do not wait for it."""
    since = time.monotonic()
    while True:
        answer = server.client.get(f"{PARENT}/endpoints")
        if answer.status_code == 200:
            return Plane(server.client)
        assert time.monotonic() - since < STARTS_WITHIN, answer.text
        time.sleep(0.02)


def control_of(server):
    """Return the control process as soon as there is one."""
    since = time.monotonic()
    while True:
        for pid in family(server.process.pid):
            with suppress(OSError):
                if b"\0control\0" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    return pid
        assert time.monotonic() - since < STARTS_WITHIN


def test_a_control_process_that_is_killed_while_it_starts_is_followed_by_another(models):
    with serve(f"m={models / 'm1'}", wait="") as server:
        os.kill(killed := control_of(server), signal.SIGKILL)
        server.await_address()
        plane = plane_of(server)
        assert control_of(server) != killed
        assert [one["id"] for one in plane.get("endpoints/m")["deployedModels"]] == ["m-1"]
        assert server.stop() == 0
    assert any("ended by SIGKILL" in one["msg"] and "control" in one["msg"] for one in server.log())


def test_what_is_served_is_in_the_catalog_whatever_the_project(models):
    with serve(f"m@1={models / 'm1'}", f"m@7={models / 'm2'}", f"other={models / 'm3'}") as server:
        plane = plane_of(server)
        endpoint = plane.get("endpoints/m")
        assert endpoint["trafficSplit"] == {"m-7": 100}
        assert {one["id"]: one["modelVersionId"] for one in endpoint["deployedModels"]} == {
            "m-1": "1",
            "m-7": "7",
        }
        assert plane.predict("m", [0])["deployedModelId"] == "m-7"
        assert plane.predict("m", [0])["predictions"] == [2]
        versions = server.client.get(f"{PARENT}/models/m:listVersions").json()["models"]
        assert [one["versionId"] for one in versions] == ["1", "7"]
        assert len(plane.get("models")["models"]) == 2
        assert server.stop() == 0


def test_more_can_be_deployed_and_what_was_there_can_go(models):
    with serve(f"m={models / 'm1'}") as server:
        plane = plane_of(server)
        new = plane.deploy("m", plane.upload(models / "m2", "n"), {"0": 100, "m-1": 0})
        assert plane.predict("m", [0])["predictions"] == [2]
        assert server.predict("m", [0]).json()["predictions"] == [2]
        plane.undeploy("m", "m-1")
        assert [one["id"] for one in plane.get("endpoints/m")["deployedModels"]] == [new]
        assert server.predict("m", [0]).json()["predictions"] == [2]
        assert server.stop() == 0


def test_reading_the_settings_again_begins_a_new_catalog(models):
    with serve(f"m={models / 'm1'}") as server:
        plane = plane_of(server)
        plane.upload(models / "m2", "n")
        os.kill(server.process.pid, signal.SIGHUP)
        since = time.monotonic()
        while True:
            try:
                if [one["displayName"] for one in plane_of(server).get("models")["models"]] == ["m"]:
                    break
            except (httpx.TransportError, KeyError, Failed):
                pass  # one catalog ends, and the other is not there yet
            assert time.monotonic() - since < STARTS_WITHIN
            time.sleep(0.02)
        assert plane.predict("m", [0])["predictions"] == [1]
        assert server.stop() == 0
