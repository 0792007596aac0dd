"""Connections: statements about datasets, tables and views, what is kept of them, and results."""

import datetime as dt
import os
import signal
import threading
import time
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import trivet.sql
from trivet.core.errors import (
    AlreadyExists,
    Cancelled,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ServingError,
    Unimplemented,
)
from trivet.sql.names import DatasetName, ObjectName
from trivet.sql.session import Into

DS = DatasetName("local", "ds")


@pytest.fixture
def con():
    with trivet.sql.connect(":memory:", dataset="ds") as connection:
        connection.sql("CREATE SCHEMA ds")
        yield connection


def rows(con, text, parameters=None):
    return con.sql(text, parameters).fetchall()


def types(con, text):
    return {one.name: str(one.type) for one in con.sql(text).fields}


EVERY = """
    SELECT 1 AS i, 1.5 AS f, NUMERIC '1.5' AS n, TRUE AS b, 'x' AS s, b'ab' AS y, JSON '{"a": 1}' AS j,
      DATE '2024-01-02' AS d, TIME '10:00:00' AS t, DATETIME '2024-01-02 03:04:05' AS dt,
      TIMESTAMP '2024-01-02 03:04:05+00' AS ts, [1, 2] AS a, STRUCT(1 AS x, 'z' AS y) AS r,
      [STRUCT('l' AS label, 0.5 AS prob)] AS ar
"""
EVERY_TYPE = {
    "i": "INT64", "f": "FLOAT64", "n": "NUMERIC", "b": "BOOL", "s": "STRING", "y": "BYTES", "j": "JSON",
    "d": "DATE", "t": "TIME", "dt": "DATETIME", "ts": "TIMESTAMP", "a": "ARRAY<INT64>",
    "r": "STRUCT<x INT64, y STRING>", "ar": "ARRAY<STRUCT<label STRING, prob FLOAT64>>",
}  # fmt: skip


