"""Dynamic batching, as decisions: which of the requests that wait should be predicted together.

Nothing here waits or runs; `replica_set` does. There is no timer at low load: a free replica takes what
is there when nothing more is to be read, or at once while requests come one by one. Batches grow only because
replicas are busy or because several requests were there to be read.
"""

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, runtime_checkable

from msgspec import Meta

from trivet.core.errors import Cancelled, DeadlineExceeded, InvalidArgument, ResourceExhausted, ServingError
from trivet.core.instances import Instances, Predictions
from trivet.core.signature import Parameters
from trivet.serving.pace import LastBatch, Pace


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How requests of one deployed model are batched and how long they may wait."""

    max_rows: Annotated[int, Meta(ge=1)] = 256
    """Rows predicted together at most; a larger request is predicted alone."""

    max_wait: Annotated[float, Meta(ge=0)] = 0.0
    """Seconds for which a free replica lets the oldest request wait for company. Leave it at 0 unless
    the model is slow and the load constant."""

    max_queued_rows: Annotated[int, Meta(ge=1)] = 4096
    """Rows that may wait; further requests are refused with RESOURCE_EXHAUSTED (429)."""

    timeout: Annotated[float, Meta(gt=0)] = 60.0
    """Seconds after which a request is answered DEADLINE_EXCEEDED (504), unless it asks for less."""


Answer = Predictions | ServingError

Unwanted = Callable[[Sequence[int]], None]
"""Tells a replica that nobody waits any more for the answers to some parts of a batch. It answers the batch
all the same: those parts at once, or when it would have, if it has begun."""


@runtime_checkable
class Elsewhere(Protocol):
    """What tells a replica so, where that knows more of what it has been given."""

    @property
    def where(self) -> str:
        """Say where a batch is."""
        ...


class Place(Protocol):
    """Where a request is before it is answered: in a queue, or in a batch that a replica has."""

    @property
    def where(self) -> str:
        """Say so."""
        ...

    def left(self, pending: "Pending") -> None:
        """Know that its caller has left."""
        ...


@dataclass(slots=True, eq=False)
class Pending:
    """One request on its way: answered once, by whoever comes first.

    Only requests of equal `group` may share a batch. `arrived`, `deadline` and `taken` are seconds of
    the replica set's clock; `done` is called in the event loop, and finds in `caller` whom to tell.
    `taken` is when it began to be predicted; None where it waits, or may still wait in another process.
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
    place: Place | None = None

    def answer(self, answer: Answer) -> None:
        """Tell the caller, unless it has been told already or has left."""
        if not self.answered:
            self.answered = True
            self.done(self, answer)

    def abandon(self) -> None:
        """The caller has left: unless the request is being predicted already, it will not be.

        It is answered at once, or where it is in another process, when that has said what became of it.
        """
        if self.answered:
            return
        if self.place is None:
            self.answer(gone())
        else:
            self.place.left(self)


