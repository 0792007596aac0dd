"""In DuckDB's own dialect, too, what Trivet keeps in a file is out of reach, however it is named."""

from contextlib import suppress

import pytest

import trivet.sql
from trivet.core.errors import InvalidArgument, NotFound, ServingError
from trivet.sql.names import ObjectName
from trivet.sql.store import Table

HIDDEN = "'local.__tri' || 'vet.objects'"

READING = (
    f"FROM query('FROM ' || {HIDDEN})", f"FROM query_table({HIDDEN})", f"FROM query_table([{HIDDEN}])",
    "FROM query('FROM local.__trivet.objects')", f'FROM "QUERY_TABLE"({HIDDEN})',
    f"FROM system.main.query('FROM ' || {HIDDEN})", f"FROM main.query_table({HIDDEN})",
    f"FROM query /* ( */ ('FROM ' || {HIDDEN})", f"FROM (VALUES (1)) v, LATERAL query_table({HIDDEN})",
    f"FROM ds.t POSITIONAL JOIN query_table({HIDDEN})", f"WITH a AS (FROM query_table({HIDDEN})) FROM a",
    f"SELECT (SELECT count(*) FROM query_table({HIDDEN}))",
    f"FROM ds.t WHERE EXISTS (FROM query_table({HIDDEN}))",
    f"FROM ML.PREDICT(MODEL ds.m, (FROM query_table({HIDDEN})))",
    f"PIVOT query_table({HIDDEN}) ON name USING count(*)", f"UNPIVOT query_table({HIDDEN}) ON name",
    f"FROM json_execute_serialized_sql(json_serialize_sql('FROM ' || {HIDDEN}))",
    f"FROM histogram({HIDDEN}, name)", f"FROM main.histogram({HIDDEN}, name)",
    f"FROM ds.t, LATERAL histogram({HIDDEN}, name)", f"FROM ds.t, histogram({HIDDEN}, name)",
    f"FROM histogram_values({HIDDEN}, name)",
    f"SELECT stats FROM pragma_storage_info({HIDDEN})", f"FROM duckdb_table_sample({HIDDEN})",
    "FROM read_duckdb('other.duckdb', schema_name = '__tri' || 'vet', table_name = 'objects')",
    "FROM local.__trivet.objects", 'FROM LOCAL."__Trivet".objects',
)  # fmt: skip
CHANGING = (
    f"CREATE TABLE ds.x AS FROM query_table({HIDDEN})", f"CREATE VIEW ds.x AS FROM query_table({HIDDEN})",
    f"CREATE TEMP TABLE x AS FROM query_table({HIDDEN})", f"INSERT INTO ds.t FROM query_table({HIDDEN})",
    f"DELETE FROM ds.t USING query_table({HIDDEN}) q",
    f"MERGE INTO ds.t USING query_table({HIDDEN}) AS s ON false WHEN NOT MATCHED THEN INSERT VALUES (1)",
    f"COPY (FROM query_table({HIDDEN})) TO 'out.csv'", "EXPORT DATABASE 'out'", "export /**/ database 'out'",
    "EXPORT -- x\n DATABASE 'out'",
    "IMPORT DATABASE 'out'", "PRAGMA import_database('out')", "COPY FROM DATABASE local TO memory",
    "CREATE MACRO m(t) AS TABLE FROM query_table(t)", "CREATE MACRO m(t) AS (SELECT 1 FROM query_table(t))",
    "CREATE FUNCTION m(t) AS TABLE FROM query('FROM local.__tri' || t)",
    "PREPARE p AS FROM query_table($1)", f"CREATE TYPE e AS ENUM (SELECT name FROM query_table({HIDDEN}))",
)  # fmt: skip
SHOWING = (
    f"CALL query_table({HIDDEN})", f"CALL query('FROM ' || {HIDDEN})", f"CALL query/**/('FROM ' || {HIDDEN})",
    f"CALL query -- (\n ('FROM ' || {HIDDEN})", f"CALL query/*/**/*/('FROM ' || {HIDDEN})",
    f"EXPLAIN ANALYZE SELECT '/*' FROM query/**/('FROM ' || {HIDDEN}) WHERE '*/' = ''",
    f"EXPLAIN FROM query_table({HIDDEN})", f"EXPLAIN ANALYZE FROM system.main.histogram({HIDDEN}, name)",
    "EXPLAIN " + "/*" * 200 + "*/" * 200 + " SELECT 1",
    f"SUMMARIZE FROM query_table({HIDDEN})",
    f"DESCRIBE FROM query_table({HIDDEN})", f"PRAGMA storage_info({HIDDEN})",
    "PRAGMA json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
)  # fmt: skip
SEARCHING = (
    "SET search_path = 'local.__tri' || 'vet'", "SET schema = 'local.__tri' || 'vet'",
    r"SET schema = E'local.\x5f_trivet'", r"SET SCHEMA E'local.\x5f_trivet'",
    "SET search_path = getvariable('v')",
    "SET SESSION \"search_path\" = 'local.__tri' || 'vet'", "SET search_path TO 'local.__tri' || 'vet'",
    r"PRAGMA search_path = E'local.\x5f_trivet'", "PREPARE p AS SET schema = 'local.__tri' || 'vet'",
    "SET search_path = 'ds,local.__trivet'",
)  # fmt: skip


