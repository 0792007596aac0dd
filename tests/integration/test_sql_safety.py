"""What hostile or odd statements reach: nothing but an error that says why."""

import re
import threading

import numpy as np
import pytest

import trivet.sql
from trivet import config
from trivet.app.sql import open_database
from trivet.core.errors import Cancelled, InvalidArgument, ServingError

OUTSIDE = (
    "FROM read_text('{secret}')", "FROM read_csv('{secret}')", "FROM read_blob('{secret}')",
    "FROM '{secret}'", "FROM '{folder}/link.csv'", "FROM read_text('{folder}/link.csv')",
    "FROM '{folder}/../secret.csv'", "FROM read_text('{folder}/../secret.csv')", "FROM glob('/etc/*')",
    "FROM query('FROM read_text(''{secret}'')')", "SUMMARIZE FROM read_text('{secret}')",
    "EXPLAIN ANALYZE SELECT * FROM read_text('{secret}')", "COPY (SELECT 1) TO '{secret}'",
    "COPY ds.t FROM '{secret}'", "ATTACH '{secret}.db' AS other", "EXPORT DATABASE '{secret}.d'",
    "IMPORT DATABASE '{secret}.d'", "INSTALL httpfs", "LOAD httpfs", "SET enable_external_access = true",
    "SET allowed_directories = ['/']", "SELECT getenv('HOME')", "FROM read_csv('http://127.0.0.1:1/x')",
    "CREATE VIEW ds.v AS FROM read_text('{secret}')", "CREATE PERSISTENT SECRET s (TYPE s3)",
    "SET profile_output = '{secret}'", "FROM some_frame",
)  # fmt: skip
LIKE_BIGQUERY = (
    "SELECT * FROM read_text('{secret}')", "SELECT * FROM '{secret}'", "SELECT * FROM `{secret}`",
    "SELECT * FROM '{folder}/link.csv'", "SELECT * FROM '{folder}/*.csv'", "SELECT getenv('HOME')",
    "SELECT main.getenv('HOME')", "SELECT SAFE.getenv('HOME')", "SELECT * FROM system.main.read_text('x')",
    "SELECT (SELECT content FROM read_text('{secret}'))", "SELECT * REPLACE(getenv('A') AS a) FROM ds.t",
    "CREATE TABLE ds.x (a STRING DEFAULT getenv('HOME'))", "COPY ds.t TO '{secret}'", "PRAGMA version",
    "ATTACH '{secret}' AS x", "SET threads = 1", "SELECT * FROM some_frame", "SELECT ml_0123456789(1)",
    "SELECT * FROM __trivet.objects", "SELECT * FROM local.`__trivet`.objects",
    "DELETE FROM __trivet.objects WHERE TRUE", "DROP SCHEMA __trivet CASCADE",
    "CREATE TABLE __trivet.x AS SELECT 1 AS a", "CREATE TABLE ds.x LIKE __trivet.objects",
    "SELECT * FROM pg_catalog.pg_tables", "SELECT * FROM duckdb_settings()",
    "EXPORT MODEL ds.m OPTIONS(uri='/tmp/elsewhere')",
)  # fmt: skip


