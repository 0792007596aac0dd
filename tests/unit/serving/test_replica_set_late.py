"""A replica set and those who are late or have left, in virtual time."""

import asyncio

import pytest

from tests.unit.serving.models import Doubler, rows
from tests.unit.serving.test_replica_set import Served, SlowReplica, elapsed, virtual_time
from trivet.core.errors import Cancelled, DeadlineExceeded, ResourceExhausted
from trivet.serving.batching import BatchLimits, Pending
from trivet.serving.replica import InlineReplica, Some, predict_parts
from trivet.serving.replica_set import ReplicaSet
from trivet.serving.running import BatchMetrics
from trivet.telemetry import ROWS, SECONDS, Histogram


class Remote(SlowReplica):
    """A replica in which batches may wait; it keeps which parts nobody waits for."""

    slots = 2
    blocks = False

    def __init__(self, predictor, seconds):
        super().__init__(predictor, seconds)
        self.unwanted = []

    def run(self, parts, parameters, deadlines, done):
        super().run(parts, parameters, deadlines, done)
        return self.unwanted.append


def remote(seconds):
    served = Served()
    served.replica = Remote(served.model, seconds)
    metrics = BatchMetrics(Histogram(SECONDS), Histogram(SECONDS), Histogram(ROWS))
    served.set = ReplicaSet([served.replica], BatchLimits(), metrics, asyncio.get_running_loop().time)
    return served


@virtual_time
async def test_a_replica_hears_who_has_left_and_says_what_became_of_them():
    served = remote(seconds=1.0)
    (one, first), (two, second) = served.send(rows(1)), served.send(rows(1))
    await asyncio.sleep(0.5)
    two.abandon()
    assert served.replica.unwanted == [(1,)]
    assert one.taken is None, "it may still be waiting there"
    assert not second.done()
    await asyncio.gather(first, second)
    two.abandon()
    assert served.replica.unwanted == [(1,)]


@virtual_time
async def test_some_may_be_answered_before_the_others():
    class Parts(SlowReplica):
        def run(self, parts, parameters, deadlines, done):
            loop, predicted = asyncio.get_running_loop(), predict_parts(self.predictor, parts, parameters)
            loop.call_later(1.0, done, Some(predicted[1:], [1]))
            loop.call_later(3.0, done, predicted)

    served = Served()
    metrics = BatchMetrics(Histogram(SECONDS), Histogram(SECONDS), Histogram(ROWS))
    parts = Parts(served.model, 0.0)
    served.set = ReplicaSet([parts], BatchLimits(), metrics, asyncio.get_running_loop().time)
    first, second, late = (served.send(rows(1), timeout=timeout)[1] for timeout in (5.0, 2.0, 2.0))
    assert (await second)[1] == 1.0
    assert isinstance((await late)[0], DeadlineExceeded)
    assert served.set.running == 3, "the replica is not free before all are answered"
    assert (await first)[1] == 3.0
    assert served.set.running == 0


@virtual_time
async def test_a_replica_hears_who_is_answered_late():
    served = remote(seconds=10.0)
    answers = [served.send(rows(1), timeout=timeout)[1] for timeout in (5.0, 2.0, 60.0)]
    late, _ = await answers[1]
    assert str(late) == "no answer within 2 s; after 2 s it was with the replica process"
    assert served.replica.unwanted == [[1]]
    await asyncio.gather(*answers)
    assert served.replica.unwanted == [[1], [0]]


@virtual_time
async def test_who_is_being_predicted_and_leaves_is_answered_at_once():
    served = Served(seconds=1.0)
    pending, answer = served.send(rows(1))
    await asyncio.sleep(0.5)
    assert pending.taken == 0.0
    pending.abandon()
    assert isinstance((await answer)[0], Cancelled)
    assert elapsed() == 0.5
    await asyncio.sleep(1)


@virtual_time
async def test_who_would_be_late_is_refused_at_once_and_told_when_to_come_back():
    served = Served(BatchLimits(max_rows=1), seconds=1.0)
    await served.ask(rows(1))
    sent = [served.send(rows(1))[1] for _ in range(3)]
    await asyncio.sleep(0.5)
    with pytest.raises(ResourceExhausted, match="2 rows are waiting already: the answer would take about"):
        served.send(rows(1), timeout=2.0)
    with pytest.raises(ResourceExhausted) as caught:
        served.send(rows(1), timeout=2.1)
    assert 1.3 <= caught.value.retry_after <= 2.0
    await asyncio.sleep(caught.value.retry_after + 0.01)
    timely = served.send(rows(1), timeout=2.1)[1]
    assert not isinstance((await timely)[0], DeadlineExceeded)
    await asyncio.gather(*sent)


@virtual_time
async def test_who_finds_nothing_before_them_is_never_refused():
    served = Served(seconds=1.0)
    await served.ask(rows(1))
    answer = await served.ask(rows(1), timeout=0.5)
    assert isinstance(answer, DeadlineExceeded)
    await asyncio.sleep(1)


@virtual_time
async def test_a_set_may_leave_it_to_others_to_refuse():
    served = Served(BatchLimits(max_rows=1), seconds=1.0)
    served.set = ReplicaSet(
        [SlowReplica(served.model, 1.0)],
        BatchLimits(max_rows=1),
        BatchMetrics(Histogram(SECONDS), Histogram(SECONDS), Histogram(ROWS)),
        asyncio.get_running_loop().time,
        refuses_late=False,
    )
    await served.ask(rows(1))
    sent = [served.send(rows(1), timeout=2.5)[1] for _ in range(4)]
    answers = [answer for answer, _ in await asyncio.gather(*sent)]
    assert [isinstance(answer, DeadlineExceeded) for answer in answers] == [False, False, True, True]


async def test_a_request_may_have_come_when_the_batch_began_that_kept_it_unread():
    now, answered = 0.0, []

    class Model(Doubler):
        def predict(self, instances, parameters):
            nonlocal now
            now += 0.02
            return super().predict(instances, parameters)

    metrics = BatchMetrics(Histogram(SECONDS), Histogram(SECONDS), Histogram(ROWS))
    replicas = ReplicaSet([InlineReplica(Model())], BatchLimits(max_rows=1), metrics, lambda: now)

    def send(timeout):
        replicas.submit(Pending(rows(1), {}, None, now, now + timeout, lambda *_: answered.append(now)))

    async def replicas_idle():
        for _ in range(20):
            await asyncio.sleep(0)

    send(60.0)
    await replicas_idle()
    answered.clear()
    read = now
    for _ in range(4):
        send(0.1)
    with pytest.raises(ResourceExhausted, match=r"asked for within 0\.1 s"):
        send(0.1)
    await replicas_idle()
    assert len(answered) == 4
    assert max(answered) <= read - 0.02 + 0.1
