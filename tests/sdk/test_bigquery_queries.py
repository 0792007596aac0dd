"""Queries as users of google-cloud-bigquery run them."""

import datetime
import time
from decimal import Decimal

import pytest
from google.api_core import exceptions
from google.cloud.bigquery import (
    ArrayQueryParameter,
    DatasetReference,
    QueryJobConfig,
    ScalarQueryParameter,
    StructQueryParameter,
    StructQueryParameterType,
)
from google.cloud.bigquery.enums import JobCreationMode
from google.cloud.bigquery.query import ScalarQueryParameterType

pytestmark = [
    pytest.mark.filterwarnings("ignore:BigQuery Storage module not found"),
    pytest.mark.filterwarnings("ignore:Retrieving DataFrames via google-cloud-bigquery"),
]

LONG = (
    "SELECT count(*) AS n FROM UNNEST(GENERATE_ARRAY(1, 3000000)) a "
    "JOIN UNNEST(GENERATE_ARRAY(1, 3000000)) b ON a < b"
)
"""Takes longer than anybody waits."""


def rows(job):
    return [dict(row) for row in job.result(retry=None)]


def test_a_query_gives_rows(bigquery):
    job = bigquery.query("SELECT x, x * 2 AS twice FROM UNNEST([1, 2, 3]) AS x ORDER BY x")
    assert rows(job) == [{"x": 1, "twice": 2}, {"x": 2, "twice": 4}, {"x": 3, "twice": 6}]
    assert (job.state, job.statement_type, job.error_result) == ("DONE", "SELECT", None)
    assert job.created <= job.started <= job.ended
    assert job.cache_hit is False
    assert [field.name for field in job.result().schema] == ["x", "twice"]


def test_a_query_waits_in_one_call(bigquery):
    found = bigquery.query_and_wait("SELECT 1 AS a")
    assert [tuple(row) for row in found] == [(1,)]
    assert found.total_rows == 1
    job = bigquery.query("SELECT 2 AS a", api_method="QUERY")
    assert rows(job) == [{"a": 2}]
    bigquery.default_job_creation_mode = JobCreationMode.JOB_CREATION_OPTIONAL
    assert [tuple(row) for row in bigquery.query_and_wait("SELECT 3 AS a")] == [(3,)]


def test_columns_without_names_have_bigquerys(bigquery):
    assert rows(bigquery.query("SELECT 1, 'a'")) == [{"f0_": 1, "f1_": "a"}]


def test_rows_become_data_frames_and_arrow(bigquery):
    text = (
        "SELECT x AS i, CAST(x AS FLOAT64) / 2 AS f, CONCAT('s', CAST(x AS STRING)) AS s, x > 1 AS b "
        "FROM UNNEST([1, 2]) x ORDER BY x"
    )
    frame = bigquery.query(text).to_dataframe()
    assert frame.to_dict("list") == {"i": [1, 2], "f": [0.5, 1.0], "s": ["s1", "s2"], "b": [False, True]}
    assert str(frame.dtypes["i"]) == "Int64"
    table = bigquery.query(text).to_arrow()
    assert table.to_pydict() == frame.to_dict("list")
    assert [str(field.type) for field in table.schema] == ["int64", "double", "string", "bool"]


def test_rows_come_page_by_page(bigquery):
    def query():  # anew, since a job keeps the first page that it has seen
        return bigquery.query("SELECT x FROM UNNEST(GENERATE_ARRAY(1, 250)) AS x ORDER BY x")

    pages = [[row["x"] for row in page] for page in query().result(page_size=100).pages]
    assert [len(page) for page in pages] == [100, 100, 50]
    assert [x for page in pages for x in page] == list(range(1, 251))
    assert [row["x"] for row in query().result(start_index=240)] == list(range(241, 251))
    assert [row["x"] for row in query().result(max_results=3)] == [1, 2, 3]
    cut = query().result(page_size=7, max_results=20, start_index=5)
    assert [row["x"] for row in cut] == list(range(6, 26))


def test_many_rows_are_kept_in_a_file(bigquery, tables):
    count = 300_000
    job = bigquery.query(
        "SELECT x, CONCAT('a text of some length ', CAST(x AS STRING)) AS s "
        f"FROM UNNEST(GENERATE_ARRAY(1, {count})) AS x"
    )
    frame = job.to_dataframe()
    assert len(frame) == count
    assert frame["x"].sum() == count * (count + 1) // 2
    assert list((tables.data / "sql" / "results").glob(f"*{job.job_id}*"))
    again = bigquery.list_rows(job.destination, start_index=count - 2)
    assert [row["x"] for row in again] == [count - 1, count]


