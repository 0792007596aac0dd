"""Any process of `trivet up` may be killed at any time: everything comes to be as it was last wished."""

import os
import time

import pytest

from tests.integration.chaos import WITHIN, Callers, Kept, Killer, Patient, Truth
from tests.integration.test_deploy import PREDICTOR, constant

KILLS = int(os.environ.get("CHAOS_KILLS", "8"))
"""More of them, for longer runs: `CHAOS_KILLS=100 pytest tests/integration/test_up_kill.py`."""


@pytest.fixture
def sources(tmp_path):
    """Return models that run in processes of their own, and models that run in the fronts."""
    made = []
    for index in range(2):
        python, onnx = tmp_path / f"python{index}", tmp_path / f"onnx{index}"
        python.mkdir()
        onnx.mkdir()
        (python / "predictor.py").write_text(PREDICTOR.format(answer=index))
        (onnx / "model.onnx").write_bytes(constant(index))
        made += [python, onnx]
    return made


def test_what_was_wished_last_is_served_whatever_was_killed_meanwhile(tmp_path, sources):
    kept = Kept(tmp_path / "data")
    patient, truth = Patient(kept), Truth()
    patient.create("e")
    models = [patient.upload(source, f"m{index}") for index, source in enumerate(sources)]
    serving = patient.deploy("e", models[0], "d0")
    truth.becomes(serving)
    callers = Callers(kept, "e", truth)
    killer = Killer(kept, KILLS, every=1.0, seed=KILLS)
    rounds = 0
    while killer.thread.is_alive() or rounds < 2:
        rounds += 1
        model = patient.upload(sources[rounds % 4], f"more{rounds}")
        new = patient.deploy("e", model, f"d{rounds}")
        truth.becomes(serving, new)
        patient.split("e", {serving: 0, new: 100})
        truth.becomes(new)
        patient.undeploy("e", serving)
        serving = new
    killer.thread.join()
    since, before = time.monotonic(), callers.answers[serving]
    while callers.answers[serving] < before + 10:
        assert time.monotonic() - since < WITHIN, "the last wish is not served"
        time.sleep(0.01)
    callers.stop()
    endpoint = patient.endpoint("e")
    names = {one["name"] for one in patient.until(lambda plane: plane.get("models?pageSize=1000"))["models"]}
    operations = patient.until(lambda plane: plane.get("operations?pageSize=1000"))["operations"]
    told = kept.stop()
    about = f"{dict(killer.killed)}, {kept.starts} starts, {rounds} rounds, {callers.failed} failed"
    assert not callers.wrong, (about, callers.wrong[:5], told)
    assert endpoint["trafficSplit"] == {serving: 100}
    assert [one["id"] for one in endpoint["deployedModels"]] == [serving]
    assert {name.rpartition("/")[2] for name in names} >= {f"more{index + 1}" for index in range(rounds)}
    assert all(one.get("done") for one in operations)
