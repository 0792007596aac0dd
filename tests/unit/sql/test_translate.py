# ruff: noqa: E501 - statements stand in one line
"""What BigQuery and DuckDB write alike and mean differently, run by DuckDB against answers that are stated."""

from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.core.errors import InvalidArgument, Unimplemented
from trivet.sql.dialect import parse
from trivet.sql.translate import SETTINGS, translate

SCHEMA = {
    "ds": {
        "t": {
            "id": "INT64",
            "n": "NUMERIC",
            "f": "FLOAT64",
            "s": "STRING",
            "d": "DATE",
            "l": "ARRAY<STRING>",
            "p": "ARRAY<STRUCT<x INT64, y STRING>>",
            "j": "JSON",
        }
    }
}


@pytest.fixture(scope="module")
def connection():
    with duckdb.connect() as connection:
        for setting in SETTINGS:
            connection.execute(setting)
        connection.execute("CREATE SCHEMA ds")
        run(
            connection,
            "CREATE TABLE ds.t (id INT64, n NUMERIC, f FLOAT64, s STRING, d DATE, l ARRAY<STRING>,"
            "  p ARRAY<STRUCT<x INT64, y STRING>>, j JSON);"
            "INSERT INTO ds.t VALUES"
            "  (1, 1.5, 1.0, 'a', '2024-01-15', ['u', 'v'], [STRUCT(1, 'x'), (2, 'y')], JSON '{\"k\": [7]}'),"
            "  (2, NUMERIC '2', 2.5, NULL, '2024-01-31', [], [], NULL),"
            "  (3, NULL, NULL, 'c', '2024-02-01', NULL, NULL, NULL)",
        )
        yield connection


def run(connection, text, schema=None):
    rows = []
    for tree in parse(text):
        rows = connection.execute(translate(tree, schema).sql(dialect="duckdb")).fetchall()
    return rows


def names(connection, text):
    (tree,) = parse(text)
    return [one[0] for one in connection.execute(translate(tree).sql(dialect="duckdb")).description]