def test_the_hidden_table_of_a_query_can_be_listed(bigquery):
    job = bigquery.query("SELECT 1 AS a, 'x' AS b")
    job.result()
    table = bigquery.get_table(job.destination)
    assert [field.name for field in table.schema] == ["a", "b"]
    assert table.num_rows == 1
    assert [tuple(row) for row in bigquery.list_rows(table)] == [(1, "x")]


def test_rows_go_to_a_table_that_is_named(bigquery, dataset):
    target = f"{bigquery.project}.ds.target"

    def run(text, write=None):
        config = QueryJobConfig(destination=target, write_disposition=write)
        return rows(bigquery.query(text, job_config=config))

    assert run("SELECT 1 AS a") == [{"a": 1}]
    with pytest.raises(exceptions.Conflict, match="Already Exists"):
        run("SELECT 2 AS a")
    run("SELECT 2 AS a", "WRITE_APPEND")
    assert sorted(row["a"] for row in bigquery.list_rows(target)) == [1, 2]
    assert run("SELECT 'other' AS b", "WRITE_TRUNCATE") == [{"b": "other"}]
    assert [field.name for field in bigquery.get_table(target).schema] == ["b"]


def test_parameters_have_names_or_places(bigquery):
    config = QueryJobConfig(
        query_parameters=[
            ScalarQueryParameter("n", "INT64", 7),
            ScalarQueryParameter("s", "STRING", "it's"),
            ArrayQueryParameter("many", "STRING", ["a", "b"]),
            StructQueryParameter(
                "both", ScalarQueryParameter("x", "FLOAT64", 1.5), ScalarQueryParameter("y", "BOOL", True)
            ),
        ]
    )
    text = "SELECT @n AS n, @s AS s, ARRAY_LENGTH(@many) AS many, @both.x AS x, @both.y AS y"
    assert rows(bigquery.query(text, job_config=config)) == [
        {"n": 7, "s": "it's", "many": 2, "x": 1.5, "y": True}
    ]
    config = QueryJobConfig(
        query_parameters=[ScalarQueryParameter(None, "INT64", 7), ScalarQueryParameter(None, "STRING", "x")]
    )
    assert rows(bigquery.query("SELECT ? AS a, ? AS b", job_config=config)) == [{"a": 7, "b": "x"}]


MOMENT = datetime.datetime(2024, 2, 29, 12, 30, 15, 123456)
PARAMETERS = [
    ("INT64", -(2**63)),
    ("FLOAT64", 0.1),
    ("NUMERIC", Decimal("12345678901234567890.123456789")),
    ("BIGNUMERIC", Decimal("0.000000000000000001")),
    ("BOOL", False),
    ("STRING", 'quote " and \\ and ümlaut \n'),
    ("BYTES", b"\x00\xff"),
    ("DATE", MOMENT.date()),
    ("TIME", MOMENT.time()),
    ("DATETIME", MOMENT),
    ("TIMESTAMP", MOMENT.replace(tzinfo=datetime.UTC)),
    ("JSON", {"a": [1, None, "x"]}),
]


@pytest.mark.parametrize(("type_", "value"), PARAMETERS, ids=[name for name, _ in PARAMETERS])
def test_a_parameter_of_each_type_comes_back(bigquery, type_, value):
    config = QueryJobConfig(
        query_parameters=[
            ScalarQueryParameter("v", type_, value),
            ScalarQueryParameter("none", type_, None),
            *([] if type_ == "JSON" else [ArrayQueryParameter("many", type_, [value, value])]),
        ]
    )
    many = "[]" if type_ == "JSON" else "@many"
    [row] = rows(bigquery.query(f"SELECT @v AS v, @none AS none, {many} AS many", job_config=config))
    assert (row["v"], row["none"]) == (value, None)
    assert row["many"] == ([] if type_ == "JSON" else [value, value])


