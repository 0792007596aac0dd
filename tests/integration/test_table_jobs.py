"""Whole jobs over tables: BigQuery to BigQuery as the managed service does, and with all else in a store."""

import io
import json
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.integration import buckets
from tests.integration.bigquery import emulated
from trivet.core.batch import Counts, InstanceConfig
from trivet.core.names import ModelRef
from trivet.jobs import run
from trivet.jobs.work import Work
from trivet.serving.lifecycle import ModelSpec
from trivet.sinks import registry
from trivet.sinks.base import Outputs
from trivet.sources.base import Inputs

ECHO = ModelSpec(ModelRef.parse("echo"), Path(), "echo")
FIELDS = [
    {"name": "id", "type": "INTEGER", "mode": "REQUIRED"},
    {"name": "text", "type": "STRING"},
    {"name": "day", "type": "DATE"},
    {"name": "tags", "type": "STRING", "mode": "REPEATED"},
]
ROWS = [
    {"id": 2**60, "text": "one", "day": "2018-12-31", "tags": ["a"]},
    {"id": 2, "text": None, "day": None, "tags": []},
]


@pytest.fixture
def service(monkeypatch):
    with emulated(monkeypatch) as emulator:
        emulator.put("p.ds.t", FIELDS, ROWS)
        yield emulator


def done(work):
    """Do a whole job; return `outputInfo` and the counts."""
    scorer = run.load(work)
    found, shards = run.prepare(work, scorer)
    work = run.prepared(work, found)
    results = [run.run_shard(work, shard, scorer, lambda reading: None) for shard in shards]
    info = registry.get_sink(work.sink).finish(work.outputs, results)
    return info, sum((one.counts for one in results), Counts())


def from_bigquery(tmp_path, config):
    outputs = Outputs("bq://p.ds", "prediction-m-2026_11_26T08_00_00_123Z", scratch=str(tmp_path / "s"))
    inputs = Inputs(("bq://p.ds.t",), strict=True)
    return Work("j", "bigquery", "bigquery", inputs, outputs, config, model=ECHO, native=False)


def test_rows_of_bigquery_are_arrays_and_their_table_has_all_columns(service, tmp_path):
    info, counts = done(from_bigquery(tmp_path, InstanceConfig()))
    assert counts == Counts(2, 2, 0)
    table = info["bigqueryOutputTable"]
    assert service.rows["p", "ds", table] == [
        {**ROWS[0], "prediction": '[1152921504606846976,"one","2018-12-31",["a"]]'},
        {**ROWS[1], "prediction": "[2,null,null,[]]"},
    ]
    kinds = [(one["name"], one["type"]) for one in service.tables["p", "ds", table]["schema"]["fields"]]
    assert kinds == [*((one["name"], one["type"]) for one in FIELDS), ("prediction", "STRING")]


def test_what_is_not_sent_is_still_in_the_table(service, tmp_path):
    info, _ = done(from_bigquery(tmp_path, InstanceConfig("object", included=("text",))))
    assert service.rows["p", "ds", info["bigqueryOutputTable"]] == [
        {**ROWS[0], "prediction": '{"text":"one"}'},
        {**ROWS[1], "prediction": '{"text":null}'},
    ]


def test_a_key_stands_for_its_row(service, tmp_path):
    info, _ = done(from_bigquery(tmp_path, InstanceConfig("object", key="id", excluded=("day", "tags"))))
    assert service.rows["p", "ds", info["bigqueryOutputTable"]] == [
        {"key": 2**60, "prediction": '{"text":"one"}'},
        {"key": 2, "prediction": '{"text":null}'},
    ]


@pytest.mark.parametrize("source", ["parquet", "duckdb"])
@pytest.mark.parametrize("sink", ["duckdb", "bigquery"])
def test_input_and_scratch_may_be_in_an_object_store(service, tmp_path, monkeypatch, source, sink):
    rows = [{"n": number, "s": f"text {number}"} for number in range(100)]
    name, content = f"in.{source}", io.BytesIO()
    if source == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), content, row_group_size=30)
    else:
        with duckdb.connect(str(tmp_path / name)) as connection:
            connection.register("given", pa.Table.from_pylist(rows))
            connection.execute("CREATE TABLE t AS FROM given")
        content = io.BytesIO((tmp_path / name).read_bytes())
    to = "bq://p.ds.out" if sink == "bigquery" else f"duckdb:{tmp_path}/out.duckdb#t"
    with buckets.emulated("gs", monkeypatch) as bucket:
        bucket.put(name, content.getvalue())
        uri = f"{bucket.uri}/{name}" if source == "parquet" else f"duckdb:{bucket.uri}/{name}#t"
        scratch = f"{bucket.uri}/scratch"
        inputs = Inputs((uri,), scratch=scratch, shard_rows=40)
        outputs = Outputs(to, "prediction-m-1", scratch=scratch, native=True)
        _, counts = done(Work("j", source, sink, inputs, outputs, model=ECHO))
        left = [one for one in bucket.names() if one.startswith("scratch/") and "sources" not in one]
    assert counts == Counts(100, 100, 0)
    assert left == []
    if sink == "bigquery":
        found = service.rows["p", "ds", "out"]
    else:
        with duckdb.connect(str(tmp_path / "out.duckdb"), read_only=True) as connection:
            found = connection.sql("FROM t").to_arrow_table().to_pylist()
    assert [json.loads(row["prediction"]) for row in found] == rows
    assert [(row["n"], row["source"], row["offset"]) for row in found] == [(n, uri, n) for n in range(100)]
