import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivet.sinks import kinds

scalars = st.sampled_from(["null", "bool", "int", "big", "float32", "float", "text", "json"])
any_kind = scalars | scalars.filter(lambda kind: kind != "json").map("list:{}".format)
values = st.lists(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
    | st.lists(st.integers(), max_size=2),
    max_size=4,
)  # fmt: skip


@given(any_kind, any_kind, any_kind)
def test_it_does_not_matter_in_which_order_kinds_are_joined(one, two, three):
    assert kinds.common(one, two) == kinds.common(two, one)
    assert kinds.common(one, one) == one
    left = kinds.common(kinds.common(one, two), three)
    assert left == kinds.common(one, kinds.common(two, three))


@settings(deadline=None)  # pyarrow is imported
@given(values, values)
def test_a_converted_column_holds_the_same_values(some, more):
    before = kinds.of_values(some)
    after = kinds.common(before, kinds.of_values(more))
    found = kinds.convert(kinds.from_values(some, before), before, after).to_pylist()
    assert len(found) == len(some)
    for one, value in zip(found, some, strict=True):
        assert same(one, value, after)


def same(found, value, kind):
    if found is None or value is None:
        return found is value
    return (json.loads(found) if kind == "json" else found) == value


@pytest.mark.parametrize(
    ("some", "kind"),
    [
        ([], "null"),
        ([None], "null"),
        ([True, None], "bool"),
        ([2**53, -(2**53)], "int"),
        ([2**53 + 1], "big"),
        ([2**63 - 1, -(2**63) + 1], "big"),
        ([2**63], "json"),
        ([1, 2.5], "float"),
        ([2**53 + 1, 2.5], "json"),
        ([True, 1], "json"),
        (["a", None], "text"),
        (["a", 1], "json"),
        ([[1]], "json"),
    ],
)
def test_kinds_of_values(some, kind):
    assert kinds.of_values(some) == kind


def test_lists_are_converted_value_by_value():
    import pyarrow as pa

    ints = pa.array([[1, 2], None, [], [3]], pa.list_(pa.int64()))
    floats = kinds.convert(ints, "list:int", "list:float")
    assert floats.type == pa.list_(pa.float64())
    assert floats.to_pylist() == [[1.0, 2.0], None, [], [3.0]]
    assert kinds.convert(ints[1:], "list:int", "list:float").to_pylist() == [None, [], [3.0]]
    assert kinds.convert(ints, "list:int", "json").to_pylist() == ["[1,2]", None, "[]", "[3]"]
