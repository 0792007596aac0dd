import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.serving.throttle import LONGEST, Throttle


def answered(throttle, times):
    for _ in range(times):
        throttle.answered()


def test_it_begins_with_two_and_doubles_with_each_round_until_the_most():
    throttle = Throttle(16)
    assert (throttle.room(1), throttle.room(2)) == (True, False)
    answered(throttle, 2)
    assert repr(throttle) == "<Throttle 4 of 16 at once, 2 answers, 0 refusals>"
    answered(throttle, 100)
    assert throttle.limit == 16


def test_it_falls_to_half_once_for_all_that_was_under_way_and_then_grows_by_one_a_round():
    throttle = Throttle(16)
    answered(throttle, 14)
    age = throttle.age
    for _ in range(16):
        throttle.full(1.0, age, 2.0)
    assert throttle.limit == 8
    answered(throttle, 8)
    assert 8.9 < throttle.limit < 9.1
    assert throttle.pause == 0, "others go on"


def test_a_refused_request_waits_as_long_as_it_was_told():
    throttle = Throttle(16)
    assert throttle.full(10.0, 0, 2.5) == 12.5


def test_where_one_at_once_is_too_much_nothing_is_sent_for_a_while():
    throttle = Throttle(1)
    assert throttle.full(10.0, throttle.age, 3.0) == 13.0
    assert throttle.pause == 13.0
    assert throttle.limit == 1


def test_without_an_answer_it_looks_again_ever_less_often():
    throttle = Throttle(1)
    now, pauses = 0.0, []
    for _ in range(10):
        at = throttle.missed(now, throttle.age)
        pauses.append(at - now)
        now = at
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, LONGEST, LONGEST, LONGEST, LONGEST])
    assert throttle.since == 0.0
    throttle.answered()
    assert throttle.since is None
    assert throttle.missed(now, throttle.age) == pytest.approx(now + 0.1)


@given(st.integers(1, 64), st.lists(st.sampled_from(["answered", "full", "missed", "late"])))
def test_whatever_happens_there_is_room_for_one_and_never_for_more_than_the_most(most, events):
    throttle = Throttle(most)
    for now, event in enumerate(events):
        if event == "answered":
            throttle.answered()
        elif event == "missed":
            throttle.missed(now, throttle.age)
        else:
            throttle.full(now, throttle.age - (event == "late"))
        assert throttle.room(0)
        assert not throttle.room(most)
