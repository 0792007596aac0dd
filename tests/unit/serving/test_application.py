"""An application as jobs ask it: what its answers mean for a row, and for the whole."""

import json
import threading
from dataclasses import replace

import pytest

from trivet.containers.asking import Lost, Reply
from trivet.containers.life import State
from trivet.core.containers import ContainerSpec
from trivet.core.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    ResourceExhausted,
    Unavailable,
)
from trivet.core.instances import Instances, object_column
from trivet.core.predictor import Traits
from trivet.core.signature import Signature
from trivet.serving import remote
from trivet.serving.application import ApplicationPredictor


class Application:
    """Answers each request by a function of its body, whoever asks; some are errors."""

    signature = Signature((), ())
    traits = Traits(thread_safe=True)
    state = State(8080, well=True)

    def __init__(self, answer, **spec):
        self.container = replace(ContainerSpec(image="a", predict_route="/p"), **spec)
        self.answer = answer
        self.asked = []
        self.closed = False

    def asking(self):
        return self

    def post(self, body):
        self.asked.append(body)
        answer = self.answer(body)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def end(self):
        pass

    def close(self):
        self.closed = True


def echo(body):
    return Reply(200, None, body.replace(b'"instances"', b'"predictions"'))


def bad(answer):
    """Answer a request that has a 13 in it in this way, and others with what they have."""
    return lambda body: answer if b"13" in body else echo(body)


def score(application, *values):
    predictor = ApplicationPredictor(application)
    predictor._patience = 0.3
    rows = Instances({"instance": object_column(values)}, len(values))
    try:
        return [
            (start, stop, answer if isinstance(answer, Exception) else answer.columns["prediction"].tolist())
            for start, stop, answer in predictor.score(rows, {})
        ]
    finally:
        predictor.close()


def test_requests_have_as_many_rows_as_its_spec_says():
    application = Application(echo, rows=2)
    assert score(application, 1, 2, 3) == [(0, 3, [1, 2, 3])]
    assert sorted(application.asked) == [b'{"instances":[1,2]}', b'{"instances":[3]}']


@pytest.mark.parametrize(
    ("answer", "kind", "told"),
    [
        (Reply(400, None, b"bad"), InvalidArgument, "the container answered 400: 'bad'"),
        (Reply(404, None, b"no such id"), InvalidArgument, "the container answered 404: 'no such id'"),
        (Reply(500, None, b""), Internal, "the container answered 500: ''"),
        (Reply(200, None, b"{}"), Internal, "the container answered '{}'; expected JSON"),
        (Reply(200, None, b'{"predictions":[]}'), Internal, "the container gave 0 predictions"),
        (Lost("the container ended with 3"), Internal, "it went unanswered 3 times"),
    ],
    ids=["400", "404", "500", "none", "count", "lost"],
)
def test_a_row_that_is_to_blame_fails_alone(answer, kind, told):
    good, failed, others = score(Application(bad(answer), rows=4), 1, 2, 13, 4, 5, 6)
    assert (good, others) == ((0, 2, [1, 2]), (3, 6, [4, 5, 6]))
    assert type(failed[2]) is kind
    assert told in str(failed[2])


def test_a_row_that_ends_it_is_to_blame_even_alone():
    application = Application(bad(Lost("the container ended with 3")))
    ((start, stop, error),) = score(application, 13)
    assert (start, stop, type(error)) == (0, 1, Internal)
    assert str(error) == "it went unanswered 3 times: the container ended with 3"
    assert len(application.asked) == 3


def test_requests_of_several_rows_are_halved_at_once_where_they_end_it():
    application = Application(bad(Lost("the container ended with 3")))
    score(application, *range(8), 13, *range(7))
    assert sum(b"13" in body for body in application.asked) == 7  # of 16, 8, 4, 2 rows, and 3 times alone


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Unavailable("the container is not well"), r"is not well; no request has been answered for 0.3 s"),
        (DeadlineExceeded("no answer within 600 s"), "no answer within 600 s"),
    ],
)
def test_one_that_does_not_answer_at_all_ends_the_job(error, told):
    application = Application(lambda body: error)
    if isinstance(error, DeadlineExceeded):
        ((_, _, failed),) = score(application, 1)
        assert told in str(failed)
        return
    with pytest.raises(type(error), match=told):
        score(application, 1)


