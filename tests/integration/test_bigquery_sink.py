"""BigQuery as a sink: by Google's client, over the wire, into an emulator."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.integration.bigquery import Refused, emulated
from trivet.core.batch import Counts, RowFailure, ShardResult
from trivet.core.errors import AlreadyExists, FailedPrecondition, InvalidArgument
from trivet.core.instances import Predictions, object_column
from trivet.sinks import bigquery_loads
from trivet.sinks.base import Failed, Outputs, Results
from trivet.sinks.bigquery import SINK
from trivet.storage import bigquery

NAME = "prediction-m-2026_11_26T08_00_00_123Z"


@pytest.fixture
def service(monkeypatch):
    monkeypatch.setattr(bigquery, "PATIENCE", 2.0)
    with emulated(monkeypatch) as emulator:
        emulator.put("p.ds.other", [{"name": "x", "type": "STRING"}], [])
        yield emulator


@pytest.fixture
def outputs(tmp_path):
    def make(uri="bq://p.ds", **options):
        return Outputs(uri, NAME, scratch=str(tmp_path / "scratch"), **options)

    return make


def encoded(values):
    return [json.dumps(value).encode() for value in values]


def shard(outputs, index, shown, *, keys=None, failed=(), predictions=None):
    """Write a shard, and return its result."""
    writer = SINK.open(outputs, index)
    count = len(shown if shown is not None else keys or ())
    column = object_column(predictions) if predictions else np.arange(float(count))
    writer.write(
        Results(
            "in",
            range(count),
            None if shown is None else encoded(shown),
            None if keys is None else encoded(keys),
            Predictions.of({"y": column}),
        )
    )
    writer.fail(
        [
            Failed(RowFailure("in", count + at, 3, "bad"), json.dumps(one).encode())
            for at, one in enumerate(failed)
        ]
    )
    counts = Counts(count + len(failed), count, len(failed))
    return ShardResult(index, counts, (), writer.commit())


def finish(outputs, *results):
    info = SINK.finish(outputs, list(results))
    return info["bigqueryOutputTable"]


def types(service, table, project="p", dataset="ds"):
    return {
        field["name"]: field["type"] for field in service.tables[project, dataset, table]["schema"]["fields"]
    }


def test_the_table_has_the_columns_of_the_row_and_the_prediction_as_text(service, outputs):
    to = outputs()
    SINK.check(to)
    result = shard(to, 0, [{"id": 2**60, "x": 1.5}, {"id": 2, "x": None}], predictions=[{"a": 1}, "b"])
    info = SINK.finish(to, [result])
    table = info["bigqueryOutputTable"]
    assert info == {"bigqueryOutputDataset": "bq://p.ds", "bigqueryOutputTable": table}
    assert table[:-3] == "predictions_2026_11_26T08_00_00_123Z_"
    assert table[-3:].isdigit()
    assert service.rows["p", "ds", table] == [
        {"id": 2**60, "x": 1.5, "prediction": '{"a":1}'},
        {"id": 2, "x": None, "prediction": '"b"'},
    ]
    assert types(service, table) == {"id": "INTEGER", "x": "FLOAT", "prediction": "STRING"}
    assert sorted(service.names()) == ["ds.other", f"ds.{table}"]  # no errors, none of them


def test_errors_are_in_a_table_of_their_own(service, outputs):
    to = outputs(native=True)
    table = finish(to, shard(to, 0, [{"id": 1}], failed=[{"id": "one"}, "no, JSON"]))
    errors = table.replace("predictions", "errors")
    assert service.rows["p", "ds", errors] == [
        {"id": "one", "instance": None, "errors": {"code": 3, "message": "bad"}, "source": "in", "offset": 1},
        {"id": None, "instance": "no, JSON", "errors": {"code": 3, "message": "bad"}, "source": "in",
         "offset": 2},
    ]  # fmt: skip
    (row,) = service.rows["p", "ds", table]
    assert row == {"id": 1, "prediction": "0.0", "source": "in", "offset": 0}


def test_a_job_of_which_every_row_failed_has_an_empty_table(service, outputs):
    to = outputs(columns=("a", "b"))
    table = finish(to, shard(to, 0, [], failed=[{"a": 1, "b": 2}]))
    assert service.rows["p", "ds", table] == []
    assert list(types(service, table)) == ["a", "b", "prediction"]


SCHEMA = (
    {"name": "day", "type": "DATE", "mode": "REQUIRED"},
    {"name": "at", "type": "TIMESTAMP", "mode": "NULLABLE"},
    {"name": "price", "type": "NUMERIC"},
    {"name": "blob", "type": "BYTES"},
    {"name": "tags", "type": "STRING", "mode": "REPEATED"},
    {
        "name": "inner",
        "type": "RECORD",
        "mode": "REPEATED",
        "fields": [{"name": "raw", "type": "BYTES", "mode": "REPEATED"}, {"name": "n", "type": "INTEGER"}],
    },
    {"name": "any", "type": "JSON"},
)


def test_columns_of_a_table_keep_their_types(service, outputs):
    to = outputs(schema=SCHEMA, columns=tuple(field["name"] for field in SCHEMA))
    row = {
        "day": "2018-12-31",
        "at": "2019-01-01 23:59:59.999999+00:00",
        "price": 1.5,
        "blob": {"b64": "aGk="},
        "tags": ["a"],
        "inner": [{"raw": [{"b64": "aGk="}], "n": 1}],
        "any": {"k": [1]},
    }
    nothing = dict.fromkeys(row) | {"day": "2018-12-31", "tags": [], "inner": []}
    table = finish(to, shard(to, 0, [row, nothing], failed=[row]))
    assert types(service, table) == {field["name"]: field["type"] for field in SCHEMA} | {
        "prediction": "STRING"
    }
    first, second = service.rows["p", "ds", table]
    assert first["blob"] == "aGk="
    assert first["inner"] == [{"raw": ["aGk="], "n": 1}]
    assert first["any"] == {"k": [1]}
    assert second["at"] is None
    errors = service.rows["p", "ds", table.replace("predictions", "errors")]
    assert errors[0]["blob"] == "aGk="


def test_keys_stand_for_the_instances(service, outputs):
    to = outputs(schema=SCHEMA[:3], columns=("day", "at", "price"))
    table = finish(to, shard(to, 0, None, keys=["a", "b"]))
    assert service.rows["p", "ds", table] == [
        {"key": "a", "prediction": "0.0"},
        {"key": "b", "prediction": "1.0"},
    ]
    assert list(types(service, table)) == ["key", "prediction"]


def test_a_column_takes_what_all_shards_have_in_it(service, outputs):
    to = outputs()
    rows = [
        [{"a": 1, "b": 1, "c": None, "d": [1], "e": 2**70}],
        [{"a": 1.5, "b": "x", "c": None, "d": {"k": 1}, "e": 1, "late": True}],
    ]
    table = finish(to, *(shard(to, index, one) for index, one in enumerate(rows)))
    assert types(service, table) == {
        "a": "FLOAT", "b": "JSON", "c": "STRING", "d": "JSON", "e": "JSON", "late": "BOOLEAN",
        "prediction": "STRING",
    }  # fmt: skip
    first, second = service.rows["p", "ds", table]
    assert (first["a"], first["b"], first["d"], first["e"]) == (1.0, 1, [1], str(2**70))
    assert (second["a"], second["b"], second["d"], second["late"]) == (1.5, "x", {"k": 1}, True)


def test_names_that_bigquery_does_not_take_are_changed(service, outputs):
    to = outputs()
    row = {
        "sepal length (cm)": 1,
        "größe": 2,
        "A": 3,
        "a": 4,
        "Prediction": 5,
        "1st": 6,
        "_TABLE_x": 7,
        "": 8,
    }
    table = finish(to, shard(to, 0, [row]))
    assert service.rows["p", "ds", table] == [
        {"sepal_length__cm_": 1, "größe": 2, "A": 3, "a_1": 4, "instance_Prediction": 5, "c1st": 6,
         "c_TABLE_x": 7, "_": 8, "prediction": "0.0"},
    ]  # fmt: skip


def test_instances_that_are_no_objects_are_a_column(service, outputs):
    to = outputs()
    table = finish(to, shard(to, 0, [[1, 2], "text", {"x": 1}]))
    assert [row.get("instance") for row in service.rows["p", "ds", table]] == [[1, 2], "text", None]
    to = outputs("bq://p.ds.nothing")
    assert finish(to, shard(to, 0, None, keys=None)) == "nothing"
    assert list(types(service, "nothing")) == ["prediction"]


def test_a_table_of_results_may_be_called_errors(service, outputs):
    to = outputs("bq://p.ds.errors_of_today")
    assert finish(to, shard(to, 0, [{"x": 1}], failed=[{"x": 2}])) == "errors_of_today"
    assert service.rows["p", "ds", "errors_of_today"] == [{"x": 1, "prediction": "0.0"}]
    (error,) = service.rows["p", "ds", "errors_errors_of_today"]
    assert error["x"] == 2


def test_a_job_that_another_machine_finishes_again_has_one_table(service, outputs, tmp_path):
    to = outputs()
    table = finish(to, shard(to, 0, [{"x": 1}]))
    there = replace(to, scratch=str(tmp_path / "elsewhere" / "scratch"))
    result = shard(there, 0, [{"x": 1}])
    assert SINK.missing(there, [result]) == []
    assert finish(there, result) == table
    assert service.rows["p", "ds", table] == [{"x": 1, "prediction": "0.0"}]
    assert sorted(service.names()) == ["ds.other", f"ds.{table}"]


def test_a_project_gets_a_dataset_for_each_job(service, outputs):
    to = outputs("bq://q")
    SINK.check(to)
    info = SINK.finish(to, [shard(to, 0, [{"x": 1}], failed=[{"x": 2}])])
    dataset = NAME.replace("-", "_")
    assert info == {"bigqueryOutputDataset": f"bq://q.{dataset}", "bigqueryOutputTable": "predictions"}
    assert f"{dataset}.predictions" in service.names()
    assert f"{dataset}.errors" in service.names()


def test_what_cannot_be_written_is_refused_before_any_work(service, outputs):
    with pytest.raises(InvalidArgument, match=r"bq://p.none: .*expected a dataset that is there"):
        SINK.check(outputs("bq://p.none"))
    with pytest.raises(AlreadyExists, match=r"bq://p.ds.other"):
        SINK.check(outputs("bq://p.ds.other"))
    service.put("p.ds.errors_mine", [{"name": "x", "type": "STRING"}], [])
    with pytest.raises(AlreadyExists, match=r"there is a table errors_mine"):
        SINK.check(outputs("bq://p.ds.mine"))
    with pytest.raises(InvalidArgument, match="expected bq://"):
        SINK.check(outputs("bq://p/ds"))
    with pytest.raises(FailedPrecondition, match="scratch"):
        SINK.check(Outputs("bq://p.ds", NAME))


@pytest.mark.parametrize("small", [True, False])
def test_many_parts_are_loaded_by_few_jobs_in_order(service, outputs, monkeypatch, small):
    """By one request each, or, where they are larger, piece by piece."""
    monkeypatch.setattr(bigquery_loads, "_SMALL", 1 << 20 if small else 0)
    monkeypatch.setattr("google.cloud.bigquery.client._DEFAULT_CHUNKSIZE", 1 << 18)
    monkeypatch.setattr(bigquery_loads, "LOAD_BYTES", 400_000)
    to = outputs()
    wide = "x" * 1000
    results = [shard(to, index, [{"n": index, "s": wide}] * 150) for index in range(6)]
    service.polls = 1
    table = finish(to, *results)
    assert [row["n"] for row in service.rows["p", "ds", table]] == [n for n in range(6) for _ in range(150)]
    loads = [job for job in service.jobs.values() if "load" in job["configuration"]]
    assert len(loads) == 3
    assert bool(service.uploads) is not small


@pytest.mark.parametrize("kind", ["load", "copy"])
def test_a_job_whose_answer_was_lost_is_not_done_twice(service, outputs, kind):
    to = outputs()
    result = shard(to, 0, [{"x": 1}])
    lost = []

    def lose(request):
        posted = request.startswith("POST") and request.endswith("/jobs")
        if posted and request.startswith("POST /upload") == (kind == "load") and not lost:
            lost.append(request)
            return False
        return True

    service.after = lose
    table = finish(to, result)
    assert lost
    assert service.rows["p", "ds", table] == [{"x": 1, "prediction": "0.0"}]
    assert len(service.jobs) == 2


def test_a_job_that_fails_for_a_moment_is_done_again(service, outputs):
    to = outputs()
    service.failing = ["backendError"]
    table = finish(to, shard(to, 0, [{"x": 1}]))
    assert service.rows["p", "ds", table] == [{"x": 1, "prediction": "0.0"}]


def test_a_job_that_nothing_is_heard_of_is_not_begun_again(service, outputs):
    to = outputs()
    result = shard(to, 0, [{"x": 1}])
    service.polls = 3

    def refuse(request):
        if request.startswith("GET") and "/jobs/" in request and service.jobs:
            raise Refused(403, "accessDenied", "not now")

    service.before = refuse
    with pytest.raises(FailedPrecondition, match="not now"):
        SINK.finish(to, [result])
    service.before, service.polls = lambda request: None, 0
    table = finish(to, result)
    assert service.rows["p", "ds", table] == [{"x": 1, "prediction": "0.0"}]
    assert len(service.jobs) == 2


def test_a_job_that_is_refused_shows_nothing_and_can_be_finished_later(service, outputs):
    to = outputs()
    result = shard(to, 0, [{"x": 1}])
    service.failing = ["accessDenied"]
    with pytest.raises(
        FailedPrecondition, match=r"bq://p.ds: BigQuery, or its client, says: .*something failed"
    ):
        SINK.finish(to, [result])
    assert not any(name.startswith("ds.pred") for name in service.names())
    assert SINK.missing(to, [result]) == []
    table = finish(to, result)
    assert service.rows["p", "ds", table] == [{"x": 1, "prediction": "0.0"}]


def test_what_was_loaded_into_a_table_that_is_gone_is_loaded_again(service, outputs):
    to = outputs()
    result = shard(to, 0, [{"x": 1}])

    def refuse(request):
        if request == "POST /bigquery/v2/projects/p/jobs":  # the copy
            raise Refused(403, "accessDenied", "not today")

    service.before = refuse
    with pytest.raises(FailedPrecondition, match="not today"):
        SINK.finish(to, [result])
    SINK.discard(to)
    assert service.names() == ["ds.other"]
    assert SINK.missing(to, [result]) == [0]
    service.before = lambda request: None
    result = shard(to, 0, [{"x": 1}])
    table = finish(to, result)
    assert service.rows["p", "ds", table] == [{"x": 1, "prediction": "0.0"}]
