import datetime
from decimal import Decimal

import pytest
from google.cloud.bigquery import ArrayQueryParameter, ScalarQueryParameter, StructQueryParameter
from hypothesis import given
from hypothesis import strategies as st

from trivet.core.errors import InvalidArgument, Unimplemented
from trivet.protocols.bigquery.parameters import read_parameters
from trivet.sql.types import Type, array

VALUES = {
    "INT64": st.integers(-(2**63), 2**63 - 1),
    "FLOAT64": st.floats(allow_nan=False),
    "NUMERIC": st.decimals(-(10**20), 10**20, places=9),
    "BOOL": st.booleans(),
    "STRING": st.text(),
    "BYTES": st.binary(),
    "DATE": st.dates(),
    "TIME": st.times(),
    "DATETIME": st.datetimes(datetime.datetime(1000, 1, 1)),
    "TIMESTAMP": st.datetimes(datetime.datetime(1000, 1, 1), timezones=st.just(datetime.UTC)),
}
TYPED = st.sampled_from(sorted(VALUES)).flatmap(
    lambda kind: st.tuples(st.just(kind), VALUES[kind] | st.none())
)
MANY = st.sampled_from(sorted(VALUES)).flatmap(lambda kind: st.tuples(st.just(kind), st.lists(VALUES[kind])))


@given(TYPED, MANY)
def test_what_googles_client_sends_is_read_as_it_was(one, many):
    given = [
        ScalarQueryParameter("one", *one),
        ArrayQueryParameter("many", *many),
        StructQueryParameter("both", ScalarQueryParameter("x", *one), ArrayQueryParameter("y", *many)),
    ]
    found = read_parameters([each.to_api_repr() for each in given], "NAMED")
    assert found["one"] == (Type(one[0]), one[1])
    assert found["many"] == (array(Type(many[0])), many[1])
    assert found["both"][1] == {"x": one[1], "y": many[1]}
    unnamed = [ScalarQueryParameter(None, *one), ArrayQueryParameter(None, *many)]
    found = read_parameters([each.to_api_repr() for each in unnamed], "POSITIONAL")
    assert [value for _, value in found] == [one[1], many[1]]


def scalar(type_, value, name="v"):
    return [{"name": name, "parameterType": {"type": type_}, "parameterValue": {"value": value}}]


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        ("INTEGER", "1", 1),
        ("FLOAT", "inf", float("inf")),
        ("FLOAT64", 1.5, 1.5),
        ("BOOLEAN", "TRUE", True),
        ("TIMESTAMP", "2024-01-01 00:00:00 UTC", datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)),
        (
            "TIMESTAMP",
            "2024-01-01T01:00:00.123456789+01:00",
            datetime.datetime(2024, 1, 1, 0, 0, 0, 123456, datetime.UTC),
        ),
        ("TIMESTAMP", "2024-01-01", datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)),
        ("TIME", "01:02:03.5", datetime.time(1, 2, 3, 500000)),
        ("BIGNUMERIC", "1e-18", Decimal("1e-18")),
    ],
)
def test_values_may_be_written_in_several_ways(type_, text, value):
    assert read_parameters(scalar(type_, text), "")["v"][1] == value


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        ("INT64", "1.5"), ("INT64", "9223372036854775808"), ("INT64", "1_0"), ("INT64", "٣"),
        ("FLOAT64", "x"), ("BOOL", "yes"), ("BYTES", "*"), ("DATE", "2024-13-01"), ("TIME", "25:00:00"),
        ("NUMERIC", "NaN"), ("DATETIME", "2024-01-01T00:00:00Z"), ("TIMESTAMP", "now"),
    ],
)  # fmt: skip
def test_a_value_that_is_none_of_its_type_is_named(type_, text):
    with pytest.raises(InvalidArgument, match=rf"query parameter 'v': expected a value of type {type_}"):
        read_parameters(scalar(type_, text), "")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("x", "a list"),
        ([1], "a list"),
        ([{"parameterValue": {"value": "1"}, "name": "v"}], "parameterType"),
        (scalar("TEXT", "x"), "TEXT"),
        ([*scalar("INT64", "1"), *scalar("INT64", "2", "V")], "two are named 'V'"),
        ([*scalar("INT64", "1"), *scalar("INT64", "2", "")], "expected a name"),
        ([{"name": "v", "parameterType": {"type": "ARRAY"}}], "parameterType"),
        (
            [
                {
                    "name": "v",
                    "parameterType": {
                        "type": "ARRAY",
                        "arrayType": {"type": "ARRAY", "arrayType": {"type": "INT64"}},
                    },
                }
            ],
            "array of arrays",
        ),
        ([{"name": "v", "parameterType": {"type": "STRUCT"}}], "structTypes"),
    ],
)
def test_parameters_that_are_none_are_refused(given, said):
    with pytest.raises(InvalidArgument, match=said):
        read_parameters(given, "")


def test_types_that_are_not_supported_are_named():
    with pytest.raises(Unimplemented, match="GEOGRAPHY"):
        read_parameters(scalar("GEOGRAPHY", "POINT(0 0)"), "")


def test_no_parameters_are_none():
    assert read_parameters(None, "") is None
    assert read_parameters([], "NAMED") is None
