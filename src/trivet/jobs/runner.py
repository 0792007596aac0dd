"""Runs one job from wherever it is to its end, and keeps every step in the catalog before the next.

A crash at any point loses nothing: whoever runs the job again finds its plan, and the shards that are done.
A shard counts once its result is in the catalog; what has been written for another is overwritten. So the
output is the same however often, and wherever, it was begun again.

Plain synchronous code: whoever runs it calls `beat` about twice a second from another thread, whatever `run`
does meanwhile. That tells others that the job is in good hands, and hears whether it is to be cancelled.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from time import monotonic

from trivet.core.batch import BatchPredictionJob, Counts, Shard, ShardResult, State
from trivet.core.errors import Aborted, Code, FailedPrecondition, Internal, Unavailable, model_error
from trivet.core.resources import Document, Failure
from trivet.jobs.engine import Engine, Event, Reading
from trivet.jobs.ledger import Ledger
from trivet.jobs.work import Prepared, Work
from trivet.serving.replica import FAULTS
from trivet.sinks.base import Sink

log = logging.getLogger("trivet")

FAILURES_KEPT = 20
"""How many failed rows a job tells of; all of them are in its output."""

SHARE_FROM = 1000
"""Rows that must have been read before a share of them is worth anything; at the end any number is."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How many rows may fail before a job is given up, and which share of those read; None: any."""

    errors: int | None = None
    share: float | None = None

    def check(self, counts: Counts, *, whole: bool = False) -> None:
        """Raise FailedPrecondition where too many have failed; `whole` where all have been read."""
        if self.errors is not None and counts.failed > self.errors:
            raise FailedPrecondition(
                f"{counts.failed} of {counts.read} rows failed, and the job allows {self.errors}"
            )
        if self.share is None or not (whole or counts.read >= SHARE_FROM):
            return
        if counts.failed > self.share * counts.read:
            raise FailedPrecondition(
                f"{counts.failed} of {counts.read} rows failed, and the job allows {self.share:g} of them"
            )


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is: `done` of `size` has been read, in the sizes of its shards."""

    counts: Counts
    done: int
    size: int
    prepared: Prepared


class _Cancelled(Exception):
    """Somebody wants the job to end."""


class _Lost(Exception):
    """The catalog does not know this runner as the job's any more, or is lost itself."""


