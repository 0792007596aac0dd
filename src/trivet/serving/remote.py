"""An endpoint on some server as a predictor: what a batch job or SQL asks instead of a model of its own.

It cuts what it is asked into requests and has several under way at once, as many as the server takes
(`throttle`), each on a thread and a connection of its own. A server that is full, restarts or is away for a
while costs time alone; what it cannot answer is halved until the bad row stands alone.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Any

from trivet.core.errors import Cancelled, DeadlineExceeded, Internal, ServingError
from trivet.core.instances import Instances, Predictions, object_column
from trivet.core.predictor import Traits
from trivet.core.signature import Parameters, Signature, TensorSpec
from trivet.serving.remote_call import Asked, Caller, Calls, Refusal
from trivet.serving.remote_texts import around, json_texts
from trivet.serving.throttle import Throttle

SIGNATURE = Signature(
    inputs=(TensorSpec("instance", "json", nullable=True),),
    outputs=(TensorSpec("prediction", "json", nullable=True),),
    parameters=None,
)
"""Any JSON: what an instance must be only the endpoint knows."""

ROWS = 64
"""Instances in one request, as Google's batch prediction has it."""

BYTES = 1_000_000
"""About how large a request may get; Google's shared endpoints take 1.5 MB."""

PATIENCE = 300.0
"""Seconds that a server may be full or away for, as a whole, before it is given up."""

FIRST_PATIENCE = 20.0
"""The same before it has said anything at all: more likely, its address is wrong."""

_MISSES = 3
"""After how many answers that did not come a request is suspected to be the reason."""


@dataclass(eq=False, slots=True)
class _Request:
    """Rows `start` to `stop` of a question, of which nobody knows the answer yet.

    A probe is about a row that was answered before, to see whether it is the server or a row that is to
    blame for what goes unanswered.
    """

    question: "_Question"
    start: int
    stop: int
    ready: float = 0.0  # not to be sent before
    age: int = 0
    misses: int = 0
    answers: int | None = None  # there were in all when it was last missed
    probe: bool = False

    @property
    def count(self) -> int:
        return self.stop - self.start

    def body(self) -> bytes:
        before, after = self.question.around
        return before + b",".join(self.question.texts[self.start : self.stop]) + after

    def halves(self) -> Iterator["_Request"]:
        middle = (self.start + self.stop) // 2
        yield _Request(self.question, self.start, middle)
        yield _Request(self.question, middle, self.stop)


@dataclass(eq=False, slots=True)
class _Question:
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
                if answer is _OPEN:
                    self.errors.setdefault(index, failure)
            self.failure = None


_OPEN = object()
"""What stands for a prediction that is not there yet."""


