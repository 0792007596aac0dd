from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.serving.overload import Cost, Machine, offer, steady
from trivet.serving.pace import LastBatch, Pace, outlook
from trivet.serving.placement import WarmUp

FLAT, LINEAR, BOTH = Cost(fixed=0.005), Cost(per_row=0.005), Cost(0.005, 0.001)
costs = st.builds(Cost, st.floats(1e-5, 0.1), st.floats(0, 0.01))


def test_nothing_is_known_at_first_so_nobody_is_late():
    pace = Pace(1, 64)
    assert (pace.batch(64), pace.drain(10**6)) == (0, 0)
    assert outlook(pace, 10**6, LastBatch(), 1, 7.0, 7.0).at == 7.0


def test_a_warm_up_tells_both_parts():
    pace = Pace(2, 64, WarmUp(0.006, 0.069, 64))
    assert repr(pace) == "<Pace 5,000 µs and 1,000.0 µs a row, 2 at once>"
    assert pace.drain(128) == pytest.approx((2 * 0.005 + 0.128) / 2)


@pytest.mark.parametrize("warm_up", [WarmUp(0.002, 0.001, 64), WarmUp(0.001, 0.001, 1), WarmUp(0.0, 0.0, 64)])
def test_a_warm_up_that_makes_little_sense_is_taken_as_well_as_it_can_be(warm_up):
    pace = Pace(1, 64, warm_up)
    assert pace.batch(64) == pytest.approx(warm_up.batch)
    assert pace.per_row == 0


@given(costs, st.lists(st.integers(1, 64), min_size=20, max_size=60))
def test_a_steady_cost_is_learned_for_the_sizes_seen(cost, sizes):
    pace = Pace(1, 64)
    for _ in range(5):
        for size in sizes:
            pace.learn(size, cost.of(size))
    for size in sizes:
        assert pace.batch(size) == pytest.approx(cost.of(size), rel=0.25)


@given(st.lists(st.tuples(st.integers(0, 200), st.floats(0, 1e4)), max_size=40), st.integers(0, 10**5))
def test_whatever_is_measured_no_time_is_negative_and_more_rows_take_no_less(measured, rows):
    pace = Pace(3, 64)
    for size, seconds in measured:
        pace.learn(size, seconds)
        if size:
            pace.filled(size)
    assert 0 <= pace.drain(rows) <= pace.drain(rows + 1)
    assert 0 <= pace.spread <= 1


@given(
    st.lists(st.tuples(st.integers(1, 64), st.floats(1e-4, 1)), max_size=40),
    st.integers(1, 64),
    st.floats(1e-3, 0.1),
)
def test_a_new_speed_is_believed_soon_whatever_was_known(before, size, seconds):
    pace = Pace(1, 256)
    for batch in before:
        pace.learn(*batch)
    for _ in range(60):
        pace.learn(size, seconds)
    assert pace.batch(size) == pytest.approx(seconds, rel=0.5)


def test_batches_of_one_size_leave_what_was_known_of_others():
    pace = Pace(1, 64, BOTH.warm_up(64))
    for _ in range(500):
        pace.learn(1, BOTH.of(1))
    assert pace.batch(64) == pytest.approx(BOTH.of(64), rel=0.05)


def test_a_hiccup_is_not_taken_for_a_new_speed():
    pace = Pace(1, 64, FLAT.warm_up(64))
    for _ in range(100):
        pace.learn(32, FLAT.of(32))
    pace.learn(32, 60.0)
    assert pace.batch(64) < 3 * FLAT.of(64)


@given(
    costs,
    st.integers(0, 500),
    st.integers(0, 64),
    st.integers(1, 64),
    st.floats(0.001, 5),
    st.floats(0.001, 5),
)
def test_who_joins_a_batch_makes_nobody_late_who_was_not(cost, before, own, rows, others, deadline):
    pace = Pace(1, 64, cost.warm_up(64))
    last = LastBatch(own, others)
    foreseen = outlook(pace, before + own, last, rows, 0.0, deadline)
    if foreseen.at <= deadline and not foreseen.behind:
        assert own + rows <= 64
        assert foreseen.at <= others
    assert foreseen.at >= cost.of(rows) * 0.99