class Runner:
    """Runs one job, once. `told` hears how far it is whenever something has happened.

    `work.outputs.columns` and `schema` are filled in once they are known.
    """

    def __init__(
        self,
        ledger: Ledger,
        work: Work,
        engine: Engine,
        sink: Sink,
        tolerance: Tolerance = Tolerance(),  # noqa: B008 - it is a value
        told: Callable[[Progress], None] = lambda progress: None,
    ) -> None:  # noqa: PLR0917
        self._ledger = ledger
        self._work = work
        self._engine = engine
        self._sink = sink
        self._tolerance = tolerance
        self._told = told
        self._prepared = Prepared()
        self._shards: Sequence[Shard] = ()
        self._results: dict[int, ShardResult] = {}
        self._readings: dict[int, Reading] = {}
        self._stop: _Cancelled | _Lost | None = None
        self._claimed = self._ending = False
        self._seconds, self._since = 0.0, monotonic()

    def __repr__(self) -> str:
        done, size = self._progress()
        return f"<Runner {self._work.job}, {len(self._results)} of {len(self._shards)} shards, {done}/{size}>"

    def run(self) -> BatchPredictionJob:
        """Run it; returns the job as it ended, whatever that was.

        Raises Aborted where another runs it, now or meanwhile, and Unavailable where the catalog is lost:
        then the job is as it would be after a crash.
        """
        job = self._ledger.claim()
        self._seconds, self._since = job.process_seconds, monotonic()
        self._claimed = True
        try:
            if job.state == "CANCELLING":
                raise _Cancelled
            self._plan()
            self._do()
            return self._finish()
        except (*FAULTS, _Cancelled, _Lost) as error:
            return self._give_up(self._stop or error)
        finally:
            self._ending = True
            self._engine.close()

    def cancel(self) -> None:
        """Have it end as cancelled, soon; does nothing once its output is about to be shown."""
        if not self._ending:
            self._stop = _Cancelled()
            self._engine.close()

    def beat(self) -> None:
        """Tell the catalog that the job is being run and how far it is, and hear what has become of it."""
        if not self._claimed or self._ending:
            return
        try:
            state = self._ledger.beat(self._counts(), self._progress(), self._spent())
        except Unavailable:
            log.warning("%s: the catalog does not answer; tried again in a moment", self._work.job)
        except Aborted as error:
            self._stop = _Lost(error)
            self._engine.close()
        else:
            if state == "CANCELLING":
                self.cancel()

    # The steps.

    def _plan(self) -> None:
        """Have the job planned, unless it was: the plan is what the catalog says it is."""
        kept = self._ask(self._ledger.shards)
        if not kept:
            self._sink.check(self._work.outputs)
            prepared, shards = self._engine.prepare(self._work)
            self._look()
            self._ask(lambda: self._ledger.plan(shards, prepared))
            kept = self._ask(self._ledger.shards)
        self._prepared = self._ask(self._ledger.prepared)
        self._shards = [shard for shard, _ in kept]
        self._results = {result.index: result for _, result in kept if result is not None}
        outputs = replace(self._work.outputs, columns=self._prepared.columns, schema=self._prepared.schema)
        self._work = replace(self._work, outputs=outputs)

    def _do(self) -> None:
        """Have all shards done that are not, or whose parts are gone."""
        for index in self._sink.missing(self._work.outputs, list(self._results.values())):
            del self._results[index]
        self._look()
        left = [shard for shard in self._shards if shard.index not in self._results]
        if left:
            for event in self._engine.run(self._work, left):
                self._take(event)
                self._look()
        if lost := [shard.index for shard in self._shards if shard.index not in self._results]:
            raise Internal(f"shards {lost[:10]} were given to the engine, and never came back")

    def _take(self, event: Event | None) -> None:
        match event:
            case ShardResult(index=index):
                self._ask(lambda: self._ledger.done(event))
                self._results[index] = event
                self._readings.pop(index, None)
            case Reading(index=index):
                self._readings[index] = event

    def _look(self) -> None:
        """Say how far it is, and stop where that is wanted."""
        if self._stop is not None:
            raise self._stop
        counts = self._counts()
        self._told(Progress(counts, *self._progress(), self._prepared))
        self._tolerance.check(counts)

    def _finish(self) -> BatchPredictionJob:
        """Show the output, and say how it went."""
        results = sorted(self._results.values(), key=lambda result: result.index)
        counts = _accounted(results)
        self._tolerance.check(counts, whole=True)
        self._engine.close()
        output = self._sink.finish(self._work.outputs, results)
        state: State = "SUCCEEDED"
        failure = None
        if counts.failed:
            state = "PARTIALLY_SUCCEEDED"
        if counts.failed and not counts.successful:
            state = "FAILED"
            first = next(chain.from_iterable(result.failures for result in results), None)
            why = f": {first.message} ({first.uri}, record {first.offset})" if first else ""
            code = first.code if first else Code.INTERNAL.value
            failure = Failure(code, f"all {counts.failed} rows failed; the first{why}")
        return self._end(state, output, failure)

    def _give_up(self, error: BaseException) -> BatchPredictionJob:
        """End a job that cannot be done, or is not to be. What shards have left stays for the next try."""
        self._engine.close()
        if isinstance(error, _Lost):
            raise error.args[0] from None
        if isinstance(error, _Cancelled):
            self._sink.discard(self._work.outputs)
            return self._end("CANCELLED", {}, Failure(Code.CANCELLED.value, "the job was cancelled"))
        known = model_error(error)
        if known is not error:
            log.exception("%s failed", self._work.job, exc_info=error)
            known = Internal(f"{type(error).__name__}: {error}")
        if not self._results:
            self._discard_nothing()
        return self._end("FAILED", {}, Failure(known.code.value, str(known)))

    def _discard_nothing(self) -> None:
        """Remove the folder for parts where there are none; the job's own failure is what is told."""
        try:
            self._sink.discard(self._work.outputs)
        except FAULTS as error:
            log.warning("%s: %s", self._work.job, error)

    def _end(self, state: State, output: Document, failure: Failure | None) -> BatchPredictionJob:
        self._ending = True
        results = sorted(self._results.values(), key=lambda result: result.index)
        failures = islice(chain.from_iterable(result.failures for result in results), FAILURES_KEPT)
        return self._ledger.end(
            state,
            output=output,
            failure=failure,
            counts=self._counts(),
            progress=self._progress(),
            failures=tuple(failures),
            process_seconds=self._spent(),
        )

    # What there is to tell. Another thread asks, too: each looks at a copy.

    def _counts(self) -> Counts:
        going = [reading.counts for reading in list(self._readings.values())]
        return sum((result.counts for result in list(self._results.values())), sum(going, Counts()))

    def _progress(self) -> tuple[int, int]:
        sizes = {shard.index: shard.size for shard in self._shards}
        done = sum(sizes.get(index, 0) for index in list(self._results))
        return done + sum(one.size for one in list(self._readings.values())), sum(sizes.values())

    def _spent(self) -> float:
        """Return the seconds that processes have worked on the job, this one among them."""
        now = monotonic()
        self._seconds += (now - self._since) * (1 + self._engine.processes)
        self._since = now
        return self._seconds
