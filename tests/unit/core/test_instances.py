import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.core.instances import Instances, object_column


def rows(count, value):
    columns = {"x": np.full((count, 2), value), "any": object_column([[value]] * count)}
    return Instances.of(columns)


@given(st.lists(st.integers(0, 7), min_size=1, max_size=6))
def test_split_undoes_join(counts):
    parts = [rows(count, float(index)) for index, count in enumerate(counts)]
    joined = Instances.join(parts)
    assert joined.count == sum(counts)
    for before, after in zip(parts, joined.split(counts), strict=True):
        assert before.count == after.count
        assert before.columns["x"].tolist() == after.columns["x"].tolist()
        assert before.columns["any"].tolist() == after.columns["any"].tolist()


def test_one_part_is_joined_without_a_copy():
    one = rows(3, 1.0)
    assert Instances.join([one]) is one


def test_columns_must_agree_in_length():
    with pytest.raises(ValueError, match="differ in length"):
        Instances.of({"a": np.zeros(2), "b": np.zeros(3)})


@pytest.mark.parametrize(
    "values", [[], [[1], [2]], [[1, 2], [3]], [None, "a", {}], [np.zeros(2), np.ones(2)]]
)
def test_an_object_column_keeps_its_values_whole(values):
    column = object_column(values)
    assert column.shape == (len(values),)
    assert all(a is b for a, b in zip(column, values, strict=True))
