"""The replicas of one deployed model and the queue they take from.

Everything here runs in one event loop. A request costs no task and no timer of its own: one pump hands
batches to free replicas, and one timer answers whoever runs out of time.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from trivet.core.errors import ResourceExhausted, ServingError, Unavailable
from trivet.core.instances import Predictions
from trivet.serving.batching import Answer, BatchLimits, BatchQueue, Pending, Wait, late
from trivet.serving.pace import Pace, outlook
from trivet.serving.placement import WarmUp
from trivet.serving.replica import Replica, Some
from trivet.serving.running import BatchMetrics, Running

log = logging.getLogger("trivet")
NEVER = float("inf")
_FEW, _FEW_ELSEWHERE = 16, 64
"""Rows of a batch that costs more for being one than for them: who else has come is worth a look. To hand it
to another process or thread costs several times as much."""


class ReplicaSet:
    """Takes requests, batches them while its replicas are busy, and answers each exactly once.

    With `refuses_late`, it refuses at once whom it could not answer in time. `warm_up` is what is known of
    the model's speed before the first batch.
    """

    def __init__(
        self,
        replicas: Sequence[Replica],
        limits: BatchLimits,
        metrics: BatchMetrics,
        clock: Callable[[], float] = time.monotonic,
        *,
        warm_up: WarmUp | None = None,
        refuses_late: bool = True,
    ) -> None:
        self.queue = BatchQueue(limits)
        self._most = limits.max_queued_rows
        self.clock = clock
        self.now = clock()  # when the last batch was answered
        self.pace = Pace(sum(replica.lanes for replica in replicas), limits.max_rows, warm_up)
        self._loop = asyncio.get_running_loop()
        self._replicas = replicas
        self._free = [replica for replica in replicas for _ in range(replica.slots)]
        self._metrics = metrics
        self._running: set[Running] = set()
        self._busy = 0.0  # what the batches that run were expected to take
        self._behind: deque[Running] = deque()  # those that wait where they were sent
        self._pumping = False
        self._company = True  # the last batch was of several requests
        self._seen = 0  # rows that waited when the sockets were looked at once more
        few = _FEW if any(replica.blocks for replica in replicas) else _FEW_ELSEWHERE
        self._few = min(few, limits.max_rows)
        self._lone = False  # a request with nobody before it gains nothing by waiting for company
        self._closed = False
        self._refuses = refuses_late
        self._unread = 0.0  # how long batches have kept the event loop from reading a request that comes now
        self._begun = 0.0  # how long the one took that was begun in this turn of the loop, before its end
        self._bounded = False  # what follows holds:
        self._patience = 0.0  # at most what runs and one batch will take,
        self._per_queued = 0.0  # and each row that waits
        if limits.max_rows == 1:  # nobody shares a batch, and what is free begins at once
            self._lone = all(not one.blocks and one.slots == one.lanes for one in replicas)
        self._look_again: asyncio.TimerHandle | None = None
        self._sweep: asyncio.TimerHandle | None = None
        self._sweep_at = NEVER

    def __repr__(self) -> str:
        return f"<ReplicaSet {self.queue!r}, {self.running} running, {len(self._free)} free>"

    @property
    def running(self) -> int:
        """How many requests replicas have now."""
        return sum(len(batch.requests) for batch in self._running)

    @property
    def is_behind(self) -> bool:
        """Whether requests wait or are predicted: while answers are told, others than those."""
        return self.queue.rows > 0 or bool(self._running)

    def submit(self, pending: Pending) -> None:
        """Queue a request; raises ResourceExhausted, InvalidArgument or Unavailable."""
        if self._closed:
            raise Unavailable("this model is being removed")
        queue, deadline = self.queue, pending.deadline
        idle = self._lone and self._free and not (queue.rows or self._pumping)
        if idle and pending.instances.count <= self._most:
            self._begin(pending)
            return
        if self._refuses:
            if not self._bounded:
                self._bound()
            soonest = deadline if deadline < self._sweep_at else self._sweep_at
            if pending.arrived + self._patience + queue.rows * self._per_queued > soonest:
                self._look_closer(pending)
                deadline = pending.deadline
        queue.join(pending, self._drain)
        if deadline < self._sweep_at:
            self._sweep_by(deadline)
        if self._free and not self._pumping:
            self._pump_soon()

    def submit_together(self, requests: Sequence[Pending]) -> None:
        """Queue requests of one group, as `submit` does each; those that it would refuse are answered so."""
        if self._closed or self._refuses or self._lone or not self.queue.join_together(requests):
            for pending in requests:
                try:
                    self.submit(pending)
                except ServingError as error:
                    pending.answer(error)
            return
        if (deadline := self.queue.last.deadline) < self._sweep_at:
            self._sweep_by(deadline)
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
        for batch in list(self._running):
            for pending in batch.requests:
                pending.answer(Unavailable("the server stopped before the answer; try again"))

    def _look_closer(self, pending: Pending) -> None:
        """Refuse a request that would be answered too late, for all that is known."""
        queue, now, rows = self.queue, pending.arrived, pending.instances.count
        if not queue.rows and len(self._running) < self.pace.lanes:
            return  # it begins at once, and shows how long it takes
        pending.arrived -= self._unread  # it may have come when that batch began
        pending.deadline -= self._unread
        foreseen = outlook(self.pace, queue.rows, queue.last, rows, self._begins(now), pending.deadline)
        if foreseen.at > pending.deadline:
            seconds, allowed = foreseen.at - pending.arrived, pending.deadline - pending.arrived
            raise ResourceExhausted(
                f"{queue.rows} rows are waiting already: the answer would take about {seconds:.2g} s, "
                f"and was asked for within {allowed:.3g} s",
                retry_after=foreseen.at - pending.deadline,
            )
        if foreseen.behind:
            queue.last.close()

    def _begins(self, now: float) -> float:
        """Foresee when what waits will be begun: all that runs goes first, where nothing is idle."""
        lanes = self.pace.lanes
        if len(self._running) < lanes:
            return now
        return now + sum(batch.remains(now) for batch in self._running) / lanes

    def _drain(self, rows: int) -> float:
        now = self.clock()
        return self._begins(now) - now + self.pace.drain(rows)

    def _begin(self, pending: Pending) -> None:
        """Have a request predicted without asking for others."""
        replica = self._free[-1]
        if not replica.blocks:
            if pending.deadline < self._sweep_at:
                self._sweep_by(pending.deadline)
            self._start([pending], self._free.pop(), pending.arrived)
            return
        now = self.clock()
        if pending.deadline <= now:
            pending.answer(late(pending, now))
            return
        self._pumping = True  # those who come in the same turn form a batch behind it
        try:
            self._predict_here([pending], replica, now, self._unread)
            self._begun = self.now - now
        finally:
            self._loop.call_soon(self._pump)

    def _pump_soon(self) -> None:
        if not self._pumping:
            self._pumping = True
            self._loop.call_soon(self._pump)  # after the sockets readable in this turn were read

    def _pump(self) -> None:
        self._pumping = False
        if self._look_again is not None:
            self._look_again.cancel()
            self._look_again = None
        begun, self._begun = self._begun, 0.0
        if begun and not self.queue:
            self._unread = begun
            self._bound()
            return
        if not self._free:
            return
        queue = self.queue
        rows = queue.rows
        if self._seen < rows < self._few and (self._company or len(queue) > 1):  # others may have come since
            self._seen = rows
            self._pump_soon()
            return
        self._seen = 0
        now = self.clock()
        if not self._bounded:
            self._bound()
        # only where a full batch might be late for somebody is it worth a look at each deadline
        tight = now + self._patience > self._sweep_at
        batch = queue.take(now, self.pace, self._begins(now)) if tight else queue.take(now)
        if isinstance(batch, Wait):
            if batch.seconds is not None:
                self._look_again = self._loop.call_later(batch.seconds, self._pump_soon)
            return
        self._company = len(batch) > 1
        if self._free[-1].blocks:
            # where a turn of the loop brings a single request, that of the next need not wait for its end
            self._lone = len(batch) == 1 and not (self._lone or queue.rows or queue.limits.max_wait)
            self._predict_here(batch, self._free[-1], now, begun)
            self._bound()
            return
        self._start(batch, self._free.pop(), now)
        if self._free and queue.rows:
            self._pump_soon()

    def _predict_here(self, batch: list[Pending], replica: Replica, now: float, unread: float) -> None:
        """Have a batch predicted in this event loop, where nothing else happens meanwhile.

        Requests have been `unread` for so long already.
        """
        parts = [pending.instances for pending in batch]
        rows = sum([part.count for part in parts])
        if self.queue.rows:
            self.pace.filled(rows)
        answers: list[Answer] = []
        replica.run(parts, batch[0].parameters, (), answers.extend)
        self.now = self.clock()
        seconds = self.now - now
        self._unread = unread + seconds
        self._answer(batch, answers)
        # the callers have their answers: what is left to do delays only who comes next
        metrics = self._metrics
        metrics.queue_seconds.observe(now - batch[0].arrived)
        metrics.predict_seconds.observe(seconds)
        metrics.rows.observe(rows)
        if type(answers[0]) is Predictions:
            self.pace.learn(rows, seconds)
        self._bounded = False

    def _start(self, batch: list[Pending], replica: Replica, now: float) -> None:
        self._metrics.queue_seconds.observe(now - batch[0].arrived)
        parts = [pending.instances for pending in batch]
        rows = sum([part.count for part in parts])
        running = Running(batch, now, rows, self.pace.batch(rows))
        for pending in batch:
            pending.place = running
        if self.queue.rows:
            self.pace.filled(rows)
        if len(self._running) >= self.pace.lanes:
            running.began = None
            self._behind.append(running)
        self._running.add(running)
        self._busy += running.cost
        done = partial(self._done, running, replica)
        deadlines = [pending.deadline for pending in batch]
        running.unwanted = replica.run(parts, batch[0].parameters, deadlines, done)
        self._bounded = False
        if running.requests and running.unwanted is None:  # it was not answered at once
            for pending in batch:
                pending.taken = now

    def _done(self, running: Running, replica: Replica, answers: Sequence[Answer]) -> None:
        if type(answers) is Some:
            self._answer([running.requests[place] for place in answers.places], answers)
            return
        requests, running.requests = running.requests, ()
        self._free.append(replica)
        self._running.discard(running)
        self.now = self.clock()
        self._measure(running, answers)
        running.unwanted = None  # which leads back to here: in a cycle, batches would stay for a while
        self._answer(requests, answers)

    def _answer(self, requests: Sequence[Pending], answers: Sequence[Answer]) -> None:
        for pending, answer in zip(requests, answers, strict=True):
            try:
                if not pending.answered:
                    pending.answered = True
                    pending.done(pending, answer)
            except Exception:  # one reply that cannot be given must not stop the others
                log.exception("a reply failed")
        if self.queue.rows:
            self._pump_soon()

    def _measure(self, batch: Running, answers: Sequence[Answer]) -> None:
        now, pace = self.now, self.pace
        self._metrics.predict_seconds.observe(now - batch.since)
        self._metrics.rows.observe(batch.rows)
        self._busy = self._busy - batch.cost if self._running else 0.0
        if batch.began is None:
            self._behind.remove(batch)  # it was not run, or by a replica that was quicker than others
        elif self._behind:
            self._behind.popleft().began = now
        if batch.began is not None and type(answers[0]) is Predictions:
            rows = batch.rows
            if batch.unwanted is not None:  # some may not have been run
                rows = sum(answer.count for answer in answers if type(answer) is Predictions)
            pace.learn(rows, now - batch.began)
        self._bounded = False

    def _bound(self) -> None:
        """Bound the wait, so that most requests need no closer look."""
        pace = self.pace
        self._bounded = True
        longer = 1 + pace.spread
        begins = (self._busy + pace.fixed * longer) / pace.lanes
        last = pace.batch(pace.max_rows) * (longer + pace.spread)
        self._patience = self._unread + begins + last
        self._per_queued = (pace.fixed / pace.fill + pace.per_row) * longer / pace.lanes

    def _sweep_by(self, deadline: float) -> None:
        if self._sweep is not None:
            self._sweep.cancel()
        self._sweep_at = deadline
        self._sweep = self._loop.call_later(max(0.0, deadline - self.clock()), self._answer_late)

    def _answer_late(self) -> None:
        """Answer every request whose time is over, waiting or running, and plan the next look."""
        now = self.clock()
        self._sweep, self._sweep_at = None, NEVER
        following = self.queue.expire(now)
        for batch in list(self._running):
            following = min(following, batch.expire(now))
        if following < self._sweep_at:
            self._sweep_by(following)
