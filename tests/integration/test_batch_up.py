"""Batch prediction jobs that a server runs."""

import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.integration.batch import Place, rows, write_model
from tests.integration.plane import PARENT, Failed, Plane
from tests.integration.processes import family
from tests.integration.server import up
from tests.integration.test_batch_cli import ended
from tests.integration.test_processes import until
from trivet.cli import main

FEW = {
    "TRIVET_BATCH_JOBS": "1",
    "TRIVET_BATCH_WORKERS": "2",
    "TRIVET_SERVER_WORKERS": "1",
    "TRIVET_CATALOG_PROJECT": "p",
}


@pytest.fixture
def server(tmp_path):
    with up(tmp_path / "data", **FEW) as server:
        yield server
        server.stop()


@pytest.fixture
def many(tmp_path):
    (tmp_path / "in").mkdir()
    for file in range(12):
        lines = (f'{{"id": {file * 50 + row}}}\n' for row in range(50))
        (tmp_path / "in" / f"{file:02}.jsonl").write_text("".join(lines))
    return str(tmp_path / "in" / "*.jsonl")


def asked(model, source, output, **more):
    return {
        "displayName": "j",
        "unmanagedContainerModel": {"artifactUri": str(model)},
        "inputConfig": {"instancesFormat": "jsonl"},
        "outputConfig": {"predictionsFormat": "jsonl"},
        "trivet": {"source": {"uris": [source]}, "destination": {"uri": str(output)}, "native": True, **more},
    }


def create(server, document, id_):
    return Plane(server.client).post(f"batchPredictionJobs?batchPredictionJobId={id_}", document)


def job(server, id_):
    return Plane(server.client).get(f"batchPredictionJobs/{id_}")


def end(server, id_):
    """Wait for the end of a job; return it."""
    terminal = ("SUCCEEDED", "FAILED", "CANCELLED")
    return until(lambda: (one := job(server, id_))["state"].endswith(terminal) and one)


def runners(server):
    """Return the job processes of a server, and the workers of each."""
    found = {}
    for pid in family(server.process.pid):
        with suppress(OSError):
            if b"trivet.app.child\0job" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found[pid] = family(pid)[1:]
    return found


def output(folder):
    (shown,) = folder.glob("[!.]*")
    return [
        row["instance"]["id"] for file in sorted(shown.glob("*results*")) for row in rows(file.read_bytes())
    ]


HANGS = "len(instances) == 50 and [time.sleep(0.01) for _ in iter(lambda: (HERE / 'free').exists(), True)]"


def hang(server, folder, many, id_="j"):
    """Start a job that hangs at its first rows; return its model, process and workers, when it does."""
    model = folder / f"model-{id_}"
    write_model(model, HANGS)
    create(server, asked(model, many, folder / f"out-{id_}"), id_)
    begun = model / ".begun"
    until(lambda: begun.exists() and begun.read_text().count(" 50") >= 2)
    ((pid, pids),) = runners(server).items()
    return model, pid, pids


def test_a_job_is_run_beside_the_fronts_and_stands_back(server, tmp_path, many):
    model, pid, pids = hang(server, tmp_path, many)
    assert {os.getpriority(os.PRIO_PROCESS, one) for one in (pid, *pids)} == {10}
    create(server, asked("/x", many, tmp_path / "out2"), "next")
    (model / "free").touch()
    begun = job(server, "j")
    assert (begun["state"], begun["trivet"]["attempt"]) == ("JOB_STATE_RUNNING", 1)
    done = end(server, "j")
    assert done["state"] == "JOB_STATE_SUCCEEDED"
    assert done["resourcesConsumed"]["replicaHours"] > 0
    assert output(tmp_path / "out-j") == list(range(600))
    assert "/x" in end(server, "next")["error"]["message"]  # which has waited
    until(ended([pid, *pids]))


def test_a_job_goes_on_in_another_process_when_its_own_is_killed(server, tmp_path, many):
    model, pid, pids = hang(server, tmp_path, many)
    os.kill(pid, signal.SIGKILL)
    until(ended(pids))
    (model / "free").touch()
    assert end(server, "j")["state"] == "JOB_STATE_SUCCEEDED"
    assert job(server, "j")["trivet"]["attempt"] == 2
    assert output(tmp_path / "out-j") == list(range(600))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_job_goes_on_when_the_server_is_there_again(tmp_path, many, number):
    with up(tmp_path / "data", **FEW) as server:
        model, pid, pids = hang(server, tmp_path, many)
        server.process.send_signal(number)
        server.process.wait(30)
        until(ended([pid, *pids]))
    (model / "free").touch()
    with up(tmp_path / "data", **FEW) as server:
        assert end(server, "j")["state"] == "JOB_STATE_SUCCEEDED"
        assert output(tmp_path / "out-j") == list(range(600))
        server.stop()


