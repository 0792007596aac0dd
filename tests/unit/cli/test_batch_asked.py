"""From options to documents."""

from pathlib import Path

import pytest

from trivet.cli.batch_asked import absolute, document, format_of, predicts
from trivet.core.errors import InvalidArgument, NotFound
from trivet.core.resources import Location


class Jobs:
    """A catalog with one model."""

    home = Location("p", "l")

    def model(self, text):
        if text.partition("@")[0] != "fraud":
            raise NotFound(f"there is no model {text}")
        return f"{self.home}/models/fraud@2"


@pytest.fixture(autouse=True)
def there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "csvs").mkdir()
    (tmp_path / "csvs" / "_SUCCESS").touch()
    (tmp_path / "csvs" / "a.csv.gz").touch()
    (tmp_path / "fraud").mkdir()
    (tmp_path / "plain").touch()
    (tmp_path / "odd:name.csv").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("place", "format"),
    [
        ("rows.jsonl", "jsonl"),
        ("rows.ndjson.zst", "jsonl"),
        ("data/*.csv", "csv"),
        ("s3://b/x.parquet", "parquet"),
        ("gs://b/*.tfrecord", "tf-record"),
        ("x.tfrecord.gz", "tf-record-gzip"),
        ("files.txt", "file-list"),
        ("bq://p.d.t", "bigquery"),
        ("duckdb:x.db#t", "duckdb"),
        ("x.duckdb", "duckdb"),
        ("sql:select 1", "duckdb"),
        ("csvs", "csv"),
        ("csvs/*", "csv"),
    ],
)
def test_the_format_is_that_of_the_name(place, format):
    (Path("csvs") / "_SUCCESS").unlink()
    assert format_of(place) == format


@pytest.mark.parametrize("place", ["rows.bin", "rows", "fraud", "gs://b/folder/", "plain", "rows.gz"])
def test_a_name_that_tells_nothing_is_not_guessed_about(place):
    with pytest.raises(InvalidArgument, match="--input-format"):
        format_of(place)


def test_local_paths_are_made_absolute_and_others_are_left(there):
    assert absolute("in/*.csv") == str(there / "in" / "*.csv")
    assert absolute("/x") == "/x"
    assert absolute("duckdb:db#t") == f"duckdb:{there}/db#t"
    assert absolute("odd:name.csv") == str(there / "odd:name.csv")
    for uri in ("gs://b/x", "bq://p.d", "file:///x", "sql:select 1"):
        assert absolute(uri) == uri


def test_what_predicts_is_a_model_a_path_or_an_endpoint(there):
    model = {"model": "projects/p/locations/l/models/fraud@2"}
    assert predicts(Jobs(), "fraud", None) == model  # though there is a folder of that name, too
    assert predicts(Jobs(), "fraud@champion", None) == model
    folder = {"unmanagedContainerModel": {"artifactUri": str(there / "fraud")}, "framework": ""}
    assert predicts(Jobs(), "./fraud", None) == folder
    assert predicts(Jobs(), "csvs", None)["unmanagedContainerModel"]["artifactUri"] == str(there / "csvs")
    echo = {"unmanagedContainerModel": {"artifactUri": ""}, "framework": "echo"}
    assert predicts(Jobs(), "echo:", None) == echo
    assert predicts(Jobs(), "onnx:gs://b/m", None) == {
        "unmanagedContainerModel": {"artifactUri": "gs://b/m"}, "framework": "onnx",
    }  # fmt: skip
    assert predicts(Jobs(), "", "e") == {"endpoint": "projects/p/locations/l/endpoints/e"}
    assert predicts(Jobs(), "", "https://x/e") == {"endpoint": "https://x/e"}
    with pytest.raises(NotFound, match=r"there is no model fraudd; nor is there a file or folder"):
        predicts(Jobs(), "fraudd", None)


def test_every_option_is_in_the_document(there):
    asked = {
        "inputs": ("a.csv", "gs://b/c"), "output": "out", "input_format": None, "output_format": None,
        "sql": None, "instance_type": "object", "key": "id", "include": ("a, b", "c"), "exclude": (),
        "parameters": '{"output": "detailed"}', "batch_size": 8, "workers": 3, "max_errors": 5,
        "max_error_share": None, "engine": "ray", "endpoint": None, "name": None, "vertex": False,
    }  # fmt: skip
    made = document(Jobs(), "fraud", asked)
    assert made == {
        "displayName": "fraud",
        "model": "projects/p/locations/l/models/fraud@2",
        "inputConfig": {"instancesFormat": "csv"},
        "outputConfig": {"predictionsFormat": "jsonl"},
        "instanceConfig": {
            "instanceType": "object", "keyField": "id", "includedFields": ["a", "b", "c"],
            "excludedFields": [],
        },
        "modelParameters": {"output": "detailed"},
        "manualBatchTuningParameters": {"batchSize": 8},
        "trivet": {
            "native": True,
            "source": {"uris": [str(there / "a.csv"), "gs://b/c"], "options": {}},
            "destination": {"uri": str(there / "out")},
            "maxErrors": 5, "engine": "ray", "workers": 3,
        },
    }  # fmt: skip
    more = {**asked, "output": "bq://p.d", "vertex": True, "max_error_share": 0.0, "sql": "select 1"}
    made = document(Jobs(), "fraud", more)
    assert made["outputConfig"] == {"predictionsFormat": "bigquery"}
    assert made["trivet"]["native"] is False
    assert made["trivet"]["maxErrorShare"] == 0.0
    assert made["trivet"]["source"]["options"] == {"sql": "select 1"}
    for parameters in ("[1]", "{"):
        with pytest.raises(InvalidArgument, match="--parameters"):
            document(Jobs(), "fraud", {**asked, "parameters": parameters})
