"""What goes wrong in the middle of a deploy harms nothing else, and is not remembered wrongly."""

import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.integration.plane import Failed, Plane
from tests.integration.server import up
from tests.integration.test_deploy import PREDICTOR, constant


@pytest.fixture
def server(tmp_path):
    with up(tmp_path / "data", TRIVET_SERVER_DRAIN_TIMEOUT="1") as server:
        yield server
        assert server.stop() == 0


@pytest.fixture
def plane(server):
    return Plane(server.client)


@pytest.fixture
def made(tmp_path):
    """Return a maker of artifacts: of ONNX for a number, else of this Python code."""

    def make(content):
        path = tmp_path / f"model-{len(list(tmp_path.iterdir()))}"
        path.mkdir()
        if isinstance(content, str):
            (path / "predictor.py").write_text(content)
        else:
            (path / "model.onnx").write_bytes(constant(content))
        return path

    return make


def children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


INLINE = {"placement": "inline"}


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import nowhere_to_be_found", "nowhere_to_be_found"),
        ("import os\nos.kill(os.getpid(), 9)", "SIGKILL"),
    ],
)
def test_a_model_that_fronts_load_themselves_and_cannot(server, plane, made, code, reason):
    plane.endpoint("e")
    good = plane.deploy("e", plane.upload(made(1), "good"))
    with pytest.raises(Failed, match=reason):
        plane.deploy("e", plane.upload(made(code), "bad"), trivet=INLINE)
    for _ in range(10):
        assert plane.predict("e", [[0.0]])["deployedModelId"] == good
    own = plane.deploy("e", plane.upload(made(PREDICTOR.format(answer=7)), "own"), trivet=INLINE)
    plane.split("e", {good: 0, own: 100})
    assert plane.predict("e", [0])["predictions"] == [7]


def test_a_front_that_is_killed_while_it_starts_is_started_again(server, plane, made):
    plane.endpoint("e")
    slow = "import time\ntime.sleep(0.5)\n" + PREDICTOR.format(answer=7)  # fronts start slowly, with it
    plane.deploy("e", plane.upload(made(slow), "own"), trivet=INLINE)
    serving = plane.deploy("e", plane.upload(made(1), "good"))
    plane.split("e", {serving: 100})
    other, killed, over = plane.upload(made(2), "other"), [], threading.Event()
    loaders = [one for one in children(server.process.pid) if children(one)]
    fronts = {one for loader in loaders for one in children(loader)}

    def kill():
        while not over.is_set() and not killed:
            heirs = {one for loader in loaders for one in children(loader)} - fronts
            for front in [one for heir in heirs for one in children(heir)][:1]:
                with suppress(ProcessLookupError):
                    os.kill(front, signal.SIGKILL)
                    killed.append(front)

    killer = threading.Thread(target=kill)
    killer.start()
    new = plane.deploy("e", other, {"0": 50, serving: 50})
    over.set()
    killer.join()
    assert killed
    answered = {plane.predict("e", [[0.0]])["deployedModelId"] for _ in range(60)}
    assert answered == {serving, new}


def test_fronts_outlive_changes_that_overtake_each_other(server, plane, made):
    """A split that is asked for during a slow deploy must not have the fronts taken for old ones."""
    plane.endpoint("e")
    plane.endpoint("g")
    one = plane.deploy("e", plane.upload(made(1), "one"))
    two = plane.deploy("e", plane.upload(made(2), "two"))
    slow = plane.upload(made("import time\ntime.sleep(1)\n" + PREDICTOR.format(answer=3)), "slow")
    began = plane.post("endpoints/g:deployModel", {"deployedModel": {"model": slow, "displayName": "d"}})
    plane.split("e", {one: 50, two: 50})
    plane.done(began)
    fronts = {pid for loader in children(server.process.pid) for pid in children(loader)}
    assert len(fronts) == 2
    time.sleep(
        12
    )  # after which those that were replaced are ended: 5 s for idle connections, 1 to drain, 5 more
    assert {pid for loader in children(server.process.pid) for pid in children(loader)} == fronts
