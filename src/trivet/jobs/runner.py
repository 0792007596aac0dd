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
from time import monotonic
from typing import TypeVar

from trivet.core.batch import BatchPredictionJob, Counts, Shard, ShardResult, State
from trivet.core.errors import Aborted, FailedPrecondition, Internal, ServingError, Unavailable
from trivet.core.resources import Document
from trivet.jobs.engine import Engine, Event, Reading
from trivet.jobs.ledger import MAX_FAILURES, Ledger, News, first_failures
from trivet.jobs.work import Prepared, Work
from trivet.serving.replica import FAULTS
from trivet.sinks.base import Sink

T = TypeVar("T")

log = logging.getLogger("trivet")

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
    """Runs one job, once.

    `complete` is called when the job is this runner's: it returns the work with what takes long to get, the
    model's files. `work.outputs.columns` and `schema` are filled in once they are known. `told` hears how far
    the job is whenever something has happened.
    """

    def __init__(
        self,
        ledger: Ledger,
        work: Work,
        engine: Engine,
        sink: Sink,
        tolerance: Tolerance = Tolerance(),
        complete: Callable[[Work], Work] = lambda work: work,
    ) -> None:
        self._ledger = ledger
        self._work = work
        self._engine = engine
        self._sink = sink
        self._tolerance = tolerance
        self._complete = complete
        self.told: Callable[[Progress], None] = lambda progress: None
        self._prepared = Prepared()
        self._shards: dict[int, Shard] = {}
        self._results: dict[int, ShardResult] = {}  # without their failures, of which there may be too many
        self._failing: list[ShardResult] = []  # the first of those that have any
        self._readings: dict[int, Reading] = {}
        self._counts, self._read, self._size = Counts(), 0, 0  # those of the results, and all there is
        self._stop: _Cancelled | _Lost | None = None
        self._claimed = self._ending = self._fresh = False
        self._seconds, self._since = 0.0, monotonic()

    def __repr__(self) -> str:
        return f"<Runner {self._work.job}, {len(self._results)} of {len(self._shards)} shards>"

    def run(self) -> BatchPredictionJob:
        """Run it; returns the job as it ended, whatever that was.

        Raises Aborted where another runs it, now or meanwhile, and Unavailable where the catalog is lost:
        then the job is as it would be after a crash.
        """
        try:
            job = self._ledger.claim()
        except BaseException:
            self._engine.close()
            raise
        self._seconds, self._since = job.process_seconds, monotonic()
        self._claimed, self._fresh = True, not job.prepared
        try:
            if job.state == "CANCELLING":
                raise _Cancelled
            self._plan()
            self._do()
            return self._finish()
        except FAULTS as error:
            try:
                return self._give_up(error if isinstance(error, _Lost) else self._stop or error)
            except Aborted:
                if self._ledger.is_over():
                    self._discard()  # what has been written here since
                raise
        finally:
            self._ending = True
            self._engine.close()

    def cancel(self) -> None:
        """Have it end as cancelled, soon; does nothing once its output is about to be shown."""
        if not self._ending:
            self._stop = self._stop or _Cancelled()
            self._engine.close()

    def leave(self) -> None:
        """Have it end at once and raise Aborted, with the job left as it is."""
        self._stop = _Lost(Aborted(f"{self._work.job} is left to another runner"))
        self._engine.close()

    def beat(self) -> None:
        """Tell the catalog that the job is being run and how far it is, and hear what has become of it."""
        if not self._claimed or self._ending:
            return
        try:
            state = self._ledger.beat(self._news())
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
        self._work = self._complete(self._work)
        self._look()
        known = self._ask(self._ledger.prepared)
        if known is None:
            found, shards = self._engine.prepare(self._work)
            self._look()
            self._ask(lambda: self._ledger.plan(shards, found))
            known = self._ask(self._ledger.prepared) or found
        self._prepared = known
        outputs = replace(self._work.outputs, columns=known.columns, schema=known.schema)
        self._work = replace(self._work, outputs=outputs)
        kept = self._ask(self._ledger.shards)
        self._shards = {shard.index: shard for shard, _ in kept}
        self._size = sum(shard.size for shard, _ in kept)
        results = [result for _, result in kept if result is not None]
        gone = set(self._sink.missing(outputs, results)) if results else set()
        for result in results:
            if result.index not in gone:
                self._keep(result)

    def _do(self) -> None:
        """Have all shards done that are not."""
        self._look()
        if left := self._left():
            for event in self._engine.run(self._work, left):
                self._take(event)
                self._look()
        if left := self._left():
            raise Internal(f"{len(left)} shards were given to the engine, and never came back")

    def _left(self) -> list[Shard]:
        return [shard for shard in self._shards.values() if shard.index not in self._results]

    def _take(self, event: Event | None) -> None:
        if isinstance(event, ShardResult):
            result = event
            self._ask(lambda: self._ledger.done(result))
            self._readings.pop(event.index, None)
            self._keep(event)
        elif event is not None:
            self._readings[event.index] = event

    def _keep(self, result: ShardResult) -> None:
        if result.index not in self._results:
            self._counts += result.counts
            self._read += self._shards[result.index].size
            if result.failures:
                self._failing = sorted([*self._failing, result], key=_index)[:MAX_FAILURES]
        self._results[result.index] = replace(result, failures=())

    def _look(self) -> None:
        """Say how far it is, and stop where that is wanted."""
        if self._stop is not None:
            raise self._stop
        counts, (done, size) = self._account()
        self.told(Progress(counts, done, size, self._prepared))
        self._tolerance.check(counts)

    def _finish(self) -> BatchPredictionJob:
        """Show the output, and say how it went."""
        self._engine.close()
        results, counts = self._in_order(), self._counts
        _check_account(results, counts)
        self._tolerance.check(counts, whole=True)
        output = self._sink.finish(self._work.outputs, results)
        try:
            if not counts.failed:
                return self._end("SUCCEEDED", output)
            if counts.successful:
                return self._end("PARTIALLY_SUCCEEDED", output)
            return self._end("FAILED", output, _all_failed(self._failing, counts))
        except ServingError as error:  # it has not failed: whoever takes it up finds all of it shown
            raise _Lost(error) from None

    def _give_up(self, error: BaseException) -> BatchPredictionJob:
        """End a job that cannot be done, or is not to be. What shards have left stays for the next try."""
        self._engine.close()
        if isinstance(error, _Lost):
            raise error.args[0] from None
        if isinstance(error, _Cancelled):
            self._ledger.beat()  # raises Aborted where it is another's by now, as is what there is of it
            self._discard()
            return self._end("CANCELLED")
        known = error if isinstance(error, ServingError) else Internal(f"{type(error).__name__}: {error}")
        if known is not error:
            log.exception("%s failed", self._work.job, exc_info=error)
        if self._fresh and not self._results:  # there is nothing to keep of it
            self._ledger.beat()
            self._discard()
        return self._end("FAILED", error=known)

    def _discard(self) -> None:
        """Remove what is hidden of the output; why the job ends is more important than that it is left."""
        try:
            self._sink.discard(self._work.outputs)
        except FAULTS as error:
            log.warning("%s: what it has written could not be removed: %s", self._work.job, error)

    def _end(
        self, state: State, output: Document | None = None, error: ServingError | None = None
    ) -> BatchPredictionJob:
        self._ending = True
        return self._ledger.end(state, self._news(), output=output, error=error)

    def _ask(self, call: Callable[[], T]) -> T:
        """Ask the ledger, which may say that the job is another's."""
        try:
            return call()
        except (Aborted, Unavailable) as error:
            raise _Lost(error) from None

    # What there is to tell; another thread may ask.

    def _in_order(self) -> list[ShardResult]:
        return sorted(self._results.values(), key=_index)

    def _news(self) -> News:
        counts, progress = self._account()
        return News(counts, progress, first_failures(self._failing), self._spent())

    def _account(self) -> tuple[Counts, tuple[int, int]]:
        """Return the counts, and how much has been read of how much there is."""
        going = list(self._readings.values())
        counts = sum((reading.counts for reading in going), self._counts)
        return counts, (self._read + sum(reading.size for reading in going), self._size)

    def _spent(self) -> float:
        """Return the seconds that the engine's processes have been there for the job."""
        now = monotonic()
        self._seconds += (now - self._since) * self._engine.processes
        self._since = now
        return self._seconds


def _index(result: ShardResult) -> int:
    return result.index


def _all_failed(results: Sequence[ShardResult], counts: Counts) -> ServingError:
    """Return why a job has failed none of whose rows has a prediction: the reason of its first."""
    first = first_failures(results)[0]
    kinds = {kind.code.value: kind for kind in ServingError.__subclasses__()}
    told = f"all {counts.failed} rows failed; record {first.offset} of {first.uri}: {first.message}"
    return kinds.get(first.code, Internal)(told)


def _check_account(results: Sequence[ShardResult], counts: Counts) -> None:
    """Raise Internal where a row is in neither the results nor the errors."""
    wrong = [one.index for one in results if one.counts.read != one.counts.successful + one.counts.failed]
    if wrong or sum((one.counts for one in results), Counts()) != counts:
        raise Internal(f"shards {wrong[:10]}: {counts} do not add up; nothing is shown")
