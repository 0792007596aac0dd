"""Models are uploaded to `trivet up`, deployed, shifted and taken away while requests go on."""

import json
import threading
import time
from collections import Counter

import httpx
import numpy as np
import pytest

from tests.integration.plane import PARENT, Failed, Plane
from tests.integration.server import up

PREDICTOR = """
class Predictor:
    def predict(self, instances):
        return [{answer!r} for _ in instances]
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Return a maker of artifacts that answer with a constant: Python ones, and native ones of ONNX."""
    folder = tmp_path_factory.mktemp("models")

    def make(answer, kind="python"):
        path = folder / f"{kind}-{answer}"
        if not path.exists():
            path.mkdir()
            if kind == "python":
                (path / "predictor.py").write_text(PREDICTOR.format(answer=answer))
            else:
                (path / "model.onnx").write_bytes(constant(answer))
        return path

    return make


def constant(value, operator="Add"):
    """Return an ONNX model that adds a constant to its input, which tests set to zero."""
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node(operator, ["x", "c"], ["y"])],
        "constant",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])],
        [helper.make_tensor("c", TensorProto.FLOAT, [1], np.array([value], np.float32))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return model.SerializeToString()


@pytest.fixture
def server(tmp_path):
    with up(tmp_path / "data") as server:
        yield server
        assert server.stop() == 0


@pytest.fixture
def plane(server):
    return Plane(server.client)


def test_a_model_is_uploaded_deployed_shifted_and_undeployed(plane, models):
    first = plane.upload(models(1, "onnx"), "m")
    second = plane.upload(models(2), "m")
    assert (first, second) == (f"{PARENT[4:]}/models/m@1", f"{PARENT[4:]}/models/m@2")
    plane.endpoint("e")
    one = plane.deploy("e", first)
    answer = plane.predict("e", [[0.0]])
    assert answer == {
        "predictions": [1.0],
        "deployedModelId": one,
        "model": f"{PARENT[4:]}/models/m",
        "modelDisplayName": "m",
        "modelVersionId": "1",
    }
    two = plane.deploy("e", second)
    assert plane.get("endpoints/e")["trafficSplit"] == {one: 100, two: 0}
    plane.split("e", {one: 0, two: 100})
    assert {plane.predict("e", [0])["deployedModelId"] for _ in range(20)} == {two}
    plane.split("e", {one: 50, two: 50})
    answered = Counter(plane.predict("e", [[0.0]])["deployedModelId"] for _ in range(100))
    assert min(answered.values()) > 20
    plane.undeploy("e", one, trafficSplit={two: 100})
    assert [one["id"] for one in plane.get("endpoints/e")["deployedModels"]] == [two]
    assert plane.predict("e", [0])["predictions"] == [2]
    plane.undeploy("e", two)
    with pytest.raises(Failed) as failed:
        plane.predict("e", [0])
    assert failed.value.args[0] in (400, 404)
    plane.delete("endpoints/e")
    plane.delete("models/m")


@pytest.mark.parametrize("kind", ["python", "onnx"])
def test_what_cannot_be_loaded_leaves_everything_as_it_was(plane, models, tmp_path, kind):
    plane.endpoint("e")
    good = plane.deploy("e", plane.upload(models(1, kind), "good"))
    before = plane.get("endpoints/e")
    bad = tmp_path / "bad"
    bad.mkdir()
    if kind == "python":
        (bad / "predictor.py").write_text("import nowhere_to_be_found")
    else:
        (bad / "model.onnx").write_bytes(constant(3, "Nope"))
    uploaded = plane.upload(bad, "bad")
    with pytest.raises(Failed) as failed:
        plane.deploy("e", uploaded, {"0": 50, good: 50})
    assert ("nowhere_to_be_found" if kind == "python" else "Nope") in failed.value.args[1]
    after = plane.get("endpoints/e")
    assert after["trafficSplit"] == before["trafficSplit"]
    assert after["deployedModels"] == before["deployedModels"]
    assert plane.predict("e", [[0.0]])["deployedModelId"] == good


def test_a_model_that_ends_the_process_that_loads_it_harms_nobody(plane, models, tmp_path):
    plane.endpoint("e")
    good = plane.deploy("e", plane.upload(models(1, "onnx"), "good"))
    deadly = tmp_path / "deadly"
    deadly.mkdir()
    (deadly / "predictor.py").write_text("import os\nos.kill(os.getpid(), 9)")
    with pytest.raises(Failed, match="SIGKILL"):
        plane.deploy("e", plane.upload(deadly, "deadly"))
    assert plane.predict("e", [[0.0]])["deployedModelId"] == good
    assert plane.deploy("e", plane.upload(models(5, "onnx"), "other"))


@pytest.mark.parametrize("kinds", [("onnx", "onnx"), ("python", "python"), ("onnx", "python")])
def test_no_request_fails_and_none_is_answered_by_what_is_gone(server, plane, models, kinds):
    """Connections that are kept alive go on, whatever is deployed, shifted and undeployed meanwhile."""
    plane.endpoint("e")
    uploaded = [plane.upload(models(index, kind), f"m{index}") for index, kind in enumerate(kinds)]
    serving = plane.deploy("e", uploaded[0])
    allowed = {serving}
    problems, answers, over = [], Counter(), threading.Event()

    def call():
        body = json.dumps({"instances": [[0.0]]})
        with httpx.Client(base_url=server.url, timeout=30) as client:
            while not over.is_set():
                before = set(allowed)
                answer = client.post(f"{PARENT}/endpoints/e:predict", content=body)
                if answer.status_code != 200:
                    problems.append(answer.text)
                elif (by := answer.json()["deployedModelId"]) not in before | allowed:
                    problems.append(f"answered by {by}; allowed were {before | allowed}")
                else:
                    answers[by] += 1

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    try:
        for round_ in range(6):
            wait_for(answers, serving)
            new = plane.deploy("e", uploaded[(round_ + 1) % 2])
            allowed.add(new)
            plane.split("e", {serving: 0, new: 100})
            allowed.discard(serving)
            wait_for(answers, new)
            plane.undeploy("e", serving)
            serving = new
    finally:
        over.set()
        for caller in callers:
            caller.join()
    assert not problems
    assert len(answers) == 7


def wait_for(answers, id_):
    since = time.monotonic()
    while not answers[id_]:
        assert time.monotonic() - since < 30, f"nothing is answered by {id_}"
        time.sleep(0.001)


def test_everything_is_there_again_after_a_restart(tmp_path, models):
    with up(tmp_path / "data") as server:
        plane = Plane(server.client)
        plane.endpoint("e")
        one = plane.deploy("e", plane.upload(models(1, "onnx"), "m"))
        two = plane.deploy("e", plane.upload(models(2), "m"), {one: 30, "0": 70})
        assert server.stop() == 0
    with up(tmp_path / "data") as server:
        plane = Plane(server.client)
        assert plane.get("endpoints/e")["trafficSplit"] == {one: 30, two: 70}
        answered = Counter(plane.predict("e", [[0.0]])["deployedModelId"] for _ in range(60))
        assert set(answered) == {one, two}
        assert server.stop() == 0


def test_a_data_folder_is_one_servers(server, tmp_path):
    with up(tmp_path / "data", wait="") as second:
        assert "is in use by another `trivet up`" in second.told()
        assert second.process.returncode == 1


def test_a_server_that_is_told_to_stop_during_a_deploy_stops(tmp_path, models):
    slow = tmp_path / "slow"
    slow.mkdir()
    (slow / "predictor.py").write_text(
        "import time\nfrom pathlib import Path\n(Path(__file__).parent / 'loading').touch()\ntime.sleep(60)\n"
    )
    with up(tmp_path / "data") as server:
        plane = Plane(server.client)
        plane.endpoint("e")
        one = plane.deploy("e", plane.upload(models(1), "m"))
        body = {"deployedModel": {"model": plane.upload(slow, "slow"), "displayName": "d"}}
        plane.post("endpoints/e:deployModel", body)
        since = time.monotonic()
        while not list((tmp_path / "data").rglob("loading")) and time.monotonic() - since < 1:
            time.sleep(0.01)  # the copy is read-only, so that this may never come
        assert plane.predict("e", [0])["deployedModelId"] == one
        assert server.stop() == 0
        assert "Traceback" not in server.told()


HOME = "/v1/projects/local/locations/us-central1"


def test_an_endpoint_is_not_another_projects(tmp_path, monkeypatch):
    (tmp_path / "m").mkdir()
    (tmp_path / "m/predictor.py").write_text(PREDICTOR.format(answer=1))
    with up(tmp_path / "data") as server:
        monkeypatch.setattr("tests.integration.plane.PARENT", HOME)
        home = Plane(server.client)
        home.endpoint("e1")
        home.deploy("e1", home.upload(tmp_path / "m", "n"))
        assert home.predict("e1", [0])["predictions"] == [1]
        assert server.predict("e1", [0]).json()["predictions"] == [1]
        answer = server.client.post(f"{PARENT}/endpoints/e1:predict", json={"instances": [0]})
        assert answer.status_code == 404, answer.text
        assert "nothing is deployed at projects/p/locations/us-central1/endpoints/e1" in answer.text
        answer = server.client.post("/v1/models/x:predict", json={"instances": [0]})
        assert 'served: e1"' in answer.text
        assert server.stop() == 0