@pytest.fixture
def con():
    with trivet.sql.connect(":memory:", dataset="ds") as connection:
        connection.sql("CREATE SCHEMA ds")
        yield connection


@pytest.mark.parametrize("text", READING + CHANGING + SHOWING + SEARCHING)
def test_nothing_of_it_is_read_or_named(con, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    con.sql("CREATE TABLE t AS SELECT 'x' AS name; CREATE VIEW v AS SELECT 1 AS a")
    con.speak("duckdb")
    with pytest.raises((InvalidArgument, NotFound)):
        pytest.fail(f"{text}: gives {con.sql(text).fetchall()}")
    con.speak("bigquery")
    with pytest.raises(ServingError):
        con.sql(text)
    assert con.sql("SELECT name FROM t").fetchall() == [("x",)]
    assert not list(tmp_path.iterdir())


def test_a_schema_that_is_searched_is_none_of_trivets(con):
    con.sql("CREATE TABLE t AS SELECT 1 AS a")
    con.speak("duckdb")
    for text in SEARCHING:
        with suppress(ServingError):
            con.sql(text)
        with pytest.raises(ServingError):
            pytest.fail(f"{text}: gives {con.sql('SUMMARIZE objects').fetchall()}")


def test_a_view_that_was_made_before_is_not_trusted(con):
    name = ObjectName("local", "ds", "v")
    con.store.create_view(Table(name, "VIEW", query=f"FROM query_table({HIDDEN})", dialect="duckdb"))
    for dialect in ("duckdb", "bigquery"):
        con.speak(dialect)
        with pytest.raises(
            InvalidArgument, match=r"View local:ds\.v: query_table: what it reads is not seen"
        ):
            con.sql("SELECT * FROM ds.v")


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 'query(x)'", "FROM ds.t AS query", "SELECT query FROM (SELECT 1 AS query)",
        "EXPLAIN FROM ds.t",
        "COMMENT ON TABLE ds.t IS 'a query'", "PREPARE p AS SELECT 1", "CREATE MACRO m(a) AS a + 1",
        "PRAGMA table_info('ds.t')", "RESET search_path", "SET schema = 'local.ds'", "SET search_path TO ds",
        "SELECT current_setting('search_path')", "SUMMARIZE ds.t", "CALL pragma_version()",
        "SELECT * FROM ds.t AS database", "FROM range(3)", "SET threads = 1",
        "SELECT map_keys(histogram(a)) FROM ds.t",
        "EXPLAIN SELECT histogram(a) FROM ds.t", "EXPLAIN /* a */ SELECT 1 /* b */",
    ],
)  # fmt: skip
def test_what_is_seen_is_not_refused(con, text):
    con.sql("CREATE TABLE t AS SELECT 1 AS a")
    con.speak("duckdb")
    con.sql(text)


def test_the_error_says_what_to_do(con):
    con.speak("duckdb")
    with pytest.raises(
        InvalidArgument, match=r"query_table: .*name the table there, or write the query at \[1:6\]"
    ):
        con.sql("FROM query_table('ds.t')")
