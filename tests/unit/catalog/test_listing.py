import pytest

from trivet.catalog.listing import page_size
from trivet.core.errors import InvalidArgument


@pytest.mark.parametrize(("asked", "size"), [(0, 100), (1, 1), (1000, 1000), (1001, 1000), (2**31, 1000)])
def test_a_page_has_a_bounded_size(asked, size):
    assert page_size(asked) == size


def test_a_page_size_is_not_negative():
    with pytest.raises(InvalidArgument, match="page_size -1: expected 0 to 1000"):
        page_size(-1)
