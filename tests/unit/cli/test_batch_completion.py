"""What the Tab key offers for `trivet batch`, where no server runs."""

from datetime import UTC, datetime

import pytest
from click.shell_completion import ShellComplete

from trivet.catalog import Catalog
from trivet.cli import main
from trivet.core.batch import BatchPredictionJob
from trivet.core.resources import Location, ModelVersion

HOME = Location("local", "us-central1")


@pytest.fixture
def offered(tmp_path, monkeypatch):
    """Return a function from a command line to what is offered for its last word."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRIVET_SERVER_PORT", "9")  # where nobody is

    def complete(line):
        *words, last = line.split(" ")
        found = ShellComplete(main, {}, "trivet", "_TRIVET_COMPLETE").get_completions(words, last)
        return [one.value for one in found]

    return complete


@pytest.fixture
def kept(tmp_path):
    (tmp_path / ".trivet").mkdir()
    catalog = Catalog(f"sqlite:///{tmp_path / '.trivet' / 'catalog.db'}")
    now = datetime.now(UTC)
    with catalog.transaction() as tx:
        for id_ in ("nightly-1", "nightly-2", "other"):
            tx.add_batch_job(BatchPredictionJob(HOME.child("batchPredictionJobs", id_), id_, now, now))
        for aliases in (("default",), ("champion",)):
            name = HOME.child("models", "fraud")
            tx.add_version(ModelVersion(name, "", "fraud", now, now, now, aliases=aliases))
    catalog.close()


def test_commands_and_models_are_offered_first(offered, kept):
    assert offered("batch ") == ["fraud", "cancel", "ls", "resume", "rm", "run", "show"]
    assert offered("batch r") == ["resume", "rm", "run"]
    assert offered("batch fr") == ["fraud"]
    assert offered("batch fraud@") == ["fraud@1", "fraud@2", "fraud@champion", "fraud@default"]


def test_options_are_those_of_run(offered, kept):
    assert offered("batch fraud --in") == ["--input", "--input-format", "--instance-type", "--include"]
    assert offered("batch --input x fr") == ["fraud"]
    assert offered("batch fraud --instance-type ") == ["object", "array"]


@pytest.mark.parametrize("command", ["show", "cancel", "resume", "rm"])
def test_jobs_are_offered(offered, kept, command):
    assert offered(f"batch {command} n") == ["nightly-1", "nightly-2"]
    assert offered(f"batch {command} ") == ["nightly-1", "nightly-2", "other"]


def test_nothing_is_offered_and_nothing_made_where_there_is_nothing(offered, tmp_path):
    assert offered("batch show ") == []
    assert offered("batch fr") == []
    assert list(tmp_path.iterdir()) == []