@pytest.mark.parametrize("warm", [True, False])
def test_a_burst_after_a_quiet_time_is_accepted(warm):
    machine = Machine(Cost(fixed=120e-6))
    earlier = [10.0 * number for number in range(20)]  # one by one: they teach little
    arrivals = [*earlier, *[300.0] * 500]
    outcome = offer(machine, arrivals, deadline=0.05, warm_up=machine.cost.warm_up(64) if warm else None)
    assert (outcome.refused, outcome.late) == ([], 0)


def test_a_slow_first_batch_is_soon_forgotten():
    class Lazy(Cost):
        first = True

        def of(self, count):
            seconds, self.__class__.first = (1.0 if self.first else super().of(count)), False
            return seconds

    outcome = offer(Machine(Lazy(fixed=0.001)), steady(200, 10), deadline=0.1)
    assert len(outcome.refused) + outcome.late < 0.2 * 2000


@pytest.mark.parametrize("warm", [True, False])
@pytest.mark.parametrize("cost", [FLAT, LINEAR, BOTH, Cost(0.005, 0.001, noise=0.3)], ids=str)
@pytest.mark.parametrize(("lanes", "waiting"), [(1, 0), (1, 1), (2, 2), (4, 0)])
def test_three_times_the_load_is_answered_in_time_or_refused_at_once(cost, warm, lanes, waiting):
    max_rows = 16
    machine = Machine(cost, lanes, waiting)
    capacity = lanes * max_rows / cost.of(max_rows)
    deadline = 6 * cost.of(max_rows)
    seconds = 1500 / capacity / 3
    outcome = offer(
        machine,
        steady(3 * capacity, seconds),
        deadline=deadline,
        max_rows=max_rows,
        warm_up=cost.warm_up(max_rows) if warm else None,
    )
    assert outcome.late <= (0.02 if warm else 0.2) * outcome.accepted
    assert len(outcome.seconds) >= (0.9 if warm else 0.8) * capacity * seconds
    assert all(0 < told < 3 * deadline for told in outcome.refused)
    assert max(outcome.seconds) <= deadline * 1.001


@pytest.mark.parametrize(("every", "hiccup"), [(20, 0.03), (10, 0.02), (40, 0.1)])
@pytest.mark.parametrize(
    ("cost", "max_rows"),
    [(Cost(1e-4, 5e-3, 0.02), 64), (Cost(0.016, 1e-4, 0.05), 2), (Cost(0.02, 1e-4, 0.05), 64)],
    ids=str,
)
def test_what_a_hiccup_costs_is_its_own_time(cost, max_rows, every, hiccup):
    class Hiccups(Machine):
        def start(self):
            ran = len(self.ran)
            self.cost = replace(cost, fixed=cost.fixed + hiccup) if ran % every == every - 1 else cost
            super().start()

    machine, capacity, seconds = Hiccups(cost), max_rows / cost.of(max_rows), 10
    arrivals = steady(3 * capacity, seconds)
    outcome = offer(machine, arrivals, deadline=0.3, max_rows=max_rows, warm_up=cost.warm_up(max_rows))
    lost = len(machine.ran) // every * hiccup
    assert len(outcome.seconds) >= 0.95 * capacity * (seconds - lost)


@settings(max_examples=20, deadline=None)
@given(costs, st.integers(1, 3), st.integers(0, 1), st.integers(1, 5), st.floats(0.1, 0.8))
def test_who_asks_for_less_than_there_is_is_not_refused(cost, lanes, waiting, count, load):
    machine = Machine(cost, lanes, waiting * lanes)
    capacity = lanes * 16 / cost.of(16) / count
    rate = load * capacity
    outcome = offer(
        machine,
        steady(rate, 300 / rate),
        deadline=10 * cost.of(16),
        max_rows=16,
        count=count,
        warm_up=cost.warm_up(16),
    )
    assert (outcome.refused, outcome.late) == ([], 0)
