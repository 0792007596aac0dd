"""Batch prediction jobs through an application: its rows a request, its crashes, and its end."""

import json
import os
import signal

import pytest

from tests.integration.batch import Place, rows, workers
from tests.integration.test_batch_cli import ended
from tests.integration.test_container_life import MOODY
from tests.integration.test_processes import until


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def place(tmp_path, cache):
    engine = {"TRIVET_CONTAINERS_ENGINE": "process", "TRIVET_CONTAINERS_CACHE": cache}
    place = Place(tmp_path, {**engine, "TRIVET_BATCH_WORKERS": "1"})
    yield place
    place.close()


def write(place, *instances):
    (place.folder / "rows.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in instances))
    return "--input", "rows.jsonl", "--output", "out"


def shows(place):
    """Copy the application, with a variable that makes it answer with what it was asked."""
    folder = place.folder / "shows"
    folder.mkdir()
    (folder / "app.py").write_text((MOODY / "app.py").read_text())
    (folder / "Procfile").write_text("web: env SHOW=requests python app.py\n")
    return str(folder)


@pytest.mark.parametrize(("asked", "most"), [((), 64), (("--batch-size", "10"), 10)])
def test_requests_have_as_many_instances_as_the_job_says(place, asked, most):
    job = place.job(shows(place), *write(place, *range(150)), *asked)
    assert job["completionStats"]["successfulCount"] == "150"
    answers = [one["prediction"]["rows"] for one in rows(place.output())]
    whole = 150 // most
    assert answers == [most] * (whole * most) + [150 % most] * (150 % most)


def test_parameters_are_passed_on(place):
    place.job(shows(place), *write(place, 1), "--parameters", '{"threshold": 0.5}')
    assert rows(place.output())[0]["prediction"]["parameters"] == {"threshold": 0.5}


def test_bad_rows_fail_alone_with_what_the_container_said(place):
    bad = {"do": ["status", 422]}
    job = place.job(str(MOODY), *write(place, 1, bad, 3, {"do": ["text", "oops"]}), status=3)
    assert job["completionStats"] == {"successfulCount": "2", "failedCount": "2"}
    results = rows(place.output())
    assert [one["prediction"] for one in results[:2]] == [1, 3]
    told = json.dumps(results[2:])
    assert "the container answered 422" in told
    assert "the container answered 'oops'" in told


def test_a_row_that_crashes_the_application_fails_alone(place):
    job = place.job(str(MOODY), *write(place, 1, {"do": ["crash", 7]}, *range(30)), status=3)
    assert job["completionStats"] == {"successfulCount": "31", "failedCount": "1"}
    assert "the container ended with 7" in json.dumps(rows(place.output())[-1])


def test_a_row_that_hangs_fails_alone_and_the_log_says_what_takes_so_long(place):
    place.variables["TRIVET_CONTAINERS_TIMEOUT"] = "1"
    process = place.start(str(MOODY), *write(place, *range(40), {"do": ["sleep", 60]}, *range(40)), "--json")
    printed, said = process.communicate(timeout=60)
    assert json.loads(printed)["completionStats"] == {"successfulCount": "80", "failedCount": "1"}
    assert "no answer within 1 s" in json.dumps(rows(place.output())[-1])
    assert "no answer within 1 s to 64 rows; asked again 8 at a time" in said
    assert said.count("no answer within 1 s") == 3


def test_an_application_that_does_not_start_fails_the_job_with_its_last_lines(place):
    folder = place.folder / "broken"
    folder.mkdir()
    (folder / "Procfile").write_text("web: python app.py\n")
    (folder / "app.py").write_text("raise SystemExit('there is no model')\n")
    told = place.run(str(folder), *write(place, 1), status=1)
    assert "the container ended with 1 before it was ready" in told
    assert "there is no model" in told


def test_the_application_ends_with_its_worker(place):
    process = place.start(str(MOODY), *write(place, {"do": ["sleep", 60]}))
    until(lambda: any("app.py" in command(pid) for pid in workers(process)))
    pids = workers(process)
    for pid in pids:
        if "trivet.engines.worker" in command(pid):
            os.kill(pid, signal.SIGKILL)
    process.kill()
    process.wait()
    until(ended(pids))


def command(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode()
    except OSError:
        return ""
