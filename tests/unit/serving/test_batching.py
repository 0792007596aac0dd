import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.serving.models import rows
from trivet.core.errors import Cancelled, DeadlineExceeded, InvalidArgument, ResourceExhausted
from trivet.serving.batching import BatchLimits, BatchQueue, Pending, Take, Wait, plan
from trivet.serving.pace import Pace
from trivet.serving.placement import WarmUp

LATER = 1e9


def pending(count=1, *, group=None, arrived=0.0, deadline=LATER):
    answers = []
    request = Pending(rows(count), {}, group, arrived, deadline, lambda _, answer: answers.append(answer))
    return request, answers


@given(
    st.lists(st.tuples(st.integers(1, 9), st.sampled_from(["a", "b"])), max_size=9),
    st.integers(1, 12),
    st.floats(0, 5),
)
def test_a_plan_obeys_its_limits_and_never_starves(requests, max_rows, now):
    waiting = [pending(count, group=group)[0] for count, group in requests]
    match plan(waiting, now, BatchLimits(max_rows=max_rows, max_wait=3.0)):
        case Take(taken):
            batch = waiting[:taken]
            assert 1 <= taken == len(batch)
            assert len({request.group for request in batch}) == 1
            assert taken == 1 or sum(request.instances.count for request in batch) <= max_rows
        case Wait(None):
            assert not waiting
        case Wait(seconds):
            assert waiting
            assert now + seconds == pytest.approx(3.0)
            assert sum(count for count, _ in requests) < max_rows
            assert len({group for _, group in requests}) == 1


def test_a_request_larger_than_a_batch_goes_alone():
    waiting = [pending(100)[0], pending(1)[0]]
    assert plan(waiting, 0.0, BatchLimits(max_rows=64)) == Take(1)


def test_the_queue_is_bounded_in_rows_and_says_when_to_come_back():
    queue = BatchQueue(BatchLimits(max_queued_rows=5))
    queue.join(pending(3)[0])
    with pytest.raises(
        ResourceExhausted, match="3 rows are waiting already; 3 more would exceed 5"
    ) as caught:
        queue.join(pending(3)[0], lambda rows: rows * 0.5)
    assert caught.value.retry_after == 0.5  # for the row too many
    queue.join(pending(2)[0])
    assert repr(queue) == "<BatchQueue 2 requests, 5 rows>"


def test_requests_that_come_together_are_queued_so_only_where_they_fit_and_are_one_batch():
    queue = BatchQueue(BatchLimits(max_rows=4, max_queued_rows=5))
    assert not queue.join_together([pending(3)[0], pending(2)[0]])
    assert queue.join_together([pending(2)[0], pending(2)[0]])
    assert not queue.join_together([pending(2)[0]])
    assert repr(queue) == "<BatchQueue 2 requests, 4 rows>"


def test_a_request_that_could_never_fit_is_the_callers_mistake():
    with pytest.raises(InvalidArgument, match="at most 5 rows"):
        BatchQueue(BatchLimits(max_queued_rows=5)).join(pending(6)[0])


def test_late_and_abandoned_requests_are_not_taken():
    queue = BatchQueue(BatchLimits())
    late, late_answers = pending(deadline=1.0)
    left, left_answers = pending()
    good, _ = pending()
    middle, middle_answers = pending(deadline=1.0)
    for request in (late, left, good, middle):
        queue.join(request)
    left.abandon()
    assert queue.take(now=2.0) == [good]
    assert isinstance(late_answers[0], DeadlineExceeded)
    assert isinstance(middle_answers[0], DeadlineExceeded)
    assert isinstance(left_answers[0], Cancelled)
    assert repr(queue) == "<BatchQueue 0 requests, 0 rows>"
    assert queue.take(now=2.0) == Wait(None)


def test_a_request_is_answered_once():
    request, answers = pending()
    request.answer(DeadlineExceeded("first"))
    request.answer(DeadlineExceeded("second"))
    assert [str(answer) for answer in answers] == ["first"]


def test_who_has_left_counts_no_more_and_many_of_them_are_dropped():
    queue = BatchQueue(BatchLimits(max_rows=64, max_queued_rows=100))
    left = [pending()[0] for _ in range(50)]
    stays = pending(2)[0]
    for request in (*left, stays):
        queue.join(request)
    for request in left:
        request.abandon()
    assert repr(queue) == "<BatchQueue 1 requests, 2 rows>"
    assert len(queue._waiting) < 30
    queue.join(pending(98)[0])
    assert queue.take(now=0.0) == [stays]


def test_a_request_whose_answer_brings_the_next_one_does_not_disturb_the_queue():
    queue = BatchQueue(BatchLimits())
    following = [pending()[0] for _ in range(3)]
    for request in following:
        late = Pending(rows(1), {}, None, 0.0, 1.0, lambda _, __, request=request: queue.join(request))
        queue.join(late)
    assert queue.expire(now=2.0) == LATER
    assert queue.take(now=2.0) == following


