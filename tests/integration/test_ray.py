"""The Ray engine, on a real Ray of this machine: two CPUs, started once, and gone at the end."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.zoo import cases
from trivet.core.batch import Counts, ShardResult
from trivet.core.errors import Cancelled, Internal, NotFound
from trivet.core.names import ModelRef
from trivet.engines import registry
from trivet.engines.embedded import Embedded
from trivet.engines.ray import RayEngine
from trivet.jobs.engine import Reading
from trivet.jobs.run import load, prepare, prepared, run_shard
from trivet.jobs.work import Work
from trivet.serving.lifecycle import ModelSpec
from trivet.sinks.base import Outputs
from trivet.sinks.registry import get_sink
from trivet.sources.base import Inputs

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'trivet[ray]' runs these tests")

WITHIN = 60  # seconds; a bound for hangs
ROWS, SHARDS = 2000, 5


@pytest.fixture(scope="module")
def cluster():
    """Start Ray; its sockets' paths must be short, and it must not find a cluster of somebody else's."""
    folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(
            address="local",
            num_cpus=2,
            object_store_memory=80_000_000,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _temp_dir=folder,
        )
        yield
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def engine(cluster):
    engine = RayEngine(2)
    yield engine
    engine.close()
    assert ray.is_initialized(), "what it has not started it does not end"


def lines(folder, values, files=SHARDS):
    """Write values into files, each of which is a shard."""
    paths = [folder / f"in-{number}.jsonl" for number in range(files)]
    size = -(-len(values) // files)
    for number, path in enumerate(paths):
        part = values[number * size : (number + 1) * size]
        path.write_text("".join(f"{json.dumps(value)}\n" for value in part))
    return tuple(str(path) for path in paths)


def work_of(paths, model, out, **changes):
    return replace(
        Work(
            "projects/p/locations/l/batchPredictionJobs/1",
            "jsonl",
            "jsonl",
            Inputs(paths),
            Outputs(str(out), "prediction-m", native=True),
            model=model,
        ),
        **changes,
    )


def model_of(path, framework=""):
    return ModelSpec(ModelRef("m", "1"), Path(path), framework)


def output(folder):
    """Return every file that there is, hidden ones included."""
    return {
        str(one.relative_to(folder)): one.read_bytes() for one in sorted(folder.rglob("*")) if one.is_file()
    }


def done(engine, work):
    """Have a whole job done; returns its results in order, and whatever else was told."""
    found, shards = engine.prepare(work)
    work = prepared(work, found)
    results, others = [], []
    for event in engine.run(work, shards):
        (results if isinstance(event, ShardResult) else others).append(event)
    results.sort(key=lambda result: result.index)
    get_sink(work.sink).finish(work.outputs, results)
    return found, shards, results, others


def by_hand(work):
    scorer = load(work)
    found, shards = prepare(work, scorer)
    work = prepared(work, found)
    results = [run_shard(work, shard, scorer, lambda reading: None) for shard in shards]
    get_sink(work.sink).finish(work.outputs, results)
    scorer.close()
    return found, shards, results


def test_it_is_found_by_its_name(cluster):
    assert {"embedded", "ray"} <= set(registry.names())
    engine = registry.open_engine("ray", 3)
    assert repr(engine) == "<RayEngine 0 of 0 busy>"
    engine.close()


def test_what_it_writes_is_what_the_embedded_engine_writes_byte_for_byte(engine, tmp_path, zoo):
    case = next(case for case in cases() if case.name == "onnx-binary")
    rows = [case.rows[number % len(case.rows)] for number in range(ROWS)]
    rows[77], rows[1500] = "no row", [1]
    paths = lines(tmp_path, rows)
    work = work_of(paths, model_of(zoo(case)), tmp_path / "ray")
    found, shards, results, _ = done(engine, work)
    assert len(shards) == SHARDS
    assert sum((result.counts for result in results), Counts()) == Counts(ROWS, ROWS - 2, 2)

    plain = by_hand(replace(work, outputs=replace(work.outputs, uri=str(tmp_path / "hand"))))
    assert plain == (found, tuple(shards), results)
    other = Embedded(2)
    try:
        done(other, replace(work, outputs=replace(work.outputs, uri=str(tmp_path / "embedded"))))
    finally:
        other.close()
    written = output(tmp_path / "ray")
    assert len(written) == SHARDS + 1
    assert written == output(tmp_path / "hand") == output(tmp_path / "embedded")


PREDICTOR = """
import json, os, signal, time
from pathlib import Path