class EndpointPredictor:
    """Asks an endpoint about any JSON values, in requests of at most `rows` of them.

    Several threads may ask at once; they share what the server takes. `connects` makes each connection, where
    it is no endpoint that is asked but something else that takes the same requests.
    """

    signature = SIGNATURE
    traits = Traits(native=True, frees_gil=True)
    _halved_after = _MISSES
    """Answers that did not come after which a request of several rows is halved."""

    _is_there = False
    """Whether a request is to blame for answers that do not come, even if nobody else gets any."""

    def __init__(
        self,
        asked: Asked,
        rows: int = ROWS,
        *,
        patience: float = PATIENCE,
        connects: Callable[[], Calls] | None = None,
    ) -> None:
        self.throttle = Throttle(asked.concurrency)
        self._asked = asked
        self._rows = rows
        self._patience = patience
        self._connects = connects or partial(Caller, asked)
        self._changed = threading.Condition()
        # what follows is read and written with `_changed` held
        self._waiting: deque[_Request] = deque()
        self._under_way = 0
        self._alone = False  # what is under way is to be alone
        self._callers: list[Calls] = []
        self._good: bytes | None = None  # an instance that was answered
        self._reached = self._closed = False

    def __repr__(self) -> str:
        return f"<EndpointPredictor {self._asked.url}: {self._under_way} under way, {self.throttle!r}>"

    def predict(self, instances: Instances, parameters: Parameters) -> Predictions:
        """Answer every instance; raises what keeps any of them from being answered."""
        answers = list(self.score(instances, parameters))
        if not answers:
            return Predictions({"prediction": object_column([])}, 0)
        for start, _, answer in answers:
            if isinstance(answer, ServingError):
                raise type(answer)(f"instances[{start}]: {answer}")
        return Predictions.join([answer for _, _, answer in answers if isinstance(answer, Predictions)])

    def score(
        self, instances: Instances, parameters: Parameters, *, partly: bool = False
    ) -> Iterator[tuple[int, int, Predictions | ServingError]]:
        """Ask about many instances; yields, in order, ranges with their predictions, or a bad row's error.

        Instances are JSON values, or their texts as `msgspec.Raw`, which are sent as they are. Raises what
        concerns no row, but everything that could be asked: nobody is there or has the time, not even after a
        while, or the endpoint does not exist or may not be asked; Cancelled once it is closed. Where
        `partly`, only those rows fail that went unanswered since nobody was there or had the time.
        """
        texts, errors = json_texts(*instances.columns.values())
        question = _Question(texts, around(parameters), len(texts), [_OPEN] * len(texts), errors)
        requests = list(_cut(question, self._rows))
        question.open = sum(request.count for request in requests)
        with self._changed:
            self._waiting.extend(requests)
            self._add_lanes()
            self._changed.notify_all()
            try:
                while question.open and question.failure is None and not self._closed:
                    self._changed.wait()
            finally:
                if question.open and question.failure is None:  # closed, or the wait was interrupted
                    self._fail(question, Cancelled(f"{self._asked.url} is not asked any more"))
            if partly:
                question.leave_open()
            if question.failure is not None:
                raise question.failure
        yield from _ranges(question)

    def close(self) -> None:
        """Ask nothing more; who waits is told at once."""
        with self._changed:
            self._closed = True
            callers, self._callers = self._callers, []
            self._changed.notify_all()
        for caller in callers:
            caller.end()

    def _add_lanes(self) -> None:
        """Have a thread for each request that may be under way, as far as there are requests."""
        wanted = min(int(self.throttle.limit), len(self._waiting) + self._under_way)
        while len(self._callers) < wanted and not self._closed:
            caller = self._connects()
            self._callers.append(caller)
            threading.Thread(target=self._ask, args=(caller,), name="endpoint", daemon=True).start()

    def _ask(self, caller: Calls) -> None:
        while (request := self._take()) is not None:
            try:
                answer = caller.ask(request.body(), request.count)
            except Exception as error:  # noqa: BLE001  # whoever waits must hear of it, whatever it is
                answer = Refusal("job", Internal(f"{type(error).__name__}: {error}"))
            with self._changed:
                self._under_way -= 1
                self._alone = False
                if request.question.failure is None and not self._closed:
                    self._settle(request, answer)
                self._add_lanes()
                self._changed.notify_all()
        caller.close()

    def _take(self) -> _Request | None:
        """Wait for a request that may be sent now; None when there will be none."""
        with self._changed:
            while not self._closed:
                now = monotonic()
                pause = max(0.0, self.throttle.pause - now)
                if self._waiting and not pause and not self._alone and self.throttle.room(self._under_way):
                    for request in self._waiting:
                        last = self._is_last(request)
                        if request.ready <= now and not (last and self._under_way):
                            self._waiting.remove(request)
                            self._under_way += 1
                            self._alone = last
                            request.age = self.throttle.age
                            return request
                    pause = max(0.0, min(request.ready for request in self._waiting) - now)
                self._changed.wait(pause if pause and self._waiting else None)
            return None

    def _is_last(self, request: _Request) -> bool:
        """Whether a row is tried for the last time: alone, since another may be what ends an application."""
        return self._is_there and request.count == 1 and request.misses >= _MISSES - 1

    def _settle(self, request: _Request, answer: list[Any] | Refusal) -> None:
        question = request.question
        if request.probe and isinstance(answer, Refusal):
            if answer.concerns in ("away", "lost", "full"):
                self.throttle.missed(monotonic(), request.age)
            return
        if isinstance(answer, list):
            question.predictions[request.start : request.stop] = answer
            question.open -= request.count
            self._reached = True
            self._good = question.texts[request.start]
            self.throttle.answered()
            return
        self._reached |= answer.sent
        match answer.concerns:
            case "job":
                self._fail(question, answer.error)
            case "rows" | "doubtful":
                self.throttle.answered()
                job = answer.concerns == "doubtful" and self._good is None
                self._halve(request, answer.error, job=job)
            case "full":
                retry_after = getattr(answer.error, "retry_after", None)
                request.ready = self.throttle.full(monotonic(), request.age, retry_after)
                self._again(request, answer.error)
            case "away" | "lost":
                self._missed(request, answer)

    def _halve(self, request: _Request, error: ServingError, *, job: bool = False) -> None:
        """Ask about both halves; a single row has failed, and `job` says that this is no row's fault."""
        if request.count > 1:
            self._waiting.extend(request.halves())
        elif job:
            self._fail(request.question, error)
        else:
            request.question.errors[request.start] = error
            request.question.open -= 1

    def _missed(self, request: _Request, answer: Refusal) -> None:
        """Ask again later. What goes unanswered again and again, while others do not, may be to blame."""
        request.ready = self.throttle.missed(monotonic(), request.age)
        answers = self.throttle.answers
        before, request.answers = request.answers, answers
        others = before is not None and answers > before
        # a server that is away says nothing about a request, unless it was there for others meanwhile
        if answer.concerns == "lost" or (answer.sent and others):
            request.misses += 1
        slow = isinstance(answer.error, DeadlineExceeded)  # fewer rows may take less than the time they have
        if request.count > 1 and (request.misses >= self._halved_after or slow):
            self._halve(request, answer.error)
        elif request.misses >= _MISSES and (others or self._is_there):
            others_too = " while other requests were answered" if others else ""
            told = f"it went unanswered {_MISSES} times{others_too}: {answer.error}"
            self._halve(request, Internal(told))
        else:
            if before == answers and self._good is not None:
                good = _Question([self._good], request.question.around, 1, [None])
                self._waiting.appendleft(_Request(good, 0, 1, probe=True))
            self._again(request, answer.error)

    def _again(self, request: _Request, error: ServingError) -> None:
        since = self.throttle.since
        patience = self._patience if self._reached else min(self._patience, FIRST_PATIENCE)
        if since is not None and monotonic() - since > patience:
            told = f"{error}; no request has been answered for {patience:g} s"
            self._fail(request.question, type(error)(told))
        else:
            self._waiting.append(request)

    def _fail(self, question: _Question, error: ServingError) -> None:
        """Ask nothing more of a question."""
        question.failure = error
        self._waiting = deque(one for one in self._waiting if one.question is not question)


def _cut(question: _Question, rows: int) -> Iterator[_Request]:
    """Cut a question into requests that are neither of too many rows nor of too many bytes."""
    start = size = 0
    for index, text in enumerate(question.texts):
        bad = not text
        if index > start and (bad or index - start >= rows or size + len(text) > BYTES):
            yield _Request(question, start, index)
            start, size = index, 0
        if bad:
            start = index + 1
        size += len(text)
    if start < len(question.texts):
        yield _Request(question, start, len(question.texts))


def _ranges(question: _Question) -> Iterator[tuple[int, int, Predictions | ServingError]]:
    """Yield what lies between bad rows as one, so that it does not matter which requests there were."""
    start = 0
    for bad in [*sorted(question.errors), len(question.texts)]:
        if bad > start:
            values = object_column(question.predictions[start:bad])
            yield start, bad, Predictions({"prediction": values}, bad - start)
        if bad < len(question.texts):
            yield bad, bad + 1, question.errors[bad]
        start = bad + 1