def test_an_array_of_structs_is_a_parameter(bigquery):
    pair = StructQueryParameterType(
        ScalarQueryParameterType("STRING", name="label"), ScalarQueryParameterType("FLOAT64", name="p")
    )
    values = [
        StructQueryParameter(
            None, ScalarQueryParameter("label", "STRING", one), ScalarQueryParameter("p", "FLOAT64", p)
        )
        for one, p in (("a", 0.75), ("b", 0.25))
    ]
    for given, expected in ((values, [("a", 0.75), ("b", 0.25)]), ([], [])):
        config = QueryJobConfig(query_parameters=[ArrayQueryParameter("pairs", pair, given)])
        found = rows(bigquery.query("SELECT label, p FROM UNNEST(@pairs) ORDER BY label", job_config=config))
        assert [(row["label"], row["p"]) for row in found] == expected


def test_a_wrong_parameter_is_refused_by_name(bigquery):
    config = QueryJobConfig(query_parameters=[ScalarQueryParameter("n", "INT64", "seven")])
    with pytest.raises(exceptions.BadRequest, match=r"'n'.*INT64.*seven"):
        bigquery.query("SELECT @n", job_config=config)


def test_a_dry_run_tells_the_columns_and_does_nothing(bigquery, dataset):
    job = bigquery.query("CREATE TABLE t AS SELECT 1 AS a, 'x' AS b", job_config=QueryJobConfig(dry_run=True))
    assert (job.state, job.statement_type) == ("DONE", "CREATE_TABLE_AS_SELECT")
    assert list(bigquery.list_tables("ds")) == []
    job = bigquery.query("SELECT 1 AS a, [2.5] AS b", job_config=QueryJobConfig(dry_run=True))
    assert job.total_bytes_processed == 0
    assert [(one.name, one.field_type, one.mode) for one in job.schema] == [
        ("a", "INTEGER", "NULLABLE"),
        ("b", "FLOAT", "REPEATED"),
    ]
    with pytest.raises(exceptions.BadRequest, match=r"Unrecognized name: nope at \[1:8\]"):
        bigquery.query("SELECT nope FROM (SELECT 1 AS a)", job_config=QueryJobConfig(dry_run=True))


def test_the_default_dataset_is_where_plain_names_are(bigquery):
    for name in ("one", "two"):
        bigquery.create_dataset(name)
        bigquery.query(f"CREATE TABLE {name}.t AS SELECT '{name}' AS name").result()
    for name in ("one", "two"):
        config = QueryJobConfig(default_dataset=DatasetReference(bigquery.project, name))
        assert rows(bigquery.query("SELECT * FROM t", job_config=config)) == [{"name": name}]


def test_statements_say_what_they_were(bigquery, dataset):
    def run(text):
        job = bigquery.query(text)
        job.result(retry=None)
        return job

    made = run("CREATE TABLE t (a INT64, s STRING)")
    assert (made.statement_type, made.ddl_operation_performed) == ("CREATE_TABLE", "CREATE")
    assert str(made.ddl_target_table) == f"{bigquery.project}.ds.t"
    assert list(made.result()) == []
    put = run("INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')")
    assert (put.statement_type, put.num_dml_affected_rows) == ("INSERT", 3)
    assert put.dml_stats.inserted_row_count == 3
    changed = run("UPDATE t SET s = 'z' WHERE a > 1")
    assert (changed.statement_type, changed.num_dml_affected_rows) == ("UPDATE", 2)
    assert changed.result().num_dml_affected_rows == 2
    assert run("DELETE FROM t WHERE a = 1").num_dml_affected_rows == 1
    merged = run(
        "MERGE t USING (SELECT 3 AS a, 'm' AS s UNION ALL SELECT 9, 'n') AS n ON t.a = n.a "
        "WHEN MATCHED THEN UPDATE SET s = n.s WHEN NOT MATCHED THEN INSERT (a, s) VALUES (n.a, n.s)"
    )
    assert (merged.statement_type, merged.num_dml_affected_rows) == ("MERGE", 2)
    assert rows(bigquery.query("SELECT * FROM t ORDER BY a")) == [
        {"a": 2, "s": "z"},
        {"a": 3, "s": "m"},
        {"a": 9, "s": "n"},
    ]
    assert run("CREATE VIEW v AS SELECT a FROM t").statement_type == "CREATE_VIEW"
    assert run("CREATE SCHEMA other").statement_type == "CREATE_SCHEMA"
    assert run("DROP TABLE t").ddl_operation_performed == "DROP"


