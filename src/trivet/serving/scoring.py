"""Offline prediction: the same predictors, asked about batches by jobs and by SQL, and bad rows found."""

from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar, runtime_checkable

from trivet.core.errors import Internal, ServingError, model_error
from trivet.core.instances import Instances, Predictions
from trivet.core.predictor import Predictor
from trivet.core.signature import Parameters
from trivet.serving.replica import FAULTS

T = TypeVar("T")


@runtime_checkable
class Scoring(Protocol):
    """A predictor that finds bad rows itself, because it is asked about several batches at once."""

    def score(
        self, instances: Instances, parameters: Parameters
    ) -> Iterator[tuple[int, int, Predictions | ServingError]]:
        """Do what `score` does below; raises what no row is to blame for, and which ends the work."""
        ...


def isolate(
    attempt: Callable[[int, int], T], start: int, stop: int
) -> Iterator[tuple[int, int, T | ServingError]]:
    """Attempt something with rows `start` to `stop`; what fails is halved until the bad rows stand alone.

    Yields, in order, from which row to which there is a result, or the error of a single row.
    """
    waiting = [(start, stop)]
    while waiting:
        start, stop = waiting.pop()
        if start == stop:
            continue
        result: T | ServingError
        try:
            result = attempt(start, stop)
        except FAULTS as error:
            if stop - start > 1:
                middle = (start + stop) // 2
                waiting += [(middle, stop), (start, middle)]
                continue
            result = model_error(error)
        yield start, stop, result


def score(
    predictor: Predictor, instances: Instances, parameters: Parameters, rows: int
) -> Iterator[tuple[int, int, Predictions | ServingError]]:
    """Predict so many rows at once; a batch that fails is halved until the bad row stands alone.

    A predictor that is `Scoring` does it its own way. Yields, in order, from which row to which there are
    predictions, or the error of a single row.
    """
    if isinstance(predictor, Scoring):
        yield from predictor.score(instances, parameters)
        return

    def attempt(start: int, stop: int) -> Predictions:
        whole = start == 0 and stop == instances.count
        predictions = predictor.predict(instances if whole else instances.slice(start, stop), parameters)
        if predictions.count != stop - start:
            raise Internal(f"the model gave {predictions.count} predictions for {stop - start} instances")
        return predictions

    for start in range(0, instances.count, rows):
        yield from isolate(attempt, start, min(start + rows, instances.count))
