import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trivet.core.errors import Code, InvalidArgument, ServingError
from trivet.core.instances import Instances, Predictions
from trivet.core.predictor import Traits
from trivet.core.signature import Signature, TensorSpec
from trivet.serving.scoring import isolate, score


class Doubling:
    """Doubles numbers; raises what it is told for some of them, and counts its calls."""

    signature = Signature((TensorSpec("x", "float64"),))
    traits = Traits()

    def __init__(self, bad=(), error=None):
        self.bad = set(bad)
        self.error = error or ValueError("bad")
        self.calls = 0

    def predict(self, instances, parameters):
        self.calls += 1
        values = instances.columns["x"]
        if self.bad & set(values.tolist()):
            raise self.error
        return Predictions({"y": values * 2}, instances.count)


def numbered(count):
    return Instances({"x": np.arange(count, dtype=np.float64)}, count)


def spread(scored):
    """Return each row's answer, or its error."""
    rows = {}
    for start, stop, answer in scored:
        for index in range(start, stop):
            assert index not in rows
            rows[index] = answer if isinstance(answer, ServingError) else answer.columns["y"][index - start]
    return rows


@given(st.integers(0, 60), st.sets(st.integers(0, 59)), st.integers(1, 70))
def test_only_bad_rows_fail_whatever_the_batches(count, bad, rows):
    answers = spread(score(Doubling(bad), numbered(count), {}, rows))
    assert list(answers) == list(range(count))
    for index, answer in answers.items():
        if index in bad:
            assert answer.code is Code.INTERNAL
            assert str(answer) == "the model failed: ValueError: bad"
        else:
            assert answer == index * 2


def test_a_sound_batch_is_one_call():
    model = Doubling()
    spread(score(model, numbered(100), {}, 50))
    assert model.calls == 2


def test_one_bad_row_costs_a_few_calls():
    model = Doubling({700})
    spread(score(model, numbered(1024), {}, 1024))
    assert model.calls == 21


def test_what_the_model_refuses_keeps_its_code():
    answers = spread(score(Doubling({1}, InvalidArgument("x: too large")), numbered(3), {}, 8))
    assert (answers[1].code, str(answers[1])) == (Code.INVALID_ARGUMENT, "x: too large")


def test_a_model_that_ends_the_process_fails_the_row():
    answers = spread(score(Doubling({1}, SystemExit(3)), numbered(3), {}, 8))
    assert str(answers[1]) == "the model failed: SystemExit: 3"


def test_a_wrong_number_of_predictions_is_no_answer():
    class Lossy(Doubling):
        def predict(self, instances, parameters):
            return Predictions({"y": np.zeros(0)}, 0)

    answers = spread(score(Lossy(), numbered(2), {}, 8))
    assert {str(one) for one in answers.values()} == {"the model gave 0 predictions for 1 instances"}


def test_rows_are_isolated_in_order():
    def attempt(start, stop):
        if start <= 5 < stop:
            raise ValueError("five")
        return (start, stop)

    assert [(start, stop) for start, stop, _ in isolate(attempt, 0, 8)] == [(0, 4), (4, 5), (5, 6), (6, 8)]
