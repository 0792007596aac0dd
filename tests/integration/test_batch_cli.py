"""`trivet batch` in the foreground: from the command to the results."""

import json
import os
import re
import signal
import sqlite3
import time
from contextlib import closing

import pytest

from tests.integration.batch import Place, rows, workers, write_model
from tests.integration.test_processes import until


@pytest.fixture
def place(tmp_path):
    place = Place(tmp_path, {"TRIVET_BATCH_WORKERS": "2"})
    yield place
    place.close()


@pytest.fixture
def many(place):
    """Write 40 files of 50 rows each: a shard each, since they are files."""
    (place.folder / "in").mkdir()
    for file in range(40):
        lines = (f'{{"id": {file * 50 + row}, "x": {row}.5}}\n' for row in range(50))
        (place.folder / "in" / f"{file:02}.jsonl").write_text("".join(lines))
    return "in/*.jsonl"


def test_a_job_of_a_model_file_shows_its_results_and_says_where(place):
    (place.folder / "rows.jsonl").write_text('[1, 2]\nno\n"three"\n')
    printed = place.run("echo:", "--input", "rows.jsonl", "--output", "out", status=3)
    (folder,) = place.shown()
    assert re.fullmatch(r"prediction-echo-\d{4}(_\d\d){2}T(\d\d_){3}\d{3}Z", folder.name)
    assert sorted(file.name for file in folder.iterdir()) == [
        "prediction.errors_stats-00000-of-00001",
        "prediction.results-00000-of-00001",
    ]
    source = str(place.folder / "rows.jsonl")
    assert rows((folder / "prediction.results-00000-of-00001").read_bytes()) == [
        {"instance": [1, 2], "prediction": [1, 2], "source": source, "offset": 0},
        {"instance": "three", "prediction": "three", "source": source, "offset": 2},
    ]
    (failed,) = rows((folder / "prediction.errors_stats-00000-of-00001").read_bytes())
    assert (failed["instance"], failed["error"]["code"], failed["offset"]) == ("no", 3, 1)
    assert "3 read = 2 successful + 1 failed" in printed
    assert "PARTIALLY_SUCCEEDED" in printed
    assert str(folder) in printed
    assert f"{source}:1: " in printed
    assert "[1, 2]" in printed
    assert place.hidden() == []


def test_what_is_not_said_well_is_refused_before_any_work(place):
    (place.folder / "rows.jsonl").write_text("1\n")
    for arguments, message in [
        (("echo:", "--input", "rows.bin"), "--input-format"),
        (("--input", "rows.jsonl"), "either MODEL or --endpoint"),
        (("echo:", "--input", "none.jsonl"), "none.jsonl"),
        (("fraud", "--input", "rows.jsonl"), "nor is there a file or folder of that name"),
        (("echo:", "--input", "rows.jsonl", "--parameters", "1"), "JSON object"),
        (("echo:", "--input", "rows.jsonl", "--include", "a", "--exclude", "b"), "exclude each other"),
        (("echo:", "--input", "rows.jsonl", "--engine", "rya"), "did you mean 'ray'"),
    ]:
        assert message in place.run(*arguments, "--output", "out", status=1)
        assert place.shown() == place.hidden() == []


def test_every_part_is_in_the_order_of_its_source_whatever_order_they_were_done_in(place, many):
    job = place.job("echo:", "--input", many, "--output", "out", "--name", "forty")
    assert (job["state"], job["displayName"]) == ("JOB_STATE_SUCCEEDED", "forty")
    assert job["completionStats"] == {"successfulCount": "2000", "failedCount": "0"}
    assert [one["instance"]["id"] for one in rows(place.output())] == list(range(2000))
    assert len(list(place.shown()[0].iterdir())) == 41


def test_the_same_id_twice_is_one_job(place):
    (place.folder / "rows.jsonl").write_text("1\n2\n")
    asked = ("echo:", "--input", "rows.jsonl", "--output", "out", "--id", "nightly")
    first = place.job(*asked)
    again = place.job(*asked)
    assert first == again
    assert first["name"].endswith("/nightly")
    assert len(place.shown()) == 1
    other = ("echo:", "--input", "rows.jsonl", "--output", "elsewhere", "--id", "nightly")
    assert "another job" in place.run(*other, status=1)
    assert place.run("ls").count("nightly") == 1


def test_two_that_ask_for_the_same_job_at_once_both_see_it_end(place, many):
    model = write_model(place.folder / "model", "time.sleep(0.02)")
    asked = (str(model), "--input", many, "--output", "out", "--id", "one", "--json")
    both = [place.start(*asked) for _ in range(2)]
    told = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    jobs = [json.loads(printed) for printed, _ in told]
    assert jobs[0] == jobs[1]
    assert len(rows(place.output())) == 2000
    calls = [line.split() for line in (model / ".begun").read_text().splitlines()]
    assert sum(count == "50" for _, count in calls) == 40


