"""The data plane in virtual time: no thread, no socket, no waiting."""

import asyncio
import functools
import logging

import looptime
import pytest

from tests.unit.serving.models import Doubler, rows
from trivet.core.errors import DeadlineExceeded, Internal, InvalidArgument, ResourceExhausted, Unavailable
from trivet.core.instances import Predictions
from trivet.serving.batching import BatchLimits, Pending
from trivet.serving.replica import InlineReplica, predict_parts
from trivet.serving.replica_set import ReplicaSet
from trivet.serving.running import BatchMetrics
from trivet.telemetry import ROWS, SECONDS, Histogram


def virtual_time(test):
    """Run a test in a loop whose clock jumps to the next thing to do."""

    @functools.wraps(test)
    def run(*args, **kwargs):
        with asyncio.Runner(loop_factory=lambda: looptime.new_event_loop(start=0)) as runner:
            runner.run(test(*args, **kwargs))

    return run


def elapsed():
    return pytest.approx(asyncio.get_running_loop().time(), abs=1e-6)


class SlowReplica:
    """Answers after a time, like a thread or a process would, in virtual time."""

    slots = lanes = 1
    blocks = False

    def __init__(self, predictor, seconds):
        self.predictor, self.seconds = predictor, seconds

    def run(self, parts, parameters, deadlines, done):
        loop = asyncio.get_running_loop()
        loop.call_later(self.seconds, lambda: done(predict_parts(self.predictor, parts, parameters)))

    def close(self):
        pass


class Served:
    """A replica set and what it measures; `ask` sends a request and awaits its answer."""

    def __init__(self, limits=None, seconds=None, replicas=1, *, refuses_late=True):
        self.model = Doubler()
        self.queue_seconds, self.batch_rows = Histogram(SECONDS), Histogram(ROWS)
        metrics = BatchMetrics(self.queue_seconds, Histogram(SECONDS), self.batch_rows)
        loop = asyncio.get_running_loop()
        made = [
            InlineReplica(self.model) if seconds is None else SlowReplica(self.model, seconds)
            for _ in range(replicas)
        ]
        limits = limits or BatchLimits()
        self.set = ReplicaSet(made, limits, metrics, clock=loop.time, refuses_late=refuses_late)

    def send(self, instances, *, group=None, timeout=60.0):
        loop = asyncio.get_running_loop()
        answer = loop.create_future()

        def done(pending, result):
            if not answer.done():
                answer.set_result((result, loop.time()))

        pending = Pending(instances, {}, group, loop.time(), loop.time() + timeout, done)
        self.set.submit(pending)
        return pending, answer

    async def ask(self, instances, **options):
        result, _ = await self.send(instances, **options)[1]
        return result


@virtual_time
async def test_requests_of_one_turn_of_the_loop_form_one_batch():
    served = Served()
    answers = await asyncio.gather(*(served.ask(rows(2, i)) for i in range(10)))
    assert [answer.columns["y"].tolist() for answer in answers] == [[2.0 * i] * 2 for i in range(10)]
    assert served.model.batches == [20]


@virtual_time
async def test_a_lone_request_waits_for_nothing():
    served = Served()
    await served.ask(rows(1))
    assert elapsed() == 0


@virtual_time
async def test_where_turns_bring_single_requests_the_next_does_not_wait_for_the_end_of_its_own():
    served = Served()
    await served.ask(rows(1))
    for _ in range(2):
        _, answer = served.send(rows(1, 4.0))
        assert answer.done(), "before anything else is read"
        await asyncio.sleep(0)
    sent = [served.send(rows(1, i))[1] for i in range(3)]
    assert [answer.done() for answer in sent] == [True, False, False]
    await asyncio.gather(*sent)
    assert served.model.batches == [1, 1, 1, 1, 2], "those behind it are one batch"
    await asyncio.gather(served.ask(rows(1)), served.ask(rows(1)))
    assert served.model.batches[5:] == [2], "and turns that bring several are waited for again"
    await asyncio.gather(served.ask(rows(1)), served.ask(rows(1)))
    assert served.model.batches[6:] == [2]


async def batches_of(counts, *, then, seconds=None, limits=None):
    """Send requests in one turn and others while the first are read; return the sizes of all batches."""
    served = Served(limits, seconds)
    loop, sent = asyncio.get_running_loop(), []
    for turn in (counts, then):
        for count in turn:
            loop.call_soon(lambda count=count: sent.append(served.send(rows(count))[1]))
        await asyncio.sleep(0)
    await asyncio.gather(*sent)
    return served.model.batches


@pytest.mark.parametrize("seconds", [None, 0.001])
@virtual_time
async def test_who_comes_while_a_few_are_read_is_in_their_batch(seconds):
    assert await batches_of([1, 2], then=[1, 1], seconds=seconds) == [5]
    assert await batches_of([8, 7], then=[1], seconds=seconds) == [16]