@pytest.fixture
def database(tmp_path, monkeypatch):
    """A database as a server has it: statements may reach one folder, beside which there is a secret."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "secret.csv").write_text("a\n42\n")
    (folder / "open.csv").write_text("a\n1\n")
    (folder / "link.csv").symlink_to(tmp_path / "secret.csv")
    monkeypatch.setenv("TRIVET_SQL_FOLDERS", str(folder))
    settings = config.load({"catalog.data": str(tmp_path / "data")})
    with open_database(settings, tmp_path / "data", serves=True) as database:
        with database.connect() as connection:
            connection.sql("CREATE SCHEMA ds; CREATE TABLE ds.t AS SELECT 1 AS a")
        yield database


@pytest.fixture
def here(tmp_path):
    with trivet.sql.connect(data=tmp_path / "data", dataset="ds") as connection:
        connection.sql("CREATE SCHEMA ds")
        yield connection


@pytest.mark.parametrize(("dialect", "texts"), [("duckdb", OUTSIDE), ("bigquery", LIKE_BIGQUERY)])
def test_nothing_outside_the_folders_is_read_or_written(database, tmp_path, dialect, texts):
    some_frame = np.ones(3)  # noqa: F841 - DuckDB would find it by its name
    before = sorted(tmp_path.iterdir())
    for text in texts:
        asked = text.format(secret=tmp_path / "secret.csv", folder=tmp_path / "folder")
        with database.connect(dialect=dialect) as connection, pytest.raises(ServingError):
            pytest.fail(f"{asked}: gives {connection.sql(asked).fetchall()}")
    assert sorted(tmp_path.iterdir()) == before
    with database.connect(dialect=dialect) as connection:
        assert connection.sql(f"SELECT a FROM '{tmp_path / 'folder/open.csv'}'").fetchall() == [(1,)]
        assert connection.sql("SELECT a FROM ds.t").fetchall() == [(1,)]


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1 AS a -- */ , getenv('HOME') /*", "SELECT 1 AS a # */ , getenv('HOME')\n",
        "SELECT 1 AS `a\", getenv('HOME') AS \"b`", "SELECT STRUCT(1 AS `a\" x, getenv('HOME') \"`).* ",
        "SELECT 1 AS `a''b`",
    ],
)  # fmt: skip
def test_comments_and_names_stay_what_they_are(here, text):
    assert here.sql(text).fetchall() == [(1,)]


def test_projects_that_differ_in_case_are_two(database):
    names = ("Same", "same", "temp", "temp_", "TEMP", "main", "memory")
    for name in names:
        with database.connect(project=name) as connection:
            connection.sql("CREATE SCHEMA ds")
            connection.sql("CREATE TABLE ds.t AS SELECT @name AS name", {"name": name})
    for name in names:
        with database.connect(project=name) as connection:
            assert connection.sql("SELECT name FROM ds.t").fetchall() == [(name,)]


ODD = {
    "SELECT 1 -- x": [(1,)],
    ";;SELECT 2;;": [(2,)],
    "SELECT 3; -- x\n /* y */ ;": [(3,)],
    "": "Unexpected end of statement",
    ";;": "Unexpected end of statement",
    "-- x": "Unexpected end of statement",
    "SELECT 'a\0b'": [("a\0b",)],
    "SELECT '\ud800'": "surrogate",
    "SELECT '🎉' AS `🎉`": [("🎉",)],
    "CREATE TABLE ds.`a\0b` AS SELECT 1 AS x": "expected letters",
    'CREATE TABLE ds.`a"b` AS SELECT 1 AS x': "expected letters",
    f"SELECT {'9' * 100_000}": "100000 digits",
    f"SELECT {'(' * 100}1{')' * 100}": [(1,)],
    f"SELECT {'(' * 50_000}1{')' * 50_000}": "too complex",
    f"SELECT {'NOT ' * 50_000}TRUE": "too complex",
    f"SELECT {'ABS(' * 5_000}1{')' * 5_000}": "too complex",
    f"SELECT {'[STRUCT(' * 2_000}1{')]' * 2_000}": "too complex",
    f"SELECT {'+'.join(['1'] * 300)}": [(300,)],
    f"SELECT {'+'.join(['1'] * 20_000)}": "too complex",
    f"SELECT * FROM {'(SELECT * FROM ' * 50}(SELECT 1 AS a){')' * 50}": [(1,)],
    f"SELECT * FROM {'(SELECT * FROM ' * 3_000}(SELECT 1 AS a){')' * 3_000}": "too complex",
    " UNION ALL ".join(["SELECT 1 AS a"] * 300): [(1,)] * 300,
    f"SELECT 1 /* {'x' * 10_000_000} */": "query is too large",
    "(" * 10_000_000: "query is too large",
}


@pytest.mark.parametrize("text", ODD, ids=[re.sub(r"\W+", "_", text[:30]) for text in ODD])
def test_odd_and_huge_statements_have_an_answer(here, text):
    expected = ODD[text]
    if isinstance(expected, list):
        assert here.sql(text).fetchall() == expected
    else:
        with pytest.raises(ServingError, match=expected):
            here.sql(text)
    assert here.sql("SELECT 1").fetchall() == [(1,)]


def test_a_table_may_have_thousands_of_columns(here):
    columns = ", ".join(f"{number} AS c{number}" for number in range(2_000))
    here.sql(f"CREATE TABLE ds.wide AS SELECT {columns}")
    assert here.sql("SELECT * FROM ds.wide").fetchall() == [tuple(range(2_000))]


def test_the_end_of_a_statement_while_it_is_planned_is_not_lost(here):
    text = (
        "SELECT COUNT(*) FROM UNNEST(GENERATE_ARRAY(1, 100000)) a, UNNEST(GENERATE_ARRAY(1, 100000)) b WHERE "
    )
    timer = threading.Timer(0.3, here.interrupt)
    timer.start()
    with pytest.raises(Cancelled):
        here.sql(text + " OR ".join(f"a * b = {number}" for number in range(3_000))).fetchall()
    with pytest.raises(InvalidArgument):
        here.sql("SELECT nope")
