"""A deployed model under a given load, in virtual time: what came of each request, and what was run."""

import asyncio
import itertools
from collections import deque
from dataclasses import dataclass, field

import looptime
import numpy as np

from tests.unit.serving.models import rows
from trivet.core.errors import DeadlineExceeded, ResourceExhausted
from trivet.core.instances import Predictions
from trivet.serving.batching import BatchLimits, Pending
from trivet.serving.placement import WarmUp
from trivet.serving.replica_set import ReplicaSet
from trivet.serving.running import BatchMetrics
from trivet.telemetry import ROWS, SECONDS, Histogram


@dataclass(frozen=True)
class Cost:
    """What a batch costs in seconds; `noise` varies that by as much, up and down in turns."""

    fixed: float = 0.0
    per_row: float = 0.0
    noise: float = 0.0

    def of(self, count):
        return self.fixed + self.per_row * count

    def warm_up(self, max_rows):
        return WarmUp(self.of(1), self.of(max_rows), max_rows)


class Machine:
    """A replica with a cost: it predicts `lanes` batches at once, and `waiting` more wait there."""

    blocks = False

    def __init__(self, cost, lanes=1, waiting=0):
        self.cost, self.lanes, self.slots = cost, lanes, lanes + waiting
        self.queue, self.busy, self.ran = deque(), 0, []
        self._swing = itertools.cycle((1, -1, 0.5, -0.5, 0))

    def run(self, parts, parameters, deadlines, done):
        self.queue.append((parts, deadlines, done))
        self.start()
        return (lambda indices: None) if self.slots > self.lanes else None

    def start(self):
        if self.busy < self.lanes and self.queue:
            self.busy += 1
            parts, deadlines, done = self.queue.popleft()
            loop = asyncio.get_running_loop()
            alive = [deadline > loop.time() for deadline in deadlines]
            count = sum(part.count for part, live in zip(parts, alive, strict=True) if live)
            self.ran.append(count)
            seconds = self.cost.of(count) * (1 + self.cost.noise * next(self._swing)) if count else 0.0
            loop.call_later(seconds, self.finish, parts, alive, done)

    def finish(self, parts, alive, done):
        self.busy -= 1
        self.start()
        late = DeadlineExceeded("in the replica")
        done(
            [
                Predictions.of({"y": np.zeros(part.count)}) if live else late
                for part, live in zip(parts, alive, strict=True)
            ]
        )

    def close(self):
        pass


@dataclass
class Outcome:
    """What came of the requests: how long the good ones took, and how many there were of the others."""

    seconds: list = field(default_factory=list)
    refused: list = field(default_factory=list)
    late: int = 0

    @property
    def accepted(self):
        return len(self.seconds) + self.late


def offer(machine, arrivals, *, deadline, max_rows=64, count=1, warm_up=None, max_queued_rows=4096):
    """Send requests of `count` rows at these times, and return what came of them."""
    outcome = Outcome()

    async def main():
        loop = asyncio.get_running_loop()
        metrics = BatchMetrics(Histogram(SECONDS), Histogram(SECONDS), Histogram(ROWS))
        limits = BatchLimits(max_rows=max_rows, max_queued_rows=max_queued_rows)
        replicas = ReplicaSet([machine], limits, metrics, loop.time, warm_up=warm_up)

        def done(pending, answer):
            if isinstance(answer, Predictions):
                outcome.seconds.append(loop.time() - pending.arrived)
            else:
                outcome.late += 1

        def send():
            now = loop.time()
            try:
                replicas.submit(Pending(rows(count), {}, None, now, now + deadline, done))
            except ResourceExhausted as refusal:
                outcome.refused.append(refusal.retry_after)

        last = 0.0
        for at in arrivals:
            loop.call_at(at, send)
            last = max(last, at)
        await asyncio.sleep(last + 2 * deadline + 1)
        replicas.close()

    with asyncio.Runner(loop_factory=lambda: looptime.new_event_loop(start=0)) as runner:
        runner.run(main())
    return outcome


def steady(rate, seconds):
    """Return arrival times at a fixed rate."""
    return [index / rate for index in range(int(rate * seconds))]