@pytest.mark.parametrize(("seconds", "enough"), [(None, 16), (0.001, 64)], ids=["here", "elsewhere"])
@virtual_time
async def test_a_batch_that_is_worth_it_waits_for_nobody(seconds, enough):
    assert await batches_of([8, enough - 8], then=[1], seconds=seconds) == [enough, 1]
    assert await batches_of([8, enough - 9], then=[1], seconds=seconds) == [enough]
    assert await batches_of([2, 2], then=[1], seconds=seconds, limits=BatchLimits(max_rows=4)) == [4, 1]


@virtual_time
async def test_a_request_alone_waits_for_nobody_where_the_last_batch_was_of_one():
    served = Served(seconds=1.0)
    await served.ask(rows(1))
    first = served.send(rows(3))[1]
    await asyncio.sleep(0)
    second = served.send(rows(1))[1]
    await asyncio.gather(first, second)
    assert served.model.batches == [1, 3, 1]


@virtual_time
async def test_a_request_alone_is_refused_answered_late_or_left_waiting_as_any_other():
    served = Served(BatchLimits(max_queued_rows=4))
    await served.ask(rows(1))
    assert isinstance(await served.ask(rows(1), timeout=0.0), DeadlineExceeded)
    with pytest.raises(InvalidArgument, match="at most 4 rows"):
        served.send(rows(5))
    assert served.model.batches == [1]
    served = Served(BatchLimits(max_wait=5.0))
    for _ in range(2):
        await served.ask(rows(1))
    assert elapsed() == 10.0


@virtual_time
async def test_batches_grow_while_the_replica_is_busy():
    served = Served(seconds=1.0)
    first = asyncio.create_task(served.ask(rows(1)))
    await asyncio.sleep(0.5)
    others = [asyncio.create_task(served.ask(rows(1))) for _ in range(5)]
    await asyncio.gather(first, *others)
    assert served.model.batches == [1, 5]


@virtual_time
async def test_batches_keep_to_their_size():
    served = Served(BatchLimits(max_rows=8))
    await asyncio.gather(*(served.ask(rows(3)) for _ in range(5)))
    assert served.model.batches == [6, 6, 3]


@virtual_time
async def test_requests_that_differ_are_predicted_apart():
    served = Served()
    await asyncio.gather(*(served.ask(rows(1), group=group) for group in ("a", "a", "b", "b", "a")))
    assert served.model.batches == [2, 2, 1]


@virtual_time
async def test_several_replicas_work_at_once():
    served = Served(BatchLimits(max_rows=1), seconds=1.0, replicas=3)
    await asyncio.gather(*(served.ask(rows(1)) for _ in range(6)))
    assert elapsed() == 2.0


@virtual_time
async def test_the_oldest_request_waits_for_company_no_longer_than_asked():
    served = Served(BatchLimits(max_wait=5.0))
    await served.ask(rows(1))
    assert elapsed() == 5.0


@virtual_time
async def test_a_full_batch_does_not_wait():
    served = Served(BatchLimits(max_wait=5.0, max_rows=4))
    await asyncio.gather(served.ask(rows(2)), served.ask(rows(2)))
    assert elapsed() == 0


@virtual_time
async def test_only_the_bad_request_of_a_batch_fails():
    served = Served()
    good, bad, fault, other = await asyncio.gather(
        served.ask(rows(1)), served.ask(rows(1, -1.0)), served.ask(rows(1, 13.0)), served.ask(rows(2, 5.0))
    )
    assert good.columns["y"].tolist() == [2.0]
    assert other.columns["y"].tolist() == [10.0, 10.0]
    assert isinstance(bad, InvalidArgument)
    assert str(bad) == "instances[0]: negative"
    assert isinstance(fault, Internal)
    assert str(fault) == "the model failed: ZeroDivisionError: unlucky"
    assert isinstance(fault.__cause__, ZeroDivisionError)


@virtual_time
async def test_the_first_bad_instance_of_a_request_is_named():
    mixed = rows(9)
    mixed.columns["x"][6:] = -1.0
    answer = await Served().ask(mixed)
    assert str(answer) == "instances[6]: negative"


@virtual_time
async def test_a_model_that_loses_a_row_is_at_fault():
    answer = await Served().ask(rows(3, 99.0))
    assert str(answer) == "the model gave 2 predictions for 3 instances"


@virtual_time
async def test_a_waiting_request_is_answered_at_its_deadline_and_not_run():
    served = Served(seconds=10.0)
    first = asyncio.create_task(served.ask(rows(1)))
    await asyncio.sleep(1)
    answer = await served.ask(rows(1), timeout=3.0)
    assert isinstance(answer, DeadlineExceeded)
    assert str(answer) == "no answer within 3 s; after 3 s it was waiting for a replica"
    assert elapsed() == 4.0
    await first
    await asyncio.sleep(20)
    assert served.model.batches == [1]


