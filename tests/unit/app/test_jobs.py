"""What becomes of the files of a job, from one attempt to the next, and when it is deleted."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.jobs.test_crashes import Crash, InProcess, Steps
from trivet.app.jobs import Attempt, jobs_of, open_place
from trivet.core.resources import Location
from trivet.settings import Settings

HOME = Location("p", "l")
ERRORS = "prediction.errors_stats-00000-of-00001"


class CrashesAfter(InProcess):
    """Does so many shards, and is then gone."""

    def __init__(self, most):
        super().__init__(Steps())
        self.most = most

    def run(self, work, parts):
        for event in super().run(work, parts):
            if event is None and len(self.begun) > self.most:
                raise Crash
            yield event


class AsEcho(CrashesAfter):
    """Runs no container, and notes which it would have run."""

    def prepare(self, work):
        self.container = work.model.container
        return super().prepare(as_echo(work))

    def run(self, work, parts):
        return super().run(as_echo(work), parts)


def as_echo(work):
    return replace(work, model=replace(work.model, framework="echo", path=Path(), container=None))


@pytest.fixture
def place(tmp_path):
    (tmp_path / "data").mkdir()
    place = open_place(Settings(), tmp_path / "data")
    yield place
    place.catalog.close()


@pytest.fixture
def asked(tmp_path):
    for name in "abc":
        (tmp_path / f"{name}.jsonl").write_text("1\n2\n")
    (tmp_path / "echo.bin").write_text("one")
    return {
        "displayName": "j",
        "unmanagedContainerModel": {"artifactUri": str(tmp_path / "echo.bin")},
        "inputConfig": {"instancesFormat": "jsonl"},
        "outputConfig": {"predictionsFormat": "jsonl"},
        "trivet": {
            "native": True,
            "framework": "echo",
            "source": {"uris": [str(tmp_path / "*.jsonl")]},
            "destination": {"uri": str(tmp_path / "out")},
        },
    }


def run(place, name, most=99):
    """Run a job; returns it, and which shards were done."""
    engine = CrashesAfter(most)
    return Attempt(place, name, opens=lambda asked: engine).run(), engine.begun


def begun(place, asked):
    """Return the name of a job one of whose shards is done."""
    job = jobs_of(place).create(HOME, asked, job_id="j")
    with pytest.raises(Crash):
        run(place, job.name, most=1)
    return job.name


def delete(place, name):
    jobs = jobs_of(place)
    jobs.operations.run(jobs.delete(name, api="v1").name)


def test_a_job_goes_on_with_the_model_that_it_was_begun_with(place, asked):
    job, done = run(place, begun(place, asked))
    assert (job.state, done) == ("SUCCEEDED", [1, 2])
    assert list(place.data.glob("batch/*")) == []


def test_a_job_does_not_go_on_with_another_model(place, asked, tmp_path):
    name = begun(place, asked)
    (tmp_path / "echo.bin").write_text("another")
    job, done = run(place, name)
    assert (job.state, done) == ("FAILED", [])
    assert "echo.bin: has changed since the job was begun" in job.failure.message
    (tmp_path / "echo.bin").unlink()
    jobs_of(place).resume(name)
    assert run(place, name)[0].state == "FAILED"
    delete(place, name)
    assert [*place.data.glob("batch/*"), *(tmp_path / "out").iterdir()] == []


def test_a_job_that_could_not_begin_may_have_another_model(place, asked, tmp_path):
    (tmp_path / "echo.bin").unlink()
    name = jobs_of(place).create(HOME, asked, job_id="j").name
    assert run(place, name)[0].state == "FAILED"
    assert list(place.data.glob("batch/*")) == []
    (tmp_path / "echo.bin").write_text("one")
    jobs_of(place).resume(name)
    assert run(place, name)[0].state == "SUCCEEDED"


def test_a_job_takes_nothing_that_an_earlier_one_of_its_name_has_left(place, asked):
    name = jobs_of(place).create(HOME, asked, job_id="j").name
    left = place.scratch(name) / "results" / ERRORS  # as of a machine that was away
    left.parent.mkdir(parents=True)
    left.write_text("")
    engine = CrashesAfter(0)
    with pytest.raises(Crash):
        Attempt(place, name, opens=lambda asked: engine).run()
    assert not left.exists()


@pytest.mark.parametrize("kept", [True, False])
def test_what_a_deleted_job_shows_is_its_users(place, asked, tmp_path, kept):
    job, _ = run(place, jobs_of(place).create(HOME, asked, job_id="j").name)
    (folder,) = (tmp_path / "out").iterdir()
    if not kept:
        (folder / ERRORS).unlink()  # it was empty
    delete(place, job.name)
    assert len(list(folder.glob("prediction.results-*"))) == 3


def test_a_job_runs_the_container_of_a_folder_that_stays_as_it_was(place, asked, tmp_path):
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM python:3.13-slim\n")
    asked["unmanagedContainerModel"] |= {"containerSpec": {"imageUri": str(folder), "predictRoute": "/p"}}
    asked["trivet"] = {name: value for name, value in asked["trivet"].items() if name != "framework"}
    name = jobs_of(place).create(HOME, asked, job_id="j").name
    engine = AsEcho(1)
    with pytest.raises(Crash):
        Attempt(place, name, opens=lambda asked: engine).run()
    container = engine.container
    assert (container.folder, container.image, container.predict_route) == (folder, "", "/p")
    assert container.artifact_uri == "gs://trivet-models/echo.bin"
    (folder / "Dockerfile").write_text("FROM python:3.14-slim\n")
    job, _ = run(place, name)
    assert job.state == "FAILED"
    assert "Dockerfile: has changed since the job was begun" in job.failure.message


def test_a_job_says_what_its_container_lacks(place, asked, tmp_path):
    asked["unmanagedContainerModel"] = {"containerSpec": {"imageUri": str(tmp_path / "app")}}
    del asked["trivet"]["framework"]
    job, _ = run(place, jobs_of(place).create(HOME, asked, job_id="j").name)
    assert (job.state, "there is no such file or folder" in job.failure.message) == ("FAILED", True)