HERE = Path({folder!r})

class Predictor:
    def predict(self, instances):
        for one in instances:
            if one == "slow":
                time.sleep(0.3)
            if one == "hang":
                (HERE / f"hangs-{{os.getpid()}}").touch()
                time.sleep(600)
            if one == "once" and not (HERE / "died").exists():
                (HERE / "died").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            if one == "die":
                with (HERE / "deaths").open("a") as file:
                    file.write("x")
                os.kill(os.getpid(), signal.SIGKILL)
        print("this goes nowhere near the output")
        return instances
"""


@pytest.fixture
def deadly(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "predictor.py").write_text(PREDICTOR.format(folder=str(tmp_path)))
    return model_of(folder)


def test_an_actor_that_is_killed_costs_its_shard_alone_which_is_done_again(engine, tmp_path, deadly, caplog):
    values = list(range(ROWS))
    paths = lines(tmp_path, [*values[:900], "once", *values[900:]])
    work = work_of(paths, deadly, tmp_path / "out")
    _, shards, results, _ = done(engine, work)
    assert (tmp_path / "died").exists()
    assert [result.index for result in results] == list(range(len(shards)))
    assert sum((result.counts for result in results), Counts()) == Counts(ROWS + 1, ROWS + 1, 0)
    assert len([record for record in caplog.records if "another does it again" in record.message]) == 1
    by_hand(replace(work, outputs=replace(work.outputs, uri=str(tmp_path / "hand"))))
    assert output(tmp_path / "out") == output(tmp_path / "hand")


def test_one_that_is_lost_again_over_the_same_shard_ends_the_job(engine, tmp_path, deadly):
    paths = lines(tmp_path, [*range(100), "die"])
    with pytest.raises(Internal, match=r"in-4.jsonl, from record \d+ on: .* was lost .*, 2 times"):
        done(engine, work_of(paths, deadly, tmp_path / "out"))
    assert (tmp_path / "deaths").read_text() == "xx"


def test_it_tells_how_far_it_is_and_lets_its_caller_look_around(engine, tmp_path, deadly):
    paths = lines(tmp_path, ["slow", *range(100_000)], files=1)
    work = work_of(paths, deadly, tmp_path / "out", batch_size=500)
    _, (shard,), (result,), others = done(engine, work)
    assert None in others
    readings = [one for one in others if isinstance(one, Reading)]
    assert all(one.index == 0 and one.counts.read <= result.counts.read for one in readings)
    sizes = [one.size for one in readings]
    assert sizes == sorted(sizes)
    assert all(0 <= size <= shard.size for size in sizes)


def test_what_keeps_a_job_from_being_done_is_raised_as_it_is(engine, tmp_path, deadly):
    paths = lines(tmp_path, [1], files=1)
    with pytest.raises(NotFound, match="nope"):
        engine.prepare(work_of(paths, replace(deadly, path=tmp_path / "nope", framework="onnx"), tmp_path))
    with pytest.raises(NotFound, match="both"):
        engine.prepare(work_of(paths, deadly, tmp_path, sink="both"))


def hanging(folder, count):
    """Wait until so many processes hang; returns their ids."""
    eventually(lambda: len(list(folder.glob("hangs-*"))) == count)
    return [int(one.name.partition("-")[2]) for one in folder.glob("hangs-*")]


def eventually(true):
    until = time.monotonic() + WITHIN
    while not true():
        assert time.monotonic() < until
        threading.Event().wait(0.02)


def test_closing_ends_its_processes_at_once_whatever_they_do(engine, tmp_path, deadly):
    paths = lines(tmp_path, ["hang"] * 100)
    work = work_of(paths, deadly, tmp_path / "out")
    raised = []

    def go():
        try:
            done(engine, work)
        except Cancelled as error:
            raised.append(error)

    thread = threading.Thread(target=go)
    thread.start()
    pids = hanging(tmp_path, 2)
    assert engine.processes == 2
    begun = time.monotonic()
    engine.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    thread.join(5)
    assert time.monotonic() - begun < 1.5
    assert raised
    engine.close()
    with pytest.raises(Cancelled):
        engine.prepare(work)


ALONE = """
import json, os, sys
from pathlib import Path
from trivet.core.names import ModelRef
from trivet.engines.registry import open_engine
from trivet.jobs.work import Work
from trivet.serving.lifecycle import ModelSpec
from trivet.sinks.base import Outputs
from trivet.sources.base import Inputs

