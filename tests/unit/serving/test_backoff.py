from hypothesis import given
from hypothesis import strategies as st

from trivet.serving.backoff import LONGEST, pause


def test_the_first_failure_costs_no_time_and_each_further_one_more():
    assert [pause(failures) for failures in range(6)] == [0, 0, 0.1, 0.2, 0.4, 0.8]


@given(st.integers(2, 10**6))
def test_it_grows_up_to_a_limit(failures):
    assert pause(failures - 1) <= pause(failures) <= LONGEST
    assert pause(10**6) == LONGEST
