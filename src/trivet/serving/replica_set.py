"""The replicas of one deployed model and the queue they take from.

Everything here runs in one event loop. A request costs no task and no timer of its own: one pump hands
batches to free replicas, and one timer answers whoever runs out of time.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trivet.core.errors import Unavailable
from trivet.serving.batching import Answer, BatchLimits, BatchQueue, Pending, Wait, late
from trivet.serving.replica import Replica
from trivet.telemetry import Histogram

log = logging.getLogger("trivet")
NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class BatchMetrics:
    """What is measured of every batch."""

    queue_seconds: Histogram
    predict_seconds: Histogram
    rows: Histogram


class ReplicaSet:
    """Takes requests, batches them while its replicas are busy, and answers each exactly once."""

    def __init__(
        self,
        replicas: Sequence[Replica],
        limits: BatchLimits,
        metrics: BatchMetrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.queue = BatchQueue(limits)
        self.clock = clock
        self.now = clock()  # when the last batch was answered
        self._loop = asyncio.get_running_loop()
        self._replicas = replicas
        self._free = [replica for replica in replicas for _ in range(replica.slots)]
        self._metrics = metrics
        self._running: dict[int, Sequence[Pending]] = {}  # by identity of the batch
        self._pumping = False
        self._closed = False
        self._seconds_per_row = 0.0
        self._look_again: asyncio.TimerHandle | None = None
        self._sweep: asyncio.TimerHandle | None = None
        self._sweep_at = NEVER

    def __repr__(self) -> str:
        return f"<ReplicaSet {self.queue!r}, {self.running} running, {len(self._free)} free>"

    @property
    def running(self) -> int:
        """How many requests replicas are predicting now."""
        return sum(len(batch) for batch in self._running.values())

    def submit(self, pending: Pending) -> None:
        """Queue a request; raises ResourceExhausted, InvalidArgument or Unavailable."""
        if self._closed:
            raise Unavailable("this model is being removed")
        self.queue.join(pending, self._seconds_per_row)
        if pending.deadline < self._sweep_at:
            self._sweep_by(pending.deadline)
        if self._free:
            self._pump_soon()

    def close(self) -> None:
        """Refuse what waits and what comes; batches that run are still answered."""
        self._closed = True
        for pending in self.queue.clear():
            pending.answer(Unavailable("this model is being removed"))
        for replica in self._replicas:
            replica.close()
        for timer in (self._look_again, self._sweep):
            if timer is not None:
                timer.cancel()

    def give_up(self) -> None:
        """Tell everybody whose batch still runs that there will be no answer."""
        for batch in list(self._running.values()):
            for pending in batch:
                pending.answer(Unavailable("the server stopped before the answer; try again"))

    def _pump_soon(self) -> None:
        if not self._pumping:
            self._pumping = True
            self._loop.call_soon(self._pump)  # after the sockets readable in this turn were read

    def _pump(self) -> None:
        self._pumping = False
        if self._look_again is not None:
            self._look_again.cancel()
            self._look_again = None
        if not self._free:
            return
        now = self.clock()
        batch = self.queue.take(now)
        if isinstance(batch, Wait):
            if batch.seconds is not None:
                self._look_again = self._loop.call_later(batch.seconds, self._pump_soon)
            return
        self._start(batch, self._free.pop(), now)
        if self._free and len(self.queue):
            self._pump_soon()

    def _start(self, batch: list[Pending], replica: Replica, now: float) -> None:
        for pending in batch:
            pending.taken = now
        self._metrics.queue_seconds.observe(now - batch[0].arrived)
        self._running[id(batch)] = batch

        def done(answers: Sequence[Answer]) -> None:
            self._free.append(replica)
            del self._running[id(batch)]
            self.now = self.clock()
            self._measure(batch, self.now - now)
            for pending, answer in zip(batch, answers, strict=True):
                try:
                    if not pending.answered:
                        pending.answered = True
                        pending.done(pending, answer)
                except Exception:  # one reply that cannot be given must not stop the others
                    log.exception("a reply failed")
            if len(self.queue):
                self._pump_soon()

        parts = [pending.instances for pending in batch]
        replica.run(parts, batch[0].parameters, max(pending.deadline for pending in batch), done)

    def _measure(self, batch: Sequence[Pending], seconds: float) -> None:
        rows = sum(pending.instances.count for pending in batch)
        self._metrics.predict_seconds.observe(seconds)
        self._metrics.rows.observe(rows)
        self._seconds_per_row += 0.1 * (seconds / max(rows, 1) - self._seconds_per_row)

    def _sweep_by(self, deadline: float) -> None:
        if self._sweep is not None:
            self._sweep.cancel()
        self._sweep_at = deadline
        self._sweep = self._loop.call_later(max(0.0, deadline - self.clock()), self._answer_late)

    def _answer_late(self) -> None:
        """Answer every request whose time is over, waiting or running, and plan the next look."""
        now = self.clock()
        self._sweep, self._sweep_at = None, NEVER
        self.queue.expire(now)
        running = [p for batch in self._running.values() for p in batch if not p.answered]
        for pending in running:
            if pending.deadline <= now:
                pending.answer(late(pending, now))
        upcoming = [pending.deadline for pending in running if pending.deadline > now]
        following = min([self.queue.earliest_deadline(), *upcoming])
        if following < NEVER:
            self._sweep_by(following)
