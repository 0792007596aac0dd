"""The catalogue of what a planner must hold: every place and statement that ML.PREDICT may stand in.

Models are real: a tensor of rows (ONNX), one input for each column (XGBoost), named classes (scikit-learn),
and an endpoint. Answers are those of the libraries themselves.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import ClassVar

import joblib
import numpy as np
import onnxruntime
import pandas as pd
import pyarrow as pa
import pytest
import xgboost
from skl2onnx import to_onnx
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import trivet.sql
from trivet.core.errors import AlreadyExists, InvalidArgument, NotFound, Unimplemented

NAMES = ["a", "b", "c", "d"]
IRIS = load_iris()
ROWS = IRIS.data
COUNT = len(ROWS)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Train the models."""
    folder = tmp_path_factory.mktemp("models")
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(ROWS, IRIS.target)
    options = {id(pipeline): {"zipmap": False}}
    content = to_onnx(pipeline, ROWS[:1].astype(np.float32), options=options).SerializeToString()
    (folder / "tensor.onnx").write_bytes(content)
    flowers = pd.DataFrame(ROWS, columns=NAMES)
    for name, target in (("columns", ROWS[:, 3]), ("other", ROWS[:, 0])):
        model = xgboost.XGBRegressor(n_estimators=5, max_depth=3, n_jobs=1).fit(flowers, target)
        model.save_model(folder / f"{name}.json")
    named = make_pipeline(StandardScaler(), LogisticRegression()).fit(flowers, IRIS.target_names[IRIS.target])
    joblib.dump(named, folder / "classes.joblib")
    return folder