@virtual_time
async def test_a_running_request_is_answered_at_its_deadline():
    answer = await Served(seconds=10.0).ask(rows(1), timeout=2.0)
    assert str(answer) == "no answer within 2 s; after 2 s it was in the model"
    assert elapsed() == 2.0


@virtual_time
async def test_deadlines_of_any_order_are_kept():
    served = Served(seconds=100.0)
    timeouts = [7.0, 3.0, 5.0, 1.0, 9.0]
    sent = [served.send(rows(1), timeout=timeout)[1] for timeout in timeouts]
    answered = await asyncio.gather(*sent)
    assert [time for _, time in answered] == pytest.approx(timeouts)


@virtual_time
async def test_work_that_nobody_waits_for_is_not_run():
    served = Served(seconds=1.0)
    first = asyncio.create_task(served.ask(rows(1)))
    await asyncio.sleep(0.5)
    pending, _ = served.send(rows(1))
    pending.abandon()
    await first
    await asyncio.sleep(5)
    assert served.model.batches == [1]


@virtual_time
async def test_a_full_queue_refuses_and_recovers():
    served = Served(BatchLimits(max_queued_rows=4), seconds=1.0)
    first = asyncio.create_task(served.ask(rows(1)))
    await asyncio.sleep(0.1)
    waiting = asyncio.create_task(served.ask(rows(4)))
    await asyncio.sleep(0.1)
    with pytest.raises(ResourceExhausted):
        served.send(rows(1))
    await asyncio.gather(first, waiting)
    assert (await served.ask(rows(1))).columns["y"].tolist() == [2.0]


@virtual_time
async def test_a_reply_that_fails_stops_no_other(caplog):
    served = Served()
    loop = asyncio.get_running_loop()

    def gone(pending, answer):
        raise ConnectionResetError("the client has left")

    logging.getLogger("trivet").propagate = True
    served.set.submit(Pending(rows(1), {}, None, loop.time(), loop.time() + 60, gone))
    answer = await served.ask(rows(1))
    assert answer.columns["y"].tolist() == [2.0]
    assert "a reply failed" in caplog.text
    assert (await served.ask(rows(1))).columns["y"].tolist() == [2.0]


@virtual_time
@pytest.mark.parametrize("refuses_late", [True, False])
async def test_requests_that_come_together_are_answered_each(refuses_late):
    served = Served(BatchLimits(max_queued_rows=4), seconds=1.0, refuses_late=refuses_late)
    answers = []

    def request(count, timeout=60.0):
        now = asyncio.get_running_loop().time()
        return Pending(rows(count), {}, None, now, now + timeout, lambda _, answer: answers.append(answer))

    served.set.submit_together([request(1), request(2)])
    await asyncio.sleep(0.5)
    served.set.submit_together([request(1), request(1, timeout=0.2)])
    served.set.submit_together([request(2), request(1)])
    assert [type(one) for one in answers] == [ResourceExhausted]
    await asyncio.sleep(5)
    assert served.model.batches == [3, 3]
    kinds = [one.count if isinstance(one, Predictions) else type(one) for one in answers[1:]]
    assert kinds == [DeadlineExceeded, 1, 2, 1, 2]
    served.set.close()
    served.set.submit_together([request(1), request(1)])
    assert [type(one) for one in answers[6:]] == [Unavailable, Unavailable]


@virtual_time
async def test_closing_answers_what_waits_and_refuses_what_comes():
    served = Served(seconds=1.0)
    running = asyncio.create_task(served.ask(rows(1)))
    await asyncio.sleep(0.5)
    waiting = asyncio.create_task(served.ask(rows(1)))
    await asyncio.sleep(0)
    served.set.close()
    assert isinstance(await waiting, Unavailable)
    with pytest.raises(Unavailable):
        served.send(rows(1))
    assert (await running).columns["y"].tolist() == [2.0]


@virtual_time
async def test_giving_up_answers_what_still_runs():
    served = Served(seconds=10.0)
    running = asyncio.create_task(served.ask(rows(1)))
    await asyncio.sleep(0.5)
    served.set.give_up()
    assert isinstance(await running, Unavailable)
    assert elapsed() == 0.5
    await asyncio.sleep(20)
    assert repr(served.set).endswith("0 running, 1 free>")


@virtual_time
async def test_what_is_measured():
    served = Served(seconds=1.0)
    first = asyncio.create_task(served.ask(rows(1)))
    await asyncio.sleep(0.5)
    assert repr(served.set) == "<ReplicaSet <BatchQueue 0 requests, 0 rows>, 1 running, 0 free>"
    await asyncio.gather(first, served.ask(rows(3)))
    assert served.queue_seconds.total == pytest.approx(0.5)
    assert served.batch_rows.total == 4
