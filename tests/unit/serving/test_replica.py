import asyncio
import threading

import pytest

from tests.unit.serving.models import SIGNATURE, Doubler, rows
from trivet.core.errors import InvalidArgument
from trivet.core.instances import Predictions
from trivet.core.predictor import AsyncPredictor, Traits
from trivet.serving.replica import Awaited, ThreadReplica, predict_parts


class Together:
    """An async predictor that answers only when two of its batches are in flight."""

    signature = SIGNATURE
    traits = Traits()

    def __init__(self):
        self.there = 0
        self.both = asyncio.Event()

    async def start(self):
        self.started = True

    async def predict_async(self, instances, parameters):
        self.there += 1
        if self.there == 2:
            self.both.set()
        await asyncio.wait_for(self.both.wait(), 5)
        return Predictions.of({"y": instances.columns["x"] + 1})


def run(replica, *parts):
    """Predict on a replica and await the answers."""
    answered = asyncio.get_running_loop().create_future()
    replica.run(parts, {}, [float("inf")] * len(parts), answered.set_result)
    return answered


async def test_a_thread_replica_predicts_off_the_event_loop():
    seen = []

    class Where(Doubler):
        def predict(self, instances, parameters):
            seen.append(threading.current_thread().name)
            return super().predict(instances, parameters)

    replica = ThreadReplica(Where(), asyncio.get_running_loop(), "fraud@1")
    answers = await run(replica, rows(1), rows(2))
    replica.close()
    assert [answer.count for answer in answers] == [1, 2]
    assert seen == ["fraud@1-0"]


async def test_awaited_batches_overlap():
    predictor = Together()
    assert isinstance(predictor, AsyncPredictor)
    awaited = Awaited(predictor)
    assert predictor.started
    replica = ThreadReplica(awaited, asyncio.get_running_loop(), "both", slots=2)
    one, other = await asyncio.gather(run(replica, rows(1)), run(replica, rows(1, 5.0)))
    replica.close()
    awaited.close()
    assert one[0].columns["y"].tolist() == [2.0]
    assert other[0].columns["y"].tolist() == [6.0]


def test_a_plain_predictor_is_not_taken_for_an_async_one():
    assert not isinstance(Doubler(), AsyncPredictor)


@pytest.mark.parametrize("position", range(5))
def test_the_bad_instance_is_found_wherever_it_is(position):
    instances = rows(5)
    instances.columns["x"][position] = -1.0
    (answer,) = predict_parts(Doubler(), [instances], {})
    assert isinstance(answer, InvalidArgument)
    assert str(answer) == f"instances[{position}]: negative"


def test_a_fault_while_looking_for_the_bad_instance_leaves_the_first_reason():
    class Moody(Doubler):
        def predict(self, instances, parameters):
            if instances.count < 4:
                raise ZeroDivisionError
            return super().predict(instances, parameters)

    instances = rows(4, -1.0)
    (answer,) = predict_parts(Moody(), [instances], {})
    assert str(answer) == "negative"


async def test_a_model_that_would_end_the_process_fails_like_any_other():
    class Quits(Doubler):
        def predict(self, instances, parameters):
            raise SystemExit("enough")

    (answer,) = predict_parts(Quits(), [rows(1)], {})
    assert str(answer) == "the model failed: SystemExit: enough"
    replica = ThreadReplica(Quits(), asyncio.get_running_loop(), "quits")
    for _ in range(2):  # the thread is still there
        (answer,) = await run(replica, rows(1))
        assert str(answer) == "the model failed: SystemExit: enough"
    replica.close()