@given(st.lists(st.tuples(st.integers(1, 9), st.floats(0, 30)), min_size=1, max_size=9), st.integers(0, 9))
def test_no_request_is_made_late_by_who_shares_its_batch(requests, begins):
    pace = Pace(1, 64, WarmUp(2.0, 65.0, 64))  # a second for a batch, and one for each row
    waiting = [pending(count, deadline=deadline)[0] for count, deadline in requests]
    decision = plan(waiting, 0.0, BatchLimits(), pace, begins)
    batch = waiting[: decision.requests]
    ends = begins + 1 + sum(request.instances.count for request in batch)
    together = 0
    for request in batch:
        together += request.instances.count
        alone = begins + 1 + together  # the least it takes behind those before it
        assert alone > request.deadline + 1e-9 or ends <= request.deadline + 1e-6


def test_a_batch_that_takes_as_long_when_small_is_not_cut():
    pace = Pace(1, 64, WarmUp(10.0, 10.63, 64))  # ten seconds for a batch, and a hundredth for each row
    waiting = [pending(deadline=10.02)[0], *(pending(deadline=60.0)[0] for _ in range(9))]
    assert plan(waiting, 0.0, BatchLimits(), pace, 0.0) == Take(10)


def test_who_would_be_late_alone_is_passed_over_while_others_are_not():
    pace = Pace(1, 64, WarmUp(2.0, 65.0, 64))  # a second for a batch, and one for each row
    queue, answers = BatchQueue(BatchLimits()), []
    late = Pending(rows(1), {}, None, 0.0, 6.5, lambda _, answer: answers.append(answer))
    timely = pending(deadline=7.0)[0]
    queue.join(late)
    queue.join(timely)
    assert queue.take(4.0, pace, begins=5.0) == [timely]
    assert [str(answer) for answer in answers] == [
        "no answer within 6.5 s; after 4 s it was waiting for a replica, and would need about 3 s more"
    ]
    assert (len(queue), queue.rows) == (0, 0)


def test_who_would_be_late_in_a_batch_that_is_not_cut_is_passed_over():
    pace = Pace(1, 4, WarmUp(10.0, 11.5, 4))  # ten seconds for a batch, and half a second for each row
    queue = BatchQueue(BatchLimits(max_rows=4))
    late, *timely = [pending(deadline=deadline)[0] for deadline in (11.0, 12.0, 12.0, 12.0, 12.0)]
    for one in (late, *timely):
        queue.join(one)
    assert queue.take(0.0, pace) == timely
    assert late.answered


def test_what_all_seem_to_be_late_for_is_tried():
    pace = Pace(1, 64, WarmUp(2.0, 65.0, 64))
    queue = BatchQueue(BatchLimits())
    late = [pending(deadline=deadline)[0] for deadline in (1.0, 1.5)]
    for one in late:
        queue.join(one)
    assert queue.take(0.0, pace) == late


def as_joined(taken, joined):
    """Say which of those that joined were taken, and let them know."""
    if isinstance(taken, Wait):
        return taken
    for one in taken:
        one.place = None
    place = {id(one): index for index, twins in enumerate(joined) for one in twins}
    return [place[id(one)] for one in taken]


steps = st.one_of(
    st.tuples(st.just("join"), st.integers(1, 6), st.sampled_from(["a", "b"]), st.integers(1, 30)),
    st.tuples(st.just("join"), st.integers(1, 2), st.just("a"), st.just(30)),
    st.tuples(st.just("together"), st.integers(1, 4), st.sampled_from(["a", "b"]), st.integers(1, 30)),
    st.tuples(st.just("leave"), st.integers(0, 60)),
    st.tuples(st.sampled_from(["take", "take", "expire", "close"])),
)


@given(st.lists(steps, max_size=60), st.sampled_from([0.0, 3.0]))
def test_all_who_wait_are_taken_at_once_only_where_they_would_be_anyway(steps, max_wait):
    quick, careful = (BatchQueue(BatchLimits(max_rows=8, max_wait=max_wait)) for _ in range(2))
    joined = []
    for now, (step, *given_) in enumerate(steps):
        if step == "join":
            count, group, seconds = given_
            twins = [pending(count, group=group, arrived=now, deadline=now + seconds)[0] for _ in range(2)]
            quick.join(twins[0])
            careful.join(twins[1])
            joined.append(twins)
        elif step == "together":
            size, group, seconds = given_
            twins = [
                [pending(1, group=group, arrived=now, deadline=now + seconds + index)[0] for _ in range(2)]
                for index in reversed(range(size))
            ]
            assert quick.join_together([one for one, _ in twins])
            for _, one in twins:
                careful.join(one)
            joined += twins
        elif step == "leave":
            for one in joined[given_[0]] if given_[0] < len(joined) else ():
                one.abandon()
        elif step == "expire":
            quick.expire(now)
            careful.expire(now)
        elif step == "close":
            quick.last.close()
            careful.last.close()
        else:
            careful._is_one = False
            assert as_joined(quick.take(now), joined) == as_joined(careful.take(now), joined)
        assert (quick.rows, len(quick)) == (careful.rows, len(careful))
        assert [[one.answered for one in twins] for twins in joined] == [
            [twins[0].answered] * 2 for twins in joined
        ]
