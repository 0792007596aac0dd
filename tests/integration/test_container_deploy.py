"""While a container is built and started, which may take minutes, all else goes on."""

import time
from pathlib import Path

import pytest

from tests.integration.plane import PARENT, Failed, Plane
from tests.integration.processes import family
from tests.integration.server import up
from tests.integration.test_container_online import MOODY, PROCESS, upload, works


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with up(tmp_path_factory.mktemp("data"), TRIVET_SERVER_WORKERS="1", **PROCESS) as server:
        server.client.timeout = 60
        yield server
        assert server.stop() == 0


@pytest.fixture(scope="module")
def plane(server):
    """An endpoint `quick` with a model, and a model `slow`, which takes minutes to start."""
    plane = Plane(server.client)
    plane.endpoint("quick")
    plane.deploy("quick", upload(plane, "quick"))
    upload(plane, "slow", env={"STARTS_IN": "300"})
    return plane


def begin(plane, endpoint):
    """Begin to deploy the slow model."""
    model = f"{PARENT[4:]}/models/slow@1"
    return plane.post(f"endpoints/{endpoint}:deployModel", {"deployedModel": {"model": model}})


def awaited(plane, endpoint):
    """Whether an endpoint comes to answer, which has a bound for hangs alone."""
    deadline = time.monotonic() + 40
    while plane.client.post(f"{PARENT}/endpoints/{endpoint}:predict", json={"instances": [1]}).is_error:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return works(plane, endpoint)


def applications(server):
    """Return how many processes run the application."""
    commands = [Path(f"/proc/{pid}/cmdline") for pid in family(server.process.pid)]
    return sum(one.exists() and b"app.py" in one.read_bytes() for one in commands)


def test_others_are_deployed_and_traffic_moves(server, plane):
    plane.endpoint("slow")
    operation = begin(plane, "slow")
    since = time.monotonic()
    plane.endpoint("other")
    plane.deploy("other", f"{PARENT[4:]}/models/quick@1")
    first = plane.get("endpoints/quick")["deployedModels"][0]["id"]
    second = plane.deploy("quick", f"{PARENT[4:]}/models/quick@1")
    plane.split("quick", {first: 0, second: 100})
    assert plane.predict("quick", [1])["deployedModelId"] == second
    plane.undeploy("quick", first)
    assert works(plane, "other")
    assert time.monotonic() - since < 20
    assert not plane.get(operation["name"].removeprefix(f"{PARENT[4:]}/"))["done"]
    assert plane.get("endpoints/slow").get("deployedModels", []) == []


def test_one_that_is_cancelled_ends(server, plane):
    plane.endpoint("given-up")
    before = applications(server)
    operation = begin(plane, "given-up")
    deadline = time.monotonic() + 20
    while applications(server) == before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert applications(server) > before
    plane.post(f"{operation['name'].removeprefix(f'{PARENT[4:]}/')}:cancel", {})
    with pytest.raises(Failed, match="cancelled"):
        plane.done(operation)
    while applications(server) > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert applications(server) == before


def test_what_keeps_one_from_starting_is_told_and_the_former_goes_on(plane):
    broken = upload(plane, "broken", env={"BROKEN": "1"})
    with pytest.raises(Failed, match="before it was ready"):
        plane.deploy("quick", broken)
    assert works(plane, "quick")


def deployed(tmp_path, name, begins):
    """Return the data of a server that has stopped, with `quick` and an application that begins with code."""
    application = tmp_path / "application"
    application.mkdir()
    (application / "Procfile").write_text("web: python app.py\n")
    (application / "app.py").write_text(begins + (MOODY / "app.py").read_text())
    with up(tmp_path / "data", TRIVET_SERVER_WORKERS="1", **PROCESS) as server:
        plane = Plane(server.client)
        for one, folder in (("quick", MOODY), (name, application)):
            plane.endpoint(one)
            plane.deploy(one, upload(plane, one, folder))
        assert server.stop() == 0
    return tmp_path / "data"


def test_one_that_cannot_be_started_at_a_restart_is_tried_again(tmp_path):
    away = tmp_path / "away"
    told = f"from pathlib import Path\nif Path({str(away)!r}).exists(): raise SystemExit('it is away')\n"
    data = deployed(tmp_path, "fragile", told)
    away.touch()
    with up(data, TRIVET_SERVER_WORKERS="1", **PROCESS) as server:
        plane = Plane(server.client)
        assert awaited(plane, "quick")
        for path in (f"{PARENT}/endpoints/fragile:predict", f"{PARENT}/endpoints/fragile:rawPredict"):
            answer = plane.client.post(path, json={"instances": [1]})
            assert answer.status_code == 503
            assert "could not be started, or not yet" in answer.json()["error"]["message"]
        time.sleep(4)  # so that the try right after the start has failed, too
        away.unlink()
        assert awaited(plane, "fragile")
        assert server.stop() == 0


def test_one_that_starts_slowly_at_a_restart_keeps_no_other_from_being_served(tmp_path):
    held = tmp_path / "held"
    waits = f"import time\nfrom pathlib import Path\nwhile Path({str(held)!r}).exists(): time.sleep(0.05)\n"
    data = deployed(tmp_path, "slow", waits)
    held.touch()
    with up(data, TRIVET_SERVER_WORKERS="1", **PROCESS) as server:
        plane = Plane(server.client)
        assert server.client.get("/readyz").status_code == 200
        assert awaited(plane, "quick")
        answer = plane.client.post(f"{PARENT}/endpoints/slow:predict", json={"instances": [1]})
        assert answer.status_code == 503
        assert applications(server) >= 2  # it is being started
        held.unlink()
        assert awaited(plane, "slow")
        assert works(plane, "quick")
        assert server.stop() == 0
