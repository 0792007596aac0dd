"""Models that are containers, asked online: what callers are told when one fails, and how others go on."""

import json
import os
import shutil
import signal
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from tests.integration.plane import PARENT, Failed, Plane
from tests.integration.processes import family
from tests.integration.server import serve, up
from tests.integration.test_processes import until
from trivet.cli import main

HERE = Path(__file__).parent
MOODY = HERE / "moody"
PROCESS = {"TRIVET_CONTAINERS_ENGINE": "process"}
OFTEN = {"periodSeconds": 1, "timeoutSeconds": 1, "failureThreshold": 2}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server with two fronts."""
    with up(tmp_path_factory.mktemp("data"), **PROCESS) as server:
        server.client.timeout = 60
        yield server
        assert server.stop() == 0


@pytest.fixture(scope="module")
def plane(server):
    return Plane(server.client)


def upload(plane, name, folder=MOODY, **container):
    """Upload an application as a model, with variables of its own; returns `MODEL@VERSION`."""
    env = container.pop("env", {})
    spec = {
        "imageUri": str(folder),
        "predictRoute": "/predict",
        "healthRoute": "/health",
        "env": [{"name": key, "value": value} for key, value in env.items()],
        **container,
    }
    document = {"displayName": name, "containerSpec": {k: v for k, v in spec.items() if v is not None}}
    known = plane.client.get(f"{PARENT}/models/{name}").status_code == 200
    where = {"parentModel": f"{PARENT[4:]}/models/{name}"} if known else {"modelId": name}
    done = plane.done(plane.post("models:upload", {"model": document, **where}))
    return f"{done['model']}@{done['modelVersionId']}"


@pytest.fixture(scope="module")
def moody(plane):
    """An endpoint with one application."""
    plane.endpoint("moody")
    plane.deploy("moody", upload(plane, "moody"))
    return "moody"


def do(what, value):
    return {"do": [what, value]}


def error(plane, endpoint, *instances, **headers):
    """Return the status and the error of a prediction that fails."""
    answer = plane.client.post(
        f"{PARENT}/endpoints/{endpoint}:predict", json={"instances": instances}, headers=headers
    )
    assert answer.status_code >= 400, answer.text
    return answer.status_code, answer.json()["error"]["status"], answer.json()["error"]["message"]


def works(plane, endpoint):
    return plane.predict(endpoint, [1, "two", {"three": 3.0}])["predictions"] == [1, "two", {"three": 3.0}]


def test_instances_come_back_as_they_were_sent(plane, moody):
    body = b'{"instances": [1, 1.0, 1e2, "\xc3\xa4", {"b64": "aGk="}, {"b": 1, "a": [null]}, []]}'
    answer = plane.client.post(f"{PARENT}/endpoints/{moody}:predict", content=body)
    assert answer.json()["predictions"] == json.loads(body)["instances"]
    assert answer.json()["modelDisplayName"] == "moody"
    assert plane.predict(moody, [])["predictions"] == []


@pytest.mark.parametrize(
    ("what", "value", "expected"),
    [
        ("fewer", 1, (500, "INTERNAL", "the container gave 1 predictions for 2 instances")),
        ("text", "<html>", (500, "INTERNAL", "the container answered '<html>'; expected JSON")),
        ("text", '{"error": 1}', (500, "INTERNAL", "expected JSON")),
        ("status", 422, (400, "INVALID_ARGUMENT", 'the container answered 422: \'{"detail"')),
        ("status", 429, (429, "RESOURCE_EXHAUSTED", "the container answered 429")),
        ("status", 503, (503, "UNAVAILABLE", "the container answered 503")),
        ("status", 500, (500, "INTERNAL", "the container answered 500")),
    ],
)
def test_a_caller_is_told_what_the_container_did(server, plane, moody, what, value, expected):
    status, code, message = error(plane, moody, do(what, value), 1)
    assert (status, code) == expected[:2]
    assert expected[2] in message
    assert works(plane, moody)
    logged = [line for line in server.lines if '"error"' in line and expected[2] in json.loads(line)["msg"]]
    assert bool(logged) == (code == "INTERNAL"), "and the operator of what is no caller's fault"
    assert all("moody@" in line and "request_id" in line for line in logged)


def test_a_request_that_hangs_is_answered_in_time_and_holds_up_nobody(plane, moody):
    told = error(plane, moody, do("sleep", 20), **{"X-Server-Timeout": "0.5"})
    assert told[:2] == (504, "DEADLINE_EXCEEDED")
    assert "it was in the container" in told[2]
    assert works(plane, moody)


@pytest.mark.parametrize(
    ("code", "how"), [(7, "ended with 7"), (137, "ended with 137: killed, perhaps for lack of memory")]
)
def test_a_request_that_ends_its_container_fails_and_others_go_on(server, plane, moody, code, how):
    told = error(plane, moody, do("crash", code))
    assert told == (503, "UNAVAILABLE", f"the container {how}; the request may be tried again")
    assert works(plane, moody)
    ends = [line for line in server.lines if f"the container {how}" in line and "last lines" in line]
    assert len(ends) >= 2, "it was asked twice, and each time the log has what it printed last"
    assert all(f"crashing with {code}" in line for line in ends)
    assert any("another takes its place" in line for line in server.lines)


def test_an_application_that_starts_slowly_is_deployed_when_it_answers(plane):
    plane.endpoint("slow")
    plane.deploy("slow", upload(plane, "slow", env={"STARTS_IN": "2"}))
    assert works(plane, "slow")


def test_an_application_that_does_not_start_is_not_deployed_and_its_last_lines_say_why(plane):
    plane.endpoint("broken")
    with pytest.raises(Failed, match=r"no such file: model\.bin"):
        plane.deploy("broken", upload(plane, "broken", env={"BROKEN": "model.bin"}))


def test_an_application_that_is_not_well_gets_nothing_until_it_is(server, plane):
    plane.endpoint("ill")
    model = upload(
        plane, "ill", env={"SHOW": "requests"}, healthProbe={"httpGet": {"path": "/health"}, **OFTEN}
    )
    plane.deploy("ill", model)
    (pid,) = pids(plane, "ill", 1)
    os.kill(pid, signal.SIGSTOP)
    told = (0, "", "")
    while "waiting" not in told[2]:
        told = error(plane, "ill", 1, **{"X-Server-Timeout": "0.3"})
        assert told[:2] == (504, "DEADLINE_EXCEEDED")
    assert "it was waiting for the container: the container is not well" in told[2]
    assert status(server, "ill") == ("NOT_READY", 0)
    with ThreadPoolExecutor(1) as callers:
        waits = callers.submit(pids, plane, "ill", 1)
        os.kill(pid, signal.SIGCONT)
        assert waits.result() == {pid}
    assert status(server, "ill") == ("READY", 1)


def status(server, endpoint):
    """Return what `trivet status` says of the model of an endpoint."""
    asked = ["status", "--server", server.url, "--project", "p", "--json"]
    told = json.loads(CliRunner().invoke(main, asked).stdout)
    (one,) = (one for one in told["endpoints"] if one["name"].endswith(f"/{endpoint}"))
    (model,) = one["deployedModels"]
    return model["state"], model["containersWell"]


def test_callers_are_told_why_a_container_cannot_be_started_again(plane, tmp_path):
    away = tmp_path / "away"
    folder = Path(shutil.copytree(MOODY, tmp_path / "app"))
    begins = (
        f"from pathlib import Path\nif Path({str(away)!r}).exists():\n print('no')\n raise SystemExit(3)\n"
    )
    (folder / "app.py").write_text(begins + (MOODY / "app.py").read_text())
    plane.endpoint("loops")
    plane.deploy("loops", upload(plane, "loops", folder))
    away.touch()
    error(plane, "loops", do("crash", 5), **{"X-Server-Timeout": "0.3"})
    expected = "waiting for the container: the container ended with 3 before it was ready"

    def told():
        return error(plane, "loops", 1, **{"X-Server-Timeout": "0.3"})[2]

    until(lambda: expected in told())
    assert "last lines" not in told()
    away.unlink()
    url = f"{PARENT}/endpoints/loops:predict"
    until(lambda: plane.client.post(url, json={"instances": [1]}).status_code == 200)


def pids(plane, endpoint, count):
    """Ask until so many applications have answered; returns their processes."""
    found = set()
    while len(found) < count:
        found |= {one["pid"] for one in plane.predict(endpoint, [1])["predictions"]}
    return found


def test_no_request_is_lost_when_one_of_two_applications_is_killed(server, plane):
    plane.endpoint("pair")
    resources = {"minReplicaCount": 2, "maxReplicaCount": 2}
    plane.deploy("pair", upload(plane, "pair", env={"SHOW": "requests"}), dedicatedResources=resources)
    victim = pids(plane, "pair", 2).pop()
    over, answers = threading.Event(), Counter()

    def load(_):
        with httpx.Client(base_url=server.url, timeout=60) as client:
            while not over.is_set():
                answer = client.post(f"{PARENT}/endpoints/pair:predict", json={"instances": [1, 2]})
                answers[answer.status_code] += 1

    with ThreadPoolExecutor(4) as callers:
        asking = [callers.submit(load, number) for number in range(4)]
        os.kill(victim, signal.SIGKILL)
        seen = set()
        while len(seen - {victim}) < 2:
            seen |= pids(plane, "pair", 1)
        over.set()
        for one in asking:
            one.result()
    assert set(answers) == {200}
    assert victim not in pids(plane, "pair", 2)


def test_traffic_is_split_between_applications_and_shifted(plane):
    plane.endpoint("split")
    one = plane.deploy("split", upload(plane, "simple"))
    two = plane.deploy("split", upload(plane, "simple", env={"SHOW": "requests"}), split={"0": 50, one: 50})

    def simple():
        return plane.predict("split", ["x"])["predictions"] == ["x"]

    assert len({simple() for _ in range(40)}) == 2
    plane.split("split", {two: 100})
    assert not any(simple() for _ in range(20))
    plane.split("split", {one: 100})
    assert all(simple() for _ in range(20))
    plane.undeploy("split", two)
    assert simple()


def busy(server):
    """Return the metrics that are 1."""
    lines = server.client.get("/metrics").text.splitlines()
    return "\n".join(line for line in lines if line.endswith(" 1"))


def test_what_is_in_flight_is_answered_when_the_model_is_taken_away(plane):
    plane.endpoint("leaving")
    id_ = plane.deploy("leaving", upload(plane, "leaving"))
    with ThreadPoolExecutor(1) as callers:
        asked = callers.submit(plane.predict, "leaving", [do("sleep", 1.5)])
        while f'trivet_in_flight_requests{{deployed_model="{id_}"' not in busy(plane):
            pass
        plane.undeploy("leaving", id_)
        assert asked.result()["predictions"] == [do("sleep", 1.5)]


def test_each_request_is_one_post_with_its_parameters(plane):
    plane.endpoint("shows")
    plane.deploy("shows", upload(plane, "shows", env={"SHOW": "requests"}))
    body = {"instances": [1, 2, 3], "parameters": {"k": [1]}}
    with ThreadPoolExecutor(8) as callers:
        answers = callers.map(
            lambda _: plane.client.post(f"{PARENT}/endpoints/shows:predict", json=body).json(), range(16)
        )
    for answer in answers:
        assert [(one["rows"], one["parameters"]) for one in answer["predictions"]] == [(3, {"k": [1]})] * 3


def test_an_application_whose_keeper_is_killed_ends_and_is_replaced():
    with serve(f"moody={MOODY}", TRIVET_SERVER_WORKERS="2", **PROCESS) as server:
        assert server.predict("moody", [1]).json() == {"predictions": [1]}
        (keeper,) = children(server.process.pid, b"replica")
        below = family(keeper)
        os.kill(keeper, signal.SIGKILL)
        assert server.predict("moody", [2]).json() == {"predictions": [2]}
        while any(Path(f"/proc/{pid}").exists() for pid in below):
            pass
        assert server.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_is_in_flight_is_answered_when_the_server_goes_or_reloads(number):
    with serve(f"moody={MOODY}", **PROCESS) as server:
        with ThreadPoolExecutor(1) as callers:
            asked = callers.submit(server.predict, "moody", [do("sleep", 2)])
            while "trivet_in_flight_requests" not in busy(server):
                pass
            server.process.send_signal(number)
            assert asked.result().json() == {"predictions": [do("sleep", 2)]}
        if number == signal.SIGHUP:
            assert server.predict("moody", [1]).json() == {"predictions": [1]}
            assert server.stop() == 0
        assert server.process.wait(30) == 0


def children(pid, kind):
    """Return the processes of a kind below one."""
    return [one for one in family(pid) if kind in Path(f"/proc/{one}/cmdline").read_bytes().split(b"\0")]


def test_a_keeper_that_hangs_is_ended_once_nobody_needs_it(tmp_path):
    with up(tmp_path, **PROCESS, TRIVET_SERVER_WORKERS="1", TRIVET_SERVER_DRAIN_TIMEOUT="0") as server:
        plane = Plane(server.client)
        plane.endpoint("e")
        before = set(family(server.process.pid))
        deployed = plane.deploy("e", upload(plane, "hangs"))
        assert works(plane, "e")
        started = set(family(server.process.pid)) - before
        keepers = [pid for pid in started if b"child\0replica" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        os.kill(keepers[0], signal.SIGSTOP)
        plane.undeploy("e", deployed)
        until(lambda: not started & set(family(server.process.pid)))
        assert server.stop() == 0
