"""Batch prediction jobs: how they are asked for, cancelled, resumed and forgotten. Others run them.

A job that nobody has is run by whoever runs jobs (`waiting`); one that is begun with an `owner` is kept for
that process, as long as it is heard of.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from trivet.control.fields import check_id
from trivet.control.job_documents import Asked, asked_of, kept, read
from trivet.control.operations import Begun, Kind, Operations
from trivet.core.batch import HEARD_WITHIN, BatchPredictionJob
from trivet.core.errors import AlreadyExists, FailedPrecondition, NotFound
from trivet.core.resources import Document, Location, Name, Operation, Page, Query

if TYPE_CHECKING:
    from trivet.catalog import Catalog, Transaction

COLLECTION = "batchPredictionJobs"

_DELETES = "deleteBatchPredictionJob"
_UNSAFE = re.compile(r"[^\w.-]+")
_LONGEST = 128

Discard = Callable[[BatchPredictionJob], None]
"""Removes what a job that has ended has left, and its output does not show."""


@dataclass(frozen=True, slots=True)
class BatchJobs:
    """The calls that concern batch prediction jobs."""

    catalog: "Catalog"
    operations: Operations
    discard: Discard | None = None

    def register(self) -> None:
        """Say how a deletion is carried out."""
        if self.discard is not None:
            self.operations.kinds[_DELETES] = Kind(work=self._delete)

    def create(
        self, parent: Location, document: Document, *, job_id: str = "", owner: str = ""
    ) -> BatchPredictionJob:
        """Add a job, or return the one of that id, if the same was asked of it."""
        asked = read(document)
        if job_id:
            check_id(job_id, "batchPredictionJobId")
        with self.catalog.transaction() as tx:
            name = parent.child(COLLECTION, job_id or tx.new_id())
            if job_id and (there := _there(tx, name)) is not None:
                return _same(there, asked, document)
            model, title = _predicts(tx, asked)
            now = _now(tx)
            job = tx.add_batch_job(
                BatchPredictionJob(
                    name=name,
                    display_name=asked.display_name,
                    created=now,
                    updated=now,
                    model=model,
                    model_display_name=title,
                    labels=asked.labels,
                    document=kept(document),
                    output_name=_output_name(title, now),
                    owner=owner,
                )
            )
        self.operations.nudge()
        return job

    def get(self, name: Name) -> BatchPredictionJob:
        """Return a job."""
        with self.catalog.reading() as tx:
            return tx.batch_job(name)

    def page(self, parent: Location, query: Query) -> Page[BatchPredictionJob]:
        """Return jobs."""
        with self.catalog.reading() as tx:
            return tx.batch_jobs(parent, query)

    def cancel(self, name: Name) -> BatchPredictionJob:
        """Have a job end, unless it has."""
        with self.catalog.transaction() as tx:
            job = tx.batch_job(name)
            if job.is_ended or job.state == "CANCELLING":
                return job
            if job.state == "QUEUED" and not job.attempt and not job.owner:
                changed = replace(job, state="CANCELLED", ended=datetime.now(UTC))
            else:  # somebody has begun it, and must clean up
                changed = replace(job, state="CANCELLING")
            job = tx.put_batch_job(changed, attempt=job.attempt)
        self.operations.nudge()
        return job

    def resume(self, name: Name, *, owner: str = "") -> BatchPredictionJob:
        """Have a job that failed go on from where it was; others that have not ended go on by themselves."""
        with self.catalog.transaction() as tx:
            job = tx.batch_job(name)
            if job.is_ended:
                _refuse_whole(job)
                _predicts(tx, asked_of(job), job.model)
            elif not tx.batch_job_is_left(name, HEARD_WITHIN):
                raise FailedPrecondition(f"{name} is {job.state}: it is being run")
            state = "QUEUED" if job.is_ended else job.state
            changed = replace(job, state=state, failure=None, ended=None, owner=owner)
            job = tx.put_batch_job(changed, attempt=job.attempt, heard=bool(owner))
        self.operations.nudge()
        return job

    def delete(self, name: Name, *, api: str) -> Operation:
        """Forget a job that has ended, and remove what it has left besides its output."""
        with self.catalog.transaction() as tx:
            _refuse_unfinished(tx.batch_job(name))
            if self.discard is not None:
                operation = self.operations.begin(tx, Begun(_DELETES, name, api))
            else:
                tx.delete_batch_job(name)
                operation = self.operations.begin(tx, Begun(_DELETES, name, api, response={}))
        self.operations.nudge()
        return operation

    def waiting(self) -> list[Name]:
        """Return the jobs that somebody should run, the oldest first."""
        with self.catalog.reading() as tx:
            return tx.batch_jobs_left(HEARD_WITHIN)

    def _delete(self, operation: Operation) -> None:
        name = Name.parse(operation.target, COLLECTION)
        with self.catalog.reading() as tx:
            job = _there(tx, name)
        if job is not None:
            _refuse_unfinished(job)
            assert self.discard is not None
            self.discard(job)
        with self.catalog.transaction() as tx:
            if (job := _there(tx, name)) is not None:
                _refuse_unfinished(job)  # it may have been resumed since
                tx.delete_batch_job(name)
            self.operations.end(tx, tx.operation(operation.name), {})


def _there(tx: "Transaction", name: Name) -> BatchPredictionJob | None:
    try:
        return tx.batch_job(name)
    except NotFound:
        return None


def _same(job: BatchPredictionJob, asked: Asked, document: Document) -> BatchPredictionJob:
    """Return a job that was asked for again; raises AlreadyExists where it is another."""
    given = (asked.display_name, dict(asked.labels), kept(document))
    if given != (job.display_name, dict(job.labels), dict(job.document)):
        raise AlreadyExists(
            f"{job.name} exists, and is another job: one id stands for one document; choose another "
            "batchPredictionJobId"
        )
    return job


def _predicts(tx: "Transaction", asked: Asked, model: str = "") -> tuple[str, str]:
    """Return the full name of a model's version, if it is one of the catalog's, and what to call it.

    Raises NotFound where there is no such model or endpoint.
    """
    if asked.model is not None:
        version = tx.version(Name.parse(model) if model else asked.model)
        return str(version.name.at(version.version)), version.display_name
    if asked.endpoint.startswith("projects/"):
        return "", tx.endpoint(Name.parse(asked.endpoint)).display_name
    if asked.endpoint:
        return "", urlsplit(asked.endpoint).hostname or "endpoint"
    assert asked.unmanaged is not None
    return "", PurePosixPath(asked.unmanaged.uri).name or asked.unmanaged.framework or "model"


def _now(tx: "Transaction") -> datetime:
    """Return the time, but in a millisecond of its own: outputs are named by it."""
    now, newest = datetime.now(UTC), tx.newest_batch_job()
    return now if newest is None else max(now, newest + timedelta(milliseconds=1))


def _output_name(title: str, now: datetime) -> str:
    """Return the name of a folder, as Google's are; but the time is UTC, as its Z says."""
    safe = _UNSAFE.sub("_", title).strip("._-")[:_LONGEST] or "model"
    return f"prediction-{safe}-{now:%Y_%m_%dT%H_%M_%S}_{now.microsecond // 1000:03d}Z"


def _refuse_whole(job: BatchPredictionJob) -> None:
    """Raise FailedPrecondition where there is nothing to resume."""
    if job.state != "FAILED":
        raise FailedPrecondition(f"{job.name} is {job.state}: only a job that failed can be resumed")
    if job.output:
        raise FailedPrecondition(
            f"{job.name} has read everything, and every row failed; correct what is wrong, and create another"
        )


def _refuse_unfinished(job: BatchPredictionJob) -> None:
    if not job.is_ended:
        raise FailedPrecondition(f"{job.name} is {job.state}: cancel it first, and wait until it has ended")
