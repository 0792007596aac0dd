"""Models that crash or never end, many at once, and processes that are killed."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter

import numpy as np
import pytest
import xgboost

import trivet.sql
from tests.integration.server import STARTS_WITHIN
from tests.integration.test_processes import until
from trivet import config
from trivet.app.sql import open_database
from trivet.core.errors import Aborted, Cancelled, NotFound, Unavailable

MODEL = """
import ctypes, subprocess

class Predictor:
    example = {"a": 1.0}

    def predict(self, instances):
        if any(one["a"] == 13 for one in instances):
            BAD
        return [one["a"] * 2 for one in instances]
"""
LOADS_FOR_EVER = "while True: pass"
SLEEPS = 271.5  # no other process does
CREATE = (
    "CREATE MODEL ds.{0} INPUT(a FLOAT64) OUTPUT(b FLOAT64) OPTIONS(model_type='PYTHON', model_path='{1}')"
)
ASK = "SELECT b FROM ML.PREDICT(MODEL ds.{0}, (SELECT {1} AS a))"


@pytest.fixture
def here(tmp_path):
    with trivet.sql.connect(data=tmp_path / "data", dataset="ds") as connection:
        connection.sql("CREATE SCHEMA ds")
        yield connection


class TestModels:
    def made(self, connection, folder, bad, name="m"):
        (folder / name).mkdir()
        (folder / name / "predictor.py").write_text(MODEL.replace("BAD", bad))
        connection.sql(CREATE.format(name, folder / name))

    @pytest.mark.parametrize(
        ("bad", "said"),
        [
            ("ctypes.string_at(0)", "m@1: its process was ended by SIGSEGV"),
            ("__import__('os')._exit(7)", "m@1: its process ended with status 7"),
            ("__import__('os').closerange(3, 100)", "m@1: its process ended with status 1"),
            ("__import__('os').kill(__import__('os').getpid(), 9)", "SIGKILL .was there too little memory"),
        ],
    )
    def test_one_that_crashes_is_named_and_the_next_statement_works(self, here, tmp_path, bad, said):
        self.made(here, tmp_path, bad)
        for text in (ASK, ASK.replace("ML.", "SAFE.ML.")):
            with pytest.raises(Unavailable, match=said):
                here.sql(text.format("m", 13.0)).fetchall()
            assert here.sql(ASK.format("m", 2.0)).fetchall() == [(4.0,)]

    @pytest.mark.parametrize(
        "bad",
        ["while True: pass", "ctypes.PyDLL(None).sleep(300)", f"subprocess.run(['sleep', '{SLEEPS}'])"],
        ids=["python", "native", "child"],
    )
    def test_one_that_never_answers_is_broken_off_within_a_second(self, here, tmp_path, bad):
        self.made(here, tmp_path, bad)
        assert here.sql(ASK.format("m", 1.0)).fetchall() == [(2.0,)]
        took = broken_off(here, ASK.format("m", 13.0))
        assert took < 1
        assert here.sql(ASK.format("m", 1.0)).fetchall() == [(2.0,)]
        assert not running(f"sleep\0{SLEEPS}")

    def test_one_that_never_loads_is_broken_off_too(self, here, tmp_path):
        (tmp_path / "m").mkdir()
        (tmp_path / "m/predictor.py").write_text(LOADS_FOR_EVER)
        assert broken_off(here, CREATE.format("m", tmp_path / "m")) < 1
        with pytest.raises(NotFound):
            here.sql(ASK.format("m", 1.0))

    @pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
    @pytest.mark.parametrize(
        "bad",
        ["while True: pass", "ctypes.PyDLL(None).sleep(300)", f"subprocess.run(['sleep', '{SLEEPS}'])"],
        ids=["python", "native", "child"],
    )
    def test_nobody_is_left_where_the_one_that_asks_is_killed(self, tmp_path, bad):
        with trivet.sql.connect(data=tmp_path / "data", dataset="ds") as connection:
            self.made(connection, tmp_path, bad)
        code = (
            "import sys, trivet.sql\nc = trivet.sql.connect(data=sys.argv[1], dataset='ds')\n"
            "print('asks', c.sql(sys.argv[3]).fetchall(), flush=True)\nc.sql(sys.argv[2]).fetchall()"
        )
        asks = (ASK.format("m", 13.0), ASK.format("m", 1.0))
        command = [sys.executable, "-c", code, str(tmp_path / "data"), *asks]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout.readline()
            try:
                (child,) = until(lambda: children(process.pid))
            finally:
                process.kill()
        until(lambda: not alive(child))
        until(lambda: not running(f"sleep\0{SLEEPS}"))


def broken_off(connection, text):
    """Run a statement that never ends, and break it off; returns how many seconds that took."""
    asked = []

    def interrupt():
        asked.append(time.monotonic())
        connection.interrupt()

    timer = threading.Timer(1.5, interrupt)
    timer.start()
    with pytest.raises(Cancelled):
        connection.sql(text).fetchall()
    return time.monotonic() - asked[0]


def children(number):
    found = subprocess.run(["pgrep", "-P", str(number)], check=False, capture_output=True, text=True)
    return [int(one) for one in found.stdout.split()]


def alive(number):
    try:
        with open(f"/proc/{number}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def running(command):
    found = []
    for one in filter(str.isdigit, os.listdir("/proc") if sys.platform == "linux" else ()):
        try:
            with open(f"/proc/{one}/cmdline") as file:
                found += [one] if file.read().startswith(command) else []
        except OSError:
            continue
    return found


@pytest.fixture
def constants(tmp_path):
    """The folders of models that answer 1 and 2, whatever they are asked."""
    rows = np.arange(4, dtype=np.float32).reshape(-1, 1)
    for number in (1, 2):
        (tmp_path / f"m{number}").mkdir()
        labelled = xgboost.DMatrix(rows, np.full(4, number), feature_names=["a"])
        booster = xgboost.train({"base_score": float(number), "max_depth": 1}, labelled, 1)
        booster.save_model(tmp_path / f"m{number}/model.ubj")
    return "OPTIONS(model_type='XGBOOST', model_path='" + str(tmp_path) + "/m{}')"


def test_another_model_of_the_same_name_is_another(here, constants):
    drops = ("DROP MODEL ds.m", "DROP SCHEMA ds CASCADE")
    for number, drop in enumerate((*drops, *drops)):
        here.sql(f"CREATE MODEL ds.m {constants.format(number % 2 + 1)}")
        ((label,),) = here.sql(
            "SELECT predicted_label FROM ML.PREDICT(MODEL ds.m, (SELECT 1.0 AS a))"
        ).fetchall()
        assert label == pytest.approx(number % 2 + 1)
        here.sql(drop)


def test_models_that_come_and_go_leave_nothing(here, constants):
    for number in range(12):
        here.sql(f"CREATE MODEL ds.m{number} {constants.format(1)}")
        here.sql(f"SELECT predicted_label FROM ML.PREDICT(MODEL ds.m{number}, (SELECT 1.0 AS a))").fetchall()
        here.sql(f"DROP MODEL ds.m{number}")
    assert repr(here.database.functions) == "<Functions 0 made>"


def test_plans_are_kept_within_bounds(here):
    here.sql(f"SELECT '{'x' * 50_000}' AS a").fetchall()
    assert not here.database.plans
    for number in range(1_100):
        here.sql(f"SELECT {number} AS a").fetchall()
    assert len(here.database.plans) <= 1_000


def steps(own, constants):
    """Yield statements, with what their first row must be."""
    predict = (
        "SELECT COUNT(*), MIN(predicted_label), MAX(predicted_label) FROM ML.PREDICT(MODEL {0}, TABLE ds.t)"
    )
    yield predict.format("ds.m"), lambda row: row[0] == 5000 and row[1] == row[2]
    yield f"CREATE OR REPLACE MODEL ds.m {constants.format(own % 2 + 1)}", None
    yield predict.format("ds.m"), lambda row: row[0] == 5000 and row[1] == row[2]
    yield f"CREATE OR REPLACE MODEL ds.own{own} {constants.format(2)}", None
    yield predict.format(f"ds.own{own}"), lambda row: row[1] == row[2] == pytest.approx(2)
    yield f"DROP MODEL ds.own{own}", None
    yield f"CREATE OR REPLACE TABLE ds.x AS SELECT {own} AS a, {own} AS b", None
    yield "SELECT COUNTIF(a != b) FROM ds.x", lambda row: row[0] == 0
    yield "UPDATE ds.n SET n = n + 1 WHERE TRUE", None


def test_many_at_once_have_right_answers_or_are_told_to_try_again(tmp_path, constants):
    """Each thread has a connection; one model is replaced while all ask it."""
    wrong, failed, done = [], [], Counter()
    settings = config.load({"catalog.data": str(tmp_path / "data")})
    with open_database(settings, tmp_path / "data") as database:
        with database.connect() as connection:
            connection.sql("CREATE SCHEMA ds; CREATE TABLE ds.n AS SELECT 0 AS n")
            connection.sql("CREATE TABLE ds.t AS SELECT x * 1.0 AS a FROM UNNEST(GENERATE_ARRAY(1, 5000)) x")
            connection.sql(f"CREATE MODEL ds.m {constants.format(1)}")
        until = time.monotonic() + 6

        def work(own):
            with database.connect() as connection:
                while time.monotonic() < until:
                    for text, right in steps(own, constants):
                        try:
                            rows = connection.sql(text).fetchall()
                        except (Aborted, NotFound) as error:
                            failed.append(error)
                            continue
                        except Exception as error:  # noqa: BLE001 - none of them may be raised
                            wrong.append((text, error))
                            continue
                        done[text[:6]] += 1
                        if right is not None and not right(rows[0]):
                            wrong.append((text, rows))

        threads = [threading.Thread(target=work, args=(own,)) for own in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(STARTS_WITHIN)
        assert not any(thread.is_alive() for thread in threads)
        assert not wrong
        with database.connect() as connection:
            assert connection.sql("SELECT n FROM ds.n").fetchall() == [(done["UPDATE"],)]
    assert all("again" in str(error) for error in failed if isinstance(error, Aborted))


STATEMENTS = """
import sys, trivet.sql
c = trivet.sql.connect(data=sys.argv[1], dataset="ds")
print("begins", flush=True)
while True:
    c.sql("CREATE OR REPLACE TABLE ds.a OPTIONS(description='x') AS "
          "SELECT x FROM UNNEST(GENERATE_ARRAY(1, 200000)) x")
    c.sql("INSERT INTO ds.a (x) SELECT x + 200000 FROM ds.a")
    c.sql("MERGE ds.a t USING (SELECT x FROM UNNEST(GENERATE_ARRAY(100000, 500000)) x) s ON t.x = s.x "
          "WHEN MATCHED THEN UPDATE SET x = s.x WHEN NOT MATCHED THEN INSERT (x) VALUES (s.x)")
    c.sql("CREATE SCHEMA IF NOT EXISTS other")
    for k in range(3):
        c.sql(f"CREATE OR REPLACE TABLE other.t{k} AS SELECT {k} AS a")
        c.sql(f"CREATE OR REPLACE VIEW other.v{k} AS SELECT a FROM other.t{k}")
    c.sql(f"CREATE OR REPLACE MODEL other.m {sys.argv[2]}")
    c.sql("DROP SCHEMA other CASCADE")
