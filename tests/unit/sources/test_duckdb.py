"""Tables of DuckDB, and queries, as a source."""

import json
from dataclasses import replace

import duckdb
import pytest

from trivet.core.errors import FailedPrecondition, InvalidArgument, NotFound
from trivet.sources.base import Inputs
from trivet.sources.duckdb import SOURCE


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "shop.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE items AS SELECT range AS id, range / 2 AS x FROM range(100000)")
    return path


@pytest.fixture
def inputs(database, tmp_path):
    return Inputs((f"duckdb:{database}#items",), scratch=str(tmp_path / "scratch"))


def read(inputs):
    rows = {}
    for shard in SOURCE.plan(inputs):
        for records in SOURCE.read(shard, inputs):
            assert not records.unreadable
            for offset, *cells in zip(records.offsets, *records.cells, strict=True):
                rows[shard.uri, offset] = dict(zip(records.names, map(json.loads, cells), strict=True))
    return rows


def select(sql, tmp_path, **options):
    rows = read(Inputs((f"sql:{sql}",), scratch=str(tmp_path / "scratch"), **options))
    return list(rows.values())


def test_a_table_is_read_in_its_order(inputs, database):
    rows = read(inputs)
    uri = f"duckdb:{database}#items"
    assert list(rows) == [(uri, offset) for offset in range(100_000)]
    assert rows[uri, 99_999] == {"id": 99_999, "x": 49_999.5}


def test_shards_are_cut_and_can_be_read_when_the_table_is_another(inputs, database):
    inputs = replace(inputs, shard_rows=50_000)
    shards = list(SOURCE.plan(inputs))
    assert [shard.index for shard in shards] == [0, 1]
    assert sum(shard.size for shard in shards) == 100_000
    with duckdb.connect(str(database)) as connection:
        connection.execute("DROP TABLE items")
    sizes = [[one.size for one in SOURCE.read(shard, inputs)] for shard in shards]
    assert sum(map(sum, sizes)) == 100_000
    assert [[one.size for one in SOURCE.read(shard, inputs)] for shard in shards] == sizes


def test_a_query_asks_the_file_of_the_uri(inputs, database):
    inputs = replace(inputs, uris=(str(database),), options={"sql": "SELECT id FROM items ORDER BY id DESC;"})
    assert [row["id"] for row in read(inputs).values()][:3] == [99_999, 99_998, 99_997]


def test_a_file_with_one_table_needs_no_name_of_it(inputs, database):
    assert len(read(replace(inputs, uris=(f"duckdb:{database}",)))) == 100_000
    with duckdb.connect(str(database)) as connection:
        connection.execute('CREATE TABLE "two.dots" (a INT)')
    with pytest.raises(InvalidArgument, match=r"there are: items, two.dots"):
        read(replace(inputs, uris=(f"duckdb:{database}",)))
    assert read(replace(inputs, uris=(f"duckdb:{database}#two.dots",))) == {}


def test_a_query_may_read_files(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,x\n2,y\n")
    sql = f"SELECT b, a FROM '{tmp_path}/a.csv' ORDER BY a DESC -- and that is all"
    assert select(sql, tmp_path) == [{"b": "y", "a": 2}, {"b": "x", "a": 1}]


def test_a_query_reads_no_files_elsewhere_where_folders_are_given(tmp_path, database):
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    (allowed / "a.csv").write_text("a\n1\n")
    (tmp_path / "b.csv").write_text("a\n1\n")
    folders = (str(allowed),)
    assert select(f"SELECT * FROM '{allowed}/a.csv'", tmp_path, folders=folders) == [{"a": 1}]
    for sql in (
        f"SELECT * FROM '{tmp_path}/b.csv'",
        f"SELECT * FROM read_text('{allowed}/../b.csv')",
        "SELECT * FROM glob('/etc/*')",
    ):
        with pytest.raises(FailedPrecondition, match=r"sql:SELECT .*DuckDB says: "):
            select(sql, tmp_path, folders=folders)
    with pytest.raises(InvalidArgument, match="not in a folder"):
        read(Inputs((f"duckdb:{database}#items",), scratch=str(tmp_path / "s"), folders=folders))


TYPES = [
    ("1::HUGEINT << 100", 2**100),
    ("sum(7)", 7),
    ("1.50::DECIMAL(10, 2)", 1.5),
    ("'{\"a\": [1, 2.0]}'::JSON", {"a": [1, 2.0]}),
    ("{'a': 1, 'b': [NULL, 2]}", {"a": 1, "b": [None, 2]}),
    ("MAP {'k': 1}", {"k": 1}),
    ("'x'::BLOB", {"b64": "eA=="}),
    ("'a'::ENUM ('a', 'b')", "a"),
    ("INTERVAL 1 DAY", "1 day"),
    ("'101'::BIT", "101"),
    ("union_value(k := 1)", "1"),
    ("TIMESTAMP '2019-01-01'", "2019-01-01T00:00:00"),
    ("TIMESTAMPTZ '2019-01-01 00:00:00+02'", "2018-12-31 22:00:00+00:00"),
    ("'nan'::DOUBLE", None),
    ("NULL", None),
    ("true", True),
]


@pytest.mark.parametrize(("sql", "expected"), TYPES)
def test_types_are_turned_into_json(tmp_path, sql, expected):
    assert select(f"SELECT {sql} AS c", tmp_path) == [{"c": expected}]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT 1; SELECT 2", "expected one SELECT"),
        ("CREATE TABLE x (a INT)", "expected one SELECT"),
        ("", "expected one SELECT"),
    ],
)
def test_a_query_is_one_select(tmp_path, sql, message):
    with pytest.raises(InvalidArgument, match=message):
        select(sql, tmp_path)


@pytest.mark.parametrize(
    "sql", ["SELEC 1", "SELECT nothing", "SELECT x::INT FROM (VALUES ('1'), ('a')) t(x)", "SELECT 1 a, 2 a"]
)
def test_a_query_that_fails_is_quoted(tmp_path, sql):
    with pytest.raises(FailedPrecondition, match="sql:SELEC"):
        select(sql, tmp_path)
    assert not [path for path in tmp_path.glob("scratch/sources/*") if "a," not in sql]


def test_what_is_not_there_is_named(inputs, tmp_path, database):
    with pytest.raises(NotFound, match=r"#other: there is no such table; there are: items"):
        read(replace(inputs, uris=(f"duckdb:{database}#other",)))
    with pytest.raises(NotFound, match=r"none.duckdb"):
        read(replace(inputs, uris=(f"duckdb:{tmp_path}/none.duckdb#t",)))
    (tmp_path / "text.duckdb").write_text("no database " * 1000)
    with pytest.raises(FailedPrecondition, match="DuckDB says"):
        read(replace(inputs, uris=(f"duckdb:{tmp_path}/text.duckdb#t",)))
    with pytest.raises(FailedPrecondition, match="scratch"):
        read(replace(inputs, scratch=""))
