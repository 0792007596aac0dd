import pytest

from trivet.catalog.engine import check_url
from trivet.core.errors import InvalidArgument


@pytest.mark.parametrize(
    "url",
    ["", "catalog.db", "sqlite://", "sqlite:///:memory:", "mysql://u:secret@h/d", "sqlite+aiosqlite:////a"],
)
def test_another_kind_of_url_is_refused_without_telling_the_password(url):
    with pytest.raises(InvalidArgument, match="expected sqlite:////absolute/path or postgresql") as error:
        check_url(url)
    assert "secret" not in str(error.value)


def test_the_driver_of_postgresql_need_not_be_named():
    assert check_url("postgresql://u:p@h/d") == check_url("postgresql+psycopg://u:p@h/d")
