"""An endpoint on some server as a predictor: what a batch job or SQL asks instead of a model of its own.

It cuts what it is asked into requests and has several under way at once, as many as the server takes
(`throttle`), each on a thread and a connection of its own. A server that is full, restarts or is away for a
while costs time alone; what it cannot answer is halved until the bad row stands alone.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from time import monotonic
from typing import Any

from trivet.core.errors import Cancelled, DeadlineExceeded, Internal, ServingError
from trivet.core.instances import Instances, Predictions, object_column
from trivet.core.predictor import Traits
from trivet.core.signature import Parameters, Signature, TensorSpec
from trivet.serving.remote_call import Asked, Caller, Calls, Refusal
from trivet.serving.remote_requests import OPEN, Question, Request, cut, ranges
from trivet.serving.remote_texts import around, json_texts
from trivet.serving.throttle import Throttle

log = logging.getLogger("trivet")

SIGNATURE = Signature(
    inputs=(TensorSpec("instance", "json", nullable=True),),
    outputs=(TensorSpec("prediction", "json", nullable=True),),
    parameters=None,
)
"""Any JSON: what an instance must be only the endpoint knows."""

ROWS = 64
"""Instances in one request, as Google's batch prediction has it."""

PATIENCE = 300.0
"""Seconds that a server may be full or away for, as a whole, before it is given up."""

FIRST_PATIENCE = 20.0
"""The same before it has said anything at all: more likely, its address is wrong."""

_MISSES = 3
"""After how many answers that did not come a request is suspected to be the reason."""

_LATE_MISSES = 2
"""The same where each took all the time that there is, and the last was asked for alone."""

_PARTS = 8
"""Into how many parts a request is cut that is looked through for a row that is never answered."""

