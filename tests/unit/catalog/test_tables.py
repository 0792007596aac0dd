from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.catalog.tables import Words, micros, moment
from trivet.core.errors import InvalidArgument


@given(st.datetimes(timezones=st.just(UTC)))
def test_times_are_kept_to_the_microsecond(when):
    assert moment(micros(when)) == when


def test_times_are_kept_in_utc():
    noon = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    kept = moment(micros(noon))
    assert (kept.hour, kept.tzinfo) == (10, UTC)


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_text_that_a_database_would_refuse_is_refused(text):
    with pytest.raises(InvalidArgument, match="NUL or lone surrogate"):
        Words().process_bind_param(text, None)
