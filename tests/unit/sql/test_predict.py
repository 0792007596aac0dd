"""ML.PREDICT over real models in a real DuckDB."""

import duckdb
import numpy as np
import pytest

from tests.unit.sql.scopes import place
from trivet.core.errors import InvalidArgument, NotFound
from trivet.sql.types import FLOAT64, INT64, STRING, Field


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Models as files: a booster of two features, the same as classifier, a forest as ONNX."""
    xgboost = pytest.importorskip("xgboost")
    folder = tmp_path_factory.mktemp("models")
    random = np.random.default_rng(0)
    x = random.random((300, 2)).astype(np.float32)
    y = 3 * x[:, 0] + x[:, 1]
    of = {"feature_names": ["f0", "f1"]}
    options = {"max_depth": 3, "nthread": 1}
    made = xgboost.train(options, xgboost.DMatrix(x, y, **of), 8)
    made.save_model(folder / "reg.json")
    matrix = xgboost.DMatrix(x, (y > 2).astype(int), **of)
    xgboost.train({**options, "objective": "binary:logistic"}, matrix, 8).save_model(folder / "two.json")
    matrix = xgboost.DMatrix(x, np.minimum(y, 2.9).astype(int), **of)
    three = {**options, "objective": "multi:softprob", "num_class": 3}
    xgboost.train(three, matrix, 4).save_model(folder / "three.json")
    return folder


@pytest.fixture
def here(files):
    with place() as made:
        made.create("reg", files / "reg.json", "XGBOOST")
        made.create("two", files / "two.json", "XGBOOST")
        made.connection.execute(
            "CREATE TABLE t AS SELECT range AS id, (range % 7) / 7 AS f0, (range % 5) / 5 AS f1, "
            "range % 50 AS g FROM range(5000)"
        )
        yield made


@pytest.fixture(scope="module")
def expected(files):
    """What XGBoost itself says of the table."""
    import xgboost

    numbers = np.arange(5000)
    x = np.stack([(numbers % 7) / 7, (numbers % 5) / 5], axis=1).astype(np.float32)

    def answers(file):
        booster = xgboost.Booster(model_file=files / file)
        return booster.inplace_predict(x, validate_features=False)

    return answers


def test_outputs_come_first_and_then_the_columns(here, expected):
    rows = here.run("SELECT * FROM ML.PREDICT(MODEL ds.reg, TABLE t) ORDER BY id")
    assert here.names("SELECT * FROM ML.PREDICT(MODEL ds.reg, TABLE t)") == {
        "predicted_label": "DOUBLE", "id": "BIGINT", "f0": "DOUBLE", "f1": "DOUBLE", "g": "BIGINT",
    }  # fmt: skip
    assert [row[0] for row in rows] == expected("reg.json").astype(float).tolist()


STATEMENTS = [
    "SELECT predicted_label FROM ML.PREDICT(MODEL `p.ds.reg`, TABLE t) ORDER BY id",
    "SELECT predicted_label FROM ML.PREDICT(MODEL ds.reg, (SELECT * FROM t)) ORDER BY id",
    "SELECT predicted_label FROM ML.PREDICT(MODEL ds.reg, (SELECT F1, id, f0 AS `F0` FROM t)) AS q "
    "ORDER BY id",
    "SELECT p.predicted_label FROM ML.PREDICT(MODEL ds.reg, (SELECT * FROM t ORDER BY 1)) p ORDER BY p.id",
    "WITH a AS (SELECT * FROM t) SELECT predicted_label FROM ML.PREDICT(MODEL ds.reg, TABLE a) ORDER BY id",
    "WITH a AS (SELECT * FROM t), b AS (SELECT * FROM ML.PREDICT(MODEL ds.reg, (SELECT * FROM a))) "
    "SELECT predicted_label FROM b ORDER BY id",
    "SELECT predicted_label FROM ML.PREDICT(MODEL ds.reg, "
    "(WITH a AS (SELECT * FROM t) SELECT * FROM a WHERE id < 9 UNION ALL SELECT * FROM a WHERE id >= 9)) "
    "ORDER BY id",
    "SELECT predicted_label FROM t JOIN ML.PREDICT(MODEL ds.reg, TABLE t) USING (id) ORDER BY id",
    "SELECT p.predicted_label FROM ML.PREDICT(MODEL ds.reg, TABLE t) p JOIN t ON t.id = p.id ORDER BY t.id",
    "SELECT predicted_label FROM ML.PREDICT(MODEL ds.reg, "
    "(SELECT * EXCEPT (predicted_label) FROM ML.PREDICT(MODEL ds.two, TABLE t))) ORDER BY id",
    "SELECT (SELECT predicted_label FROM ML.PREDICT(MODEL ds.reg, (SELECT * FROM t)) p WHERE p.id = t.id) "
    "FROM t ORDER BY id",
    "SELECT predicted_label FROM ML.PREDICT(MODEL ds.reg, TABLE t) "
    "WHERE id IN (SELECT id FROM ML.PREDICT(MODEL ds.two, TABLE t) WHERE predicted_label >= 0) ORDER BY id",
]  # fmt: skip


@pytest.mark.parametrize("statement", STATEMENTS)
def test_it_stands_wherever_a_table_may(here, expected, statement):
    assert [row[0] for row in here.run(statement)] == expected("reg.json").astype(float).tolist()


def test_two_models_are_compared(here, expected):
    rows = here.run(
        "SELECT a.predicted_label, b.predicted_label FROM ML.PREDICT(MODEL ds.reg, TABLE t) a "
        "JOIN ML.PREDICT(MODEL ds.two, TABLE t) b USING (id) ORDER BY id"
    )
    both = zip(expected("reg.json").tolist(), expected("two.json").tolist(), strict=True)
    assert rows == list(both)


def test_ctas_insert_and_merge(here, expected):
    answers = expected("reg.json").tolist()
    here.run("CREATE TABLE made AS SELECT id, predicted_label FROM ML.PREDICT(MODEL ds.reg, TABLE t)")
    here.run("INSERT INTO made (id, predicted_label) SELECT id + 5000, predicted_label "
             "FROM ML.PREDICT(MODEL ds.reg, TABLE t)")  # fmt: skip
    here.run(
        "MERGE INTO made m USING ML.PREDICT(MODEL ds.two, (SELECT * FROM t WHERE id < 10)) p ON m.id = p.id "
        "WHEN MATCHED THEN UPDATE SET predicted_label = p.predicted_label + 1000"
    )
    rows = here.run("SELECT predicted_label FROM made ORDER BY id")
    assert [row[0] for row in rows[10:]] == (answers + answers)[10:]
    assert [row[0] for row in rows[:10]] == [1000 + one for one in expected("two.json")[:10].tolist()]


def test_a_pivot_and_a_sample_stay_with_the_prediction(here):
    rows = here.run(
        "SELECT * FROM (SELECT g, predicted_label > 2 AS high FROM ML.PREDICT(MODEL ds.reg, TABLE t)) "
        "PIVOT(COUNT(*) FOR high IN (TRUE AS high, FALSE AS low)) ORDER BY g LIMIT 1"
    )
    assert len(rows[0]) == 3
    rows = here.run(
        "SELECT * FROM ML.PREDICT(MODEL ds.reg, (SELECT 'a' AS k, f0, f1 FROM t)) "
        "PIVOT(COUNT(predicted_label) FOR k IN ('a'))"
    )
    assert sum(row[-1] for row in rows) == 5000


def test_an_output_hides_an_input_of_its_name(here, expected):
    rows = "SELECT id, f0, f1, 'x' AS PREDICTED_LABEL FROM t"
    text = f"SELECT * FROM ML.PREDICT(MODEL ds.reg, ({rows})) ORDER BY 2"
    assert list(here.names(text)) == ["predicted_label", "id", "f0", "f1"]
    assert here.run(text)[0][0] == expected("reg.json")[0]


def test_hidden_names_may_be_the_users(here, expected):
    rows = here.run(
        "SELECT predicted_label, __r, __i FROM ML.PREDICT(MODEL ds.reg, "
        "(SELECT f0, f1, id AS __r, g AS __i, id AS __j FROM t)) ORDER BY __r"
    )
    assert [row[0] for row in rows] == expected("reg.json").tolist()


def test_integers_and_decimals_are_floats_and_null_is_missing(here, files):
    import xgboost

    rows = here.run(
        "SELECT predicted_label FROM ML.PREDICT(MODEL ds.reg, "
        "(SELECT 1 AS f0, CAST(0.5 AS NUMERIC) AS f1 UNION ALL SELECT NULL, 0.25)) ORDER BY 1"
    )
    booster = xgboost.Booster(model_file=files / "reg.json")
    x = np.array([[1, 0.5], [np.nan, 0.25]], np.float32)
    assert sorted(row[0] for row in rows) == sorted(
        booster.inplace_predict(x, validate_features=False).astype(float).tolist()
    )


def test_nothing_in_is_nothing_out(here):
    assert here.run("SELECT * FROM ML.PREDICT(MODEL ds.reg, (SELECT * FROM t WHERE id < 0))") == []


def test_classes_are_asked_for(here, files, expected):
    made = here.create("labels", files / "three.json", "XGBOOST", options={"output": "labels"})
    assert made.outputs == (Field("predicted_label", INT64),)
    made = here.create("all", files / "three.json", "TRIVET", options={"output": "detailed"})
    text = "SELECT * EXCEPT (f0, f1, g, id) FROM ML.PREDICT(MODEL ds.all, TABLE t) ORDER BY id"
    assert here.names(text) == {"classes": "BIGINT[]", "scores": "DOUBLE[]", "predicted_class": "BIGINT"}
    classes, scores, predicted = here.run(text)[0]
    assert classes == [0, 1, 2]
    assert scores == expected("three.json")[0].tolist()
    assert predicted == int(np.argmax(scores))
    made = here.create("three", files / "three.json", "XGBOOST")
    assert here.names("SELECT predicted_label FROM ML.PREDICT(MODEL ds.three, TABLE t)") == {
        "predicted_label": "DOUBLE[]"
    }


def test_clauses_name_and_type_the_columns(here, files, expected):
    made = here.create(
        "own", files / "reg.json", "XGBOOST",
        inputs=(Field("F1", FLOAT64), Field("F0", INT64)), outputs=(Field("score", FLOAT64),),
    )  # fmt: skip
    assert [(one.name, str(one.type)) for one in made.inputs] == [("F0", "INT64"), ("F1", "FLOAT64")]
    rows = here.run(
        "SELECT score FROM ML.PREDICT(MODEL ds.own, (SELECT id, 0 AS f0, f1 FROM t)) WHERE id = 0"
    )
    assert rows == [(float(expected("reg.json")[0]),)]


@pytest.mark.parametrize(
    ("clauses", "message"),
    [
        ({"inputs": (Field("f0", FLOAT64),)}, "INPUT: f1 is missing; the model has it, as FLOAT64"),
        ({"inputs": (Field("f0", FLOAT64), Field("f9", FLOAT64))}, "INPUT: f9: unknown input; known: f0, f1"),
        ({"inputs": (Field("f0", STRING), Field("f1", FLOAT64))},
         "INPUT: f0 is declared STRING; the model takes FLOAT64"),
        ({"inputs": (Field("f0", FLOAT64), Field("F0", FLOAT64))}, "INPUT: f0 is declared twice"),
        ({"outputs": (Field("a", FLOAT64), Field("b", FLOAT64))},
         "OUTPUT: the model has one output, predicted_label; 2 are declared"),
        ({"outputs": (Field("a", STRING),)},
         "OUTPUT: predicted_label is declared STRING; the model gives FLOAT64"),
        ({"options": {"output": "x"}}, "OPTIONS(output): expected one of values, booster"),
    ],
)  # fmt: skip
def test_clauses_that_contradict_the_model(here, files, clauses, message):
    with pytest.raises(InvalidArgument) as raised:
        here.create("bad", files / "reg.json", "XGBOOST", **clauses)
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("SELECT *\nFROM ML.PREDICT(MODEL ds.reg, (SELECT f0, id AS f_1 FROM t))",
         "Invalid table-valued function ML.PREDICT\nColumn f1 is not found in the input data to the PREDICT "
         "function. Model p:ds.reg takes it as FLOAT64; did you mean 'f_1'? at [2:9]"),
        ("SELECT * FROM ML.PREDICT(MODEL ds.reg, (SELECT f0, [f1] AS zzzz FROM t))",
         "Invalid table-valued function ML.PREDICT\nColumn f1 is not found in the input data to the PREDICT "
         "function. Model p:ds.reg takes it as FLOAT64. at [1:18]"),
        ("SELECT * FROM ML.PREDICT(MODEL ds.reg, (SELECT f0, DATE '2020-01-01' AS f1 FROM t))",
         "Invalid table-valued function ML.PREDICT\nColumn f1 has type DATE, which cannot be FLOAT64; model "
         "p:ds.reg takes it as FLOAT64 at [1:18]"),
        ("SELECT * FROM ML.PREDICT(MODEL ds.reg, TABLE t, STRUCT(0.3 AS threshold))",
         "Invalid table-valued function ML.PREDICT\nOption threshold is not supported for model p:ds.reg of "
         "type XGBOOST: it is for classifiers trained in BigQuery ML; compare the model's probability in the "
         "query at [1:56]"),
        ("SELECT * FROM ML.PREDICT(MODEL ds.reg, TABLE t, STRUCT(TRUE AS keep_original_column))",
         "Invalid table-valued function ML.PREDICT\nOption keep_original_column is not supported for model "
         "p:ds.reg of type XGBOOST: unknown option; did you mean 'keep_original_columns'? at [1:"),
        ("SELECT * FROM ML.PREDICT(MODEL ds.reg, TABLE t, 5)",
         "Invalid table-valued function ML.PREDICT\nExpected STRUCT(value AS option, ..) after the query"),
        ("SELECT * FROM ML.PREDICT(MODEL ds.nothing, TABLE t)", "Not found: Model p:ds.nothing at [1:32]"),
    ],
)  # fmt: skip
def test_errors_say_what_and_where(here, statement, message):
    with pytest.raises((InvalidArgument, NotFound)) as raised:
        here.run(statement)
    assert str(raised.value).startswith(message)


def test_what_can_be_cast_is_taken_by_imported_models_alone(here, files, expected):
    rows = "SELECT CAST(f0 AS STRING) AS f0, f1 FROM t WHERE id = 3"
    text = f"SELECT predicted_label FROM ML.PREDICT(MODEL ds.{{}}, ({rows}))"
    assert here.run(text.format("reg")) == [(float(expected("reg.json")[3]),)]
    here.create("ours", files / "reg.json", "TRIVET")
    with pytest.raises(
        InvalidArgument, match=r"Column f0 has type STRING, which cannot be FLOAT64; model p:ds\.ours"
    ):
        here.run(text.format("ours"))


def test_what_cannot_be_cast_fails_the_statement_unless_that_is_safe(here, expected):
    rows = "SELECT id, IF(id = 2, 'x', CAST(f0 AS STRING)) AS f0, [f1] AS f1 FROM t WHERE id < 4 ORDER BY id"
    text = f"SELECT predicted_label FROM {{}}ML.PREDICT(MODEL ds.reg, ({rows})) ORDER BY id"
    with pytest.raises(duckdb.Error, match="Could not convert string 'x' to DOUBLE"):
        here.run(text.format(""))
    answers = [row[0] for row in here.run(text.format("SAFE."))]
    assert answers == [
        None if index == 2 else one for index, one in enumerate(expected("reg.json")[:4].tolist())
    ]
    rows = "SELECT f0, IF(id = 1, [f1, f1], [f1]) AS f1, id FROM t WHERE id < 3"
    text = f"SELECT predicted_label FROM {{}}ML.PREDICT(MODEL ds.reg, ({rows})) ORDER BY id"
    with pytest.raises(duckdb.Error, match="an ARRAY of one value was expected"):
        here.run(text.format(""))
    assert [row[0] is None for row in here.run(text.format("SAFE."))] == [False, True, False]


def test_a_plan_of_a_replaced_model_meets_the_new_one_never(here, files):
    text = "SELECT predicted_label FROM ML.PREDICT(MODEL ds.reg, TABLE t) WHERE id = 5"
    plan, before = here.plan(text), here.run(text)
    here.create("reg", files / "two.json", "XGBOOST", version="2")
    assert here.run(text) != before
    assert here.connection.execute(plan).fetchall() == before
    user = here.functions.enter()
    here.functions.forget(here.connection, "projects/p/locations/l/models/reg@1")
    assert repr(here.functions) == "<Functions 2 made>"  # a statement may still call it
    here.functions.leave(user)
    here.functions.leave(here.functions.enter())
    assert repr(here.functions) == "<Functions 1 made>"
    assert here.run(text) != before


def test_the_function_outlives_a_transaction_that_is_rolled_back(here):
    cursor = here.connection.cursor()
    cursor.execute("BEGIN")
    cursor.execute(here.plan("SELECT COUNT(predicted_label) FROM ML.PREDICT(MODEL ds.reg, TABLE t)"))
    cursor.execute("ROLLBACK")
    assert here.run("SELECT COUNT(predicted_label) FROM ML.PREDICT(MODEL ds.reg, TABLE t)") == [(5000,)]


COUNTED = [
    ("SELECT SUM(predicted_label) FROM {}", 5000),
    ("SELECT predicted_label FROM {} WHERE predicted_label > 1", 5000),
    (
        "SELECT predicted_label FROM {} WHERE predicted_label > 1 AND predicted_label < 9 ORDER BY 1 LIMIT 3",
        5000,
    ),
    ("SELECT COUNT(*) FROM {}", 0),
    ("SELECT f0 FROM {} WHERE g = 3", 0),
    ("SELECT predicted_label FROM {} WHERE g = 3", 100),
    ("SELECT predicted_label FROM {} WHERE id < 1000", 1000),
    ("SELECT predicted_label FROM {} p JOIN t ON p.id = t.id WHERE t.id < 100", 100),
    ("SELECT a.predicted_label FROM {} a LIMIT 3", 3),
]


@pytest.mark.parametrize(("statement", "count"), COUNTED)
def test_each_row_is_predicted_once_and_only_if_it_is_needed(here, monkeypatch, statement, count):
    seen = []
    with here.leases.lease(here.specs["reg"]) as loaded:
        predict = loaded.predictor.predict

        def counting(instances, parameters):
            seen.append(instances.count)
            return predict(instances, parameters)

        monkeypatch.setattr(loaded.predictor, "predict", counting)
        here.run(statement.format("ML.PREDICT(MODEL ds.reg, TABLE t)"))
    assert sum(seen) == count


def test_names_of_columns_and_models_are_quoted(here, files, tmp_path):
    """Whatever stands in a name is a name."""
    import xgboost

    names = ['a"b', "select", "x y", "ü;--", "it's"]
    x = np.random.default_rng(0).random((50, 5)).astype(np.float32)
    booster = xgboost.train({"nthread": 1}, xgboost.DMatrix(x, x[:, 0], feature_names=names), 2)
    booster.save_model(tmp_path / "odd.json")
    here.create("odd-one", tmp_path / "odd.json", "XGBOOST", outputs=(Field('it"s', FLOAT64),))
    quoted = ", ".join(f"{index / 5} AS `{name}`" for index, name in enumerate(names))
    ((answer, *rest),) = here.run(f"SELECT * FROM ML.PREDICT(MODEL `ds.odd-one`, (SELECT {quoted}))")
    row = np.arange(5, dtype=np.float32)[None] / 5
    assert answer == float(booster.inplace_predict(row, validate_features=False)[0])
    assert len(rest) == 5
