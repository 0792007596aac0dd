import pytest

from trivet.core.predictor import Traits
from trivet.serving.placement import WarmUp, place

OWN = Traits()
NATIVE, FREE = Traits(native=True), Traits(native=True, frees_gil=True)
FAST, MEDIUM, SLOW = WarmUp(1e-5, 2e-4, 64), WarmUp(1e-4, 5e-3, 64), WarmUp(1e-3, 5e-2, 64)


@pytest.mark.parametrize(
    ("traits", "warm_up", "where", "reason"),
    [
        (NATIVE, FAST, "inline", "a full batch is short (10 µs for 1 row, 200 µs for 64)"),
        (FREE, FAST, "inline", "a full batch is short"),
        (FREE, SLOW, "thread", "a full batch is long, and leaves the GIL to others"),
        (FREE, MEDIUM, "process", "a full batch would hold up the event loop"),
        (NATIVE, SLOW, "process", "a full batch would hold up the event loop"),
        (NATIVE, None, "process", "its speed could not be measured"),
        (OWN, FAST, "process", "it runs the user's own Python code"),
    ],
)
def test_a_predictor_runs_where_it_was_measured_to_do_best(traits, warm_up, where, reason):
    placement = place("auto", traits, warm_up)
    assert placement.where == where
    assert reason in placement.reason


@pytest.mark.parametrize("asked", ["inline", "thread", "process"])
def test_the_user_may_say_otherwise(asked):
    placement = place(asked, OWN, SLOW)
    assert (placement.where, placement.reason) == (asked, "set by the user")