source, out, model = sys.argv[1:]
engine = open_engine("ray", 1)
model = ModelSpec(ModelRef("m", "1"), Path(model))
work = Work("j", "jsonl", "jsonl", Inputs((source,)), Outputs(out, "p"), model=model)
prepared, shards = engine.prepare(work)
counts = [event.counts.read for event in engine.run(work, shards) if hasattr(event, "parts")]
import ray
told = {"counts": counts, "address": ray.get_runtime_context().gcs_address}
engine.close()
told |= {"left": ray.is_initialized(), "usage": os.environ["RAY_USAGE_STATS_ENABLED"]}
print(json.dumps(told))
"""


def alone(paths, out, model, folder, **environment):
    """Have a job done by another process that knows of no cluster but what the environment says."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    ran = subprocess.run(
        [sys.executable, "-c", ALONE, *paths, str(out), str(model.path)],
        capture_output=True,
        text=True,
        timeout=WITHIN,
        check=False,
        env={**clean, "RAY_TMPDIR": folder, **environment},
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["counts"] == [3]
    assert told["left"] is False
    assert told["usage"] == "0"
    return told["address"]


def test_without_a_cluster_it_starts_ray_and_ends_it_and_prints_nothing(cluster, tmp_path, deadly):
    paths = lines(tmp_path, [1, "once", 3], files=1)
    folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")
    try:
        address = alone(paths, tmp_path / "out", deadly, folder)
        left = ray_processes(folder)
    finally:
        for pid in ray_processes(folder):
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)
    assert left == []
    assert address != ray.get_runtime_context().gcs_address


def test_a_cluster_that_there_is_is_used_and_left(cluster, tmp_path, deadly):
    paths = lines(tmp_path, [1, "once", 3], files=1)
    address = ray.get_runtime_context().gcs_address
    known = {"RAY_ADDRESS": address, "RAY_AUTH_MODE": os.environ["RAY_AUTH_MODE"]}  # which Ray has set here
    assert alone(paths, tmp_path / "out", deadly, str(tmp_path), **known) == address
    assert ray.cluster_resources()["CPU"] == 2


def test_actors_end_with_the_process_that_runs_the_job_even_if_it_is_killed(cluster, tmp_path, deadly):
    paths = lines(tmp_path, ["hang"], files=1)
    environment = {**os.environ, "RAY_ADDRESS": ray.get_runtime_context().gcs_address}
    command = [sys.executable, "-c", ALONE, *paths, str(tmp_path / "out"), str(deadly.path)]
    with subprocess.Popen(command, env=environment) as process:
        (pid,) = hanging(tmp_path, 1)
        process.kill()
    eventually(lambda: not Path(f"/proc/{pid}").exists())


def test_the_command_runs_a_job_on_it(cluster, tmp_path):
    paths = lines(tmp_path, list(range(500)))
    address = ray.get_runtime_context().gcs_address
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TRIVET_")}
    inputs = [word for path in paths for word in ("--input", path)]
    options = ["--output", str(tmp_path / "out"), "--engine", "ray", "--json"]
    ran = subprocess.run(
        [sys.executable, "-m", "trivet", "batch", "echo:", *inputs, *options],
        capture_output=True,
        text=True,
        timeout=WITHIN,
        check=False,
        env={**clean, "RAY_ADDRESS": address, "TRIVET_DATA": str(tmp_path / "data")},
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["state"] == "JOB_STATE_SUCCEEDED"
    (folder,) = (tmp_path / "out").iterdir()
    results = sorted(folder.glob("prediction.results-*"))
    assert len(results) == SHARDS
    predictions = [json.loads(line)["prediction"] for one in results for line in one.read_text().splitlines()]
    assert predictions == list(range(500))


def ray_processes(folder):
    """Return the processes of the Ray that has its sockets in a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if folder.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue  # it has just ended
    return found


def test_a_cluster_that_cannot_be_reached_is_said(tmp_path, deadly):
    code = (
        "from trivet.engines.registry import open_engine\n"
        "from trivet.core.errors import FailedPrecondition\n"
        "engine = open_engine('ray', 1)\n"
        "try:\n    engine._connect()\n"
        "except FailedPrecondition as error:\n    print(error)\n"
    )
    environment = {**os.environ, "RAY_ADDRESS": "nonsense"}
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=WITHIN,
        check=False,
        env=environment,
    )
    assert "no Ray cluster can be reached or started" in ran.stdout, ran.stderr
