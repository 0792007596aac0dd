"""Tables of DuckDB as a sink."""

import json

import duckdb
import numpy as np
import pytest

from trivet.core.batch import Counts, RowFailure, ShardResult
from trivet.core.errors import AlreadyExists, FailedPrecondition, InvalidArgument
from trivet.core.instances import Predictions, object_column
from trivet.sinks.base import Failed, Outputs, Results
from trivet.sinks.duckdb import SINK


@pytest.fixture
def outputs(tmp_path):
    def make(table="#t", **options):
        return Outputs(
            f"duckdb:{tmp_path}/out.duckdb{table}",
            "prediction-m-1",
            scratch=str(tmp_path / "scratch"),
            **options,
        )

    return make


def shard(outputs, index, shown, *, failed=(), predictions=None):
    writer = SINK.open(outputs, index)
    column = object_column(predictions) if predictions else np.arange(len(shown)) + index / 2
    texts = [json.dumps(one).encode() for one in shown]
    writer.write(Results("in", range(len(shown)), texts, None, Predictions.of({"y": column})))
    writer.fail(
        [Failed(RowFailure("in", at, 3, "bad"), json.dumps(one).encode()) for at, one in enumerate(failed)]
    )
    counts = Counts(len(shown) + len(failed), len(shown), len(failed))
    return ShardResult(index, counts, (), writer.commit())


def rows(tmp_path, sql):
    with duckdb.connect(str(tmp_path / "out.duckdb"), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def test_a_table_is_made_in_the_order_of_the_shards(outputs, tmp_path):
    to = outputs(native=True)
    SINK.check(to)
    results = [shard(to, index, [{"n": index, "s": "x"}, {"n": index}]) for index in (2, 0, 1)]
    assert SINK.finish(to, results) == {"gcsOutputDirectory": f"duckdb:{tmp_path}/out.duckdb#t"}
    assert rows(tmp_path, "FROM t") == [
        row for n in range(3) for row in ((n, "x", n / 2, "in", 0), (n, None, 1 + n / 2, "in", 1))
    ]
    assert rows(tmp_path, "SHOW TABLES") == [("t",)]
    assert not list((tmp_path / "scratch").iterdir())


def test_errors_are_in_a_table_beside(outputs, tmp_path):
    to = outputs()
    SINK.finish(to, [shard(to, 0, [{"n": 1}], failed=[{"n": "one"}, "no JSON"])])
    found = rows(tmp_path, "SELECT instance, error.code FROM t_errors")
    assert [(json.loads(text), code) for text, code in found] == [
        ({"n": "one"}, 3),
        ("no JSON", 3),
    ]
    assert rows(tmp_path, "SELECT instance->>'n' FROM t_errors") == [("one",), (None,)]
    assert rows(tmp_path, "SELECT error FROM t_errors LIMIT 1") == [({"code": 3, "message": "bad"},)]


def test_several_outputs_are_a_struct_and_other_values_are_json(outputs, tmp_path):
    to = outputs()
    SINK.finish(to, [shard(to, 0, [{"n": 2**70}, {"n": [1]}], predictions=[{"a": 1}, "x"])])
    assert rows(tmp_path, "FROM t") == [(str(2**70), '{"a":1}'), ("[1]", '"x"')]


def test_columns_that_differ_in_case_only_are_kept(outputs, tmp_path):
    to = outputs()
    SINK.finish(to, [shard(to, 0, [{"a": 1, "A": 2}])])
    assert rows(tmp_path, "FROM t") == [(1, 2, 0.0)]


def test_a_table_may_be_in_a_schema_and_has_a_name_of_its_own(outputs, tmp_path):
    to = outputs('#s.my "t"')
    SINK.finish(to, [shard(to, 0, [{"n": 1}])])
    assert rows(tmp_path, 'FROM s."my ""t"""') == [(1, 0.0)]
    to = outputs("")
    SINK.finish(to, [shard(to, 0, [{"n": 1}])])
    assert rows(tmp_path, "FROM predictions") == [(1, 0.0)]


def test_a_table_that_is_there_is_refused_unless_it_is_of_this_job(outputs, tmp_path):
    to = outputs()
    result = shard(to, 0, [{"n": 1}])
    SINK.finish(to, [result])
    SINK.check(to)
    assert SINK.missing(to, [result]) == []
    with pytest.raises(AlreadyExists, match="there is a table t;"):
        SINK.check(Outputs(to.uri, "prediction-m-2", scratch=to.scratch))
    with duckdb.connect(str(tmp_path / "out.duckdb")) as connection:
        connection.execute("CREATE VIEW v AS SELECT 1")
    with pytest.raises(AlreadyExists, match="there is a table v;"):
        SINK.check(outputs("#v"))


def test_what_cannot_be_written_is_refused(outputs, tmp_path):
    with pytest.raises(InvalidArgument, match="is a folder"):
        SINK.check(Outputs(f"duckdb:{tmp_path}#t", "n", scratch=str(tmp_path / "s")))
    with pytest.raises(InvalidArgument, match="not in a folder"):
        SINK.check(outputs(folders=("/nowhere",)))
    with pytest.raises(InvalidArgument, match="of this machine"):
        SINK.check(Outputs("duckdb:gs://b/x.duckdb#t", "n", scratch=str(tmp_path / "s")))
    with pytest.raises(FailedPrecondition, match="scratch"):
        SINK.check(Outputs(f"duckdb:{tmp_path}/x.duckdb#t", "n"))
    (tmp_path / "out.duckdb").write_text("no database " * 1000)
    with pytest.raises(FailedPrecondition, match="DuckDB says"):
        SINK.check(outputs())
