"""ML.PREDICT over an application, from the folder of it and as a registered model."""

import json
import os
import threading

import pytest

import trivet.sql
from tests.integration.plane import PARENT, Plane
from tests.integration.processes import family
from tests.integration.server import up
from tests.integration.test_batch_cli import ended
from tests.integration.test_container_life import MOODY
from tests.integration.test_processes import until
from trivet.core.errors import Cancelled, FailedPrecondition, Internal, InvalidArgument

COLUMNS = "INPUT(a FLOAT64) OUTPUT(a FLOAT64)"
CREATE = f"CREATE MODEL ds.moody {COLUMNS} OPTIONS(model_type='CONTAINER', model_path='{{}}')"
ROWS = "SELECT COUNT(*), SUM(a) FROM ML.PREDICT(MODEL ds.moody, ({}))"
ASK = "SELECT * FROM ML.PREDICT(MODEL ds.moody, (SELECT {} AS a))"


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIVET_CONTAINERS_ENGINE", "process")
        patch.setenv("TRIVET_CONTAINERS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def here(tmp_path, engine):
    with trivet.sql.connect(data=tmp_path / "data", dataset="ds") as connection:
        connection.sql("CREATE SCHEMA ds")
        yield connection


@pytest.fixture
def moody(here):
    here.sql(CREATE.format(MOODY))
    return here


def applications():
    return [pid for pid in family(os.getpid()) if command(pid) == "python\0app.py\0"]


def command(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().decode()
    except OSError:
        return ""


def test_rows_are_objects_by_the_names_of_their_columns(moody):
    assert moody.sql(ASK.format("1.5")).fetchall() == [(1.5,)]
    many = ROWS.format("SELECT a FROM UNNEST(GENERATE_ARRAY(1, 5000)) AS a")
    assert moody.sql(many).fetchall() == [(5000, 12502500.0)]


def test_one_application_is_started_and_it_ends_with_the_connection(tmp_path, engine):
    with trivet.sql.connect(data=tmp_path / "data", dataset="ds") as connection:
        connection.sql("CREATE SCHEMA ds")
        connection.sql(CREATE.format(MOODY))
        for value in range(3):
            connection.sql(ASK.format(float(value))).fetchall()
        (pid,) = applications()
    until(ended([pid]))


def doubling(folder, does):
    """Write an application that doubles `a`; `does` is done first, for a `value` of 13."""
    folder.mkdir()
    (folder / "Procfile").write_text("web: python app.py\n")
    text = (MOODY / "app.py").read_text()
    reads = '        asked = body["instances"]\n'
    assert reads in text
    unlucky = f"        for value in (one['a'] for one in asked if one['a'] == 13):\n            {does}\n"
    doubles = "        asked = [{'a': one['a'] * 2} for one in asked]\n"
    (folder / "app.py").write_text(text.replace(reads, reads + unlucky + doubles))
    return folder


def test_what_the_container_says_is_told(here, tmp_path):
    here.sql(CREATE.format(doubling(tmp_path / "app", "return self.answer(422, {'why': 'unlucky'})")))
    for _ in range(2):
        with pytest.raises(InvalidArgument, match=r"the container answered 422: .*unlucky"):
            here.sql(ASK.format("13.0")).fetchall()
        assert here.sql(ASK.format("2.0")).fetchall() == [(4.0,)]


def test_one_that_crashes_is_told_and_the_next_statement_works(here, tmp_path):
    here.sql(CREATE.format(doubling(tmp_path / "app", "os._exit(9)")))
    with pytest.raises(Internal, match="the container ended with 9"):
        here.sql(ASK.format("13.0")).fetchall()
    assert here.sql(ASK.format("2.0")).fetchall() == [(4.0,)]


def test_one_that_never_answers_can_be_interrupted(here, tmp_path):
    here.sql(CREATE.format(doubling(tmp_path / "app", "time.sleep(1000)")))
    assert here.sql(ASK.format("2.0")).fetchall() == [(4.0,)]
    pids = applications()
    threading.Timer(0.5, here.interrupt).start()
    with pytest.raises(Cancelled):
        here.sql(ASK.format("13.0")).fetchall()
    until(ended(pids))
    assert here.sql(ASK.format("2.0")).fetchall() == [(4.0,)]


def test_one_that_does_not_start_is_told(here, tmp_path):
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "Procfile").write_text("web: python app.py\n")
    (tmp_path / "app" / "app.py").write_text("raise SystemExit('there is no model')\n")
    with pytest.raises(FailedPrecondition, match="before it was ready; its last lines:\nthere is no model"):
        here.sql(CREATE.format(tmp_path / "app"))


def test_a_registered_model_is_asked_at_its_own_routes(tmp_path, engine):
    with up(tmp_path / "data", TRIVET_CATALOG_PROJECT="p") as server:
        server.client.timeout = 60
        plane = Plane(server.client)
        container = {"imageUri": str(MOODY), "env": [{"name": "SHOW", "value": "requests"}]}
        model = {"displayName": "moody", "containerSpec": container}
        plane.done(plane.post("models:upload", {"model": model, "modelId": "moody"}))
        assert PARENT.endswith("locations/us-central1")
        with trivet.sql.connect(data=tmp_path / "data", project="p", dataset="ds") as connection:
            connection.sql("CREATE SCHEMA ds")
            connection.sql("CREATE MODEL ds.moody OPTIONS(model='moody')")
            rows = "SELECT a FROM UNNEST([1.0, 2.0]) AS a"
            ask = f"SELECT * FROM ML.PREDICT(MODEL ds.moody, ({rows}))"
            answers = connection.sql(ask).fetchall()
            assert [(json.loads(text)["rows"], a) for text, a in answers] == [(2, 1.0), (2, 2.0)]
        assert server.stop() == 0


def test_a_statement_gives_a_registered_model_arrays(tmp_path, engine):
    with up(tmp_path / "data", TRIVET_CATALOG_PROJECT="p") as server:
        server.client.timeout = 60
        plane = Plane(server.client)
        model = {"displayName": "echo", "containerSpec": {"imageUri": str(MOODY)}}
        plane.done(plane.post("models:upload", {"model": model, "modelId": "echo"}))
        with trivet.sql.connect(data=tmp_path / "data", project="p") as connection:
            ask = "SELECT prediction FROM ML.PREDICT(MODEL `echo@1`, (SELECT 1.5 AS a, 'x' AS b){})"
            arrays, objects = '[1.5,"x"]', '{"a":1.5,"b":"x"}'
            for option, expected in (("array", arrays), ("object", objects), ("array", arrays)):
                asked = ask.format(f", STRUCT('{option}' AS instance_type)")
                assert connection.sql(asked).fetchall() == [(expected,)]
            assert connection.sql(ask.format("")).fetchall() == [(objects,)]
        assert server.stop() == 0
