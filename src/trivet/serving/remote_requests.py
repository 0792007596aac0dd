"""Rows that are asked about, the requests that they are cut into, and the answers put together again."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from trivet.core.errors import DeadlineExceeded, ServingError
from trivet.core.instances import Predictions, object_column

BYTES = 1_000_000
"""About how large a request may get; Google's shared endpoints take 1.5 MB."""

OPEN = object()
"""What stands for a prediction that is not there yet."""


@dataclass(eq=False, slots=True)
class Request:
    """Rows `start` to `stop` of a question, of which nobody knows the answer yet.

    A probe is about a row that was answered before, to see whether it is the server or a row that is to
    blame for what goes unanswered.
    """

    question: "Question"
    start: int
    stop: int
    ready: float = 0.0  # not to be sent before
    age: int = 0
    number: int = 0  # how many were sent up to this one
    misses: int = 0
    slow: bool = False  # it was last missed since the time for it was over
    answers: int | None = None  # there were in all when it was last missed
    probe: bool = False

    @property
    def count(self) -> int:
        """Rows in it."""
        return self.stop - self.start

    def body(self) -> bytes:
        """Return what is sent."""
        before, after = self.question.around
        return before + b",".join(self.question.texts[self.start : self.stop]) + after

    def parts(self, most: int) -> Iterator["Request"]:
        """Cut it into so many requests of about as many rows, at most one for each row."""
        count = min(most, self.count)
        for index in range(count):
            start = self.start + index * self.count // count
            stop = self.start + (index + 1) * self.count // count
            yield Request(self.question, start, stop)


@dataclass(eq=False, slots=True)
class Question:
    """All rows that are asked about at once: their texts, and their answers as they come."""

    texts: Sequence[bytes]
    around: tuple[bytes, bytes]
    open: int  # rows without an answer
    predictions: list[Any]
    errors: dict[int, ServingError] = field(default_factory=dict)
    failure: ServingError | None = None

    def leave_open(self) -> None:
        """Have the failure be that of the rows without an answer, where another time there may be one."""
        failure = self.failure
        if failure is not None and (failure.code.retriable or isinstance(failure, DeadlineExceeded)):
            for index, answer in enumerate(self.predictions):
                if answer is OPEN:
                    self.errors.setdefault(index, failure)
            self.failure = None


def cut(question: Question, rows: int) -> Iterator[Request]:
    """Cut a question into requests that are neither of too many rows nor of too many bytes."""
    start = size = 0
    for index, text in enumerate(question.texts):
        bad = not text
        if index > start and (bad or index - start >= rows or size + len(text) > BYTES):
            yield Request(question, start, index)
            start, size = index, 0
        if bad:
            start = index + 1
        size += len(text)
    if start < len(question.texts):
        yield Request(question, start, len(question.texts))


def ranges(question: Question) -> Iterator[tuple[int, int, Predictions | ServingError]]:
    """Yield what lies between bad rows as one, so that it does not matter which requests there were."""
    start = 0
    for bad in [*sorted(question.errors), len(question.texts)]:
        if bad > start:
            values = object_column(question.predictions[start:bad])
            yield start, bad, Predictions({"prediction": values}, bad - start)
        if bad < len(question.texts):
            yield bad, bad + 1, question.errors[bad]
        start = bad + 1