def test_errors_beyond_what_is_tolerated_end_it_and_it_goes_on_when_they_are_gone(place, many):
    model = write_model(place.folder / "model", "assert (HERE / 'good').exists() or instances[0]['id'] < 500")
    asked = (str(model), "--input", many, "--output", "out", "--max-errors", "60", "--id", "j")
    printed = place.run(*asked, "--workers", "1", status=1)
    assert "rows failed, and the job allows 60" in printed
    assert "trivet batch resume j\n" in printed
    assert "trivet batch resume j --data .trivet\n" in place.run("show", "j", "--data", ".trivet")
    assert place.shown() == []
    assert place.hidden()
    done = {result.index: result for result in place.results("j")}
    assert list(done) == list(range(len(done)))
    assert 10 <= len(done) < 20
    assert place.run("show", "j").count("60") >= 1


def test_a_job_whose_rows_all_fail_has_failed_and_shows_them(place, many):
    model = write_model(place.folder / "model", "raise KeyError('x')")
    job = place.job(str(model), "--input", many, "--output", "out", status=1)
    assert job["state"] == "JOB_STATE_FAILED"
    assert job["error"]["code"] == 13
    assert "all 2000 rows failed" in job["error"]["message"]
    assert "KeyError: 'x'" in job["error"]["message"]
    errors = rows(place.output())
    assert [one["offset"] for one in errors[:50]] == list(range(50))
    assert len(errors) == 2000
    assert len(job["partialFailures"]) == 20


def test_a_model_that_prints_does_not_disturb_the_output_of_the_command(place):
    (place.folder / "rows.jsonl").write_text("1\n")
    model = write_model(place.folder / "model", "print('noise', flush=True); os.system('echo noise')")
    assert place.job(str(model), "--input", "rows.jsonl", "--output", "out")["state"].endswith("SUCCEEDED")


@pytest.mark.parametrize("first", ["", "1\n"])
def test_a_model_that_cannot_be_loaded_fails_the_job_and_leaves_nothing(place, first):
    (place.folder / "rows.jsonl").write_text(first)
    (place.folder / "model").mkdir()
    (place.folder / "model" / "predictor.py").write_text("raise RuntimeError('no licence')")
    asked = ("./model", "--input", "rows.jsonl", "--output", "out", "--id", "j")
    job = place.job(*asked, status=1)
    assert "no licence" in job["error"]["message"]
    assert "trivet batch resume" not in place.run(*asked, status=1)
    assert place.shown() == list((place.folder / "out").glob(".*")) == []


def test_a_file_whose_name_is_no_text_is_refused(place):
    (place.folder / os.fsdecode(b"\xff.jsonl")).write_text("1\n")
    job = place.job("echo:", "--input", "*.jsonl", "--output", "out", status=1)
    assert "rename the file" in job["error"]["message"]
    assert place.shown() == []


def test_an_empty_input_gives_empty_results(place):
    (place.folder / "rows.jsonl").write_text("")
    job = place.job("echo:", "--input", "rows.jsonl", "--output", "out")
    assert job["state"] == "JOB_STATE_SUCCEEDED"
    assert place.output() == b""
    assert len(list(place.shown()[0].iterdir())) == 2


@pytest.mark.parametrize(
    ("does", "told"),
    [
        ("instances[0] == 7 and os.kill(os.getpid(), 9)", "SIGKILL, 2 times; was there too little memory"),
        ("import ctypes; instances[0] == 7 and ctypes.string_at(0)", "SIGSEGV, 2 times"),
        ("instances[0] == 7 and os._exit(3)", "ended with status 3, 2 times"),
    ],
)
def test_rows_that_end_their_process_each_time_fail_the_job_and_are_named(place, does, told):
    for file in range(3):
        (place.folder / f"{file}.jsonl").write_text(f"{file + 6}\n")
    model = write_model(place.folder / "model", does)
    job = place.job(str(model), "--input", "?.jsonl", "--output", "out", status=1)
    assert told in job["error"]["message"]
    assert f"{place.folder / '1.jsonl'}, from record 0 on" in job["error"]["message"]
    assert place.shown() == []


def test_a_process_that_ends_once_costs_only_its_shard(place, many):
    dies = (
        "(HERE / 'died').exists() or instances[0] == 1 or ((HERE / 'died').touch(), os.kill(os.getpid(), 9))"
    )
    model = write_model(place.folder / "model", dies)
    job = place.job(str(model), "--input", many, "--output", "out")
    assert job["state"] == "JOB_STATE_SUCCEEDED"
    assert [one["instance"]["id"] for one in rows(place.output())] == list(range(2000))