ANSWERS = {
    # Literals and conversions
    "SELECT 1.5, 2147483647 + 1, 2000000000 * 2, -9223372036854775808": [
        (1.5, 2147483648, 4000000000, -9223372036854775808)
    ],
    "SELECT x * 1000000000 FROM UNNEST([3]) AS x": [(3000000000,)],
    "SELECT CAST(2.5 AS INT64), CAST(-2.5 AS INT64), CAST(f AS INT64) FROM ds.t WHERE id = 2": [(3, -3, 3)],
    "SELECT CAST(f AS STRING), CAST(n AS STRING), CAST(d AS STRING) FROM ds.t ORDER BY id": [
        ("1", "1.5", "2024-01-15"), ("2.5", "2", "2024-01-31"), (None, None, "2024-02-01"),
    ],
    "SELECT CAST(SUM(id) AS STRING), CAST(AVG(id) AS STRING), CAST(AVG(f) AS INT64) FROM ds.t": [("6", "2", 2)],
    "SELECT CONCAT(s, id), CONCAT(f, '/', n) FROM ds.t WHERE id < 3 ORDER BY id": [("a1", "1/1.5"), (None, "2.5/2")],
    "SELECT NUMERIC '10' / 3, NUMERIC '1.5' * 2, NUMERIC '1.5' + 0.1, CAST(1.23456789012 AS NUMERIC)": [
        (Decimal("3.333333333"), Decimal(3), Decimal("1.6"), Decimal("1.234567890"))
    ],
    "SELECT 7 / 2, -7 / 2, MOD(7, 3)": [(3.5, -3.5, 1)],
    "SELECT SAFE.LN(0), SAFE.PARSE_DATE('%Y', 'x'), SAFE.SUBSTR('abc', 1, -1), SAFE.SQRT(4)": [(None, None, None, 2.0)],
    r"""SELECT "a\nb", r'\d', '''x'y''', 'it\'s', b'\xff\x00'""": [("a\nb", r"\d", "x'y", "it's", b"\xff\x00")],
    # Arrays
    "SELECT e, o FROM UNNEST(['a', 'b']) AS e WITH OFFSET AS o ORDER BY o": [("a", 0), ("b", 1)],
    "SELECT * FROM UNNEST(['a', 'b']) WITH OFFSET AS o ORDER BY o": [("a", 0), ("b", 1)],
    "SELECT id, e, offset FROM ds.t, UNNEST(l) AS e WITH OFFSET WHERE offset > 0": [(1, "v", 1)],
    "SELECT id, e, o FROM ds.t LEFT JOIN UNNEST(l) AS e WITH OFFSET AS o ORDER BY id, o": [
        (1, "u", 0), (1, "v", 1), (2, None, None), (3, None, None),
    ],
    "SELECT id, e FROM ds.t AS t, t.l AS e ORDER BY e": [(1, "u"), (1, "v")],
    "SELECT q.x, q.y FROM ds.t, UNNEST(p) AS q ORDER BY 1": [(1, "x"), (2, "y")],
    "SELECT id FROM ds.t WHERE 'u' IN UNNEST(l)": [(1,)],
    "SELECT l[OFFSET(1)], l[ORDINAL(1)], l[SAFE_OFFSET(9)], l[SAFE_OFFSET(-2)], l[0] FROM ds.t WHERE id = 1": [
        ("v", "u", None, None, "u")
    ],
    "SELECT ARRAY_AGG(s IGNORE NULLS ORDER BY id DESC LIMIT 1), ARRAY_AGG(id ORDER BY id LIMIT 2) FROM ds.t": [
        (["c"], [1, 2])
    ],
    "SELECT STRING_AGG(s), STRING_AGG(s, '-' ORDER BY s DESC), STRING_AGG(s, '-' ORDER BY s LIMIT 1) FROM ds.t": [
        ("a,c", "c-a", "a")
    ],
    "SELECT ARRAY(SELECT x * 2 FROM UNNEST([1, 2]) AS x ORDER BY x DESC), ARRAY(SELECT 1 FROM ds.t WHERE FALSE)": [
        ([4, 2], [])
    ],
    # Structs
    "SELECT [STRUCT(1 AS a, 'x' AS b), (2, 'y')], ARRAY<STRUCT<a INT64>>[(1), (2)], STRUCT<x INT64>(5)": [
        ([{"a": 1, "b": "x"}, {"a": 2, "b": "y"}], [{"a": 1}, {"a": 2}], {"x": 5})
    ],
    "SELECT * FROM UNNEST([STRUCT(1 AS a, 'x' AS b), (2, 'y')]) ORDER BY a": [(1, "x"), (2, "y")],
    "SELECT i.a, i FROM UNNEST([STRUCT(1 AS a)]) AS i": [(1, {"a": 1})],
    "SELECT STRUCT(id, s), STRUCT<a INT64, b STRING>(id, s) FROM ds.t WHERE id = 1": [
        ({"id": 1, "s": "a"}, {"a": 1, "b": "a"})
    ],
    "SELECT STRUCT(1 AS a, 'x' AS b) UNION ALL SELECT STRUCT(2 AS c, 'y' AS d) ORDER BY 1": [
        ({"a": 1, "b": "x"},), ({"a": 2, "b": "y"},),
    ],
    "SELECT ARRAY(SELECT AS STRUCT x, x * 2 AS y FROM UNNEST([1]) AS x)": [([{"x": 1, "y": 2}],)],
    "SELECT AS STRUCT 1 AS a, 2 AS b": [(1, 2)],
    "SELECT * FROM (SELECT AS VALUE STRUCT(1 AS a, 2 AS b))": [(1, 2)],
    "SELECT v.q.* FROM (SELECT STRUCT(1 AS a, 2 AS b) AS q) AS v": [(1, 2)],
    # JSON
    "SELECT j.k, j['k'], JSON_VALUE(j, '$.k[0]') FROM ds.t WHERE id = 1": [("[7]", "[7]", "7")],
    # NULLs are first in ascending, last in descending order
    "SELECT id FROM ds.t ORDER BY s": [(2,), (1,), (3,)],
    "SELECT id FROM ds.t ORDER BY s DESC": [(3,), (1,), (2,)],
    "SELECT id, ROW_NUMBER() OVER (ORDER BY s) FROM ds.t ORDER BY 2": [(2, 1), (1, 2), (3, 3)],
    # Names of SELECT hide those of FROM in GROUP BY
    "SELECT DATE_TRUNC(d, MONTH) AS d, COUNT(*) FROM ds.t GROUP BY d ORDER BY d": [
        (date(2024, 1, 1), 2), (date(2024, 2, 1), 1),
    ],
    "SELECT MOD(id, 2) AS id, COUNT(*) AS c FROM ds.t GROUP BY id ORDER BY id": [(0, 1), (1, 2)],
    "SELECT MOD(id, 2) AS id, COUNT(*) FROM ds.t GROUP BY ROLLUP (id) ORDER BY id": [(None, 3), (0, 1), (1, 2)],
    "SELECT -id AS id FROM ds.t ORDER BY id + 0": [(-3,), (-2,), (-1,)],
    "SELECT MOD(id, 2) AS id, COUNT(*) FROM ds.t GROUP BY id HAVING id + 0 > 0 AND SUM(id) = 4": [(1, 2)],
    # A backslash escapes in LIKE
    r"SELECT x FROM UNNEST(['a%', 'ab']) AS x WHERE x LIKE r'a\%'": [("a%",)],
    r"SELECT x FROM UNNEST(['a%', 'ab']) AS x WHERE NOT x LIKE CONCAT('a', '\\', '%')": [("ab",)],
    # What is right as it is
    "SELECT id FROM ds.t QUALIFY ROW_NUMBER() OVER (ORDER BY id DESC) = 1": [(3,)],
    "SELECT * EXCEPT (a) REPLACE (b + 1 AS b) FROM (SELECT 1 AS a, 2 AS b)": [(3,)],
    "SELECT * FROM (SELECT 'a' AS k, 1 AS v UNION ALL SELECT 'b', 2) PIVOT (SUM(v) FOR k IN ('a', 'b'))": [(1, 2)],
    "SELECT * FROM (SELECT 1 AS a, 2 AS b) UNPIVOT (v FOR k IN (a, b)) ORDER BY k": [(1, "a"), (2, "b")],
    "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT * FROM r ORDER BY 1": [
        (1,), (2,), (3,),
    ],
    "FROM ds.t |> WHERE id > 1 |> AGGREGATE SUM(id) AS s": [(5,)],
    "SELECT id FROM ds.t EXCEPT DISTINCT SELECT 1 ORDER BY 1": [(2,), (3,)],
    "SELECT id FROM ds.t INTERSECT DISTINCT SELECT 1": [(1,)],
    "SELECT 1 IN (SELECT id FROM ds.t), EXISTS (SELECT 1), (SELECT MAX(id) FROM ds.t)": [(True, True, 3)],
    "SELECT a.id FROM ds.t AS a JOIN ds.t AS b USING (id) LEFT JOIN ds.t AS c ON c.id = a.id + 9 ORDER BY 1": [
        (1,), (2,), (3,),
    ],
    "SELECT COUNT(*) FROM ds.t TABLESAMPLE SYSTEM (100 PERCENT)": [(3,)],
    "SELECT CASE id WHEN 1 THEN 'one' ELSE 'more' END FROM ds.t ORDER BY id LIMIT 2 OFFSET 1": [("more",), ("more",)],
    "SELECT SUM(id) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM ds.t ORDER BY id": [
        (1,), (3,), (5,),
    ],
    "SELECT id BETWEEN 1 AND 2, s LIKE 'A%', NOT TRUE, id <> 1, s IS NULL, id IS DISTINCT FROM NULL FROM ds.t LIMIT 1": [
        (True, False, False, False, False, True)
    ],
    "SELECT d = '2024-01-15', d > DATE '2023-01-01', d BETWEEN '2024-01-01' AND '2024-01-20' FROM ds.t LIMIT 1": [
        (True, True, True)
    ],
    "SELECT SPLIT('a-b', '-')[OFFSET(1)], SPLIT('a-b', '-')[SAFE_OFFSET(7)]": [("b", None)],
    "SELECT DATE_DIFF(MAX(d), MIN(d), DAY), EXTRACT(YEAR FROM MAX(d)), DATE_TRUNC(MAX(d), MONTH) FROM ds.t": [
        (17, 2024, date(2024, 2, 1))
    ],
    "SELECT CURRENT_TIMESTAMP AS t, 1 FROM (SELECT CURRENT_DATE() AS current_date) WHERE FALSE": [],
}  # fmt: skip