def hangs(*rows):
    """Give no answer in time to a request that has one of these rows in it."""
    late = DeadlineExceeded("the container gave no answer within 5 s")
    return lambda body: late if set(json.loads(body)["instances"]) & set(rows) else echo(body)


@pytest.mark.parametrize(
    ("row", "count", "asked"), [(40, 81, 4), (80, 81, 4), (0, 81, 4), (0, 8, 3), (0, 1, 3)]
)
def test_a_row_that_hangs_fails_alone_and_costs_few_waits(caplog, row, count, asked):
    application = Application(hangs(row), concurrency=1)
    found = score(application, *range(count))
    ((at, _, error),) = [one for one in found if isinstance(one[2], Exception)]
    assert sum(stop - start for start, stop, _ in found) == count
    assert (at, type(error)) == (row, Internal)
    assert str(error).endswith("the container gave no answer within 5 s")
    waits = [body for body in application.asked if row in json.loads(body)["instances"]]
    assert len(waits) == asked
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == asked - 1
    if row == 40:
        assert told == [
            "a: the container gave no answer within 5 s to 64 rows; asked again 8 at a time",
            "a: the container gave no answer within 5 s to 8 rows; asked again 1 at a time",
            "a: the container gave no answer within 5 s; asked again",
        ]


def test_rows_that_hang_are_each_found():
    rows = (0, 1, 63, 90)
    found = score(Application(hangs(*rows), concurrency=4), *range(100))
    assert [start for start, _, answer in found if isinstance(answer, Exception)] == list(rows)
    assert sum(stop - start for start, stop, _ in found) == 100


def test_what_is_late_for_all_that_is_asked_at_once_is_halved():
    both = threading.Barrier(2)

    def busy(body):
        if len(json.loads(body)["instances"]) < 64:
            return echo(body)
        both.wait(10)
        return DeadlineExceeded("the container gave no answer within 5 s")

    application = Application(busy)
    assert score(application, *range(128)) == [(0, 128, list(range(128)))]
    assert 32 in {len(json.loads(body)["instances"]) for body in application.asked}


def test_one_that_answers_nobody_any_more_ends_the_job():
    application = Application(lambda body: DeadlineExceeded("late"), timeout=0.2)
    with pytest.raises(DeadlineExceeded, match=r"late; no request has been answered for 0.4 s"):
        score(application, *range(640))


@pytest.mark.parametrize(("times", "told"), [(1, 0), (1000, 1)])
def test_one_that_has_no_time_is_told_now_and_then(caplog, monkeypatch, times, told):
    monkeypatch.setattr(remote, "_TELLS_AFTER", 0.25)
    refusals = iter([Reply(429, "0.1", b"slow down")] * times)
    application = Application(lambda body: next(refusals, None) or echo(body), concurrency=1)
    if told:
        with pytest.raises(ResourceExhausted, match="slow down"):
            score(application, 1)
    else:
        assert score(application, 1) == [(0, 1, [1])]
    messages = {record.getMessage() for record in caplog.records}
    assert messages == ({"a: the container answered 429: 'slow down'; asked again in 0 s"} if told else set())


def test_one_that_cannot_be_started_again_ends_the_job():
    application = Application(lambda body: FailedPrecondition("it printed nothing"))
    with pytest.raises(FailedPrecondition, match="it printed nothing"):
        score(application, 1, 2)


def test_a_route_that_is_not_there_is_no_rows_fault():
    with pytest.raises(InvalidArgument, match="the container answered 404"):
        score(Application(lambda body: Reply(404, None, b"")), 1)


def test_no_rows_have_no_predictions():
    predictor = ApplicationPredictor(Application(echo))
    assert predictor.predict(Instances({"instance": object_column([])}, 0), {}).count == 0


def test_it_is_closed_with_its_application():
    application = Application(echo)
    predictor = ApplicationPredictor(application)
    assert predictor.state == application.state
    predictor.close()
    assert application.closed