class Answers(BaseHTTPRequestHandler):
    """An endpoint that adds two numbers up."""

    requests: ClassVar[list[int]] = []

    def do_POST(self):
        instances = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["instances"]
        self.requests.append(len(instances))
        content = json.dumps({"predictions": [one["x"] + one["y"] for one in instances]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def endpoint():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1/projects/p/locations/l/endpoints/1"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def opened(files, endpoint):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIVET_ARTIFACTS_ALLOW_PICKLE", "true")
        patch.setenv("TRIVET_SQL_ISOLATE", "never")
        with trivet.sql.connect(":memory:") as con:
            for name, type_ in (
                ("tensor.onnx", "ONNX"),
                ("columns.json", "XGBOOST"),
                ("other.json", "XGBOOST"),
                ("classes.joblib", "SKLEARN"),
            ):
                con.sql(
                    f"CREATE MODEL ds.{name.partition('.')[0]} "
                    f"OPTIONS(model_type='{type_}', model_path='{files / name}')"
                )
            con.sql(
                "CREATE MODEL ds.remote INPUT(x FLOAT64, y FLOAT64) OUTPUT(total FLOAT64) "
                f"REMOTE WITH CONNECTION `us.c` OPTIONS(endpoint='{endpoint}')"
            )
            con.register("flowers", flowers())
            con.sql("CREATE TABLE ds.flowers AS SELECT * FROM flowers")
            con.sql("CREATE TABLE ds.vectors AS SELECT id, [a, b, c, d] AS X FROM ds.flowers")
            con.unregister("flowers")
            yield con


@pytest.fixture
def con(opened):
    """A connection whose tables are as the test before found them."""
    return opened


def flowers():
    columns = {"id": np.arange(COUNT), "kind": IRIS.target_names[IRIS.target]}
    return pa.table({**columns, **{name: ROWS[:, index] for index, name in enumerate(NAMES)}})


@pytest.fixture(scope="module")
def booster(files):
    model = xgboost.Booster(model_file=files / "columns.json")
    return model.predict(xgboost.DMatrix(pd.DataFrame(ROWS, columns=NAMES)))


@pytest.fixture(scope="module")
def graph(files):
    session = onnxruntime.InferenceSession(files / "tensor.onnx")
    return session.run(None, {"X": ROWS.astype(np.float32)})


def rows(con, text, parameters=None):
    return con.sql(text, parameters).fetchall()


def column(con, text, parameters=None):
    return [row[0] for row in rows(con, text, parameters)]


def names(con, text):
    return [one.name for one in con.sql(text).fields]


class TestInput:
    def test_a_table(self, con, booster):
        text = "SELECT predicted_label FROM ML.PREDICT(MODEL ds.columns, TABLE ds.flowers) ORDER BY id"
        assert column(con, text) == pytest.approx(booster.tolist(), abs=1e-6)

    def test_a_query(self, con, booster):
        text = """SELECT predicted_label FROM ML.PREDICT(MODEL ds.columns,
                  (SELECT d, c, b, a, id FROM ds.flowers WHERE id < 10)) ORDER BY id"""
        assert column(con, text) == pytest.approx(booster[:10].tolist(), abs=1e-6)

    def test_one_tensor_from_an_array(self, con, graph):
        text = "SELECT label, probabilities FROM ML.PREDICT(MODEL ds.tensor, TABLE ds.vectors) ORDER BY id"
        found = rows(con, text)
        assert [label for label, _ in found] == graph[0].tolist()
        assert np.allclose([probabilities for _, probabilities in found], graph[1], atol=1e-6)

    def test_integers_are_coerced(self, con):
        text = """SELECT predicted_label FROM ML.PREDICT(MODEL ds.columns,
                  (SELECT 5 AS a, 3 AS b, 1 AS c, 0 AS d))"""
        floats = text.replace("5 AS a", "5.0 AS a").replace("3 AS b", "NUMERIC '3' AS b")
        assert rows(con, text) == rows(con, floats)

    def test_null_is_what_is_missing_for_trees(self, con, files):
        text = """SELECT predicted_label FROM ML.PREDICT(MODEL ds.columns,
                  (SELECT 5.1 AS a, 3.5 AS b, CAST(NULL AS FLOAT64) AS c, 0.2 AS d))"""
        frame = pd.DataFrame([[5.1, 3.5, np.nan, 0.2]], columns=NAMES)
        expected = xgboost.Booster(model_file=files / "columns.json").predict(xgboost.DMatrix(frame))
        assert column(con, text) == pytest.approx(expected.tolist(), abs=1e-6)

    def test_names_in_other_case(self, con, booster):
        text = """SELECT * FROM ML.PREDICT(MODEL ds.columns,
                  (SELECT a AS A, b AS B, C, D FROM ds.flowers WHERE id = 0))"""
        result = con.sql(text)
        assert [one.name for one in result.fields] == ["predicted_label", "A", "B", "c", "d"]
        assert result.fetchall()[0][0] == pytest.approx(booster[0], abs=1e-6)

    def test_no_rows(self, con):
        text = "SELECT * FROM ML.PREDICT(MODEL ds.columns, (SELECT * FROM ds.flowers WHERE FALSE))"
        assert rows(con, text) == []
        assert column(con, f"SELECT COUNT(*) FROM ({text})") == [0]


class TestWhereItStands:
    def test_outputs_come_first_then_all_columns_of_the_input(self, con):
        text = "SELECT * FROM ML.PREDICT(MODEL ds.columns, TABLE ds.flowers)"
        assert names(con, text) == ["predicted_label", "id", "kind", *NAMES]
        text = "SELECT * FROM ML.PREDICT(MODEL ds.tensor, TABLE ds.vectors)"
        assert names(con, text) == ["label", "probabilities", "id", "X"]

    def test_alias_where_and_join(self, con, booster):
        text = """SELECT f.id, p.predicted_label FROM ML.PREDICT(MODEL ds.columns, TABLE ds.flowers) AS p
                  JOIN ds.flowers AS f ON p.id = f.id AND f.kind = 'setosa'
                  WHERE p.predicted_label > 0.15 AND p.id < 20 ORDER BY 1"""
        expected = [index for index in range(20) if booster[index] > 0.15]
        assert column(con, text) == expected

    def test_a_comma_is_a_join_too(self, con):
        text = """SELECT COUNT(*) FROM ML.PREDICT(MODEL ds.columns, TABLE ds.flowers) p,
                    (SELECT 1 UNION ALL SELECT 2)"""
        assert column(con, text) == [2 * COUNT]

    def test_two_models_joined(self, con, files, booster):
        text = """SELECT one.predicted_label, two.predicted_label AS other
                  FROM ML.PREDICT(MODEL ds.columns, TABLE ds.flowers) one
                  JOIN ML.PREDICT(MODEL ds.other, TABLE ds.flowers) two USING (id) ORDER BY id"""
        found = rows(con, text)
        assert [one for one, _ in found] == pytest.approx(booster.tolist(), abs=1e-6)
        expected = xgboost.Booster(model_file=files / "other.json").predict(
            xgboost.DMatrix(pd.DataFrame(ROWS, columns=NAMES))
        )
        assert [two for _, two in found] == pytest.approx(expected.tolist(), abs=1e-6)

    def test_a_cte_as_input_and_around(self, con, booster):
        text = """WITH few AS (SELECT * FROM ds.flowers WHERE id < 5),
                       scored AS (SELECT id, predicted_label AS p
                                  FROM ML.PREDICT(MODEL ds.columns, TABLE few))
                  SELECT p FROM scored ORDER BY id"""
        assert column(con, text) == pytest.approx(booster[:5].tolist(), abs=1e-6)

    def test_a_cte_in_the_query(self, con, booster):
        text = """WITH few AS (SELECT * FROM ds.flowers WHERE id < 5)
                  SELECT predicted_label FROM ML.PREDICT(MODEL ds.columns,
                    (WITH fewer AS (SELECT * FROM few WHERE id > 2) SELECT * FROM fewer)) ORDER BY id"""
        assert column(con, text) == pytest.approx(booster[3:5].tolist(), abs=1e-6)

    def test_a_cte_hides_a_table(self, con):
        text = """WITH flowers AS (SELECT 9.0 AS a, 9.0 AS b, 9.0 AS c, 9.0 AS d)
                  SELECT COUNT(*) FROM ML.PREDICT(MODEL ds.columns, TABLE flowers)"""
        assert column(con, text) == [1]

    def test_one_in_the_other(self, con):
        text = """SELECT COUNT(*), COUNT(predicted_label), COUNT(label) FROM ML.PREDICT(MODEL ds.columns,
                    (SELECT p.label, f.* FROM ML.PREDICT(MODEL ds.tensor, TABLE ds.vectors) p
                     JOIN ds.flowers f USING (id)))"""
        assert rows(con, text) == [(COUNT, COUNT, COUNT)]

    def test_a_scalar_subquery(self, con, booster):
        text = """SELECT id FROM ds.flowers WHERE d >= (
                    SELECT MAX(predicted_label) FROM ML.PREDICT(MODEL ds.columns, TABLE ds.flowers))
                  ORDER BY 1"""
        assert column(con, text) == [index for index in range(COUNT) if ROWS[index, 3] >= booster.max()]

    def test_in_a_subquery(self, con, booster):
        text = """SELECT COUNT(*) FROM ds.flowers WHERE id IN (
                    SELECT id FROM ML.PREDICT(MODEL ds.columns, TABLE ds.flowers)
                    WHERE predicted_label > 1)"""
        assert column(con, text) == [int((booster > 1).sum())]

    def test_union(self, con):
        one = "SELECT predicted_label FROM ML.PREDICT(MODEL ds.columns, TABLE ds.flowers)"
        assert column(con, f"SELECT COUNT(*) FROM ({one} UNION ALL {one})") == [2 * COUNT]


class TestStatements:
    def test_a_table_of_predictions(self, con, booster):
        text = (
            "CREATE OR REPLACE TABLE ds.made AS SELECT * FROM ML.PREDICT(MODEL ds.columns, TABLE ds.flowers)"
        )
        done = con.sql(text)
        assert (done.kind, done.planned.operation) == ("CREATE_TABLE_AS_SELECT", "CREATE")
        assert column(con, "SELECT predicted_label FROM ds.made ORDER BY id") == pytest.approx(
            booster.tolist(), abs=1e-6
        )
        con.sql("DROP TABLE ds.made")

    def test_insert(self, con):
        con.sql("CREATE TABLE ds.kept (id INT64, p FLOAT64)")
        done = con.sql(
            "INSERT INTO ds.kept (id, p) SELECT id, predicted_label "
            "FROM ML.PREDICT(MODEL ds.columns, TABLE ds.flowers) WHERE id < @id",
            {"id": 7},
        )
        assert (done.kind, done.rows_affected, done.done.changes) == ("INSERT", 7, {"inserted": 7})
        assert column(con, "SELECT COUNT(p) FROM ds.kept") == [7]
        con.sql("DROP TABLE ds.kept")

    def test_merge(self, con):
        con.sql("CREATE TABLE ds.merged AS SELECT id, 0.0 AS p FROM ds.flowers WHERE id < 10")
        done = con.sql(
            """MERGE ds.merged AS t USING (
                 SELECT id, predicted_label FROM ML.PREDICT(MODEL ds.columns, TABLE ds.flowers)
                 WHERE id < 15) AS s
               ON t.id = s.id
               WHEN MATCHED THEN UPDATE SET p = s.predicted_label
               WHEN NOT MATCHED THEN INSERT (id, p) VALUES (s.id, s.predicted_label)"""
        )
        assert (done.kind, done.rows_affected) == ("MERGE", 15)
        assert rows(con, "SELECT COUNT(*), COUNTIF(p > 0) FROM ds.merged") == [(15, 15)]
        con.sql("DROP TABLE ds.merged")

    def test_update_and_delete(self, con, booster):
        con.sql("CREATE TABLE ds.changed AS SELECT id, 0.0 AS p FROM ds.flowers")
        scored = "SELECT id, predicted_label FROM ML.PREDICT(MODEL ds.columns, TABLE ds.flowers)"
        con.sql(f"UPDATE ds.changed AS c SET p = s.predicted_label FROM ({scored}) AS s WHERE c.id = s.id")
        assert column(con, "SELECT p FROM ds.changed ORDER BY id") == pytest.approx(
            booster.tolist(), abs=1e-6
        )
        done = con.sql(
            f"DELETE FROM ds.changed WHERE id IN (SELECT id FROM ({scored}) WHERE predicted_label > 1)"
        )
        assert done.rows_affected == int((booster > 1).sum())
        con.sql("DROP TABLE ds.changed")

    def test_a_view(self, con, booster):
        con.sql(
            "CREATE VIEW ds.scored AS SELECT id, predicted_label AS p "
            "FROM ML.PREDICT(MODEL ds.columns, TABLE ds.flowers)"
        )
        assert column(con, "SELECT p FROM ds.scored ORDER BY id") == pytest.approx(booster.tolist(), abs=1e-6)
        text = "SELECT v.p FROM ds.scored AS v JOIN ds.flowers AS f USING (id) WHERE f.id = 3"
        assert column(con, text) == pytest.approx([booster[3]], abs=1e-6)
        con.sql("DROP VIEW ds.scored")

    def test_parameters_within_and_without(self, con, booster):
        text = """SELECT predicted_label * @factor FROM ML.PREDICT(MODEL ds.columns,
                    (SELECT * FROM ds.flowers WHERE id < @most)) WHERE id >= @least ORDER BY id"""
        found = column(con, text, {"factor": 2.0, "most": 9, "least": 4})
        assert found == pytest.approx((2 * booster[4:9]).tolist(), abs=1e-6)

    def test_parameters_in_order(self, con, booster):
        text = """SELECT predicted_label * ? FROM ML.PREDICT(MODEL ds.columns,
                    (SELECT * FROM ds.flowers WHERE id < ?)) WHERE id >= ? ORDER BY id"""
        assert column(con, text, [2.0, 9, 4]) == pytest.approx((2 * booster[4:9]).tolist(), abs=1e-6)

    def test_unnest_with_offset(self, con, graph):
        text = """SELECT id, place, p FROM ML.PREDICT(MODEL ds.tensor, TABLE ds.vectors),
                    UNNEST(probabilities) AS p WITH OFFSET AS place WHERE id < 4 ORDER BY id, place"""
        found = rows(con, text)
        assert [(id_, place) for id_, place, _ in found] == [(i, j) for i in range(4) for j in range(3)]
        assert np.allclose([p for _, _, p in found], graph[1][:4].ravel(), atol=1e-6)

    def test_a_plan_that_is_kept_knows_what_has_changed(self, con):
        con.sql("CREATE TABLE ds.changes AS SELECT 1 AS a")
        text = "SELECT * FROM ds.changes"
        assert rows(con, text) == rows(con, text) == [(1,)]
        con.sql("CREATE OR REPLACE TABLE ds.changes AS SELECT 'x' AS b, 2 AS c")
        assert names(con, text) == ["b", "c"]
        assert rows(con, text) == [("x", 2)]
        con.sql("DROP TABLE ds.changes")


class TestNames:
    def test_an_output_hides_a_column_of_that_name(self, con, booster):
        text = """SELECT * FROM ML.PREDICT(MODEL ds.columns,
                  (SELECT 'mine' AS predicted_label, * FROM ds.flowers WHERE id = 0))"""
        result = con.sql(text)
        assert [one.name for one in result.fields] == ["predicted_label", "id", "kind", *NAMES]
        assert result.fetchall()[0][0] == pytest.approx(booster[0], abs=1e-6)

    def test_a_default_dataset(self, con):
        con.use("ds")
        try:
            text = "SELECT COUNT(predicted_label) FROM ML.PREDICT(MODEL columns, TABLE flowers)"
            assert column(con, text) == [COUNT]
        finally:
            con.default = None

    def test_a_project_is_part_of_a_name(self, con):
        text = "SELECT COUNT(*) FROM ML.PREDICT(MODEL `local.ds.columns`, TABLE `local`.ds.flowers)"
        assert column(con, text) == [COUNT]

    def test_a_registered_model_needs_no_statement(self, con, booster):
        text = "SELECT * FROM ML.PREDICT(MODEL `ds-columns@1`, (SELECT * FROM ds.flowers WHERE id = 0))"
        assert rows(con, text)[0][0] == pytest.approx(booster[0], abs=1e-6)


class TestModels:
    def test_create_replace_if_not_exists_and_drop(self, con, files):
        made = f"MODEL ds.passing OPTIONS(model_type='XGBOOST', model_path='{files / 'columns.json'}')"
        replaced = made.replace("columns.json", "other.json")
        done = con.sql(f"CREATE {made}")
        assert (done.kind, done.message) == ("CREATE_MODEL", "Successfully created model named passing.")
        text = """SELECT predicted_label FROM ML.PREDICT(MODEL ds.passing,
                  (SELECT * FROM ds.flowers WHERE id = 0))"""
        first = column(con, text)
        assert (
            con.sql(f"CREATE MODEL IF NOT EXISTS {made.removeprefix('MODEL ')}").planned.operation == "SKIP"
        )
        assert column(con, text) == first
        con.sql(f"CREATE OR REPLACE {replaced}")
        assert column(con, text) != first
        assert con.sql("DROP MODEL ds.passing").kind == "DROP_MODEL"
        with pytest.raises(NotFound):
            con.sql(text)

    def test_a_remote_model_is_asked_in_batches(self, con):
        Answers.requests.clear()
        text = """SELECT COUNT(*), SUM(total), COUNT(remote_model_status) FROM ML.PREDICT(MODEL ds.remote,
                    (SELECT CAST(x AS FLOAT64) AS x, 1.0 AS y FROM UNNEST(GENERATE_ARRAY(1, 20000)) AS x))"""
        assert rows(con, text) == [(20000, 20000 * 20001 / 2 + 20000, 0)]
        assert sum(Answers.requests) == 20000
        assert max(Answers.requests) <= 128
        assert len(Answers.requests) <= 170

    def test_the_columns_of_a_remote_model(self, con):
        text = "SELECT * FROM ML.PREDICT(MODEL ds.remote, (SELECT 'k' AS k, 1.0 AS x, 2.0 AS y))"
        assert names(con, text) == ["total", "remote_model_status", "k", "x", "y"]
        assert rows(con, text) == [(3.0, None, "k", 1.0, 2.0)]

    def test_an_endpoint_that_does_not_answer(self, con, endpoint):
        closed = endpoint.replace(endpoint.split(":")[2].split("/")[0], "1")
        con.sql(
            "CREATE MODEL ds.dead INPUT(x FLOAT64) OUTPUT(total FLOAT64) REMOTE WITH CONNECTION DEFAULT "
            f"OPTIONS(endpoint='{closed}', retries=FALSE)"
        )
        found = rows(
            con, "SELECT total, remote_model_status FROM ML.PREDICT(MODEL ds.dead, (SELECT 1.0 AS x))"
        )
        assert found[0][0] is None
        assert found[0][1]
        con.sql("DROP MODEL ds.dead")


ERRORS = {
    "SELECT * FROM ML.PREDICT(MODEL ds.columns, (SELECT a, b, c FROM ds.flowers))": (
        InvalidArgument,
        "Invalid table-valued function ML.PREDICT\n"
        "Column d is not found in the input data to the PREDICT function",
    ),
    "SELECT * FROM ML.PREDICT(MODEL ds.nothing, TABLE ds.flowers)": (
        NotFound,
        "Not found: Model local:ds.nothing at [1:32]",
    ),
    "SELECT * FROM ML.PREDICT(MODEL ds.columns, (SELECT DATE '2024-01-01' AS a, b, c, d FROM ds.flowers))": (
        InvalidArgument,
        "Invalid table-valued function ML.PREDICT",
    ),
    "SELECT * FROM ML.PREDICT(MODEL ds.classes, (SELECT 'x' AS a, b, c, d FROM ds.flowers))": (
        InvalidArgument,
        "Invalid table-valued function ML.PREDICT",
    ),
    "SELECT * FROM ML.PREDICT(MODEL ds.columns, (SELECT * REPLACE('x' AS b) FROM ds.flowers))": (
        InvalidArgument,
        "Column b has the value 'x', which cannot be FLOAT64; model local:ds.columns takes it as FLOAT64 at",
    ),
    "SELECT nope": (InvalidArgument, "Unrecognized name: nope at [1:8]"),
    "CREATE MODEL ds.columns OPTIONS(model_type='XGBOOST', model_path='FILES/other.json')": (
        AlreadyExists,
        "Already Exists: Model local:ds.columns",
    ),
    "CREATE TABLE ds.columns AS SELECT 1 AS a": (AlreadyExists, "Already Exists: Model local:ds.columns"),
    "CREATE MODEL ds.flowers OPTIONS(model_type='XGBOOST', model_path='FILES/other.json')": (
        AlreadyExists,
        "Already Exists: Table local:ds.flowers",
    ),
    "DROP MODEL ds.nothing": (NotFound, "Not found: Model local:ds.nothing"),
    "SELECT * FROM ML.PREDICT(MODEL ds.columns, TABLE ds.nothing)": (
        NotFound,
        "Not found: Table local:ds.nothing at [1:50]",
    ),
    "SELECT a, a FROM ds.flowers": (InvalidArgument, "Duplicate column names in the result"),
    "SELECT nothing FROM ds.flowers": (InvalidArgument, "Unrecognized name: nothing at [1:8]"),
    "SELECT kindd FROM ds.flowers": (
        InvalidArgument,
        "Unrecognized name: kindd; Did you mean kind? at [1:8]",
    ),
    "SELECT @x": (InvalidArgument, "Query parameter 'x' not found at [1:8]"),
    "SELECT @@project_id": (Unimplemented, "@@project_id: Trivet has no system variables at [1:8]"),
    "SELECT * FROM ds.flower": (NotFound, "Not found: Table local:ds.flower at [1:15]"),
    "SELECT * FROM ds.FLOWERS": (NotFound, "did you mean flowers?"),
    "SELECT * FROM flowers": (InvalidArgument, 'Table "flowers" must be qualified with a dataset'),
    "SELECT FROM WHERE": (InvalidArgument, "Syntax error: "),
    "DECLARE x INT64": (Unimplemented, "DECLARE"),
    "SELECT * FROM `ds.flowers_*`": (Unimplemented, "wildcard tables"),
    "SELECT * FROM ds.flowers FOR SYSTEM_TIME AS OF CURRENT_TIMESTAMP()": (Unimplemented, "FOR SYSTEM_TIME"),
}


@pytest.mark.parametrize("text", ERRORS)
def test_what_is_wrong_is_said(con, files, text):
    kind, said = ERRORS[text]
    with pytest.raises(kind) as raised:
        con.sql(text.replace("FILES", str(files)))
    assert said in str(raised.value)


def test_predictions_are_the_same_in_every_order_of_plans(con):
    text = "SELECT predicted_label FROM ML.PREDICT(MODEL ds.columns, TABLE ds.flowers) ORDER BY id"
    answers = [column(con, text) for _ in range(3)]
    assert all(one == two for one, two in pairwise(answers))