_TELLS_AFTER = 10.0
"""Seconds without any answer after which the log says so; then again each time that they have doubled."""


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
        self._waiting: deque[Request] = deque()
        self._under_way = 0
        self._alone = False  # what is under way is to be alone
        self._callers: list[Calls] = []
        self._good: bytes | None = None  # an instance that was answered
        self._reached = self._closed = False
        self._sent = self._newest = 0  # requests that were sent; the last of those that were answered
        self._told = (0.0, _TELLS_AFTER)  # since when there was no answer, and when to tell next

    def __repr__(self) -> str:
        return f"<EndpointPredictor {self._asked.url}: {self._under_way} under way, {self.throttle!r}>"

    @property
    def _called(self) -> str:
        """What the log calls it."""
        return self._asked.url

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
        question = Question(texts, around(parameters), len(texts), [OPEN] * len(texts), errors)
        requests = list(cut(question, self._rows))
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
        yield from ranges(question)

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

    def _take(self) -> Request | None:
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
                            self._sent += 1
                            request.age, request.number = self.throttle.age, self._sent
                            return request
                    pause = max(0.0, min(request.ready for request in self._waiting) - now)
                self._changed.wait(pause if pause and self._waiting else None)
            return None

    def _is_last(self, request: Request) -> bool:
        """Whether a row is tried for the last time: alone, since another may be what ends an application."""
        late = request.misses >= _MISSES - 1 or request.slow
        return self._is_there and request.count == 1 and late

    def _settle(self, request: Request, answer: list[Any] | Refusal) -> None:
        question = request.question
        if request.probe and isinstance(answer, Refusal):
            if answer.concerns in ("away", "lost", "full"):
                self.throttle.missed(monotonic(), request.age)
            return
        if isinstance(answer, list):
            question.predictions[request.start : request.stop] = answer
            question.open -= request.count
            self._reached = True
            self._newest = max(self._newest, request.number)
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
                self._tell(request, answer.error)
                self._again(request, answer.error)
            case "away" | "lost":
                self._missed(request, answer)

    def _halve(self, request: Request, error: ServingError, *, job: bool = False) -> None:
        """Ask about both halves; a single row has failed, and `job` says that this is no row's fault."""
        if request.count > 1:
            self._waiting.extend(request.parts(2))
        elif job:
            self._fail(request.question, error)
        else:
            request.question.errors[request.start] = error
            request.question.open -= 1

    def _missed(self, request: Request, answer: Refusal) -> None:
        """Ask again later. What goes unanswered again and again, while others do not, may be to blame."""
        silent = self.throttle.since is not None
        request.ready = self.throttle.missed(monotonic(), request.age)
        answers = self.throttle.answers
        before, request.answers = request.answers, answers
        others = before is not None and answers > before
        # a server that is away says nothing about a request, unless it was there for others meanwhile
        if answer.concerns == "lost" or (answer.sent and others):
            request.misses += 1
        slow = isinstance(answer.error, DeadlineExceeded)  # fewer rows may take less than the time they have
        request.slow = slow
        misses = _LATE_MISSES if slow and others and self._is_there else _MISSES
        if request.count > 1 and slow and self._is_there:
            self._look_through(request, answer.error, silent=silent)
        elif request.count > 1 and (request.misses >= self._halved_after or slow):
            self._tell(request, answer.error)
            self._halve(request, answer.error)
        elif request.misses >= misses and (others or self._is_there):
            others_too = " while other requests were answered" if others else ""
            told = f"it went unanswered {misses} times{others_too}: {answer.error}"
            self._halve(request, Internal(told))
        else:
            late = slow and self._is_there
            if late:
                log.warning("%s: %s; asked again", self._called, answer.error)
            else:
                self._tell(request, answer.error)
            if late or before == answers:
                self._probe(request)
            self._again(request, answer.error)

    def _look_through(self, request: Request, error: ServingError, *, silent: bool) -> None:
        """Ask about parts of a request that took too long, few where it is not known to be the reason.

        It is where the application answered what was sent later, or has nothing else to do: then a row of it
        most likely hangs. What has too much to do gets to all of its requests too late.
        """
        if self._given_up(request, error):
            return
        parts = _PARTS if self._newest > request.number or not self._under_way else 2
        rows = -(-request.count // min(parts, request.count))
        log.warning("%s: %s to %d rows; asked again %d at a time", self._called, error, request.count, rows)
        self._waiting.extend(request.parts(parts))
        if silent:
            self._probe(request)

    def _probe(self, request: Request) -> None:
        """Ask about a row that was answered before everything else, unless that is to be done anyway."""
        if self._good is not None and not any(one.probe for one in self._waiting):
            good = Question([self._good], request.question.around, 1, [None])
            self._waiting.appendleft(Request(good, 0, 1, probe=True))

    def _again(self, request: Request, error: ServingError) -> None:
        if not self._given_up(request, error):
            self._waiting.append(request)

    def _given_up(self, request: Request, error: ServingError) -> bool:
        """Whether nobody has answered for too long; then the question has failed."""
        since = self.throttle.since
        patience = self._patience if self._reached else min(self._patience, FIRST_PATIENCE)
        if request.slow and self._is_there:  # one that hangs keeps others waiting if there is room for one
            patience = max(patience, 2 * self._asked.timeout)
        if since is None or monotonic() - since <= patience:
            return False
        told = f"{error}; no request has been answered for {patience:g} s"
        self._fail(request.question, type(error)(told))
        return True

    def _tell(self, request: Request, error: ServingError) -> None:
        """Have the log say, now and then, that there are no answers."""
        since, (before, after) = self.throttle.since, self._told
        if since is None:
            return
        if since != before:
            after = _TELLS_AFTER
        if (silent := request.ready - since) >= after:
            pause = max(0.0, request.ready - monotonic())
            log.warning("%s: %s; asked again in %.0f s", self._called, error, pause)
            after = 2 * silent
        self._told = (since, after)

    def _fail(self, question: Question, error: ServingError) -> None:
        """Ask nothing more of a question."""
        question.failure = error
        self._waiting = deque(one for one in self._waiting if one.question is not question)
