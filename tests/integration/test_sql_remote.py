"""Remote models over real HTTP: requests, statuses, retries."""

import threading
from dataclasses import replace

import pytest

from tests.integration.endpoint import echo, error, pause, scripted
from tests.unit.sql.scopes import place
from trivet.core.errors import Cancelled, Internal, InvalidArgument, NotFound
from trivet.sql.model import Remote, SqlModel
from trivet.sql.names import ObjectName
from trivet.sql.types import FLOAT64, INT64, STRING, Field, array

ROWS = "(SELECT range AS x, CAST(range AS STRING) AS s FROM range({}))"


@pytest.fixture
def here():
    with place() as made:
        yield made


def create(here, server, *outputs, **remote):
    url = server if isinstance(server, str) else server.url
    both = Field("x", INT64), Field("s", STRING)
    name = ObjectName("p", "ds", "r")
    return here.add(SqlModel(name, "REMOTE", both, outputs or both, remote=Remote(url, **remote), etag=url))


def test_rows_are_objects_and_answers_columns(here):
    def script(instances, _):
        pause(0.02)
        return echo(instances)

    with scripted(script) as server:
        create(here, server)
        text = f"SELECT * FROM ML.PREDICT(MODEL ds.r, (SELECT *, x AS y FROM {ROWS.format(5000)})) ORDER BY y"
        assert here.names(text) == {
            "x": "BIGINT", "s": "VARCHAR", "remote_model_status": "VARCHAR", "y": "BIGINT",
        }  # fmt: skip
        assert here.run(text) == [(index, str(index), None, index) for index in range(5000)]
        assert sorted(map(len, server.asked))[-39:] == [128] * 39
        assert len(server.asked) == 40  # as many as 2,048 + 2,048 + 904 rows need
        assert server.asked[0][0].keys() == {"x", "s"}
        assert server.most > 1


def test_one_output_is_the_bare_value_or_an_object(here):
    for script in (
        lambda instances, _: (200, {"predictions": [[one["x"], 0.5] for one in instances]}),
        lambda instances, _: (200, {"predictions": [{"scores": [one["x"], 0.5]} for one in instances]}),
    ):
        with scripted(script) as server:
            create(here, server, Field("scores", array(FLOAT64)))
            assert here.run(f"SELECT scores FROM ML.PREDICT(MODEL ds.r, {ROWS.format(2)}) ORDER BY x") == [
                ([0.0, 0.5],), ([1.0, 0.5],),
            ]  # fmt: skip


def test_rows_may_be_sent_as_arrays(here):
    with scripted(lambda instances, _: (200, {"predictions": [one[1:] for one in instances]})) as server:
        model = create(here, server, Field("y", array(STRING)))
        here.add(replace(model, options={"instance_type": "array"}))
        rows = here.run("SELECT y FROM ML.PREDICT(MODEL ds.r, (SELECT 'a' AS s, 5 AS x))")
    assert server.asked == [[[5, "a"]]]
    assert rows == [(["a"],)]


def test_all_inputs_are_needed(here):
    create(here, "http://127.0.0.1:9/x")
    with pytest.raises(
        InvalidArgument, match="Column s is not found in the input data to the PREDICT function"
    ):
        here.run("SELECT * FROM ML.PREDICT(MODEL ds.r, (SELECT 1 AS x))")


def test_an_endpoint_that_is_away_is_in_the_status(here):
    create(here, "http://127.0.0.1:9/v1/models/m", retries=False)
    rows = here.run(f"SELECT * FROM ML.PREDICT(MODEL ds.r, {ROWS.format(300)})")
    assert len(rows) == 300
    assert {row[:2] for row in rows} == {(None, None)}
    (status,) = {row[2] for row in rows}
    assert status.startswith(
        "A retryable error occurred: UNAVAILABLE error from remote service/endpoint. no answer from "
        "http://127.0.0.1:9/v1/models/m: "
    )