@pytest.mark.parametrize("text", ANSWERS)
def test_the_answer_is_that_of_bigquery(connection, text):
    assert run(connection, text) == ANSWERS[text]
    assert run(connection, text, SCHEMA) == ANSWERS[text]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SELECT 1 / 0", "[Dd]ivision by zero"),
        ("SELECT id / (id - 1) FROM ds.t", "[Dd]ivision by zero"),
        ("SELECT MOD(1, 0)", "[Dd]ivision by zero"),
        ("SELECT LN(0)", "logarithm of zero"),
        ("SELECT SQRT(-1)", "negative"),
        ("SELECT EXP(1000)", "overflow"),
        ("SELECT CAST('1.5' AS INT64)", "Bad int64 value: 1.5"),
        ("SELECT CAST(s AS INT64) FROM ds.t", "Bad int64 value: a"),
        ("SELECT l[OFFSET(5)] FROM ds.t WHERE id = 1", "Array index 5 is out of bounds"),
        ("SELECT ARRAY_FIRST(l) FROM ds.t WHERE id = 2", "empty array"),
        ("SELECT j.k[0] FROM ds.t", r"use JSON_QUERY\(json, path\)"),
        ("SELECT INT64(JSON '1.5')", "not an integer: 1.5"),
        ("SELECT STRING(JSON '1')", "not a string"),
        ("SELECT 9223372036854775807 + 1", "[Oo]verflow"),
        ("SELECT SUBSTR(s, 1, -id) FROM ds.t", "cannot be negative"),
        ("SELECT ERROR('my own')", "my own"),
        ("SELECT MAX(d) - MIN(d) FROM ds.t", "use DATE_DIFF"),
        ("SELECT (SELECT id FROM ds.t)", "[Mm]ore than one row"),
    ],
)  # fmt: skip
def test_what_fails_in_bigquery_fails_here(connection, text, message):
    with pytest.raises(duckdb.Error, match=message):
        run(connection, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "SELECT DATE_ADD(DATE '2024-01-01', INTERVAL 1 HOUR)",
            "DATE_ADD does not support the HOUR date part",
        ),
        (
            "SELECT TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL 1 MONTH)",
            "does not support the MONTH date part",
        ),
        ("SELECT TIMESTAMP_DIFF(a, b, WEEK) FROM t", "does not support the WEEK date part"),
        ("SELECT DATE_TRUNC(1, MONTH)", "expected DATE, found INT64"),
        ("SELECT CAST([1] AS STRING)", "Invalid cast from ARRAY to STRING"),
        ("SELECT CAST(DATE '2024-01-01' AS INT64)", "Invalid cast from DATE to INT64"),
        ("SELECT 9223372036854775808", "Invalid integer literal"),
        ("SELECT PERCENTILE_CONT(x, 0.5) FROM t", "OVER"),
        ("SELECT ARRAY<STRUCT<a INT64, b INT64>>[(1, 2, 3)]", "a STRUCT of 3 fields, expected 2"),
        ("SELECT ML.PREDICT(MODEL m, TABLE t)", "stands in FROM"),
    ],
)
def test_what_bigquery_does_not_take_is_an_error_with_its_place(text, message):
    with pytest.raises(InvalidArgument, match=rf"{message}.* at \[1:\d+\]$"):
        translate(parse(text)[0])


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("SELECT * FROM t FOR SYSTEM_TIME AS OF '2024-01-01'", "FOR SYSTEM_TIME AS OF"),
        ("SELECT * FROM `p.ds.events_*`", r"events_\*"),
        ("SELECT _PARTITIONTIME FROM t", "_PARTITIONTIME"),
        ("SELECT * FROM t WHERE _TABLE_SUFFIX = 'x'", "_TABLE_SUFFIX"),
        ("SELECT @@session_id", "@@session_id"),
        ("SELECT INTERVAL '1-2' YEAR TO MONTH", "INTERVAL"),
        ("SELECT 1 AS a INNER UNION ALL BY NAME SELECT 2 AS b", "BY NAME"),
        ("CREATE TABLE t (g GEOGRAPHY)", "GEOGRAPHY"),
        ("CREATE TABLE t (g RANGE<DATE>)", "RANGE"),
        ("CREATE TABLE t (b BIGNUMERIC(60))", "BIGNUMERIC"),
        ("SELECT PERCENTILE_CONT(x, 0.5 RESPECT NULLS) OVER () FROM t", "RESPECT NULLS"),
        ("SELECT x LIKE 'a' COLLATE 'und:ci' FROM t", "COLLATE"),
        ("SELECT DATETIME(a, b) FROM t", "DATETIME"),
    ],
)
def test_clauses_that_trivet_has_not_are_refused_by_name(text, name):
    with pytest.raises((Unimplemented, InvalidArgument), match=name):
        translate(parse(text)[0])