@dataclass(frozen=True, slots=True)
class Take:
    """Predict the oldest `requests` now."""

    requests: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Look again after this time, or when a request arrives (None)."""

    seconds: float | None


def plan(
    waiting: Iterable[Pending],
    now: float,
    limits: BatchLimits,
    pace: Pace | None = None,
    begins: float = 0.0,
) -> Take | Wait:
    """Say what a free replica should do about the requests waiting, oldest first.

    With a pace, no request joins a batch that would be in time for all without it, and late with it, unless
    the small batch would take nearly as long as the large one: batches cut small under load make the load
    worse. The replica is foreseen to begin with the batch at `begins`.
    """
    oldest: Pending | None = None
    rows = taken = 0
    earliest = float("inf")
    for pending in waiting:
        if pending.answered:
            taken += 1
            continue
        together = rows + pending.instances.count
        if oldest is None:
            oldest = pending
        elif together > limits.max_rows or pending.group != oldest.group:
            return Take(taken)  # no company can join any more: go
        if pace is not None:
            ends = begins + pace.batch(together) * (1 + 2 * pace.spread)
            if rows and ends > earliest and pace.fixed <= pace.per_row * rows:
                return Take(taken)
            if ends <= pending.deadline < earliest:  # who will be late in any case delays nobody
                earliest = pending.deadline
        rows = together
        taken += 1
    if oldest is None:
        return Wait(None)
    age = now - oldest.arrived
    if rows >= limits.max_rows or age >= limits.max_wait:
        return Take(taken)
    return Wait(limits.max_wait - age)


class BatchQueue:
    """Requests waiting for a replica, oldest first, bounded in rows."""

    where = "waiting for a replica"

    def __init__(self, limits: BatchLimits) -> None:
        self.limits = limits
        self.rows = 0
        self.last = LastBatch()
        self._waiting: deque[Pending] = deque()
        self._left = 0  # how many of them nobody waits for
        self._is_one = False  # unless that was closed, they are all in the last batch, and none has left

    def __len__(self) -> int:
        return len(self._waiting) - self._left

    def __repr__(self) -> str:
        return f"<BatchQueue {len(self)} requests, {self.rows} rows>"

    def join(self, pending: Pending, drain: Callable[[int], float] | None = None) -> None:
        """Add a request.

        Raises ResourceExhausted where it does not fit, with the time after which it will (`drain` gives
        the seconds for a number of rows), and InvalidArgument where it could never fit.
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
                retry_after=drain(self.rows + count - limit) if drain is not None else None,
            )
        self.rows += count
        last = self.last
        if not last.rows or last.rows + count > self.limits.max_rows or pending.group != last.group:
            last.rows, last.deadline, last.group = count, pending.deadline, pending.group
            self._is_one = not self._waiting
        else:
            last.rows += count
            if pending.deadline < last.deadline:  # noqa: PLR1730 - several times as fast as `min`
                last.deadline = pending.deadline
        self._waiting.append(pending)
        pending.place = self

    def join_together(self, requests: Sequence[Pending]) -> bool:
        """Add requests of one group that came together; False where they exceed a batch, or do not fit."""
        rows, limits, last = sum([one.instances.count for one in requests]), self.limits, self.last
        if rows > limits.max_rows or self.rows + rows > limits.max_queued_rows:
            return False
        self.rows += rows
        deadline, group = min([one.deadline for one in requests]), requests[0].group
        if not last.rows or last.rows + rows > limits.max_rows or group != last.group:
            last.rows, last.deadline, last.group = rows, deadline, group
            self._is_one = not self._waiting
        else:
            last.rows, last.deadline = last.rows + rows, min(last.deadline, deadline)
        self._waiting.extend(requests)
        for pending in requests:
            pending.place = self
        return True

    def left(self, pending: Pending) -> None:
        """Count a request no more whose caller has left, and drop such before they are many."""
        self.rows -= pending.instances.count
        self._left += 1
        self._is_one = False
        pending.answer(gone())
        if self._left > 16 and self._left > len(self._waiting) // 2:
            self._waiting = deque(one for one in self._waiting if not one.answered)
            self._left = 0

    def take(self, now: float, pace: Pace | None = None, begins: float = 0.0) -> list[Pending] | Wait:
        """Remove and return the requests to predict now, passing over those nobody waits for.

        With a pace, requests are seldom made late by those that share their batch; see `plan`. Nor by the
        first ones, who would be late even if predicted alone and at once: these are not predicted.
        """
        last = self.last
        is_one, self._is_one = self._is_one, False
        if is_one and last.rows and last.deadline > now and pace is None and not self.limits.max_wait:
            batch, self.rows = list(self._waiting), 0
            self._waiting.clear()
            last.close()
            return batch
        while True:
            self._pass_over(now, pace, begins)
            decision = plan(self._waiting, now, self.limits, pace, begins)
            if isinstance(decision, Wait):
                return decision
            popleft = self._waiting.popleft
            taken = [popleft() for _ in range(decision.requests)]
            batch = [pending for pending in taken if not pending.answered]
            self._left -= len(taken) - len(batch)
            self.rows -= sum([pending.instances.count for pending in batch])
            if not self._waiting:
                self.last.close()
            elif self.last.rows > self.rows:
                self.last.rows = self.rows
            over = [pending for pending in batch if pending.deadline <= now]
            for pending in over:
                pending.answer(late(pending, now))
            if over:
                batch = [pending for pending in batch if not pending.answered]
            if batch:
                return batch

    def expire(self, now: float) -> float:
        """Answer every request whose time is over, and return the next deadline; infinity for none."""
        over = [pending for pending in self._waiting if pending.deadline <= now]
        if over or self._left:
            self._is_one = False
            self._waiting = deque(one for one in self._waiting if one.deadline > now and not one.answered)
            self.rows, self._left = sum(one.instances.count for one in self._waiting), 0
            if not self._waiting:
                self.last.close()
            for pending in over:  # last, since whoever gets an answer may send the next request at once
                pending.answer(late(pending, now))
        return min((pending.deadline for pending in self._waiting), default=float("inf"))

    def clear(self) -> list[Pending]:
        """Remove and return everything."""
        waiting, self._waiting, self.rows, self._left = list(self._waiting), deque(), 0, 0
        self._is_one = False
        self.last.close()
        return waiting

    def _pass_over(self, now: float, pace: Pace | None, begins: float) -> None:
        """Answer the first ones if they are late or, with a pace, would be, unless everybody would be.

        Where all had to wait longer than foreseen, each would otherwise be predicted too late to be of use,
        and so keep the next one waiting. What all seem to be late for is tried: it may be quicker by now.
        """
        while self._waiting and (self._waiting[0].answered or self._waiting[0].deadline <= now):
            pending = self._pop()
            if not pending.answered:
                pending.answer(late(pending, now))
        if pace is None:
            return
        together = min(self.rows, self.limits.max_rows)
        if pace.fixed <= pace.per_row * together:
            together = 0  # a batch would be cut for their sake
        hopeless = []
        for pending in self._waiting:
            ends = begins + pace.batch(max(together, pending.instances.count))
            if not pending.answered and ends <= pending.deadline:
                break
            hopeless.append(ends)
        else:
            return
        for ends in hopeless:
            pending = self._pop()
            pending.answer(late(pending, now, ends - now))

    def _pop(self) -> Pending:
        pending = self._waiting.popleft()
        if pending.answered:
            self._left -= 1
        else:
            self.rows -= pending.instances.count
        return pending


def late(pending: Pending, now: float, more: float = 0.0) -> DeadlineExceeded:
    """Say that a request got no answer in time, where it spent it, and how many seconds it would need yet."""
    where = BatchQueue.where if pending.place is None else pending.place.where
    allowed = pending.deadline - pending.arrived
    need = f", and would need about {more:.2g} s more" if more else ""
    return DeadlineExceeded(
        f"no answer within {allowed:.3g} s; after {now - pending.arrived:.3g} s it was {where}{need}"
    )


def gone() -> Cancelled:
    """Say that nobody waits for the answer."""
    return Cancelled("the caller left before the answer")