def ended(pids):
    """Whether processes are gone, or have only their parent's notice left."""
    return lambda: not any(os.path.exists(f"/proc/{pid}/cmdline") and _lives(pid) for pid in pids)


def _lives(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


HANGS = "len(instances) == 50 and [time.sleep(0.01) for _ in iter(lambda: (HERE / 'free').exists(), True)]"


def begin(place, many, *more, **how):
    """Start a job whose model hangs at its first rows; return its process, and its workers, when it does."""
    model = write_model(place.folder / "model", HANGS)
    process = place.start(str(model), "--input", many, "--output", "out", "--id", "slow", *more, **how)
    until(lambda: (model / ".begun").exists() and " 50" in (model / ".begun").read_text())
    return process, workers(process)


def test_ctrl_c_cancels_within_a_second_and_leaves_nothing(place, many):
    process, pids = begin(place, many, start_new_session=True)
    since = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    printed, said = process.communicate(timeout=30)
    assert time.monotonic() - since < 1.5, said
    assert process.returncode == 130, said
    assert "Cancelling" in said
    assert "CANCELLED" in printed
    assert ended(pids)()
    assert place.shown() == place.hidden() == []


def test_ctrl_c_while_the_model_is_loaded_does_not_wait_for_that(place, many):
    (place.folder / "model").mkdir()
    (place.folder / "model" / "predictor.py").write_text(
        "import pathlib, time\npathlib.Path(__file__).with_name('.begun').touch()\ntime.sleep(60)"
    )
    process = place.start("model/", "--input", many, "--output", "out", "--id", "slow")
    until((place.folder / "model" / ".begun").exists)
    pids = workers(process)
    until(lambda: "RUNNING" in place.run("show", "slow"))
    since = time.monotonic()
    process.send_signal(signal.SIGINT)
    printed, said = process.communicate(timeout=30)
    assert time.monotonic() - since < 1.5, said
    assert "CANCELLED" in printed
    assert ended(pids)()
    assert place.shown() == place.hidden() == []


def test_another_terminal_cancels_it_too(place, many):
    process, pids = begin(place, many)
    assert "slow is CANCELLING" in place.run("cancel", "slow")
    since = time.monotonic()
    _, said = process.communicate(timeout=30)
    assert time.monotonic() - since < 1.0, said
    assert process.returncode == 130, said
    until(ended(pids))
    assert place.shown() == place.hidden() == []
    assert "CANCELLED" in place.run("show", "slow")
    assert "slow is deleted" in place.run("rm", "slow")
    assert "slow" not in place.run("ls")


def test_a_second_ctrl_c_ends_at_once_and_leaves_it_to_be_resumed(place, many):
    process, pids = begin(place, many)
    with closing(sqlite3.connect(place.folder / ".trivet" / "catalog.db", isolation_level=None)) as catalog:
        catalog.execute("begin immediate")  # so that the job cannot end as it is told to
        process.send_signal(signal.SIGINT)
        until(ended(pids))
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == -signal.SIGINT
    (place.folder / "model" / "free").touch()
    assert place.job("resume", "slow")["state"] == "JOB_STATE_SUCCEEDED"
    assert [one["instance"]["id"] for one in rows(place.output())] == list(range(2000))
    assert "only a job that failed can be resumed" in place.run("resume", "slow", status=1)


def test_a_job_that_was_left_is_cancelled_by_whoever_says_so(place, many):
    process, pids = begin(place, many)
    assert "gone" not in place.run("show", "slow")
    process.kill()
    process.wait()
    until(ended(pids))
    assert "RUNNING (its process is gone: trivet batch resume slow)" in place.run("show", "slow")
    assert "RUNNING, its process is gone" in place.run("ls")
    assert "slow is CANCELLED" in place.run("cancel", "slow")
    assert place.shown() == place.hidden() == []


def test_jobs_are_listed_shown_and_forgotten(place):
    (place.folder / "rows.jsonl").write_text("1\n")
    for id_ in ("a", "b"):
        place.run("echo:", "--input", "rows.jsonl", "--output", "out", "--id", id_)
    listed = place.run("ls").splitlines()
    assert [line.split()[0] for line in listed] == ["job", "b", "a"]
    assert [one["name"].rpartition("/")[2] for one in json.loads(place.run("ls", "--json"))] == ["b", "a"]
    assert json.loads(place.run("show", "a", "--json"))["state"] == "JOB_STATE_SUCCEEDED"
    place.run("rm", "a")
    assert "NotFound" not in place.run("show", "a", status=1)
    assert len(place.shown()) == 2  # the output stays
    with closing(sqlite3.connect(place.folder / ".trivet" / "catalog.db")) as catalog:
        assert catalog.execute("select count(*) from batch_shards").fetchone() == (1,)