def test_columns_without_a_name_get_bigquerys(connection):
    assert names(connection, "SELECT 1, id, id + 1, s AS x, t.d, p[SAFE_OFFSET(0)].y FROM ds.t AS t") == [
        "f0_", "id", "f1_", "x", "d", "y",
    ]  # fmt: skip
    assert names(connection, "SELECT * FROM (SELECT COUNT(*), MAX(id) FROM ds.t)") == ["f0_", "f1_"]
    assert names(connection, "SELECT 1 UNION ALL SELECT 2") == ["f0_"]


def test_types_of_columns(connection):
    connection.execute("DROP TABLE IF EXISTS ds.types")
    run(
        connection,
        "CREATE TABLE ds.types (a NUMERIC, b BIGNUMERIC, c NUMERIC(10, 2), d STRING(5), e BYTES, f TIMESTAMP,"
        " g DATETIME, h ARRAY<STRUCT<x INT64, y ARRAY<FLOAT64>>>, i BOOL, j JSON, k TIME, l BIGNUMERIC(20, 3),"
        " PRIMARY KEY (a) NOT ENFORCED) PARTITION BY DATE(f) CLUSTER BY d OPTIONS (description='x')",
    )
    found = connection.execute("SELECT column_type FROM (DESCRIBE ds.types)").fetchall()
    assert [one for (one,) in found] == [
        "DECIMAL(38,9)", "DECIMAL(38,18)", "DECIMAL(10,2)", "VARCHAR", "BLOB", "TIMESTAMP WITH TIME ZONE",
        "TIMESTAMP", "STRUCT(x BIGINT, y DOUBLE[])[]", "BOOLEAN", "JSON", "TIME", "DECIMAL(20,3)",
    ]  # fmt: skip


