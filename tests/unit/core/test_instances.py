import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.core.instances import Instances, Predictions, object_column


def rows(count, value, kind=Instances):
    columns = {"x": np.full((count, 2), value), "any": object_column([[value]] * count)}
    return kind.of(columns)


@pytest.mark.parametrize("kind", [Instances, Predictions])
@given(counts=st.lists(st.integers(0, 7), min_size=1, max_size=6))
def test_split_undoes_join(kind, counts):
    parts = [rows(count, float(index), kind) for index, count in enumerate(counts)]
    joined = kind.join(parts)
    assert joined.count == sum(counts)
    for before, after in zip(parts, joined.split(counts), strict=True):
        assert before.count == after.count
        assert before.columns["x"].tolist() == after.columns["x"].tolist()
        assert before.columns["any"].tolist() == after.columns["any"].tolist()


def test_a_part_is_split_and_sliced_like_any_rows():
    whole = Predictions({"x": np.arange(10)}, 10)
    _, part, _ = whole.split([2, 6, 2])
    one, other = part.split([1, 5])
    assert (one.columns["x"].tolist(), other.columns["x"].tolist()) == ([2], [3, 4, 5, 6, 7])
    assert part.slice(1, 3).columns["x"].tolist() == [3, 4]
    assert other.whole is whole


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