class TestResults:
    def test_a_date_of_a_file_that_python_has_not_is_an_error_of_ours(self, con, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        pq.write_table(pa.table({"d": [pa.scalar(10**7, pa.date32())]}), "far.parquet")
        with pytest.raises(InvalidArgument, match="out of range, which is 0001-01-01 to 9999-12-31"):
            con.sql("SELECT d FROM 'far.parquet'").df()
        kept = con.sql("SELECT d FROM 'far.parquet'")
        con.sql("SELECT 1")
        with pytest.raises(InvalidArgument, match="out of range"):
            kept.fetchall()

    def test_columns_have_the_types_of_googlesql(self, con):
        assert types(con, EVERY) == EVERY_TYPE

    def test_a_table_keeps_them(self, con):
        con.sql(f"CREATE TABLE every AS {EVERY}")
        assert types(con, "SELECT * FROM every") == EVERY_TYPE
        assert {one.name: str(one.type) for one in con.store.table(DS.child("every")).fields} == EVERY_TYPE

    def test_rows_are_python_values(self, con):
        (row,) = rows(con, EVERY)
        assert row[:4] == (1, 1.5, Decimal("1.5"), True)
        assert row[7:10] == (dt.date(2024, 1, 2), dt.time(10), dt.datetime(2024, 1, 2, 3, 4, 5))
        assert row[10] == dt.datetime(2024, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
        assert row[11:] == ([1, 2], {"x": 1, "y": "z"}, [{"label": "l", "prob": 0.5}])

    def test_rows_are_taken_in_many_ways(self, con):
        con.sql("CREATE TABLE n AS SELECT x FROM UNNEST(GENERATE_ARRAY(1, 5000)) AS x")
        for streams in (False, True):
            text = "SELECT x FROM n ORDER BY x"
            result = con.sql(text, streams=streams)
            assert (result.fetchone(), len(result.fetchmany(9)), len(result.fetchall())) == ((1,), 9, 4990)
            assert result.fetchone() is None
            assert con.sql(text, streams=streams).arrow().num_rows == 5000
            assert con.sql(text, streams=streams).df()["x"].tolist() == list(range(1, 5001))
            assert sum(len(batch) for batch in con.sql(text, streams=streams).reader(1000)) == 5000
            assert [row[0] for row in con.sql(text, streams=streams)] == list(range(1, 5001))

    def test_rows_that_were_not_taken_wait(self, con):
        first = con.sql("SELECT 1 AS a, 'x' AS b")
        assert rows(con, "SELECT 2") == [(2,)]
        assert first.fetchall() == [(1, "x")]

    def test_a_stream_ends_with_the_next_statement(self, con):
        stream = con.sql("SELECT x FROM UNNEST(GENERATE_ARRAY(1, 100000)) AS x", streams=True)
        assert stream.fetchone() == (1,)
        assert rows(con, "SELECT 2") == [(2,)]

    def test_columns_without_names(self, con):
        assert [one.name for one in con.sql("SELECT 1, 'a' AS b, 2 + 3").fields] == ["f0_", "b", "f1_"]

    def test_shown_for_people(self, con, capsys):
        con.sql("SELECT 1 AS number, 'x' AS text UNION ALL SELECT NULL, 'yy' ORDER BY 2").show()
        assert capsys.readouterr().out.splitlines() == [
            "number  text", "------  ----", "     1  x", "  NULL  yy", "(2 rows)",
        ]  # fmt: skip

    def test_the_last_of_several_statements_counts(self, con):
        result = con.sql(
            "CREATE TABLE s AS SELECT 1 AS a; INSERT INTO s VALUES (2); SELECT SUM(a) AS n FROM s;"
        )
        assert (result.kind, result.fetchall()) == ("SELECT", [(3,)])

    def test_nothing_is_no_statement(self, con):
        with pytest.raises(InvalidArgument, match="Unexpected end of statement"):
            con.sql("-- nothing")


class TestTables:
    def test_columns_as_declared(self, con):
        con.sql(
            """CREATE TABLE t (
                 a INT64 NOT NULL OPTIONS(description='the key'), b STRING(2) DEFAULT 'zz', c NUMERIC(5, 2),
                 d ARRAY<STRUCT<k STRING, v FLOAT64>>, PRIMARY KEY (a) NOT ENFORCED)
               PARTITION BY DATE(_PARTITIONTIME) CLUSTER BY b
               OPTIONS(description='all of it', labels=[('team', 'risk')])"""
        )
        table = con.store.table(DS.child("t"))
        assert [(one.name, str(one.type), one.required, one.description) for one in table.fields] == [
            ("a", "INT64", True, "the key"),
            ("b", "STRING", False, ""),
            ("c", "NUMERIC", False, ""),
            ("d", "ARRAY<STRUCT<k STRING, v FLOAT64>>", False, ""),
        ]
        assert table.document["description"] == "all of it"
        assert table.document["labels"] == {"team": "risk"}
        assert table.document["clustering"] == {"fields": ["b"]}
        con.sql("INSERT INTO t (a, c) VALUES (1, 2.345)")
        assert rows(con, "SELECT a, b, c FROM t") == [(1, "zz", Decimal("2.35"))]
        for wrong in ("INSERT INTO t (a, b) VALUES (1, 'abc')", "INSERT INTO t (a) VALUES (NULL)"):
            with pytest.raises(FailedPrecondition):
                con.sql(wrong)

    def test_a_number_made_small_takes_large_ones(self, con):
        con.sql("CREATE TABLE t AS SELECT 1 AS a")
        con.sql("INSERT INTO t VALUES (9223372036854775807)")
        assert rows(con, "SELECT MAX(a) FROM t") == [(2**63 - 1,)]

    def test_changes(self, con):
        con.sql("CREATE TABLE t AS SELECT 1 AS a, 'x' AS b")
        con.sql("ALTER TABLE t ADD COLUMN c FLOAT64, ADD COLUMN IF NOT EXISTS a INT64")
        con.sql("ALTER TABLE t RENAME COLUMN b TO s")
        con.sql("ALTER TABLE t ALTER COLUMN a SET DATA TYPE NUMERIC")
        con.sql("ALTER TABLE t ALTER COLUMN s SET OPTIONS(description='text')")
        con.sql("ALTER TABLE t SET OPTIONS(description='one', labels=[('k', 'v')])")
        assert types(con, "SELECT * FROM t") == {"a": "NUMERIC", "s": "STRING", "c": "FLOAT64"}
        con.sql("ALTER TABLE t DROP COLUMN c")
        con.sql("ALTER TABLE t RENAME TO u")
        table = con.store.table(DS.child("u"))
        assert [one.description for one in table.fields] == ["", "text"]
        assert table.document == {"description": "one", "labels": {"k": "v"}}
        con.sql("ALTER TABLE u SET OPTIONS(description=NULL)")
        assert con.store.table(DS.child("u")).document == {"labels": {"k": "v"}}

    @pytest.mark.parametrize(
        ("text", "kind", "said"),
        [
            ("ALTER TABLE t DROP COLUMN nope", NotFound, "Column not found: nope"),
            ("ALTER TABLE t ADD COLUMN a STRING", InvalidArgument, "Column already exists: a"),
            ("ALTER TABLE t ALTER COLUMN a SET DATA TYPE STRING", InvalidArgument, "is assignable"),
            ("ALTER TABLE t SET OPTIONS(descripton='x')", InvalidArgument, "description"),
            ("ALTER TABLE nope DROP COLUMN a", NotFound, "Not found: Table local:ds.nope at [1:13]"),
            ("DROP VIEW t", InvalidArgument, "is a TABLE; use DROP TABLE"),
            ("UPDATE t SET a = 1", InvalidArgument, "UPDATE must have a WHERE clause"),
            ("DELETE FROM t", InvalidArgument, "DELETE must have a WHERE clause"),
            ("CREATE TABLE t AS SELECT 1 AS a", AlreadyExists, "Already Exists: Table local:ds.t at [1:14]"),
            ("CREATE TABLE T AS SELECT 1 AS a", AlreadyExists, "differs in case alone"),
            ("CREATE TABLE w AS SELECT 1 AS a, 2 AS a", InvalidArgument, "Duplicate column names"),
            ("CREATE TABLE w (a INT64, A STRING)", InvalidArgument, "Duplicate column name"),
            ("CREATE TABLE other.w AS SELECT 1 AS a; DROP SCHEMA other", FailedPrecondition, "still in use"),
            ("CREATE MATERIALIZED VIEW m AS SELECT 1 AS a", Unimplemented, "MATERIALIZED VIEW"),
            ("DROP SCHEMA nope", NotFound, "Not found: Dataset local:nope"),
            ("CREATE SCHEMA ds", AlreadyExists, "Already Exists: Dataset local:ds"),
            ("TRUNCATE TABLE nope", NotFound, "Not found: Table local:ds.nope"),
        ],
    )
    def test_what_is_wrong_is_said(self, con, text, kind, said):
        con.sql("CREATE TABLE t AS SELECT 1 AS a")
        with pytest.raises(kind) as raised:
            con.sql(text)
        assert said in str(raised.value)

    def test_replaced_by_what_it_was(self, con):
        con.sql("CREATE TABLE t AS SELECT 1 AS a")
        con.sql("CREATE OR REPLACE TABLE t AS SELECT a, a + 1 AS b FROM t")
        con.sql("CREATE OR REPLACE TABLE t (x FLOAT64, y STRING) AS SELECT b, 'k' FROM t")
        assert rows(con, "SELECT x, y FROM t") == [(2.0, "k")]
        assert con.sql("CREATE TABLE IF NOT EXISTS t AS SELECT 7 AS z").planned.operation == "SKIP"

    def test_copies(self, con):
        con.sql("CREATE TABLE t AS SELECT 1 AS a")
        con.sql("CREATE TABLE u LIKE t; CREATE TABLE v COPY t; CREATE TABLE w CLONE t")
        counts = (rows(con, f"SELECT COUNT(*) FROM {name}")[0][0] for name in "uvw")
        assert tuple(counts) == (0, 1, 1)

    def test_temporary_ones_are_the_connections(self, con):
        con.sql("CREATE TEMP TABLE mine AS SELECT 1 AS a")
        con.sql("INSERT INTO mine VALUES (2)")
        assert rows(con, "SELECT SUM(a) FROM mine") == [(3,)]
        with con.database.connect(dataset="ds") as other, pytest.raises(NotFound):
            other.sql("SELECT * FROM mine")
        con.sql("CREATE OR REPLACE TEMP TABLE mine AS SELECT 5 AS b")
        assert rows(con, "SELECT b FROM mine") == [(5,)]
        con.sql("DROP TABLE mine")
        with pytest.raises(NotFound):
            con.sql("SELECT * FROM mine")

    def test_a_data_frame_is_a_table(self, con):
        con.register("frame", pa.table({"a": [1, 2]}).to_pandas())
        assert rows(con, "SELECT SUM(a) FROM frame") == [(3,)]
        con.unregister("frame")
        with pytest.raises(NotFound):
            con.sql("SELECT * FROM frame")

    def test_variables_of_python_are_no_tables(self, con):
        hidden = pa.table({"a": [1]})  # noqa: F841
        with pytest.raises(NotFound):
            con.sql("SELECT * FROM hidden")

    def test_expired_ones_are_gone(self, con):
        con.sql("CREATE TABLE t AS SELECT 1 AS a")
        con.store.describe(DS.child("t"), {"expirationTime": "1000"})
        with pytest.raises(NotFound):
            con.sql("SELECT * FROM t")
        assert con.store.tables(DS) == []

    def test_a_dataset_says_how_long_tables_last(self, con):
        con.sql("CREATE SCHEMA short OPTIONS(default_table_expiration_days=1.5)")
        con.sql("CREATE TABLE short.t AS SELECT 1 AS a")
        assert "expirationTime" in con.store.table(ObjectName("local", "short", "t")).document

    def test_transactions(self, con):
        con.sql("CREATE TABLE t AS SELECT 1 AS a")
        con.sql(
            "BEGIN TRANSACTION; INSERT INTO t VALUES (2); CREATE TABLE u AS SELECT 1 AS a; "
            "ROLLBACK TRANSACTION"
        )
        assert rows(con, "SELECT COUNT(*) FROM t") == [(1,)]
        assert [one.name.name for one in con.store.tables(DS)] == ["t"]
        con.sql("BEGIN TRANSACTION; INSERT INTO t VALUES (2); COMMIT TRANSACTION")
        assert rows(con, "SELECT COUNT(*) FROM t") == [(2,)]
        with pytest.raises(FailedPrecondition):
            con.sql("COMMIT TRANSACTION")

    def test_a_statement_that_fails_has_done_nothing(self, con):
        with pytest.raises(InvalidArgument):
            con.sql("CREATE TABLE t (a INT64) AS SELECT ERROR('no') AS a")
        assert con.store.tables(DS) == []


class TestViews:
    def test_a_view_keeps_what_was_written(self, con):
        con.sql("CREATE TABLE t AS SELECT 1 AS a, [5, 6] AS l")
        con.sql("CREATE VIEW v (first, place) AS SELECT e, o FROM t, UNNEST(l) AS e WITH OFFSET AS o")
        assert rows(con, "SELECT first, place FROM v ORDER BY 2") == [(5, 0), (6, 1)]
        (view,) = [one for one in con.store.tables(DS) if one.kind == "VIEW"]
        assert view.query == "SELECT e, o FROM t, UNNEST(l) AS e WITH OFFSET AS o"
        assert [one.name for one in con.store.table(view.name).fields] == ["first", "place"]

    def test_it_is_word_for_word(self, con):
        con.sql(
            "SELECT 1; -- AS\nCREATE VIEW v (a OPTIONS(description='AS')) AS\n (SELECT  1 /* one */ AS x ) ;;"
        )
        assert con.store.table(DS.child("v")).query == "(SELECT  1 /* one */ AS x )"
        assert rows(con, "SELECT a FROM v") == [(1,)]

    def test_a_view_of_a_file(self, con, tmp_path):
        pq.write_table(pa.table({"id": [1, 2]}), tmp_path / "tx.parquet")
        con.sql(f"CREATE VIEW v AS SELECT MAX(id) AS m FROM '{tmp_path}/tx.parquet'")
        assert rows(con, "SELECT m FROM v") == [(2,)]

    def test_names_in_it_mean_what_they_meant(self, con):
        con.sql("CREATE TABLE t AS SELECT 1 AS a; CREATE VIEW v AS SELECT a FROM t")
        con.sql("CREATE SCHEMA other; CREATE TABLE other.t AS SELECT 'wrong' AS a")
        con.use("other")
        assert rows(con, "WITH t AS (SELECT 9 AS a) SELECT v.a FROM ds.v JOIN t ON v.a < t.a") == [(1,)]

    def test_views_of_views_and_circles(self, con):
        con.sql("CREATE TABLE t AS SELECT 1 AS a; CREATE VIEW v AS SELECT a FROM t")
        con.sql("CREATE VIEW w AS SELECT a + 1 AS b FROM v")
        assert rows(con, "SELECT b FROM w") == [(2,)]
        with pytest.raises(InvalidArgument, match="reads itself"):
            con.sql("CREATE OR REPLACE VIEW v AS SELECT b AS a FROM w")

    def test_a_view_whose_table_is_gone_says_so(self, con):
        con.sql("CREATE TABLE t AS SELECT 1 AS a; CREATE VIEW v AS SELECT a FROM t; DROP TABLE t")
        with pytest.raises(NotFound, match=r"View local:ds\.v: Not found: Table local:ds\.t"):
            con.sql("SELECT * FROM v")

    def test_no_rows_can_be_put_into_one(self, con):
        con.sql("CREATE VIEW v AS SELECT 1 AS a")
        with pytest.raises(InvalidArgument, match="currently a VIEW"):
            con.sql("INSERT INTO v VALUES (1)")

    def test_each_dialect_reads_the_others(self, con):
        con.sql("CREATE TABLE t AS SELECT [1, 2] AS l")
        con.sql("CREATE VIEW big AS SELECT e, o FROM t, UNNEST(l) AS e WITH OFFSET AS o")
        con.speak("duckdb")
        con.sql("CREATE VIEW ds.duck AS SELECT l[1] AS first FROM ds.t")
        assert rows(con, "SELECT e::VARCHAR, o FROM ds.big ORDER BY o") == [("1", 0), ("2", 1)]
        con.speak("bigquery")
        assert rows(con, "SELECT CONCAT('x', CAST(first AS STRING)) FROM duck") == [("x1",)]


@pytest.mark.parametrize(
    "text",
    [
        "USE __trivet", 'USE local."__TRIVET"', "SET search_path = 'local.__trivet'",
        "SUMMARIZE local.__trivet.objects", "CREATE INDEX i ON local.__trivet.objects(name)",
        "DROP TABLE local.__trivet.objects", "INSERT INTO local.__trivet.objects(name) VALUES ('x')",
    ],
)  # fmt: skip
def test_what_trivet_keeps_in_a_file_is_out_of_reach(con, text):
    con.speak("duckdb")
    with pytest.raises((InvalidArgument, NotFound), match="__trivet"):
        con.sql(text)
    assert rows(con, "SELECT '__trivet'") == [("__trivet",)]


class TestInformation:
    def test_what_there_is(self, con):
        con.sql("CREATE TABLE t (a INT64 NOT NULL, b ARRAY<STRING>) CLUSTER BY a OPTIONS(description='d')")
        con.sql("CREATE VIEW v AS SELECT 1 AS a")
        assert rows(con, "SELECT schema_name FROM INFORMATION_SCHEMA.SCHEMATA") == [("ds",)]
        text = "SELECT table_name, table_type FROM ds.INFORMATION_SCHEMA.TABLES ORDER BY 1"
        assert rows(con, text) == [("t", "BASE TABLE"), ("v", "VIEW")]
        text = """SELECT column_name, data_type, is_nullable, clustering_ordinal_position
                  FROM `local.ds.INFORMATION_SCHEMA.COLUMNS` WHERE table_name = 't'
                  ORDER BY ordinal_position"""
        assert rows(con, text) == [("a", "INT64", "NO", 1), ("b", "ARRAY<STRING>", "YES", None)]
        assert rows(con, "SELECT view_definition FROM INFORMATION_SCHEMA.VIEWS") == [("SELECT 1 AS a",)]
        assert rows(con, "SELECT option_name, option_value FROM INFORMATION_SCHEMA.TABLE_OPTIONS") == [
            ("description", '"d"')
        ]
        assert rows(con, "SELECT * FROM `region-us`.INFORMATION_SCHEMA.MODELS") == []

    def test_a_new_table_is_seen_by_a_plan_that_was_kept(self, con):
        text = "SELECT COUNT(*) FROM INFORMATION_SCHEMA.TABLES"
        assert rows(con, text) == [(0,)]
        con.sql("CREATE TABLE t AS SELECT 1 AS a")
        assert rows(con, text) == [(1,)]

    def test_others_are_refused_by_name(self, con):
        with pytest.raises(Unimplemented, match=r"INFORMATION_SCHEMA\.JOBS: there are COLUMNS"):
            con.sql("SELECT * FROM INFORMATION_SCHEMA.JOBS")


class TestParameters:
    GIVEN = (
        (1, "INT64"), (1.5, "FLOAT64"), ("x", "STRING"), (b"x", "BYTES"), (True, "BOOL"),
        (Decimal("1.25"), "NUMERIC"), (dt.date(2024, 1, 2), "DATE"), (dt.time(1, 2), "TIME"),
        (dt.datetime(2024, 1, 2), "DATETIME"), (dt.datetime(2024, 1, 2, tzinfo=dt.UTC), "TIMESTAMP"),
        ([1, 2], "ARRAY<INT64>"), ([1, 2.5], "ARRAY<FLOAT64>"), ({"a": 1}, "STRUCT<a INT64>"),
        ([{"a": 1, "b": "x"}], "ARRAY<STRUCT<a INT64, b STRING>>"),
    )  # fmt: skip

    @pytest.mark.parametrize(("value", "type_"), GIVEN)
    def test_every_type(self, con, value, type_):
        text = "SELECT @x AS x"
        result = con.sql(text, {"x": value})
        assert str(result.fields[0].type) == type_
        assert result.fetchall() == [(value,)]

    def test_case_of_names_does_not_matter(self, con):
        assert rows(con, "SELECT @Name || @nAME", {"NAME": "x"}) == [("xx",)]

    def test_more_than_a_statement_names(self, con):
        assert rows(con, "SELECT @a", {"a": 1, "b": 2}) == [(1,)]

    def test_too_few(self, con):
        with pytest.raises(InvalidArgument, match=r"Query parameter number 2 not found at \[1:11\]"):
            con.sql("SELECT ?, ?", [1])

    def test_elements_of_one_type(self, con):
        with pytest.raises(InvalidArgument, match="@x: the elements of an array must be of one type"):
            con.sql("SELECT @x", {"x": [1, "a"]})

    def test_dry_runs_need_no_values(self, con):
        from trivet.sql.parameters import Parameter
        from trivet.sql.types import INT64

        planned = con.plan("SELECT @n + 1 AS m FROM UNNEST([1]) LIMIT @n", {"n": Parameter(INT64, None)})
        assert [(one.name, str(one.type)) for one in planned.fields] == [("m", "INT64")]


class TestPlans:
    def test_a_dry_run_does_nothing(self, con):
        planned = con.plan("CREATE TABLE t AS SELECT 1 AS a")
        assert (planned.kind, planned.target, planned.operation) == (
            "CREATE_TABLE_AS_SELECT", DS.child("t"), "CREATE",
        )  # fmt: skip
        assert con.store.tables(DS) == []

    def test_it_says_what_is_read(self, con):
        con.sql("CREATE TABLE t AS SELECT 1 AS a; CREATE VIEW v AS SELECT a FROM t")
        assert con.plan("SELECT * FROM v").tables == (DS.child("v"), DS.child("t"))

    def test_into_a_table(self, con):
        kept = Into(DS.child("kept"))
        con.sql("SELECT @a AS a", {"a": 1}, into=kept)
        with pytest.raises(AlreadyExists):
            con.sql("SELECT 2 AS a", into=kept)
        con.sql("SELECT 2 AS a", into=Into(kept.table, "WRITE_APPEND"))
        assert rows(con, "SELECT a FROM kept ORDER BY 1") == [(1,), (2,)]
        con.sql("SELECT 'x' AS b", into=Into(kept.table, "WRITE_TRUNCATE"))
        assert rows(con, "SELECT b FROM kept") == [("x",)]
        with pytest.raises(NotFound):
            con.sql("SELECT 1 AS a", into=Into(DS.child("nope"), creates=False))

    def test_a_kept_plan_is_used_again_and_not_where_names_changed(self, con):
        con.sql("CREATE TABLE t AS SELECT 1 AS a")
        rows(con, "SELECT * FROM t WHERE a = @a", {"a": 1})
        kept = len(con.database.plans)
        rows(con, "SELECT * FROM t WHERE a = @a", {"a": 2})
        assert len(con.database.plans) == kept
        rows(con, "SELECT * FROM t WHERE a = @a", {"a": 2.0})
        assert len(con.database.plans) == kept + 1

    def test_a_kept_plan_gives_what_there_is_now(self, con):
        con.sql("CREATE TABLE t AS SELECT 1 AS a")
        for number in (2, 3, 4):
            text = "SELECT MAX(a), COUNT(*), @b FROM t WHERE a > @a"
            assert rows(con, text, {"a": 1, "b": f"{number}"}) == [
                (number - 1 if number > 2 else None, number - 2, f"{number}")
            ]
            con.sql(f"INSERT INTO t VALUES ({number})")
        assert all(plan.parsed is not None for plan in con.database.plans.values())


def test_a_table_that_is_written_does_not_wait_in_memory(con):
    """Tables on disk, that is; five groups of rows of ten columns are 50 MB."""
    held = 0
    looks = con.database.root.cursor()

    def look():
        nonlocal held
        while writes.is_alive():
            tag = "SELECT memory_usage_bytes FROM duckdb_memory() WHERE tag = 'IN_MEMORY_TABLE'"
            held = max(held, *looks.execute(tag).fetchone())
            time.sleep(0.005)

    con.cursor.execute("SET threads = 1")
    columns = ", ".join(f"RAND() AS a{index}" for index in range(10))
    text = f"CREATE TABLE t AS SELECT {columns} FROM UNNEST(GENERATE_ARRAY(1, 700000)) AS n"
    writes = threading.Thread(target=con.sql, args=(text,))
    writes.start()
    look()
    assert 0 < held < 35e6


class TestFiles:
    @pytest.fixture
    def files(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        table = pa.table({"id": [1, 2, 3], "s": ["x", None, "z"]})
        pq.write_table(table, "tx.parquet")
        (tmp_path / "more").mkdir()
        pq.write_table(table, "more/one.parquet")
        pq.write_table(table, "more/two.parquet")
        (tmp_path / "rows.csv").write_text("id,s\n1,x\n2,y\n")
        (tmp_path / "rows.jsonl").write_text('{"id": 1, "s": {"k": 1}}\n{"id": 2, "s": {"k": 2}}\n')
        return tmp_path

    def test_are_tables(self, con, files):
        assert rows(con, "SELECT tx.id, s FROM 'tx.parquet' WHERE id > 1 ORDER BY 1") == [(2, None), (3, "z")]
        assert rows(con, "SELECT COUNT(*) FROM 'more/*.parquet'") == [(6,)]
        assert rows(con, "SELECT SUM(id), MAX(s) FROM 'rows.csv'") == [(3, "y")]
        assert rows(con, "SELECT j.s.k FROM 'rows.jsonl' AS j ORDER BY 1") == [(1,), (2,)]
        assert rows(con, f"SELECT COUNT(*) FROM `{files}/tx.parquet` JOIN 'rows.csv' USING (id)") == [(2,)]

    def test_that_are_not_there(self, con, files):
        with pytest.raises(NotFound, match=r"nope\.parquet: there is no such file at \[1:15\]"):
            con.sql("SELECT * FROM 'nope.parquet'")
        with pytest.raises(
            InvalidArgument, match=r"nope\.txt: expected a file that ends in one of \.parquet"
        ):
            con.sql("SELECT * FROM 'nope.txt'")

    def test_that_come_later_are_found(self, con, files):
        text = "SELECT COUNT(*) FROM 'more/*.parquet'"
        assert rows(con, text) == [(6,)]
        pq.write_table(pa.table({"id": [4], "s": ["q"]}), files / "more/three.parquet")
        assert rows(con, text) == [(7,)]

    def test_in_places_that_are_not_allowed(self, files, monkeypatch):
        monkeypatch.setenv("TRIVET_SQL_FOLDERS", str(files / "more"))
        with trivet.sql.connect(":memory:") as con:
            assert rows(con, f"SELECT COUNT(*) FROM '{files}/more/one.parquet'") == [(3,)]
            with pytest.raises(InvalidArgument, match=r"sql\.folders"):
                con.sql(f"SELECT * FROM '{files}/tx.parquet'")
            with pytest.raises(InvalidArgument, match=r"sql\.folders"):
                con.sql(f"SELECT * FROM '{files}/more/../tx.parquet'")

    def test_elsewhere(self, con):
        with pytest.raises(InvalidArgument, match="expected a local path or a URI of scheme file, gs or s3"):
            con.sql("SELECT * FROM 'ftp://host/tx.parquet'")


class TestDatabases:
    def test_projects_are_files_of_their_own(self, tmp_path):
        with trivet.sql.connect(tmp_path / "data") as con:
            con.sql("CREATE TABLE `my-project.ds.t` AS SELECT 1 AS a; CREATE TABLE ds.t AS SELECT 2 AS a")
            text = "SELECT one.a, two.a AS b FROM `my-project`.ds.t one, ds.t two"
            assert rows(con, text) == [(1, 2)]
        assert {one.name for one in (tmp_path / "data/sql").glob("*.duckdb")} == {
            "my-project.duckdb", "local.duckdb",
        }  # fmt: skip
        with trivet.sql.connect(tmp_path / "data", project="my-project", dataset="ds") as con:
            assert rows(con, "SELECT a FROM t") == [(1,)]

    def test_a_project_that_is_not_there_is_not_made_to_be_read(self, tmp_path):
        with trivet.sql.connect(tmp_path / "data") as con, pytest.raises(NotFound, match="Project nope"):
            con.sql("SELECT * FROM nope.ds.t")
        assert not (tmp_path / "data/sql/nope.duckdb").exists()

    def test_a_file_of_ones_own(self, tmp_path):
        with trivet.sql.connect(tmp_path / "mine.duckdb", data=tmp_path / "data") as con:
            con.sql("CREATE TABLE ds.t AS SELECT 1 AS a")
        with trivet.sql.connect(tmp_path / "mine.duckdb", data=tmp_path / "data", read_only=True) as con:
            assert rows(con, "SELECT a FROM ds.t") == [(1,)]
            with pytest.raises(ServingError):
                con.sql("INSERT INTO ds.t VALUES (2)")

    def test_a_file_of_an_older_trivet_is_brought_up_to_date(self, tmp_path):
        import duckdb

        with trivet.sql.connect(tmp_path) as con:
            con.sql("CREATE TABLE ds.t AS SELECT 1 AS a")
        file = tmp_path / "sql/local.duckdb"
        with duckdb.connect(file) as old:  # as the first version was
            old.execute("DROP TABLE __trivet.about; ALTER TABLE __trivet.objects DROP COLUMN expires")
        with pytest.raises(FailedPrecondition, match="open it once for writing"):
            trivet.sql.connect(tmp_path, read_only=True)
        with trivet.sql.connect(tmp_path) as con:
            con.sql("ALTER TABLE ds.t SET OPTIONS(description='kept')")
            assert con.store.table(ObjectName("local", "ds", "t")).document == {"description": "kept"}
        with duckdb.connect(file) as new:
            new.execute("UPDATE __trivet.about SET version = 99")
        with pytest.raises(FailedPrecondition, match="a newer Trivet has made it"):
            trivet.sql.connect(tmp_path)

    def test_in_memory_nothing_is_left(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with trivet.sql.connect(":memory:") as con:
            con.sql("CREATE TABLE ds.t AS SELECT 1 AS a")
        assert list(tmp_path.iterdir()) == []

    def test_datasets_are_made_only_where_that_is_said(self, tmp_path, monkeypatch):
        monkeypatch.setenv("TRIVET_SQL_CREATE_DATASETS", "false")
        with trivet.sql.connect(tmp_path) as con:
            with pytest.raises(NotFound, match=r"Not found: Dataset local:ds at \[1:14\]"):
                con.sql("CREATE TABLE ds.t AS SELECT 1 AS a")
            con.sql("CREATE SCHEMA ds; CREATE TABLE ds.t AS SELECT 1 AS a")

    def test_a_closed_connection_says_so(self):
        con = trivet.sql.connect(":memory:")
        con.close()
        con.close()
        with pytest.raises(FailedPrecondition, match="closed"):
            con.sql("SELECT 1")

    def test_two_connections_see_each_others_tables(self, con):
        with con.database.connect(dataset="ds") as other:
            con.sql("CREATE TABLE t AS SELECT 1 AS a")
            assert rows(other, "SELECT a FROM t") == [(1,)]
            other.sql("DROP TABLE t")
        with pytest.raises(NotFound):
            con.sql("SELECT a FROM t")


LONG = """
    SELECT COUNT(*) FROM UNNEST(GENERATE_ARRAY(1, 5000)) a, UNNEST(GENERATE_ARRAY(1, 5000)) b,
      UNNEST(GENERATE_ARRAY(1, 5000)) c WHERE a * b * c = 7
"""


def test_a_statement_can_be_interrupted(con):
    timer = threading.Timer(0.3, con.interrupt)
    timer.start()
    with pytest.raises(Cancelled):
        con.sql(LONG)
    timer.join()
    assert rows(con, "SELECT 1") == [(1,)]


def test_ctrl_c_ends_a_statement(con):
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        con.sql(LONG)
    timer.join()
    assert rows(con, "SELECT 1") == [(1,)]