def test_types_of_literals_in_a_table(connection):
    run(
        connection,
        "CREATE OR REPLACE TABLE ds.made AS SELECT 1 AS a, 1.5 AS b, [1] AS c, STRUCT(1 AS x) AS d",
    )
    found = connection.execute("SELECT column_type FROM (DESCRIBE ds.made)").fetchall()
    assert [one for (one,) in found] == ["BIGINT", "DOUBLE", "BIGINT[]", "STRUCT(x BIGINT)"]


def test_rows_are_changed(connection):
    script = """
      CREATE OR REPLACE TABLE ds.m (k INT64, v STRING);
      INSERT ds.m (k, v) VALUES (1, 'a'), (2, 'b');
      INSERT INTO ds.m SELECT 3, 'c';
      UPDATE ds.m SET v = CONCAT(v, k) WHERE k = 1;
      DELETE ds.m WHERE k = 3;
      MERGE ds.m AS t USING (SELECT 2 AS k, 'B' AS v UNION ALL SELECT 9, 'n') AS s ON t.k = s.k
        WHEN MATCHED THEN UPDATE SET v = s.v
        WHEN NOT MATCHED THEN INSERT ROW
        WHEN NOT MATCHED BY SOURCE AND t.k > 5 THEN DELETE;
      DELETE FROM ds.m AS x WHERE x.v = 'n';
      SELECT * FROM ds.m ORDER BY k"""
    assert run(connection, script) == [(1, "a1"), (2, "B")]
    script = "CREATE OR REPLACE TABLE ds.m2 LIKE ds.m; SELECT COUNT(*) FROM ds.m2"
    assert run(connection, script) == [(0,)]
    assert run(connection, "CREATE OR REPLACE TABLE ds.m3 COPY ds.m; SELECT COUNT(*) FROM ds.m3") == [(2,)]
    assert run(connection, "TRUNCATE TABLE ds.m3; SELECT COUNT(*) FROM ds.m3") == [(0,)]


