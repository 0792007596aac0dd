"""A replica: one predictor and where it runs. Bad requests are separated from the batch they fell into."""

import asyncio
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from queue import SimpleQueue
from typing import Protocol

from trivet.core.errors import Internal, InvalidArgument, ServingError, model_error
from trivet.core.instances import Instances, Predictions
from trivet.core.predictor import AsyncPredictor, Predictor
from trivet.core.signature import Parameters
from trivet.serving.batching import Answer, Unwanted

FAULTS = (Exception, SystemExit)
"""A model may raise anything, and must not end the server by it."""

Done = Callable[[Sequence[Answer]], None]


class Some(list[Answer]):
    """Answers to the parts of a batch at these `places` alone; the others are still to come."""

    def __init__(self, answers: Iterable[Answer], places: Sequence[int]) -> None:
        super().__init__(answers)
        self.places = places


class Replica(Protocol):
    """Runs batches. It takes `slots` of them at most, and predicts `lanes` of those at once.

    Where it `blocks`, it has answered a batch when `run` returns: the event loop does nothing else meanwhile,
    and reads no request.
    """

    slots: int
    lanes: int
    blocks: bool

    def run(
        self, parts: Sequence[Instances], parameters: Parameters, deadlines: Sequence[float], done: Done
    ) -> Unwanted | None:
        """Predict the parts together, and call `done` in the event loop with one answer for each.

        Of two or more, some may be answered before the others: `done` is then called with `Some` answers at
        first, and at last with one for each all the same. After its deadline, seconds of the monotonic clock,
        nobody waits for a part. Returns what tells that nobody waits for some any more; None where all have
        begun, or are answered already.
        """
        ...

    def close(self) -> None:
        """Start no further batch."""
        ...


class InlineReplica:
    """Predicts in the event loop itself: for models that answer a batch in well under a millisecond."""

    slots = lanes = 1
    blocks = True

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    def run(
        self, parts: Sequence[Instances], parameters: Parameters, deadlines: Sequence[float], done: Done
    ) -> None:
        """Predict at once."""
        done(predict_parts(self._predictor, parts, parameters))

    def close(self) -> None:
        """Nothing runs between calls."""


class ThreadReplica:
    """Predicts on threads of its own, which leave the event loop free where the GIL does."""

    blocks = False

    def __init__(
        self, predictor: Predictor, loop: asyncio.AbstractEventLoop, name: str, slots: int = 1
    ) -> None:
        self.slots = self.lanes = slots
        self._predictor = predictor
        self._loop = loop
        self._jobs: SimpleQueue[tuple[Sequence[Instances], Parameters, Done] | None] = SimpleQueue()
        for index in range(slots):
            # a daemon, since a model that hangs must not keep the process from ending
            threading.Thread(target=self._work, name=f"{name}-{index}", daemon=True).start()

    def run(
        self, parts: Sequence[Instances], parameters: Parameters, deadlines: Sequence[float], done: Done
    ) -> None:
        """Hand the batch to a thread."""
        self._jobs.put((parts, parameters, done))

    def close(self) -> None:
        """End the threads when their batches are done."""
        for _ in range(self.slots):
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            parts, parameters, done = job
            answers = predict_parts(self._predictor, parts, parameters)
            try:
                self._loop.call_soon_threadsafe(done, answers)
            except RuntimeError:  # the loop has ended, and with it everybody who waited
                return


class Awaited:
    """Makes a plain, thread-safe predictor of one whose answers are awaited, on a loop of its own.

    Raises whatever the predictor raises when it is started.
    """

    def __init__(self, predictor: AsyncPredictor) -> None:
        self.signature = predictor.signature
        self.traits = predictor.traits
        self._predictor = predictor
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._run, name="awaited", daemon=True).start()
        asyncio.run_coroutine_threadsafe(predictor.start(), self._loop).result()

    def predict(self, instances: Instances, parameters: Parameters) -> Predictions:
        """Wait for the answer; several threads may wait at once."""
        answer = self._predictor.predict_async(instances, parameters)
        return asyncio.run_coroutine_threadsafe(answer, self._loop).result()

    def close(self) -> None:
        """End the loop; what is still awaited is never answered."""
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _run(self) -> None:
        self._loop.run_forever()
        self._loop.close()


def run_apart(
    replica: Replica,
    parts: Sequence[Instances],
    parameters: Parameters,
    deadlines: Sequence[float],
    done: Done,
) -> Unwanted:
    """Run parts that cannot be run together one by one; `done` is called when all are answered."""
    answers: dict[int, Answer] = {}

    def collect(index: int, alone: Sequence[Answer]) -> None:
        (answers[index],) = alone
        if len(answers) == len(parts):
            done([answers[index] for index in range(len(parts))])

    begun = [
        replica.run([part], parameters, [deadline], partial(collect, index))
        for index, (part, deadline) in enumerate(zip(parts, deadlines, strict=True))
    ]

    def unwanted(indices: Sequence[int]) -> None:
        for index in indices:
            if (one := begun[index]) is not None:
                one((0,))

    return unwanted


def predict_parts(
    predictor: Predictor, parts: Sequence[Instances], parameters: Parameters
) -> Sequence[Answer]:
    """Predict several requests together; if that fails, each alone, so that only bad ones fail."""
    if len(parts) > 1:
        try:
            together = _predict(predictor, Instances.join(parts), parameters)
            return list(together.split([part.count for part in parts]))
        except FAULTS:
            pass  # the reason comes below, from whom it concerns
    return [_predict_alone(predictor, part, parameters) for part in parts]


def _predict_alone(predictor: Predictor, part: Instances, parameters: Parameters) -> Answer:
    try:
        return _predict(predictor, part, parameters)
    except InvalidArgument as error:
        return _first_bad(predictor, part, parameters, error)
    except FAULTS as error:
        answer = model_error(error)
        if answer is not error:
            answer.__cause__ = error
        return answer


def _first_bad(
    predictor: Predictor, part: Instances, parameters: Parameters, error: InvalidArgument
) -> ServingError:
    """Find the first instance that the model refuses, by halving, and name it."""
    start, stop = 0, part.count
    while stop - start > 1:
        middle = (start + stop) // 2
        try:
            _predict(predictor, part.slice(start, middle), parameters)
            start = middle
        except InvalidArgument as reason:
            stop, error = middle, reason
        except FAULTS:  # it fails in another way on these alone
            return error
    return InvalidArgument(f"instances[{start}]: {error}")


def _predict(predictor: Predictor, instances: Instances, parameters: Parameters) -> Predictions:
    predictions = predictor.predict(instances, parameters)
    if predictions.count != instances.count:
        raise Internal(f"the model gave {predictions.count} predictions for {instances.count} instances")
    return predictions
