"""Rows are written so that Google's own decoder reads what they were."""

import datetime
import json
import math
from decimal import Decimal

import pytest
from google.cloud.bigquery._helpers import _rows_from_json
from hypothesis import given, settings
from hypothesis import strategies as st

from trivet.core.errors import InvalidArgument
from trivet.protocols.bigquery.cells import expect_results, rows_json
from trivet.protocols.bigquery.schema import schema_json
from trivet.sql.json_values import arrow_type
from trivet.sql.types import Field, Type, array, struct

pa = pytest.importorskip("pyarrow")

SCALARS = {
    "INT64": st.integers(-(2**63), 2**63 - 1),
    "FLOAT64": st.floats(allow_nan=False),
    "NUMERIC": st.decimals(-(10**20), 10**20, places=9),
    "BIGNUMERIC": st.decimals(-(10**15), 10**15, places=18),
    "BOOL": st.booleans(),
    "STRING": st.text(st.characters(exclude_categories=["Cs"])),
    "BYTES": st.binary(),
    "DATE": st.dates(),
    "TIME": st.times(),
    "DATETIME": st.datetimes(datetime.datetime(1000, 1, 1)),
    "TIMESTAMP": st.datetimes(datetime.datetime(1000, 1, 1), timezones=st.just(datetime.UTC)),
}


def types():
    scalars = st.sampled_from(sorted(SCALARS)).map(Type)
    structs = st.lists(scalars | scalars.map(array), min_size=1, max_size=3).map(
        lambda found: struct(*(Field(f"f{at}", one) for at, one in enumerate(found)))
    )
    return scalars | scalars.map(array) | structs | structs.map(array)


def values(type_, *, nullable=True):
    if type_.item is not None:
        return st.lists(values(type_.item, nullable=False), max_size=3)
    if type_.kind == "STRUCT":
        found = st.fixed_dictionaries({one.name: values(one.type) for one in type_.fields})
    else:
        found = SCALARS[type_.kind]
    return st.none() | found if nullable else found


@st.composite
def tables(draw):
    kinds = draw(st.lists(types(), min_size=1, max_size=4))
    fields = [Field(f"c{at}", type_) for at, type_ in enumerate(kinds)]
    rows = draw(st.lists(st.tuples(*(values(one.type) for one in fields)), max_size=5))
    return fields, rows


def table(fields, rows):
    columns = [pa.array([row[at] for row in rows], arrow_type(one.type)) for at, one in enumerate(fields)]
    return pa.Table.from_arrays(columns, names=[one.name for one in fields])


def decoded(content, fields):
    return [tuple(row) for row in _rows_from_json(json.loads(content), schema_json(fields)["fields"])]


@given(tables())
@settings(deadline=None, max_examples=150)
def test_googles_decoder_reads_what_was_written(found):
    fields, rows = found
    assert decoded(rows_json(table(fields, rows), fields, micros=True), fields) == rows


def test_slices_and_chunks_are_written_as_they_are():
    fields = [Field("a", array(Type("STRING"))), Field("b", struct(Field("x", Type("INT64"))))]
    rows = [([f"{n}", '"'], {"x": n}) for n in range(50)]
    whole = pa.concat_tables([table(fields, rows[:20]), table(fields, rows[20:])])
    for start, end in ((0, 50), (3, 9), (15, 33), (49, 50), (7, 7)):
        part = whole.slice(start, end - start)
        assert decoded(rows_json(part, fields, micros=True), fields) == rows[start:end]


def test_floats_that_are_no_numbers_have_names():
    fields = [Field("a", Type("FLOAT64"))]
    content = rows_json(table(fields, [(math.nan,), (math.inf,), (-math.inf,)]), fields, micros=True)
    assert [row["f"][0]["v"] for row in json.loads(content)] == ["NaN", "Infinity", "-Infinity"]


@pytest.mark.parametrize(
    ("moment", "seconds"),
    [
        ((2024, 1, 1), "1704067200.000000"),
        ((1970, 1, 1, 0, 0, 0, 1), "0.000001"),
        ((1969, 12, 31, 23, 59, 59), "-1.000000"),
    ],
)
def test_timestamps_are_seconds_where_micros_are_not_asked_for(moment, seconds):
    fields = [Field("a", Type("TIMESTAMP"))]
    given = table(fields, [(datetime.datetime(*moment, tzinfo=datetime.UTC),)])
    assert json.loads(rows_json(given, fields, micros=False)) == [{"f": [{"v": seconds}]}]


def test_numbers_of_128_bits_are_digits():
    fields = [Field("a", Type("INT64"))]
    given = pa.table({"a": pa.array([Decimal(2**62), None], pa.decimal128(38, 0))})
    assert decoded(rows_json(given, fields, micros=True), fields) == [(2**62,), (None,)]


def test_tables_without_rows_or_columns_are_written():
    fields = [Field("a", Type("INT64"))]
    assert rows_json(table(fields, []), fields, micros=True) == b"[]"


@pytest.mark.parametrize(
    ("type_", "value", "name"),
    [
        (array(Type("INT64")), [1, None], "c"),
        (struct(Field("x", array(Type("STRING")))), {"x": [None]}, "c.x"),
        (array(struct(Field("x", array(Type("STRING"))))), [{"x": ["a"]}, {"x": [None]}], "c.x"),
    ],
)
def test_a_null_in_an_array_is_refused_by_name(type_, value, name):
    fields = [Field("c", type_)]
    [batch] = table(fields, [(None,), (value,)]).to_batches()
    with pytest.raises(
        InvalidArgument, match=f"Array cannot have a null element; error in writing field {name}$"
    ):
        expect_results(batch, fields)
    [fine] = table(fields, [(None,)]).to_batches()
    expect_results(fine, fields)


@pytest.mark.parametrize(
    ("kind", "far", "near"),
    [
        ("DATE", pa.scalar(2_932_897, pa.date32()), pa.scalar(2_932_896, pa.date32())),
        ("DATE", pa.scalar(-719_163, pa.date32()), pa.scalar(-719_162, pa.date32())),
        ("DATETIME", pa.scalar(2**63 - 1, pa.timestamp("us")), pa.scalar(datetime.datetime.max)),
        (
            "TIMESTAMP",
            pa.scalar(2**58, pa.timestamp("us", "UTC")),
            pa.scalar(2**30, pa.timestamp("s", "UTC")),
        ),
    ],
)
def test_a_date_that_bigquery_has_not_is_refused_by_name(kind, far, near):
    fields = [Field("c", Type(kind))]
    for one in (near, pa.scalar(None, near.type)):
        expect_results(pa.record_batch({"c": pa.array([None, one.as_py()], one.type)}), fields)
    batch = pa.record_batch(
        {"c": pa.array([None, far.value], pa.int64()).cast(_whole(far.type)).cast(far.type)}
    )
    with pytest.raises(InvalidArgument, match=f"{kind} value is out of range, .* in field c$"):
        expect_results(batch, fields)


def _whole(type_):
    return pa.int32() if pa.types.is_date32(type_) else pa.int64()