def test_numeric_is_numeric_where_the_types_are_known(connection):
    (row,) = run(connection, "SELECT n / 2, n * 2, n + 0.1, AVG(n) FROM ds.t WHERE id = 1 GROUP BY n", SCHEMA)
    assert [type(one) for one in row] == [Decimal] * 4
    assert row == (Decimal("0.75"), Decimal(3), Decimal("1.6"), Decimal("1.5"))


def test_fields_of_structs_are_columns_where_the_types_are_known(connection):
    assert run(connection, "SELECT y, x FROM ds.t, UNNEST(p) ORDER BY x", SCHEMA) == [("x", 1), ("y", 2)]
    (tree,) = parse(
        "SELECT * FROM UNNEST(CAST(@p AS ARRAY<STRUCT<label STRING, prob FLOAT64>>)) ORDER BY prob"
    )
    text = translate(tree).sql(dialect="duckdb")
    pairs = [{"label": "b", "prob": 0.9}, {"label": "a", "prob": 0.1}]
    assert connection.execute(text, {"p": pairs}).fetchall() == [("a", 0.1), ("b", 0.9)]


def test_parameters_stay(connection):
    (tree,) = parse("SELECT CAST(@x AS STRING), DATE_ADD(@d, INTERVAL @n DAY), @x + 1")
    text = translate(tree).sql(dialect="duckdb")
    (row,) = connection.execute(text, {"x": 2.0, "d": date(2024, 1, 1), "n": 3}).fetchall()
    assert row == ("2", date(2024, 1, 4), 3.0)


def test_predictions_are_left_in_the_tree():
    (tree,) = parse("SELECT CAST(p.x AS STRING) FROM ML.PREDICT(MODEL m, (SELECT 1.5 AS a, 2)) AS p")
    text = translate(tree).sql(dialect="duckdb")
    assert "ML.PREDICT(MODEL m, (SELECT 1.5e0 AS a, CAST(2 AS BIGINT) AS f0_)) AS p" in text


def test_the_given_tree_is_not_changed():
    (tree,) = parse("SELECT 1.5, DATE_TRUNC(d, MONTH) AS d FROM t GROUP BY d")
    before = tree.sql()
    translate(tree)
    assert tree.sql() == before


@given(st.floats(-(2.0**53), 2.0**53) | st.integers(-1000, 1000).map(lambda n: n + 0.5))
def test_floats_round_as_in_bigquery(connection, value):
    text = translate(parse("SELECT CAST(x AS INT64) FROM (SELECT @x AS x)")[0]).sql(dialect="duckdb")
    ((found,),) = connection.execute(text, {"x": value}).fetchall()
    assert found == Decimal(value).quantize(Decimal(1), ROUND_HALF_UP)


@given(st.dates(date(1900, 1, 1), date(2100, 1, 1)), st.integers(1, 7))
def test_weeks_begin_on_the_day_that_is_named(connection, day, first):
    name = ["MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY"][first - 1]
    text = f"SELECT DATE_TRUNC(DATE '{day}', WEEK({name})), LAST_DAY(DATE '{day}', WEEK({name}))"
    ((begin, last),) = run(connection, text)
    assert begin.isoweekday() == first
    assert begin <= day <= last
    assert (last - begin).days == 6


def test_a_moment_is_in_utc(connection):
    text = "SELECT TIMESTAMP '2024-01-01 10:00:00+02', TIMESTAMP '2024-01-01', DATETIME '2024-01-01 10:00:00'"
    assert run(connection, text) == [
        (datetime(2024, 1, 1, 8, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, 10))
    ]
