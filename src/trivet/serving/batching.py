"""Dynamic batching, as decisions: which of the requests that wait should be predicted together.

Nothing here waits or runs; `replica_set` does. There is no timer at low load: a free replica takes what
is there at the end of the event loop's turn, and batches grow only because replicas are busy or because
several requests were read in one turn.
"""

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta

from trivet.core.errors import Cancelled, DeadlineExceeded, InvalidArgument, ResourceExhausted, ServingError
from trivet.core.instances import Instances, Predictions
from trivet.core.signature import Parameters


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How requests of one deployed model are batched and how long they may wait."""

    max_rows: Annotated[int, Meta(ge=1)] = 64
    """Rows predicted together at most; a larger request is predicted alone."""

    max_wait: Annotated[float, Meta(ge=0)] = 0.0
    """Seconds for which a free replica lets the oldest request wait for company. Leave it at 0 unless
    the model is slow and the load constant."""

    max_queued_rows: Annotated[int, Meta(ge=1)] = 4096
    """Rows that may wait; further requests are refused with RESOURCE_EXHAUSTED (429)."""

    timeout: Annotated[float, Meta(gt=0)] = 60.0
    """Seconds after which a request is answered DEADLINE_EXCEEDED (504), unless it asks for less."""


Answer = Predictions | ServingError


@dataclass(slots=True, eq=False)
class Pending:
    """One request on its way: answered once, by whoever comes first.

    Only requests of equal `group` may share a batch. `arrived`, `deadline` and `taken` are seconds of
    the replica set's clock; `done` is called in the event loop, and finds in `caller` whom to tell.
    """

    instances: Instances
    parameters: Parameters
    group: Hashable
    arrived: float
    deadline: float
    done: Callable[["Pending", Answer], None]
    caller: Any = None
    taken: float | None = None
    answered: bool = False

    def answer(self, answer: Answer) -> None:
        """Tell the caller, unless it has been told already or has left."""
        if not self.answered:
            self.answered = True
            self.done(self, answer)

    def abandon(self) -> None:
        """The caller has left: if no replica has taken the request yet, none will."""
        self.answer(Cancelled("the caller left before the answer"))


@dataclass(frozen=True, slots=True)
class Take:
    """Predict the oldest `requests` now."""

    requests: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Look again after this time, or when a request arrives (None)."""

    seconds: float | None


def plan(waiting: Iterable[Pending], now: float, limits: BatchLimits) -> Take | Wait:
    """Say what a free replica should do about the requests waiting, oldest first."""
    oldest: Pending | None = None
    rows = taken = 0
    for pending in waiting:
        if oldest is None:
            oldest = pending
        elif rows + pending.instances.count > limits.max_rows or pending.group != oldest.group:
            return Take(taken)  # no company can join any more: go
        rows += pending.instances.count
        taken += 1
    if oldest is None:
        return Wait(None)
    age = now - oldest.arrived
    if rows >= limits.max_rows or age >= limits.max_wait:
        return Take(taken)
    return Wait(limits.max_wait - age)


class BatchQueue:
    """Requests waiting for a replica, oldest first, bounded in rows."""

    def __init__(self, limits: BatchLimits) -> None:
        self.limits = limits
        self.rows = 0
        self._waiting: deque[Pending] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def __repr__(self) -> str:
        return f"<BatchQueue {len(self._waiting)} requests, {self.rows} rows>"

    def join(self, pending: Pending, seconds_per_row: float = 0.0) -> None:
        """Add a request.

        Raises ResourceExhausted where it does not fit, with the time that the rows before it will take,
        and InvalidArgument where it could never fit.
        """
        count, limit = pending.instances.count, self.limits.max_queued_rows
        if self.rows + count > limit:
            if count > limit:
                raise InvalidArgument(
                    f"instances: expected at most {limit} rows in one request; got {count} "
                    "(batching.max_queued_rows)"
                )
            raise ResourceExhausted(
                f"{self.rows} rows are waiting already; {count} more would exceed {limit} "
                "(batching.max_queued_rows)",
                retry_after=self.rows * seconds_per_row,
            )
        self.rows += count
        self._waiting.append(pending)

    def take(self, now: float) -> list[Pending] | Wait:
        """Remove and return the requests to predict now, passing over those nobody waits for."""
        while True:
            while self._waiting and self._is_over(self._waiting[0], now):
                self._pop()
            decision = plan(self._waiting, now, self.limits)
            if isinstance(decision, Wait):
                return decision
            batch = [self._pop() for _ in range(decision.requests)]
            if batch := [pending for pending in batch if not self._is_over(pending, now)]:
                return batch

    def expire(self, now: float) -> None:
        """Answer every request whose time is over, and forget those that nobody waits for."""
        kept = [pending for pending in self._waiting if not self._is_over(pending, now)]
        self._waiting = deque(kept)
        self.rows = sum(pending.instances.count for pending in kept)

    def earliest_deadline(self) -> float:
        """Return when the next request becomes late; infinity where none waits."""
        return min((pending.deadline for pending in self._waiting), default=float("inf"))

    def clear(self) -> list[Pending]:
        """Remove and return everything."""
        waiting, self._waiting, self.rows = list(self._waiting), deque(), 0
        return waiting

    def _pop(self) -> Pending:
        pending = self._waiting.popleft()
        self.rows -= pending.instances.count
        return pending

    def _is_over(self, pending: Pending, now: float) -> bool:
        if pending.deadline <= now:
            pending.answer(late(pending, now))
        return pending.answered


def late(pending: Pending, now: float) -> DeadlineExceeded:
    """Say that a request got no answer in time, and where it spent it."""
    where = "in the model" if pending.taken is not None else "waiting for a replica"
    allowed = pending.deadline - pending.arrived
    return DeadlineExceeded(
        f"no answer within {allowed:.3g} s; after {now - pending.arrived:.3g} s it was {where}"
    )