def test_rows_that_were_answered_stay_where_others_were_not(here):
    def script(instances, _):
        return error(429, "quota") if any(one["x"] >= 128 for one in instances) else echo(instances)

    with scripted(script) as server:
        create(here, server, retries=False)
        rows = here.run(f"SELECT * FROM ML.PREDICT(MODEL ds.r, {ROWS.format(256)})")
    told = "A retryable error occurred: RESOURCE_EXHAUSTED error from remote service/endpoint. quota"
    failed = [row for row in rows if row[2]]
    assert {row[2][: len(told)] for row in failed} == {told}
    assert all(row[2] is None and row[1] == str(row[0]) for row in rows if row not in failed)
    assert len(rows) == 256
    assert len(failed) >= 128


def test_a_server_that_is_full_for_a_moment_is_asked_again(here):
    lock, refused = threading.Lock(), []

    def script(instances, _):
        with lock:
            if len(refused) < 3:
                refused.append(1)
                return error(429, "busy")
        return echo(instances)

    with scripted(script) as server:
        create(here, server)
        assert len(here.run(f"SELECT x FROM ML.PREDICT(MODEL ds.r, {ROWS.format(1000)}) "
                            "WHERE remote_model_status IS NULL")) == 1000  # fmt: skip


def test_what_is_wrong_with_a_row_fails_the_statement_unless_that_is_safe(here):
    def script(instances, _):
        return error(400, "x is 77") if any(one["x"] == 77 for one in instances) else echo(instances)

    with scripted(script) as server:
        create(here, server)
        statement = "SELECT * FROM {}ML.PREDICT(MODEL ds.r, " + ROWS.format(200) + ") ORDER BY x NULLS FIRST"
        with pytest.raises(InvalidArgument) as raised:
            here.run(statement.format(""))
        assert str(raised.value) == "Invalid table-valued function ML.PREDICT\nModel p:ds.r: x is 77"
        rows = here.run(statement.format("SAFE."))
        assert rows[0] == (None, None, "INVALID_ARGUMENT: x is 77")
        assert [row[0] for row in rows[1:]] == [index for index in range(200) if index != 77]


@pytest.mark.parametrize(
    ("script", "kind", "message"),
    [
        (lambda *_: error(404, "no such endpoint"), NotFound, "no such endpoint"),
        (lambda *_: (200, {"predictions": [1, 2, 3]}), Internal, "gave 3 predictions for 1 instances"),
        (lambda instances, _: (200, {"predictions": ["x"] * len(instances)}), Internal,
         "the model gave a str; expected an object of x, s"),
    ],
)  # fmt: skip
def test_what_concerns_all_rows_fails_the_statement(here, script, kind, message):
    with scripted(script) as server:
        create(here, server)
        with pytest.raises(kind, match=rf"Model p:ds\.r: .*{message}"):
            here.run(f"SELECT * FROM ML.PREDICT(MODEL ds.r, {ROWS.format(4)})")


def test_several_threads_share_what_the_server_takes(here):
    here.connection.execute("SET threads = 4")
    here.connection.execute(
        "CREATE TABLE t AS SELECT range AS x, CAST(range AS VARCHAR) AS s FROM range(250000)"
    )
    with scripted(echo) as server:
        create(here, server, rows=4096)
        rows = here.run(
            "SELECT COUNT(*), SUM(x), COUNT(DISTINCT s), COUNT(remote_model_status) "
            "FROM ML.PREDICT(MODEL ds.r, TABLE t)"
        )
        assert rows == [(250000, 250000 * 249999 // 2, 250000, 0)]
        assert server.most <= 16


def test_an_interrupted_statement_waits_for_no_answer(here):
    asked = threading.Event()

    def script(instances, _):
        asked.set()
        return "silent"

    with scripted(script) as server:
        create(here, server)
        failed = []

        def run():
            try:
                here.run(f"SELECT * FROM ML.PREDICT(MODEL ds.r, {ROWS.format(4)})")
            except Cancelled as error:
                failed.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        asked.wait(10)
        here.functions.interrupt(here.used)
        thread.join(5)
        assert not thread.is_alive()
        assert "is not asked any more" in str(failed[0])
