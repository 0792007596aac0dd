"""What one process keeps of the job that it runs, and what it finds out from it: all in the catalog.

Each call is a transaction of its own, so that a crash loses nothing that a call has returned from. Whoever
runs a job has claimed it, and is told at its next call where another has taken it over since.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from trivet.core.batch import HEARD_WITHIN, BatchPredictionJob, Counts, RowFailure, Shard, ShardResult, State
from trivet.core.errors import Aborted, FailedPrecondition, Internal, NotFound, ServingError
from trivet.core.resources import Document, Failure, Name
from trivet.jobs.work import Prepared

if TYPE_CHECKING:
    from trivet.catalog import Catalog, Transaction

MAX_FAILURES = 20
"""Failures of single records that a job tells of, as in Google's API; the others are in its output."""


@dataclass(frozen=True, slots=True)
class News:
    """What a runner tells of its job: see `BatchPredictionJob`. What is None is as it was."""

    counts: Counts | None = None
    progress: tuple[int, int] | None = None
    failures: tuple[RowFailure, ...] | None = None
    process_seconds: float | None = None

    def said(self) -> dict[str, Any]:
        """Return what is told, by the names of the job's attributes."""
        told = {name: getattr(self, name) for name in ("counts", "progress", "process_seconds")}
        if self.failures is not None:
            told["failures"] = _storable(self.failures[:MAX_FAILURES])
        return {name: value for name, value in told.items() if value is not None}


NOTHING = News()