"""


def test_a_process_that_is_killed_leaves_whole_tables(tmp_path, constants):
    with trivet.sql.connect(data=tmp_path / "data", dataset="ds") as connection:
        connection.sql("CREATE SCHEMA ds")
    for after in (0.1, 0.4, 0.8, 1.2):
        command = [sys.executable, "-c", STATEMENTS, str(tmp_path / "data"), constants.format(1)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout.readline()
            signal.sigtimedwait([], after)
            process.kill()
        with trivet.sql.connect(data=tmp_path / "data", dataset="ds") as connection:
            check_whole(connection)
            for text in (
                "DROP SCHEMA IF EXISTS other CASCADE",
                "CREATE SCHEMA other",
                f"CREATE MODEL other.m {constants.format(1)}",
                "DROP SCHEMA other CASCADE",
            ):
                connection.sql(text)


def check_whole(connection):
    store = connection.store
    names = {(one.name.dataset, "") for one in store.datasets("local")}
    for dataset in store.datasets("local"):
        for table in store.tables(dataset.name):
            names.add((dataset.name.dataset, table.name.name))
            text = f"SELECT COUNT(*) FROM {dataset.name.dataset}.{table.name.name}"
            ((rows,),) = connection.sql(text).fetchall()
            if table.name.name == "a":
                assert rows in (200_000, 400_000, 500_000)
                assert store.table(table.name).document == {"description": "x"}
        for model in connection.database.models.list(dataset.name):
            connection.sql(
                f"SELECT * FROM ML.PREDICT(MODEL {model.name.dataset}.{model.name.name}, (SELECT 1.0 AS a))"
            ).fetchall()
    kept = connection.cursor.execute('SELECT dataset, name FROM "local"."__trivet".objects').fetchall()
    assert set(kept) <= names
