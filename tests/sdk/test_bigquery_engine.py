"""`trivet sql --engine bigquery`: the statements of a user, sent by Google's client to what speaks its wire.

What answers is Trivet's own server, which takes no local files and none but BigQuery's model types here: what
it imports was put into the bucket and converted by the engine.
"""

import datetime
import json
import os
import subprocess
import sys
import threading
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from tests.sdk.tables import BUCKET
from trivet.core.errors import AlreadyExists, Cancelled, InvalidArgument, NotFound, ServingError
from trivet.runtimes.base import Permissions
from trivet.sql.real.engine import BigQueryEngine
from trivet.sql.types import Type, array

pytestmark = [
    pytest.mark.filterwarnings("ignore:BigQuery Storage module not found"),
    pytest.mark.filterwarnings("ignore:Retrieving DataFrames via google-cloud-bigquery"),
]


@pytest.fixture
def said():
    return []


@pytest.fixture
def engine(bigquery, dataset, tables, said):
    """Return an engine whose staging bucket is the folder that the server has for it."""
    return BigQueryEngine(
        bigquery.project,
        dataset="ds",
        staging=f"gs://{BUCKET}/staged",
        buckets={f"gs://{BUCKET}": str(tables.folder)},
        permissions=Permissions(pickle=True),
        say=said.append,
        client=bigquery,
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Return a folder with models that BigQuery could not read."""
    import joblib
    from sklearn.linear_model import LinearRegression
    from xgboost import XGBRegressor

    folder = tmp_path_factory.mktemp("models")
    rows = np.random.default_rng(0).random((200, 2))
    frame = pd.DataFrame(rows, columns=["a", "b"])
    joblib.dump(LinearRegression().fit(frame, 3 * rows[:, 0] - rows[:, 1]), folder / "line.joblib")
    XGBRegressor(n_estimators=20, n_jobs=1).fit(frame, 3 * rows[:, 0]).save_model(folder / "trees.ubj")
    return folder


def test_a_query_gives_rows_and_types(engine):
    result = engine.sql("SELECT 1 AS n, 'x' AS s, [1.5] AS a, STRUCT(TRUE AS b) AS r")
    assert result.kind == "SELECT"
    assert [(one.name, str(one.type)) for one in result.fields] == [
        ("n", "INT64"), ("s", "STRING"), ("a", "ARRAY<FLOAT64>"), ("r", "STRUCT<b BOOL>"),
    ]  # fmt: skip
    assert result.fetchall() == [(1, "x", [1.5], {"b": True})]
    table = engine.sql("SELECT * FROM UNNEST([3, 1, 2]) AS x ORDER BY x").arrow()
    assert table.column("x").to_pylist() == [1, 2, 3]


def test_parameters_of_all_kinds(engine):
    given = {
        "n": 1, "f": 1.5, "s": "x", "d": datetime.date(2024, 1, 2), "m": Decimal("1.25"), "a": [1, 2],
        "r": {"x": 1, "y": "z"}, "e": (array(Type("STRING")), []),
    }  # fmt: skip
    row = engine.sql("SELECT @n, @f, @s, @d, @m, @a, @r.y, ARRAY_LENGTH(@e)", given).fetchone()
    assert row == (1, 1.5, "x", datetime.date(2024, 1, 2), Decimal("1.25"), [1, 2], "z", 0)
    assert engine.sql("SELECT ? + ?", [1, 2]).fetchone() == (3,)


def test_statements_say_what_they_have_done(engine):
    made = engine.sql("CREATE TABLE t AS SELECT 1 AS id UNION ALL SELECT 2")
    assert made.kind == "CREATE_TABLE_AS_SELECT"
    assert (made.planned.operation, made.fetchall()) == ("CREATE", [])
    assert str(made.planned.target).endswith(":ds.t")
    changed = engine.sql("INSERT INTO t (id) VALUES (3)")
    assert (changed.kind, changed.rows_affected, changed.fields) == ("INSERT", 1, ())
    planned = engine.plan("SELECT id FROM t")
    assert [(one.name, str(one.type)) for one in planned.fields] == [("id", "INT64")]
    assert [one.name for one in planned.tables] == ["t"]


@pytest.mark.parametrize(
    ("type_", "file", "sent", "within"),
    [("SKLEARN", "line.joblib", "ONNX", 1e-5), ("XGBOOST", "trees.ubj", "XGBOOST", 1e-6)],
)
def test_a_local_model_is_imported_and_predicts(engine, said, files, type_, file, sent, within):
    import joblib
    import xgboost

    text = f"CREATE MODEL m OPTIONS(model_type='{type_}', model_path='{files / file}')"
    result = engine.sql(text)
    assert (result.kind, result.message) == ("CREATE_MODEL", "Successfully created model named m")
    assert [line.split(": ")[0] for line in said] == ["m"]
    assert [(name, kind) for name, kind, _ in engine.models()] == [("ds.m", sent)]
    notes = {name: note for name, _, note in engine.columns("m")}
    assert {name for name, note in notes.items() if note == "input"} == {"a", "b"}
    rows = pd.DataFrame({"a": [0.1, 0.5], "b": [0.9, 0.25]})
    found = engine.sql(
        "SELECT * FROM ML.PREDICT(MODEL m, (SELECT 0.1 AS a, 0.9 AS b UNION ALL SELECT 0.5, 0.25)) ORDER BY a"
    )
    if type_ == "SKLEARN":
        expected = joblib.load(files / file).predict(rows)
        assert [one.name for one in found.fields] == ["prediction", "a", "b"]
    else:
        expected = xgboost.Booster(model_file=files / file).predict(xgboost.DMatrix(rows))
    assert [row[0] for row in found.fetchall()] == pytest.approx(expected.tolist(), abs=within)


@pytest.mark.parametrize(
    ("text", "error", "expected"),
    [
        ("SELECT * FROM nothing", NotFound, "Not found: Table"),
        ("SELECT nothing FROM (SELECT 1 AS x)", InvalidArgument, r"Unrecognized name: nothing"),
        ("SELEC 1", InvalidArgument, "Syntax error"),
        (
            "CREATE TABLE t2 AS SELECT 1 AS x; CREATE TABLE t2 AS SELECT 1 AS x",
            AlreadyExists,
            "Already Exists",
        ),
    ],
)
def test_what_bigquery_says_is_raised_as_ours(engine, text, error, expected):
    with pytest.raises(error, match=expected) as raised:
        engine.sql(text)
    assert "POST http" not in str(raised.value)


def test_a_statement_is_cancelled(engine):
    long = (
        "SELECT count(*) AS n FROM UNNEST(GENERATE_ARRAY(1, 3000000)) a "
        "JOIN UNNEST(GENERATE_ARRAY(1, 3000000)) b ON a < b"
    )
    raised = []

    def run():
        try:
            engine.sql(long)
        except ServingError as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while engine._job is None:
        pass
    engine.interrupt()
    thread.join(30)
    assert [type(one) for one in raised] == [Cancelled]


def test_names_are_listed_and_found(engine):
    engine.sql("CREATE TABLE t (id INT64 NOT NULL, names ARRAY<STRING>)")
    assert ("ds.t", "TABLE", "") in engine.tables()
    assert [one[:2] for one in engine.columns("t")] == [("id", "INT64"), ("names", "ARRAY<STRING>")]
    with pytest.raises(NotFound):
        engine.columns("ds.nothing")
    with pytest.raises(NotFound):
        engine.use("nothing")
    engine.use("ds")
    assert repr(engine) == f"<BigQueryEngine {engine.project}:ds>"


def test_the_command_line_does_the_same(tables, dataset, bigquery, files, tmp_path):
    text = (
        f"CREATE OR REPLACE MODEL m OPTIONS(model_type='SKLEARN', model_path='{files / 'line.joblib'}'); "
        "SELECT ROUND(prediction, 3) AS y FROM ML.PREDICT(MODEL m, (SELECT 0.5 AS a, 0.25 AS b))"
    )
    options = [
        "--engine=bigquery", f"--project={bigquery.project}", "--dataset=ds", f"--staging=gs://{BUCKET}/cli",
        f"--data={tmp_path}", "--format=json", "--allow-pickle",
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "trivet", "sql", *options, text],
        env={
            **os.environ,
            "BIGQUERY_EMULATOR_HOST": tables.http,
            "TRIVET_STORAGE_BUCKETS": f"gs://{BUCKET}={tables.folder}",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [{"y": 1.25}]
    assert "m: SKLEARN written as ONNX; over 512 made-up rows, largest difference" in done.stderr
