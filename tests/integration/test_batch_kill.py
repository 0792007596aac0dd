"""A job whose runner and workers are killed at any time: its output is what it is without that."""

import os
import pickle
import random
import signal
from contextlib import suppress

import pytest

from tests.integration.batch import Place, workers, write_model
from tests.integration.test_batch_cli import ended
from tests.integration.test_processes import until

SEEDS = range(int(os.environ.get("CHAOS_SEEDS", "2")))
"""More of them, for longer runs: `CHAOS_SEEDS=50 pytest tests/integration/test_batch_kill.py`."""

FILES, ROWS = 12, 400


@pytest.fixture
def place(tmp_path):
    place = Place(tmp_path, {"TRIVET_BATCH_WORKERS": "2", "TRIVET_BATCH_SHARD_BYTES": "4096"})
    (tmp_path / "in").mkdir()
    for file in range(FILES):
        lines = (f'{{"id": {row}}}\n' if row % 9 else f'{{"id": {row}\n' for row in range(ROWS))
        (tmp_path / "in" / f"{file:02}.jsonl").write_text("".join(lines))
    write_model(tmp_path / "model", "time.sleep(0.005)")
    yield place
    place.close()


def parts(place):
    """Return the parts of shards that are done, by their place in the output: which file each is."""
    hidden = [one for one in (place.folder / "out").glob(".*") if one.is_dir()]
    found = {}
    for result in place.results("j"):
        with suppress(IndexError, FileNotFoundError):
            found[result.index] = (hidden[0] / f"results-{result.index:05}").stat().st_ino
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_kills_change_nothing_and_what_is_done_is_not_done_again(place, seed):
    chance = random.Random(seed)
    asked = ("model/", "--input", "in/*.jsonl", "--output", "out")
    expected_job = place.job(*asked, status=3)
    expected = place.output()
    (place.folder / "out").rename(place.folder / "expected")

    begun, job, kills = place.folder / "model" / ".begun", None, 0
    kept: dict[int, int] = {}
    while job is None:
        command = ("resume", "j") if kept else (*asked, "--id", "j")
        begun.write_text("")
        process = place.start(*command, "--json")
        calls = chance.randrange(60)
        until(lambda c=calls, p=process: begun.read_text().count("\n") >= c or p.poll() is not None)
        pids = workers(process)
        if kills < 5:
            if chance.random() < 0.4 and pids:
                with suppress(ProcessLookupError):
                    os.kill(chance.choice(pids), signal.SIGKILL)
                until(
                    lambda c=calls, p=process: begun.read_text().count("\n") >= c + 5 or p.poll() is not None
                )
            process.kill()
        kills += 1
        if process.wait() == 3:
            job = place.job("show", "j")
        elif process.returncode == 1:
            raise AssertionError(process.stderr.read())
        until(ended(pids))
        if job is None:
            now = parts(place)
            assert {index: now.get(index) for index in kept} == kept  # none was written anew
            kept = now

    assert job["completionStats"] == expected_job["completionStats"]
    assert job["state"] == expected_job["state"] == "JOB_STATE_PARTIALLY_SUCCEEDED"
    (folder,) = place.shown()
    for index, inode in kept.items():
        (file,) = folder.glob(f"prediction.results-{index:05}-of-*")
        assert file.stat().st_ino == inode
    assert place.output() == expected
    assert place.hidden() == []


def test_a_job_on_a_pickle_goes_on_with_the_permission_that_it_was_begun_with(place):
    tree = pytest.importorskip("sklearn.tree")
    model = tree.DecisionTreeRegressor().fit([[0.0], [1.0]], [0, 1])
    (place.folder / "m.pkl").write_bytes(pickle.dumps(model))
    (place.folder / "rows.jsonl").write_text("[1]\n" * 400_000)
    asked = ("m.pkl", "--input", "rows.jsonl", "--output", "out", "--id", "j")
    process = place.start(*asked, "--allow-pickle")
    until(lambda: any(place.results("j")) or process.poll() is not None)
    pids = workers(process)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    until(ended(pids))
    assert "allow it with --allow-pickle" in place.run("resume", "j", status=1)
    told = place.job("resume", "j", "--allow-pickle")
    assert told["completionStats"] == {"successfulCount": "400000", "failedCount": "0"}
