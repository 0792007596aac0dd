"""Every setting does what its page says, in a real server."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.server import serve

SLOW = (
    "import time\nclass Predictor:\n    def predict(self, instances):\n"
    "        time.sleep(instances[0]); return instances\n"
)


@pytest.fixture
def slow(tmp_path):
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow/predictor.py").write_text(SLOW)
    return f"m={tmp_path / 'slow'}"


def busy(server):
    """Wait until one request is being predicted."""
    while 'trivet_in_flight_requests{model="m",version="1"} 0' in server.client.get("/metrics").text:
        pass


def test_a_full_queue_answers_429_with_the_time_to_come_back(slow):
    with serve(slow, TRIVET_BATCHING_MAX_QUEUED_ROWS="2") as server, ThreadPoolExecutor(2) as threads:
        server.predict("m", [0.1])
        threads.submit(server.predict, "m", [2])
        busy(server)
        refused = server.predict("m", [0, 0, 0])
        assert (refused.status_code, refused.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")
        threads.submit(server.predict, "m", [0, 0])
        while 'trivet_queue_rows{model="m",version="1"} 2' not in server.client.get("/metrics").text:
            pass
        full = server.predict("m", [0])
        assert (full.status_code, full.json()["error"]["status"]) == (429, "RESOURCE_EXHAUSTED")
        assert int(full.headers["retry-after"]) >= 1
    assert 'reason="queue_full"' not in "".join(server.lines)


def test_rows_are_predicted_together_up_to_the_limit(slow):
    with serve(slow, TRIVET_BATCHING_MAX_ROWS="3") as server, ThreadPoolExecutor(8) as threads:
        threads.submit(server.predict, "m", [1.5])
        busy(server)
        list(threads.map(lambda _: server.predict("m", [0]), range(6)))
        text = server.client.get("/metrics").text
    assert 'trivet_batch_rows_bucket{model="m",version="1",le="2"} 1' in text
    assert 'trivet_batch_rows_count{model="m",version="1"} 3' in text


def test_a_request_is_answered_in_the_time_that_the_deployment_gives(slow):
    with serve(slow, TRIVET_BATCHING_TIMEOUT="0.2") as server:
        late = server.predict("m", [1])
        assert late.status_code == 504
        assert "no answer within 0.2 s" in late.json()["error"]["message"]


def test_a_lone_request_waits_for_company_only_if_told_to():
    with serve("m=echo:", TRIVET_BATCHING_MAX_WAIT="0.3") as server:
        started = time.monotonic()
        assert server.predict("m", [1]).status_code == 200
        assert time.monotonic() - started > 0.29


def test_a_model_has_settings_of_its_own(tmp_path):
    (tmp_path / "trivet.toml").write_text(
        "[batching]\nmax_wait = 0.3\n[models.a]\nframework = 'echo'\nmax_wait = 0.0\nplacement = 'thread'\n"
        "[models.b]\nframework = 'echo'\n"
    )
    with serve(cwd=tmp_path) as server:
        placed = {m["name"]: m["placement"] for m in server.client.get("/v1/models").json()["models"]}
        assert placed["a"] == {"where": "thread", "reason": "set by the user"}
        assert placed["b"]["where"] == "inline"
        assert server.predict("a", [1]).json() == {"predictions": [1]}


def test_limits_of_a_request():
    limits = {"TRIVET_LIMITS_MAX_BODY_BYTES": "40", "TRIVET_LIMITS_MAX_INSTANCES": "2"}
    with serve("m=echo:", **limits) as server:
        assert server.predict("m", [1, 2]).status_code == 200
        many = server.predict("m", [1, 2, 3])
        assert "at most 2 in one request; got 3 (limits.max_instances)" in many.json()["error"]["message"]
        assert server.predict("m", ["x" * 40]).status_code == 413


def test_what_is_in_flight_has_so_long_to_finish(slow):
    with serve(slow, TRIVET_SERVER_DRAIN_TIMEOUT="1") as server:
        answers = []
        asks = threading.Thread(target=lambda: answers.append(server.predict("m", [60])))
        asks.start()
        busy(server)
        assert server.stop() == 0
        asks.join()
    assert answers[0].status_code == 503
    assert answers[0].json()["error"]["message"] == "the server stopped before the answer; try again"


def test_it_listens_where_it_is_told():
    with serve("m=echo:", "--host=::1") as server:
        assert server.url.startswith("http://[::1]:")
        assert server.predict("m", [1]).status_code == 200


@pytest.mark.parametrize(("requests", "logged"), [("errors", {404}), ("all", {200, 404}), ("none", set())])
def test_which_requests_are_logged(requests, logged):
    with serve("m=echo:", f"--log-requests={requests}") as server:
        server.client.get("/livez")
        server.client.get("/nowhere")
        server.stop()
        assert {line["status"] for line in server.log() if "status" in line} == logged


def test_the_form_and_the_level_of_the_log():
    with serve("m=echo:", TRIVET_LOG_FORMAT="text", TRIVET_LOG_LEVEL="info") as server:
        server.stop()
        assert "info    serving on http" in server.told()
        assert not any(line.startswith("{") for line in server.lines)
    with serve("m=echo:", wait="", TRIVET_LOG_LEVEL="error") as server:
        server.process.terminate()
        assert "serving on" not in server.told()


def test_types_are_trusted_one_by_one(tmp_path):
    import skops.io
    from sklearn.datasets import load_iris
    from sklearn.tree import DecisionTreeClassifier

    tree = DecisionTreeClassifier(max_depth=2).fit(*load_iris(return_X_y=True))
    skops.io.dump(tree, tmp_path / "tree.skops")
    with serve(str(tmp_path / "tree.skops"), wait="") as server:
        assert server.process.wait(60) == 1
        assert "sklearn.tree._tree.Tree" in server.told()
    with serve(str(tmp_path / "tree.skops"), "--trust-type=sklearn.tree._tree.Tree") as server:
        assert server.predict("tree", [[5.1, 3.5, 1.4, 0.2]]).json() == {"predictions": [0]}


def test_config_shows_what_a_server_would_use(tmp_path):
    import subprocess
    import sys

    (tmp_path / "trivet.toml").write_text("[server]\nport = 9000\n")
    done = subprocess.run(
        [sys.executable, "-m", "trivet", "config", "--json"],
        cwd=tmp_path, env={"TRIVET_SERVER_HOST": "::1"}, capture_output=True, check=True,
    )  # fmt: skip
    shown = json.loads(done.stdout)
    assert shown["server.port"] == {"value": 9000, "source": "trivet.toml"}
    assert shown["server.host"] == {"value": "::1", "source": "TRIVET_SERVER_HOST"}
