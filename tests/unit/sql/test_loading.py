"""Rows that go into tables from files and from JSON, over a real DuckDB."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivet.core.errors import AlreadyExists, InvalidArgument, NotFound, Unimplemented
from trivet.sql import json_values
from trivet.sql.json_values import Misfit
from trivet.sql.types import Field, Type, array, struct

duckdb = pytest.importorskip("duckdb")
pa = pytest.importorskip("pyarrow")

INT, TEXT = Type("INT64"), Type("STRING")


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    from trivet.app.sql import open_database
    from trivet.settings import Settings, Sql

    folder = tmp_path_factory.mktemp("data")
    with open_database(Settings(sql=Sql(folders=(str(folder),))), folder, serves=True) as found:
        yield found


@pytest.fixture
def connection(database, request):
    from trivet.sql.names import DatasetName

    name = DatasetName("p", f"ds_{abs(hash(request.node.nodeid))}")
    with database.connect(project="p") as found:
        found.store.create_dataset(name)
        found.default = name
        yield found


@pytest.fixture
def load(connection, tmp_path):
    """Return a function that loads a text, and returns the rows of the table."""
    from trivet.sql.loading import load
    from trivet.sql.loads import Load

    def loaded(content, format_="CSV", table="t", **more):
        file = tmp_path / "data"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        name = connection.default.child(table)
        done = load(connection, Load(name, format_, file=file, **more), lambda: None)
        loaded.done = done
        return connection.sql(f"SELECT * FROM {table}").fetchall()

    return loaded


def fields(**types):
    return tuple(Field(name, type_) for name, type_ in types.items())


def columns(connection, table="t"):
    return [
        (one.name, str(one.type)) for one in connection.store.table(connection.default.child(table)).fields
    ]


def test_what_is_quoted_is_text_and_what_is_not_there_is_null(load):
    given = fields(a=TEXT, b=INT)
    assert load('"",1\n,2\nx,\n"a ""b"", c",4\n', fields=given) == [
        ("", 1), (None, 2), ("x", None), ('a "b", c', 4),
    ]  # fmt: skip


def test_csv_may_be_compressed(load):
    assert load(gzip.compress(b"1\n2\n"), fields=fields(a=INT)) == [(1,), (2,)]


@pytest.mark.parametrize(
    ("text", "names", "rows"),
    [
        ("id,name\n1,x\n2,y\n", [("id", "INT64"), ("name", "STRING")], [(1, "x"), (2, "y")]),
        ("1,x\n2,y\n", [("int64_field_0", "INT64"), ("string_field_1", "STRING")], [(1, "x"), (2, "y")]),
        ("a b,c-d\n1,true\n", [("a_b", "INT64"), ("c_d", "BOOL")], [(1, True)]),
    ],
)
def test_columns_of_csv_are_found(load, connection, text, names, rows):
    assert load(text, detects=True) == rows
    assert columns(connection) == names


def test_a_header_that_is_to_be_skipped_has_the_names(load, connection):
    assert load("a,b\nx,y\n", detects=True, skip=1) == [("x", "y")]
    assert columns(connection) == [("a", "STRING"), ("b", "STRING")]


def test_rows_with_too_many_values_are_refused_or_cut(load):
    with pytest.raises(InvalidArgument, match=r"too many values: 3; expected 2"):
        load("1,2,3\n", fields=fields(a=INT, b=INT))
    assert load("1,2,3\n", fields=fields(a=INT, b=INT), ignore_unknown=True) == [(1, 2)]


def test_rows_of_another_length_are_named(load):
    with pytest.raises(InvalidArgument, match="Error while reading data"):
        load("1,2\n3\n", fields=fields(a=INT, b=INT))
    assert load("1,2\n3\n4,5\n", fields=fields(a=INT, b=INT), bad=1) == [(1, 2), (4, 5)]
    assert load.done.bad == 1


@pytest.mark.parametrize("format_", ["CSV", "NEWLINE_DELIMITED_JSON"])
def test_after_an_error_the_file_is_closed_though_the_error_is_kept(load, monkeypatch, format_):
    opened, open_ = [], Path.open

    def noted(path, *how, **more):
        opened.append(open_(path, *how, **more))
        return opened[-1]

    monkeypatch.setattr(Path, "open", noted)
    with pytest.raises(InvalidArgument) as raised:
        load("1,2\n3\n", format_, fields=fields(a=INT, b=INT))
    assert len(opened) > 1
    assert all(one.closed for one in opened), raised


def test_lines_that_are_no_json_are_named(load):
    given = fields(a=INT)
    with pytest.raises(InvalidArgument, match="line 2: JSON parsing error"):
        load('{"a": 1}\n{"a": \n', "NEWLINE_DELIMITED_JSON", fields=given)
    assert load('{"a": 1}\n{"a": \n{"a": 3}', "NEWLINE_DELIMITED_JSON", fields=given, bad=1) == [(1,), (3,)]


def test_a_wrong_row_far_down_loads_nothing(load, connection):
    lines = [json.dumps({"a": n}) for n in range(25_000)]
    lines[24_000] = '{"a": "x"}'
    with pytest.raises(
        InvalidArgument, match=r'line 24001: Could not convert value to INT64. Field: a; Value: "x"'
    ):
        load("\n".join(lines), "NEWLINE_DELIMITED_JSON", fields=fields(a=INT))
    assert connection.store.kind(connection.default.child("t")) is None


def test_a_table_keeps_its_columns(load, connection):
    load('{"a": 1, "b": "x"}', "NEWLINE_DELIMITED_JSON", fields=fields(a=INT, b=TEXT))
    assert load('{"B": "y", "A": "2"}', "NEWLINE_DELIMITED_JSON") == [(1, "x"), (2, "y")]
    with pytest.raises(InvalidArgument, match="no such field: c"):
        load('{"c": 1}', "NEWLINE_DELIMITED_JSON")


def parquet(table):
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=2)
    return sink.getvalue().to_pybytes()


def test_columns_of_parquet_have_their_types(load, connection):
    table = pa.table(
        {
            "i": pa.array([1, 2, None], pa.int32()),
            "d": pa.array([None, None, 1], pa.decimal128(10, 2)),
            "l": pa.array([["a"], [], None]),
            "s": pa.array([{"x": 1.5}, None, {"x": None}]),
            "z": pa.array([0, 1, 2], pa.timestamp("ms", "UTC")),
            "n": pa.array([0, 1, 2], pa.timestamp("ns")),
            "c": pa.array(["a", "b", "a"]).dictionary_encode(),
        }
    )
    assert len(load(parquet(table), "PARQUET")) == 3
    assert columns(connection) == [
        ("i", "INT64"), ("d", "NUMERIC"), ("l", "ARRAY<STRING>"), ("s", "STRUCT<x FLOAT64>"),
        ("z", "TIMESTAMP"), ("n", "DATETIME"), ("c", "STRING"),
    ]  # fmt: skip
    assert load(parquet(table.select(["l", "i"])), "PARQUET")[-1][:3] == (None, None, None)


def test_parquet_that_does_not_fit_is_refused_by_column(load):
    content = parquet(pa.table({"a": [1.5], "b": ["x"]}))
    with pytest.raises(InvalidArgument, match="field a: expected type INT64; the file has FLOAT64"):
        load(content, "PARQUET", fields=fields(a=INT, b=TEXT))
    with pytest.raises(InvalidArgument, match="no such field: b"):
        load(content, "PARQUET", fields=fields(a=Type("FLOAT64")))
    with pytest.raises(InvalidArgument, match="Parquet"):
        load(b"nonsense", "PARQUET")
    with pytest.raises(Unimplemented, match="AVRO"):
        load(b"x", "AVRO")


def test_a_table_is_appended_to_replaced_or_left_alone(load, connection):
    given = {"fields": fields(a=INT)}
    with pytest.raises(NotFound, match="Not found: Table"):
        load("1\n", **given, creates=False)
    assert load("1\n", **given) == [(1,)]
    with pytest.raises(AlreadyExists, match="Already Exists: Table"):
        load("2\n", **given, how="WRITE_EMPTY")
    assert load("2\n", **given, how="WRITE_TRUNCATE") == [(2,)]
    assert load("x\n", fields=fields(b=TEXT), how="WRITE_TRUNCATE") == [("x",)]


@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "i": st.integers(-(2**63), 2**63 - 1),
                "f": st.floats(allow_nan=False),
                "s": st.text(st.characters(exclude_categories=["Cs"])),
                "b": st.booleans(),
                "l": st.lists(st.integers(-(2**31), 2**31)),
                "r": st.fixed_dictionaries({"x": st.none() | st.text(max_size=3)}),
            },
        ),
        max_size=5,
    )
)
@settings(deadline=None)
def test_rows_of_json_are_what_they_were(rows):
    known = fields(i=INT, f=Type("FLOAT64"), s=TEXT, b=Type("BOOL"), l=array(INT), r=struct(Field("x", TEXT)))
    read = [json_values.row(json.loads(json.dumps(one)), known) for one in rows]
    found = json_values.batch(read, known).to_pylist()
    defaults = {"i": None, "f": None, "s": None, "b": None, "l": [], "r": None}
    assert found == [{**defaults, **one} for one in rows]


@pytest.mark.parametrize(
    ("type_", "value", "expected"),
    [
        (INT, "7", 7), (INT, 7.0, 7), (TEXT, 1.5, "1.5"), (TEXT, True, "true"),
        (Type("BOOL"), "FALSE", False), (Type("FLOAT64"), "-inf", float("-inf")),
        (Type("JSON"), {"a": 1}, '{"a": 1}'), (Type("JSON"), "x", '"x"'),
        (Type("JSON"), '{"a":1}', '{"a": 1}'),
        (Type("BYTES"), "AP8=", b"\x00\xff"), (Type("BYTES"), "AP-_", b"\x00\xff\xbf"),
    ],
)  # fmt: skip
def test_values_may_be_written_in_several_ways(type_, value, expected):
    [found] = json_values.row({"v": value}, [Field("v", type_)]).values()
    assert found == expected


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        (Field("v", INT), "x", "INT64. Field: v"),
        (Field("v", INT), 2**63, "INT64"),
        (Field("v", INT), True, "INT64"),
        (Field("v", INT), [1], "Array specified for non-repeated field: v"),
        (Field("v", INT), {"a": 1}, "not a record"),
        (Field("v", array(INT)), [1, None], "NULL"),
        (Field("v", array(INT)), 1, "v"),
        (Field("v", struct(Field("x", INT))), 1, "v is a record"),
        (Field("v", struct(Field("x", INT))), {"y": 1}, "no such field: v.y"),
        (Field("v", struct(Field("x", INT))), {"x": "z"}, "Field: v.x"),
        (Field("v", INT, required=True), None, "Missing required field: v"),
        (Field("v", Type("NUMERIC")), "1e40", "NUMERIC"),
        (Field("v", Type("DATE")), "2024-02-30", "DATE"),
    ],
)
def test_values_that_do_not_fit_are_named(field, value, said):
    with pytest.raises(Misfit, match=said.replace(".", r"\.")):
        json_values.row({"v": value}, [field])
