"""When an application is taken out of rotation and brought back, with a clock of the test's own."""

from trivet.containers.rotation import Rotation, follow
from trivet.core.containers import Probe

GOOD, BAD = "", "GET /health answered 500"


class Time:
    """A clock that only waiting and checking move; it ends what waits at `until`."""

    def __init__(self, until):
        self.now = 0.0
        self.until = until

    def over(self, seconds):
        self.now += seconds
        return self.now > self.until


def followed(probe, outcomes, until, takes=0.0):
    """Return when checks began, and what was told, as (time, well, reason)."""
    time, began, told = Time(until), [], []
    script = iter(outcomes)

    def check():
        began.append(time.now)
        time.now += takes
        return next(script)

    def changed(rotation):
        told.append((time.now, rotation.well, rotation.reason))

    follow(probe, check, changed, clock=lambda: time.now, over=time.over)
    return began, told


def test_four_failures_in_a_row_take_it_out_and_the_first_good_check_brings_it_back():
    began, told = followed(Probe(), [GOOD, BAD, BAD, BAD, BAD, BAD, GOOD, GOOD], until=80)
    assert began == [10, 20, 30, 40, 50, 60, 70, 80]
    assert told == [(50, False, BAD), (70, True, "")]


def test_a_good_check_between_failures_starts_the_count_again():
    _, told = followed(Probe(), [BAD, BAD, BAD, GOOD, BAD, BAD, BAD, GOOD], until=80)
    assert told == []


def test_after_it_came_back_it_takes_four_failures_again():
    outcomes = [BAD] * 4 + [GOOD] + [BAD] * 3 + [GOOD] + [BAD] * 4
    _, told = followed(Probe(), outcomes, until=130)
    assert told == [(40, False, BAD), (50, True, ""), (130, False, BAD)]


def test_a_single_failure_is_enough_where_the_probe_says_so():
    _, told = followed(Probe(period=1, failures=1), [GOOD, BAD, GOOD], until=3)
    assert told == [(2, False, BAD), (3, True, "")]


def test_checks_that_take_their_whole_time_follow_each_other_at_once():
    began, told = followed(Probe(), [BAD] * 5, until=55, takes=10)
    assert began == [10, 20, 30, 40, 50]
    assert told == [(50, False, BAD)]


def test_a_check_that_took_longer_than_a_period_is_not_made_up_for():
    began, _ = followed(Probe(period=10), [GOOD] * 4, until=65, takes=15)
    assert began == [10, 25, 40, 55]


def test_the_first_check_waits_for_the_delay():
    began, _ = followed(Probe(delay=35), [GOOD] * 2, until=45)
    assert began == [35, 45]


def test_it_says_how_it_is():
    rotation = Rotation(4)
    assert rotation.heard(BAD) is False
    assert repr(rotation) == "<Rotation well, 1 failed in a row>"
