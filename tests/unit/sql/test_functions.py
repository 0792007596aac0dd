"""What the functions of DuckDB do with rows: good ones, bad ones, and models of every kind."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import numpy as np
import pytest

from tests.unit.sql.scopes import place
from trivet.core.errors import Cancelled, Internal, InvalidArgument
from trivet.serving.isolated import Crashed
from trivet.sql.types import BOOL, FLOAT64, INT64, JSON, STRING, Field, array

CODE = """
import os, signal, threading

class Predictor:
    def predict(self, instances):
        for one in instances:
            if one.get("do") == "raise":
                raise ValueError(f"row {one['id']} is bad")
            if one.get("do") == "blame":
                from trivet import InvalidArgument
                raise InvalidArgument(f"row {one['id']} is wrong")
            if one.get("do") == "die":
                os.kill(os.getpid(), signal.SIGABRT)
            if one.get("do") == "hang":
                threading.Event().wait(60)
        return [answer(one) for one in instances]

def answer(one):
    return one
"""


def predictor(folder: Path, code=CODE, signature="") -> Path:
    folder.mkdir()
    (folder / "predictor.py").write_text(code)
    if signature:
        (folder / "signature.json").write_text(signature)
    return folder


@pytest.fixture
def here():
    with place(isolate="never") as made:
        yield made


class TestAnyJson:
    """Models that take any JSON get the whole row."""

    def test_a_row_is_an_object_of_its_columns(self, here, tmp_path):
        made = here.create("echo", predictor(tmp_path / "m"), "PYTHON")
        assert (made.inputs, made.outputs) == ((), (Field("prediction", JSON),))
        rows = here.run(
            "SELECT id, prediction FROM ML.PREDICT(MODEL ds.echo, (SELECT 1 AS id, 1.0 AS x, "
            "CAST(NULL AS INT64) AS n, 't' AS s, b'x' AS b, [1, 2] AS a, STRUCT(1 AS p, 'q' AS q) AS st, "
            "JSON '{\"k\": [true]}' AS j, "
            "DATE '2020-01-02' AS d, TIMESTAMP '2020-01-02 03:04:05+00' AS ts, "
            "CAST('NaN' AS FLOAT64) AS nan))"
        )
        ((id_, text),) = rows
        assert id_ == 1
        assert json.loads(text) == {
            "id": 1, "x": 1.0, "n": None, "s": "t", "b": {"b64": "eA=="}, "a": [1, 2],
            "st": {"p": 1, "q": "q"}, "j": {"k": [True]}, "d": "2020-01-02",
            "ts": "2020-01-02 03:04:05+00:00", "nan": None,
        }  # fmt: skip

    def test_declared_columns_are_all_it_gets(self, here, tmp_path):
        here.create(
            "own", predictor(tmp_path / "m"), "PYTHON",
            inputs=(Field("id", INT64), Field("J", JSON), Field("l", array(STRING))),
            outputs=(Field("id", INT64), Field("L", array(STRING)), Field("J", JSON), Field("nothing", BOOL)),
        )  # fmt: skip
        rows = "SELECT 5 AS id, 'x' AS other, [''] AS L, STRUCT(1 AS a) AS j"
        text = f"SELECT * FROM ML.PREDICT(MODEL ds.own, ({rows}))"
        # INPUT(J, l) and OUTPUT(L, J) name what the model gets, and gives
        assert here.names(text) == {
            "id": "BIGINT", "L": "VARCHAR[]", "J": "JSON", "nothing": "BOOLEAN", "other": "VARCHAR",
        }  # fmt: skip
        assert here.run(text) == [(5, None, '{"a":1}', None, "x")]

    def test_a_row_may_be_an_array_of_its_values(self, here, tmp_path):
        code = CODE.replace('one.get("do")', "None")
        for name, inputs in (("all", None), ("some", (Field("b", STRING), Field("a", FLOAT64)))):
            options = {"instance_type": "array"}
            here.create(name, predictor(tmp_path / name, code), "PYTHON", inputs=inputs, options=options)
        rows = "(SELECT 1 AS a, 'x' AS b, CAST(NULL AS BOOL) AS c)"
        assert here.run(f"SELECT prediction FROM ML.PREDICT(MODEL ds.all, {rows})") == [('[1,"x",null]',)]
        assert here.run(f"SELECT prediction FROM ML.PREDICT(MODEL ds.some, {rows})") == [('["x",1.0]',)]
        with pytest.raises(InvalidArgument, match=r"instance_type\): expected 'object' or 'array'; got 'x'"):
            here.create("m", tmp_path / "all", "PYTHON", options={"instance_type": "x"})

    def test_a_statement_says_what_a_row_is(self, here, tmp_path):
        code = CODE.replace('one.get("do")', "None")
        here.create("all", predictor(tmp_path / "all", code), "PYTHON")
        here.create("lists", predictor(tmp_path / "l", code), "PYTHON", options={"instance_type": "array"})
        one, some = (Field("b", STRING),), (Field("b", STRING), Field("a", FLOAT64))
        here.create("one", predictor(tmp_path / "one", code), "PYTHON", inputs=one)
        here.create("some", predictor(tmp_path / "some", code), "PYTHON", inputs=some)
        rows = "(SELECT 1 AS a, 'x' AS b)"
        ask = f"SELECT prediction FROM ML.PREDICT(MODEL ds.{{}}, {rows}, STRUCT({{}} AS instance_type))"
        assert here.run(ask.format("all", "'array'")) == [('[1,"x"]',)]
        assert here.run(ask.format("all", "'object'")) == [('{"a":1,"b":"x"}',)]
        assert here.run(ask.format("one", "'array'")) == [('["x"]',)]
        assert here.run(ask.format("some", "'array'")) == [('["x",1.0]',)]
        assert here.run(ask.format("lists", "'object'")) == [('{"a":1,"b":"x"}',)]
        both = " UNION ALL ".join(ask.format("all", one) for one in ("'array'", "'object'"))
        assert here.run(both) == [('[1,"x"]',), ('{"a":1,"b":"x"}',)]
        with pytest.raises(InvalidArgument, match=r"expected 'object' or 'array'; got 'x' at \[1:"):
            here.run(ask.format("all", "'x'"))
        with pytest.raises(InvalidArgument, match=r"expected 'object' or 'array'; got \"LOWER\('ARRAY'\)\""):
            here.run(ask.format("all", "LOWER('ARRAY')"))

    def test_a_model_that_says_what_it_takes_has_no_such_choice(self, here, tmp_path):
        signature = '{"inputs": [{"name": "a", "dtype": "int64"}]}'
        here.create("typed", predictor(tmp_path / "m", signature=signature), "PYTHON")
        with pytest.raises(
            InvalidArgument, match=r"Model p:ds\.typed: .* only for models that take any JSON"
        ):
            here.run(
                "SELECT * FROM ML.PREDICT(MODEL ds.typed, (SELECT 1 AS a), STRUCT('array' AS instance_type))"
            )

    def test_one_declared_output_is_the_value_itself(self, here, tmp_path):
        code = CODE.replace("return one", "return one['id'] * 1.5")
        here.create("half", predictor(tmp_path / "m", code), "PYTHON", outputs=(Field("score", FLOAT64),))
        assert here.run("SELECT score FROM ML.PREDICT(MODEL ds.half, (SELECT 3 AS id))") == [(4.5,)]

    def test_declared_inputs_of_the_artifact_are_columns(self, here, tmp_path):
        signature = '{"inputs": [{"name": "id", "dtype": "int64"}, {"name": "s", "dtype": "category"}]}'
        made = here.create("typed", predictor(tmp_path / "m", signature=signature), "PYTHON")
        assert made.inputs == (Field("id", INT64, True), Field("s", JSON, True))
        rows = here.run(
            "SELECT prediction FROM ML.PREDICT(MODEL ds.typed, (SELECT 1 AS id, 'a' AS s)) UNION ALL "
            "SELECT prediction FROM ML.PREDICT(MODEL ds.typed, (SELECT 2 AS id, 7 AS s))"
        )
        assert rows == [('{"id":1,"s":"a"}',), ('{"id":2,"s":7}',)]
        with pytest.raises(
            InvalidArgument, match=r"s: expected category; got 'true' \(in the row id = 2, s = 'true'"
        ):
            here.run("SELECT prediction FROM ML.PREDICT(MODEL ds.typed, (SELECT 2 AS id, TRUE AS s))")


class TestBadRows:
    def rows(self, do, bad):
        listed = ", ".join(map(str, bad))
        return f"(SELECT range AS id, IF(range IN ({listed}), '{do}', '') AS do FROM range(3000))"

    def test_the_first_one_fails_the_statement(self, here, tmp_path):
        here.create("m", predictor(tmp_path / "m"), "PYTHON")
        with pytest.raises(Internal) as raised:
            here.run(f"SELECT * FROM ML.PREDICT(MODEL ds.m, {self.rows('raise', [2500, 70, 71])})")
        assert str(raised.value) == (
            "Invalid table-valued function ML.PREDICT\n"
            "Model p:ds.m: the model failed: ValueError: row 70 is bad"
        )
        assert isinstance(raised.value.__cause__, ValueError)

    def test_the_fault_is_whose_the_model_says(self, here, tmp_path):
        here.create("m", predictor(tmp_path / "m"), "PYTHON")
        with pytest.raises(InvalidArgument, match=r"Model p:ds\.m: row 9 is wrong"):
            here.run(f"SELECT * FROM ML.PREDICT(MODEL ds.m, {self.rows('blame', [9])})")

    def test_they_are_null_where_that_is_safe(self, here, tmp_path):
        here.create(
            "m", predictor(tmp_path / "m"), "PYTHON", outputs=(Field("id", INT64), Field("do", STRING))
        )
        bad = [0, 1, 500, 2047, 2048, 2999]
        rows = here.run(
            "SELECT id, do, x FROM SAFE.ML.PREDICT(MODEL ds.m, "
            f"(SELECT *, id AS x FROM {self.rows('raise', bad)})) ORDER BY x"
        )
        assert [row[2] for row in rows] == list(range(3000))
        assert [row[2] for row in rows if row[0] is None] == bad
        assert [row[0] for row in rows if row[0] is not None] == [x for x in range(3000) if x not in bad]

    def test_null_is_refused_where_there_is_none(self, here, tmp_path):
        columns = '{"name": "n", "dtype": "int64"}, {"name": "f", "dtype": "float64", "nullable": true}'
        signature = f'{{"inputs": [{columns}]}}'
        code = CODE.replace("return one", "return [one['n'], one['f']]").replace('one.get("do")', "None")
        here.create("m", predictor(tmp_path / "m", code, signature), "PYTHON")
        null = "IF(range = 2, NULL, range) AS n, IF(range = 3, NULL, 0.5) AS f"
        table = f"(SELECT {null}, range AS x FROM range(5))"
        with pytest.raises(InvalidArgument) as raised:
            here.run(f"SELECT * FROM ML.PREDICT(MODEL ds.m, {table})")
        assert str(raised.value) == (
            "Invalid table-valued function ML.PREDICT\nModel p:ds.m: n: expected int64; got NULL "
            "(in the row n = NULL, f = 0.5)"
        )
        rows = here.run(f"SELECT prediction FROM SAFE.ML.PREDICT(MODEL ds.m, {table}) ORDER BY x")
        assert rows == [("[0,0.5]",), ("[1,0.5]",), (None,), ("[3,null]",), ("[4,0.5]",)]

    def test_all_of_them(self, here, tmp_path):
        here.create("m", predictor(tmp_path / "m"), "PYTHON")
        rows = "(SELECT range AS id, 'raise' AS do FROM range(20))"
        answers = here.run(f"SELECT prediction FROM SAFE.ML.PREDICT(MODEL ds.m, {rows})")
        assert answers == [(None,)] * 20

    def test_too_few_answers_are_the_models_fault(self, here, tmp_path):
        here.create(
            "m",
            predictor(tmp_path / "m", "class Predictor:\n    def predict(self, i): return i[:-1]\n"),
            "PYTHON",
        )
        with pytest.raises(Internal, match=r"Model p:ds\.m: Predictor gave 0 predictions for 1 instances"):
            here.run("SELECT * FROM ML.PREDICT(MODEL ds.m, (SELECT 1 AS a))")

    def test_answers_that_are_not_what_was_declared(self, here, tmp_path):
        here.create("m", predictor(tmp_path / "m"), "PYTHON", outputs=(Field("do", INT64),))
        with pytest.raises(Internal, match=r"Model p:ds\.m: do: the model gave what is no int64: "):
            here.run("SELECT * FROM ML.PREDICT(MODEL ds.m, (SELECT 'x' AS do))")

    def test_an_error_of_another_kind_stays_duckdbs(self, here, tmp_path):
        here.create("m", predictor(tmp_path / "m"), "PYTHON")
        with pytest.raises(duckdb.Error, match="Could not convert"):
            here.run("SELECT CAST(do AS INT64) FROM ML.PREDICT(MODEL ds.m, (SELECT 'x' AS do))")


class TestProcesses:
    def test_a_model_that_dies_fails_the_statement_and_not_this_process(self, tmp_path):
        with place() as here:
            here.create("m", predictor(tmp_path / "m"), "PYTHON")
            statement = "SELECT COUNT(prediction) FROM {}ML.PREDICT(MODEL ds.m, (SELECT {} AS do, 1 AS id))"
            for safe in ("", "SAFE."):
                with pytest.raises(
                    Crashed, match=r"Model p:ds\.m: model m@1: its process was ended by SIGABRT"
                ):
                    here.run(statement.format(safe, "'die'"))
            assert here.run(statement.format("", "''")) == [(1,)]

    def test_a_model_that_hangs_is_broken_off(self, tmp_path):
        with place() as here, ThreadPoolExecutor(1) as pool:
            here.create("m", predictor(tmp_path / "m"), "PYTHON")
            statement = "SELECT COUNT(prediction) FROM ML.PREDICT(MODEL ds.m, (SELECT {} AS do, 1 AS id))"
            assert here.run(statement.format("''")) == [(1,)]
            plan = here.plan(statement.format("'hang'"))
            asked = pool.submit(here.connection.execute, plan)
            while not asked.running():
                pass
            begun = time.monotonic()
            while not asked.done():
                here.connection.interrupt()
                here.functions.interrupt(here.used)
            assert time.monotonic() - begun < 5
            error = here.functions.raised(asked.exception())
            assert error is None or isinstance(error, Cancelled)
            assert here.run(statement.format("''")) == [(1,)]


class TestArrays:
    def onnx(self, folder, model, x, **options):
        convert = pytest.importorskip("skl2onnx").to_onnx
        path = folder / "model.onnx"
        path.write_bytes(
            convert(model, x, target_opset={"": 17, "ai.onnx.ml": 3}, **options).SerializeToString()
        )
        return path

    @pytest.mark.parametrize("zipmap", [True, False])
    def test_a_classifier_gives_what_its_graph_does(self, here, tmp_path, zipmap):
        from sklearn.linear_model import LogisticRegression

        x = np.random.default_rng(0).random((200, 3)).astype(np.float32)
        model = LogisticRegression().fit(x, np.where(x[:, 0] > 0.5, "yes", "no"))
        options = {} if zipmap else {"options": {"zipmap": False}}
        made = here.create("c", self.onnx(tmp_path, model, x[:1], **options), "ONNX")
        label, scores = ("output_label", "output_probability") if zipmap else ("label", "probabilities")
        assert made.inputs == (Field("X", array(FLOAT64), True),)
        assert made.outputs == (Field(label, STRING), Field(scores, array(FLOAT64)))
        here.connection.register("t", _table(x))
        rows = here.run(f"SELECT {label}, {scores} FROM ML.PREDICT(MODEL ds.c, TABLE t) ORDER BY i")
        assert [row[0] for row in rows] == model.predict(x).tolist()
        assert np.allclose([row[1] for row in rows], model.predict_proba(x), atol=1e-5)
        packed = here.create(
            "p", tmp_path / "model.onnx", "ONNX", inputs=tuple(Field(name, FLOAT64) for name in "abc")
        )
        assert [one.name for one in packed.inputs] == ["a", "b", "c"]
        columns = "SELECT i, X[OFFSET(0)] AS a, X[OFFSET(1)] AS b, X[OFFSET(2)] AS c FROM t"
        assert (
            here.run(f"SELECT {label}, {scores} FROM ML.PREDICT(MODEL ds.p, ({columns})) ORDER BY i") == rows
        )

    def test_an_array_of_another_length_is_refused_by_row(self, here, tmp_path):
        from sklearn.linear_model import LinearRegression

        x = np.random.default_rng(0).random((20, 3)).astype(np.float32)
        model = LinearRegression().fit(x, x[:, 0])
        made = here.create("r", self.onnx(tmp_path, model, x[:1]), "ONNX")
        assert made.outputs == (Field("variable", FLOAT64),)
        with pytest.raises(
            InvalidArgument, match=r"Model p:ds\.r: X: expected float32\[3\]; got an array of 2 values"
        ):
            here.run("SELECT * FROM ML.PREDICT(MODEL ds.r, (SELECT [1.0, 2.0] AS x))")
        made = here.create("a", tmp_path / "model.onnx", "ONNX", options={"scalar_outputs": False})
        with pytest.raises(
            InvalidArgument, match="INPUT: the model takes 3 values in its input X; 2 are declared"
        ):
            here.create(
                "b", tmp_path / "model.onnx", "ONNX", inputs=(Field("a", FLOAT64), Field("b", FLOAT64))
            )


def _table(x):
    import pyarrow as pa

    return pa.table({"i": np.arange(len(x)), "X": pa.array(x.astype(float).tolist())})


def test_several_threads_of_duckdb_ask_one_model(here, tmp_path):
    """A table of several row groups is read by several threads, and every row is answered by its own."""
    lightgbm = pytest.importorskip("lightgbm")  # which is not thread-safe
    random = np.random.default_rng(0)
    x = random.random((500, 3))
    booster = lightgbm.train(
        {"objective": "regression", "verbose": -1, "num_threads": 1}, lightgbm.Dataset(x, x[:, 0] * 5), 10
    )
    booster.save_model(tmp_path / "model.txt")
    made = here.create("l", tmp_path / "model.txt", "LIGHTGBM")
    assert [one.name for one in made.inputs] == ["features"]
    here.connection.execute("SET threads = 4")
    here.connection.execute(
        "CREATE TABLE t AS SELECT range AS id, "
        "[(range % 11) / 11, (range % 7) / 7, (range % 3) / 3] AS features FROM range(400000)"
    )
    found = here.connection.execute(
        here.plan("SELECT id, prediction FROM ML.PREDICT(MODEL ds.l, TABLE t)")
    ).fetchnumpy()
    numbers = np.arange(231)
    table = np.stack([(numbers % 11) / 11, (numbers % 7) / 7, (numbers % 3) / 3], axis=1)
    expected = booster.predict(table, num_threads=1)
    assert len(found["id"]) == 400000
    assert np.array_equal(found["prediction"], expected[found["id"] % 231])
