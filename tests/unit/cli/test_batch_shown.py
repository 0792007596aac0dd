"""What is printed of a job, and with what it would go on."""

from dataclasses import replace

import pytest

from trivet.cli.batch_jobs import Told, again
from trivet.cli.batch_shown import ended
from trivet.core.resources import Location

NAME = Location("local", "us-central1").child("batchPredictionJobs", "j")
FAILED = Told(NAME, "j", "m", "FAILED", "", successful=3, failed=9, failures=("f:1: no",) * 9, error="enough")


@pytest.fixture
def printed(capsys):
    def show(told):
        ended(told, as_id="j", resume="trivet batch resume j")
        return capsys.readouterr().out

    return show


def test_what_can_go_on_says_how(printed):
    assert "trivet batch resume j" in printed(FAILED)
    assert "resume" not in printed(replace(FAILED, output="/out"))
    assert "resume" not in printed(replace(FAILED, state="SUCCEEDED"))


def test_what_was_refused_before_any_row_was_read_has_nothing_to_go_on_with(printed):
    assert "resume" not in printed(replace(FAILED, successful=0, failed=0, failures=()))


def test_a_job_whose_process_is_gone_says_so(printed):
    told = printed(replace(FAILED, state="RUNNING", gone=True, started="2026-01-31T00:00:00+00:00"))
    assert "j, RUNNING (its process is gone: trivet batch resume j)\n" in told


def test_rows_that_are_not_shown_are_in_the_output_where_there_is_one(printed):
    assert "failed (and 4 more):" in printed(FAILED)
    assert "failed (and 4 more, in the output):" in printed(replace(FAILED, output="/out"))


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ({"server": None, "data": None, "project": None, "location": None}, ""),
        ({"data": "my data", "job": "j"}, " --data 'my data'"),
        (
            {"server": "http://h:1", "project": "p", "location": "l", "allow_pickle": True},
            " --server http://h:1 --project p --location l --allow-pickle",
        ),
        ({"allow_pickle": False}, ""),
    ],
)
def test_it_goes_on_where_it_was_with_what_was_allowed(given, written):
    assert again(given) == written