@dataclass(slots=True)
class Ledger:
    """The job `name` in a catalog, as its runner sees it. `owner` names the runner among all that there are.

    Everything but `claim` raises Aborted where the job is another's by now, or was resumed or deleted: then
    the runner ends its processes and leaves everything as it is.
    """

    catalog: "Catalog"
    name: Name
    owner: str
    heard_within: float = HEARD_WITHIN
    _attempt: int = field(default=-1, init=False)

    def __repr__(self) -> str:
        return f"<Ledger {self.name} of {self.owner}, attempt {self._attempt}>"

    def claim(self) -> BatchPredictionJob:
        """Take the job, and return it: RUNNING, or CANCELLING where nothing is left to do but to clean up.

        Raises NotFound, Aborted where another has it, and FailedPrecondition where it has ended.
        """
        with self.catalog.transaction() as tx:
            job = tx.batch_job(self.name)
            if job.is_ended:
                raise FailedPrecondition(f"{self.name} has ended: it is {job.state}")
            if job.owner != self.owner and not tx.batch_job_is_left(self.name, self.heard_within):
                raise Aborted(f"{self.name} is being run by {job.owner}")
            taken = replace(
                job,
                state="RUNNING" if job.state == "QUEUED" else job.state,
                started=job.started or datetime.now(UTC),
                owner=self.owner,
                attempt=job.attempt + 1,
            )
            taken = tx.put_batch_job(taken, attempt=job.attempt, heard=True)
        self._attempt = taken.attempt
        return taken

    def job(self) -> BatchPredictionJob:
        """Return the job as it is now."""
        with self.catalog.reading() as tx:
            return self._mine(tx)

    def beat(self, news: News = NOTHING) -> State:
        """Say that the runner is alive, and what there is to tell.

        Returns the job's state, which is CANCELLING when it is to end.
        """
        with self.catalog.transaction() as tx:
            return self._put(tx, self._mine(tx), news.said()).state

    def plan(self, shards: Sequence[Shard], prepared: Prepared) -> None:
        """Keep the shards, instead of those that there were, and what was found out with them."""
        total = sum(shard.size for shard in shards)
        news = {
            "warnings": tuple(map(_plain, prepared.warnings)),
            "first": _plain(prepared.first),
            "prepared": _kept(prepared),
            "counts": Counts(),
            "progress": (0, total),
            "failures": (),
        }
        with self.catalog.transaction() as tx:
            job = self._mine(tx)
            tx.plan_batch_job(self.name, shards)
            self._put(tx, job, news)

    def prepared(self) -> Prepared | None:
        """Return what was found out when the job was planned; None where it is not planned yet."""
        job = self.job()
        if not job.prepared:
            return None
        kept = job.prepared
        return Prepared(
            warnings=job.warnings,
            first=job.first,
            columns=tuple(kept["columns"]),
            schema=tuple(kept["schema"]),
            framework=kept["framework"],
        )

    def shards(self) -> list[tuple[Shard, ShardResult | None]]:
        """Return all shards in their order, and the results of those that are done."""
        with self.catalog.reading() as tx:
            self._mine(tx)
            return tx.batch_shards(self.name)

    def done(self, result: ShardResult) -> None:
        """Keep that a shard is done; a later result of the same shard replaces it."""
        with self.catalog.transaction() as tx:
            self._mine(tx)
            tx.put_shard_result(self.name, replace(result, failures=_storable(result.failures)))

    def end(
        self,
        state: State,
        news: News = NOTHING,
        *,
        output: Document | None = None,
        error: BaseException | None = None,
    ) -> BatchPredictionJob:
        """End the job, with its last news; returns it. The ledger is of no use then.

        `output` is the sink's `outputInfo`; `error` why it FAILED.
        """
        last: dict[str, Any] = {
            **news.said(),
            "state": state,
            "ended": datetime.now(UTC),
            "output": output or {},
            "failure": None if error is None else failure_of(error),
            "owner": "",
        }
        with self.catalog.transaction() as tx:
            return self._put(tx, self._mine(tx), last)

    def release(self) -> None:
        """Leave the job as it is, for anybody who runs jobs: this runner ends before it."""
        with self.catalog.transaction() as tx:
            self._put(tx, self._mine(tx), {"owner": ""})

    def is_over(self) -> bool:
        """Whether nobody will go on with the job, whoever had it last."""
        with self.catalog.reading() as tx:
            try:
                job = tx.batch_job(self.name)
            except NotFound:
                return True
        return job.is_ended and (job.state != "FAILED" or bool(job.output))

    def _mine(self, tx: "Transaction") -> BatchPredictionJob:
        try:
            job = tx.batch_job(self.name)
        except NotFound:
            raise Aborted(f"{self.name} has been deleted") from None
        if job.attempt != self._attempt or job.owner != self.owner:
            raise Aborted(f"{self.name} is not run by {self.owner} any more: {_whose(job)}")
        return job

    def _put(self, tx: "Transaction", job: BatchPredictionJob, news: Mapping[str, Any]) -> BatchPredictionJob:
        changed = replace(job, **news)
        return tx.put_batch_job(changed, attempt=self._attempt, heard=True)


def failure_of(error: BaseException) -> Failure:
    """Return what a job says of the error that it failed of."""
    known = error if isinstance(error, ServingError) else Internal(f"{type(error).__name__}: {error}")
    return Failure(known.code.value, _plain(str(known)))


def first_failures(results: Sequence[ShardResult]) -> tuple[RowFailure, ...]:
    """Return the failures that a job tells of, in the order of its input."""
    found = [failure for result in sorted(results, key=lambda one: one.index) for failure in result.failures]
    return tuple(found[:MAX_FAILURES])


def _kept(prepared: Prepared) -> Document:
    return {
        "columns": list(prepared.columns),
        "schema": [dict(one) for one in prepared.schema],
        "framework": prepared.framework,
    }


def _whose(job: BatchPredictionJob) -> str:
    return f"{job.owner} has taken it over" if job.owner else f"it is {job.state} and nobody's"


def _storable(failures: Sequence[RowFailure]) -> tuple[RowFailure, ...]:
    return tuple(replace(one, message=_plain(one.message)) for one in failures)


def _plain(text: str) -> str:
    """Return a text that can be kept: what models say, and rows hold, is not always Unicode."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