def test_a_cancelled_job_stops_within_a_second_and_leaves_nothing(server, tmp_path, many):
    _, pid, pids = hang(server, tmp_path, many)
    since = time.monotonic()
    Plane(server.client).post("batchPredictionJobs/j:cancel", {})
    until(ended(pids))
    assert end(server, "j")["state"] == "JOB_STATE_CANCELLED"
    assert time.monotonic() - since < 1.5
    until(ended([pid]))
    assert list((tmp_path / "out-j").iterdir()) == []
    assert list((tmp_path / "data" / "batch").iterdir()) == []
    with pytest.raises(Failed):
        Plane(server.client).post("batchPredictionJobs/j:resume", {})


def test_a_failed_job_keeps_what_is_done_until_it_is_deleted(server, tmp_path, many):
    model = write_model(tmp_path / "model", "assert instances[0]['id'] < 500")
    create(server, asked(model, many, tmp_path / "out", maxErrors=0, workers=1), "j")
    assert "the job allows 0" in end(server, "j")["error"]["message"]
    assert list((tmp_path / "out").glob(".*/results-*"))
    Plane(server.client).delete("batchPredictionJobs/j")
    assert list((tmp_path / "out").iterdir()) == []
    assert server.client.get(f"{PARENT}/batchPredictionJobs/j").status_code == 404


@pytest.fixture
def cli(server, tmp_path, monkeypatch):
    """Return a function that runs `trivet batch` against the server."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRIVET_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("TRIVET_CATALOG_PROJECT", "p")

    def run(*arguments, status=0):
        result = CliRunner().invoke(main, ["batch", *arguments])
        assert result.exit_code == status, result.output
        return result.stdout if status != 1 else result.output

    return run


def test_the_command_has_a_server_run_it(server, cli, tmp_path, many):
    Plane(server.client).upload("", "m", trivet={"framework": "echo"})
    there = ("--server", server.url)
    told = cli("m", "--input", "in/*.jsonl", "--output", "out", "--id", "a", *there)
    assert "SUCCEEDED" in told
    assert "600 read = 600 successful + 0 failed" in told
    assert output(tmp_path / "out") == list(range(600))
    made = json.loads(cli("show", "a", "--json", *there))
    assert (made["model"], made["displayName"]) == ("projects/p/locations/us-central1/models/m@1", "m")
    assert made["trivet"]["native"]
    assert cli("ls", *there).splitlines()[1].split()[:3] == ["a", "m", "SUCCEEDED"]
    assert "a is SUCCEEDED" in cli("cancel", "a", *there)
    assert "only a job that failed" in cli("resume", "a", *there, status=1)
    assert "a is deleted" in cli("rm", "a", *there)


def test_ctrl_c_cancels_a_job_of_a_server(server, cli, tmp_path, many):
    model = write_model(tmp_path / "model", HANGS)
    place = Place(tmp_path, {"TRIVET_DATA": str(tmp_path / "data"), "TRIVET_CATALOG_PROJECT": "p"})
    more = ("--input", many, "--output", "out", "--id", "j", "--server", server.url)
    process = place.start(str(model), *more)
    until(lambda: (model / ".begun").exists() and " 50" in (model / ".begun").read_text())
    process.send_signal(signal.SIGINT)
    printed, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert "Cancelling" in said
    assert "CANCELLED" in printed
    assert list((tmp_path / "out").iterdir()) == []
    place.close()


def test_a_server_leaves_a_job_to_the_command_that_runs_it(server, cli, tmp_path, many):
    Plane(server.client).upload("", "m", trivet={"framework": "echo"})
    assert "SUCCEEDED" in cli("m@1", "--input", "in/*.jsonl", "--output", "out", "--id", "a")
    made = job(server, "a")
    assert (made["state"], made["trivet"]["attempt"]) == ("JOB_STATE_SUCCEEDED", 1)
    assert not any("batch prediction job" in line for line in server.lines)


def test_the_endpoint_of_a_server_may_be_asked_instead(server, cli, tmp_path, many):
    plane = Plane(server.client)
    plane.deploy(plane.endpoint("e").rpartition("/")[2], plane.upload("", "m", trivet={"framework": "echo"}))
    told = cli("--endpoint", "e", "--input", "in/*.jsonl", "--output", "out")
    assert "600 read = 600 successful + 0 failed" in told
    assert output(tmp_path / "out") == list(range(600))