def test_several_statements_are_one_query(bigquery, dataset):
    text = "CREATE TABLE t AS SELECT 1 AS a; INSERT INTO t VALUES (2); SELECT sum(a) AS total FROM t"
    assert rows(bigquery.query(text)) == [{"total": 3}]


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("SELEC 1", exceptions.BadRequest, "Syntax error"),
        ("SELECT nope FROM (SELECT 1 AS a)", exceptions.BadRequest, r"Unrecognized name: nope at \[1:8\]"),
        ("SELECT * FROM ds.nothing", exceptions.NotFound, "Not found: Table"),
        ("SELECT * FROM nowhere.t", exceptions.NotFound, "Not found: Dataset"),
        ("SELECT * FROM ML.PREDICT(MODEL ds.none, (SELECT 1 AS a))", exceptions.NotFound, "Not found: Model"),
        ("SELECT ERROR('oh no')", exceptions.BadRequest, "oh no"),
        ("SELECT 1 AS a, 2 AS A", exceptions.BadRequest, "Duplicate column name"),
        ("SELECT [1, NULL] AS a", exceptions.BadRequest, "Array cannot have a null element.* a"),
        ("CREATE FUNCTION f(x INT64) AS (x)", exceptions.MethodNotImplemented, "FUNCTION"),
        ("SELECT * FROM '/etc/passwd.csv'", exceptions.BadRequest, "not in a folder"),
    ],
)
def test_what_is_wrong_is_raised_as_what_it_is(bigquery, dataset, text, error, said):
    with pytest.raises(error, match=said) as raised:
        bigquery.query(text).result()  # with the client's own retries, which must not go on
    assert type(raised.value) is error
    with pytest.raises(error, match=said):
        bigquery.query_and_wait(text)


def test_legacy_sql_is_refused(bigquery):
    with pytest.raises(exceptions.MethodNotImplemented, match="legacy SQL"):
        bigquery.query("SELECT 1", job_config=QueryJobConfig(use_legacy_sql=True))


def test_a_query_is_cancelled(bigquery):
    job = bigquery.query(LONG)
    began = time.monotonic()
    assert job.cancel()
    with pytest.raises(exceptions.GoogleAPICallError, match="cancelled"):
        job.result(retry=None)
    assert time.monotonic() - began < 5
    assert job.cancelled()
    assert bigquery.get_job(job.job_id).error_result["reason"] == "stopped"
    assert rows(bigquery.query("SELECT 1 AS a")) == [{"a": 1}]


def test_a_query_has_its_time(bigquery):
    job = bigquery.query(LONG, job_config=QueryJobConfig(job_timeout_ms=200))
    with pytest.raises(exceptions.GoogleAPICallError, match=r"timed out after 0.2s"):
        job.result(retry=None)


def test_jobs_are_listed_found_and_forgotten(bigquery):
    first = bigquery.query("SELECT 1 AS a", job_id="first", job_retry=None)
    first.result()
    with pytest.raises(exceptions.Conflict, match="Already Exists: Job"):
        bigquery.query("SELECT 1 AS a", job_id="first", job_retry=None)
    second = bigquery.query("SELECT 2 AS a", job_config=QueryJobConfig(labels={"team": "x"}))
    second.result()
    assert [job.job_id for job in bigquery.list_jobs()] == [second.job_id, "first"]
    assert [job.job_id for job in bigquery.list_jobs(max_results=1)] == [second.job_id]
    assert [job.job_id for job in bigquery.list_jobs(page_size=1)] == [second.job_id, "first"]
    assert list(bigquery.list_jobs(state_filter="running")) == []
    found = bigquery.get_job(second.job_id)
    assert (found.query, found.labels) == ("SELECT 2 AS a", {"team": "x"})
    assert rows(found) == [{"a": 2}]
    assert first.exists()
    bigquery.delete_job_metadata("first")
    assert not first.exists()
    with pytest.raises(exceptions.NotFound, match="Not found: Job"):
        bigquery.get_job("first")


def test_many_queries_run_at_once(bigquery, dataset):
    bigquery.query("CREATE TABLE t AS SELECT x FROM UNNEST(GENERATE_ARRAY(1, 1000)) AS x").result()
    jobs = [bigquery.query(f"SELECT sum(x) + {n} AS s FROM t") for n in range(20)]
    assert [rows(job)[0]["s"] for job in jobs] == [500_500 + n for n in range(20)]
