import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.sinks.jobs import failed, results, write
from trivet.core.errors import FailedPrecondition
from trivet.core.instances import object_column
from trivet.sinks import parquet


def tables(folder):
    return [pq.read_table(path) for path in sorted(folder.glob("prediction.results-*.parquet"))]


def types(table):
    return {field.name: str(field.type) for field in table.schema}


def test_columns_are_typed(tmp_path):
    rows = [
        b'{"id":9007199254740993,"x":1,"text":"a","flag":true,"list":[1],"none":null}',
        b'{"id":2,"x":2.5,"text":null,"flag":false,"list":"x","none":null}',
    ]
    predictions = {"y": np.array([0.5, np.nan], np.float32)}
    (table,) = tables(write("parquet", tmp_path, [[results(rows, predictions, first=3)]], native=True))
    assert types(table) == {
        "id": "int64", "x": "double", "text": "string", "flag": "bool", "list": "string", "none": "string",
        "prediction": "float", "source": "string", "offset": "int64",
    }  # fmt: skip
    assert table.to_pylist() == [
        {"id": 2**53 + 1, "x": 1.0, "text": "a", "flag": True, "list": "[1]", "none": None,
         "prediction": 0.5, "source": "data/a.csv", "offset": 3},
        {"id": 2, "x": 2.5, "text": None, "flag": False, "list": '"x"', "none": None,
         "prediction": None, "source": "data/a.csv", "offset": 4},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("column", "type_", "values"),
    [
        (np.array([1, 2], np.int8), "int64", [1, 2]),
        (np.array([1, 2**64 - 1], np.uint64), "string", ["1", str(2**64 - 1)]),
        (np.array([True, False]), "bool", [True, False]),
        (np.array([0.5, np.inf], np.float16), "float", [0.5, None]),
        (np.array([0.1, 2]), "double", [0.1, 2.0]),
        (np.array([[1, np.nan], [3, 4]]), "list<item: double>", [[1.0, None], [3.0, 4.0]]),
        (np.zeros((2, 2, 1), np.float32), "list<item: list<item: float>>", [[[0.0], [0.0]]] * 2),
        (np.zeros((2, 0)), "list<item: double>", [[], []]),
        (object_column(["yes", None]), "string", ["yes", None]),
        (object_column([1, 2.5]), "double", [1.0, 2.5]),
        (object_column([{"a": 1}, "x"]), "string", ['{"a":1}', '"x"']),
        (object_column([b"x", b"y"]), "string", ['{"b64":"eA=="}', '{"b64":"eQ=="}']),
    ],
)
def test_a_prediction_is_typed_as_the_models(tmp_path, column, type_, values):
    (table,) = tables(write("parquet", tmp_path, [[results([b"1", b"2"], {"y": column})]]))
    assert types(table)["prediction"].replace("element", "item") == type_
    assert table["prediction"].to_pylist() == values


def test_several_outputs_are_a_struct(tmp_path):
    outputs = {"label": object_column(["a"]), "scores": np.array([[0.25, 0.75]])}
    (table,) = tables(write("parquet", tmp_path, [[results([b'{"x":1}'], outputs)]]))
    assert table["prediction"].to_pylist() == [{"label": "a", "scores": [0.25, 0.75]}]


@pytest.mark.parametrize(
    ("values", "type_", "expected"),
    [
        ([b"1", b"2.5"], "double", [1.0, 2.5]),
        ([b"null", b"7"], "int64", [None, 7]),
        ([b"1", b"9007199254740993"], "int64", [1, 2**53 + 1]),
        ([b"0.5", b"9007199254740993"], "string", ["0.5", "9007199254740993"]),
        ([b"1", b'"x"'], "string", ["1", '"x"']),
        ([b'"x\\n"', b"true"], "string", ['"x\\n"', "true"]),
        ([b"1", b"18446744073709551616"], "string", ["1", "18446744073709551616"]),
        ([b"[1]", b"[2]"], "string", ["[1]", "[2]"]),
        ([b"1", b"1e999"], "string", ["1", "1e999"]),
    ],
)
@pytest.mark.parametrize("where", ["batch", "batches", "groups", "shards"])
def test_a_column_holds_whatever_turns_up(tmp_path, monkeypatch, where, values, type_, expected):
    """In one batch or two, in row groups of their own, and in files of their own."""
    if where == "groups":
        monkeypatch.setattr(parquet, "_ROWS", 1)
    rows = [b'{"a":%b}' % value for value in values]
    apart = [results([row]) for row in rows]
    shards = {"batch": [[results(rows)]], "shards": [[one] for one in apart]}.get(where, [apart])
    found = tables(write("parquet", tmp_path, shards))
    assert {types(table)["a"] for table in found} == {type_}
    assert [value for table in found for value in table["a"].to_pylist()] == expected


def test_columns_that_turn_up_late_are_in_all_files(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "_ROWS", 1)
    shards = [
        [results([b'{"a":1}']), results([b'{"b":"x"}', b"[4]"])],
        [failed(b"1")],
        [results([b'{"c":{"d":1}}'], {"y": np.array([0.5])})],
    ]
    first, second, third = tables(write("parquet", tmp_path, shards))
    assert first.schema == second.schema == third.schema
    assert first.column_names == ["a", "b", "instance", "c", "prediction"]
    assert first.to_pylist()[2] == {"a": None, "b": None, "instance": "[4]", "c": None, "prediction": 1.0}
    assert second.num_rows == 0
    assert third["c"].to_pylist() == ['{"d":1}']
    assert pa.concat_tables([first, second, third]).num_rows == 4


def test_outputs_of_several_shards_agree(tmp_path):
    def some(label, scores):
        return [results([b"1"], {"label": object_column([label]), "scores": scores})]

    shards = [
        some(1, np.zeros((1, 2), np.int64)),
        [],
        some("b", np.zeros((1, 2))),
        some(None, np.zeros((1, 0))),
    ]
    found = tables(write("parquet", tmp_path, shards))
    assert {str(table.schema) for table in found} == {str(found[0].schema)}
    assert [value for table in found for value in table["prediction"].to_pylist()] == [
        {"label": "1", "scores": [0.0, 0.0]},
        {"label": '"b"', "scores": [0.0, 0.0]},
        {"label": None, "scores": []},
    ]


def test_one_output_and_several_do_not_mix(tmp_path):
    shard = [results([b"1"]), results([b"1"], {"a": np.array([1]), "b": np.array([1])})]
    with pytest.raises(FailedPrecondition, match="some rows one output and others several"):
        write("parquet", tmp_path, [shard])


def test_without_any_row_there_is_a_column(tmp_path):
    (table,) = tables(write("parquet", tmp_path, [[failed(b"1")]]))
    assert (table.num_rows, table.column_names) == (0, ["prediction"])


def test_many_rows_are_few_row_groups(tmp_path):
    rows = [json.dumps({"a": index}).encode() for index in range(1000)]
    folder = write("parquet", tmp_path, [[results(rows, first=1000 * index) for index in range(140)]])
    (path,) = folder.glob("*.parquet")
    file = pq.ParquetFile(path)
    assert file.metadata.num_rows == 140_000
    assert file.num_row_groups == 3
    assert file.read()["a"].to_pylist() == list(range(1000)) * 140
