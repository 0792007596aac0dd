import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.core.errors import InvalidArgument
from trivet.core.names import ModelRef, check_name, name_from
from trivet.core.traffic import choose


@pytest.mark.parametrize("name", ["a", "fraud", "my_model-2.1", "A" * 63, "4711"])
def test_names_that_are_safe_everywhere(name):
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "..", ".a", "a.", "a/b", "a:b", "a b", "é", "A" * 64, "a\n", "-a", "a@1"]
)
def test_other_names_are_refused(name):
    with pytest.raises(InvalidArgument, match="model name"):
        check_name(name)


@given(st.text())
def test_any_file_name_gives_a_valid_name(stem):
    assert check_name(name_from(stem))


def test_a_reference_reads_as_it_is_written():
    assert ModelRef.parse("fraud") == ModelRef("fraud", "1")
    assert ModelRef.parse("fraud@2") == ModelRef("fraud", "2")
    assert str(ModelRef.parse("fraud@champion")) == "fraud@champion"
    with pytest.raises(InvalidArgument, match="version"):
        ModelRef.parse("fraud@")


@given(st.floats(0, 1, exclude_max=True), st.integers(0, 100))
def test_a_traffic_split_follows_the_draw(draw, share):
    assert choose({"a": share, "b": 100 - share}, draw) == ("a" if draw * 100 < share else "b")


def test_a_split_that_is_short_of_100_is_a_fault():
    with pytest.raises(ValueError, match="sums to 60"):
        choose({"a": 60}, 0.7)
