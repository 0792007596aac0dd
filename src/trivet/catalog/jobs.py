"""Batch prediction jobs, and the shards that they are done in."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Row, Text, and_, delete, func, insert, literal, or_, select, update

from trivet.catalog import tables
from trivet.catalog.listing import Field, Listed, under
from trivet.catalog.rows import Rows, missing, name_of
from trivet.core.batch import BatchPredictionJob, Counts, RowFailure, Shard, ShardResult
from trivet.core.errors import Aborted
from trivet.core.resources import Failure, Location, Name, Page, Query

_KIND = "BatchPredictionJob"
_COLLECTION = "batchPredictionJobs"


class Jobs(Rows):
    """The part of a transaction that knows batch prediction jobs."""

    def batch_job(self, name: Name) -> BatchPredictionJob:
        """Return a job; raises NotFound."""
        return _job(self._find(tables.batch_jobs, name, _KIND))

    def add_batch_job(self, one: BatchPredictionJob) -> BatchPredictionJob:
        """Add a job; one that has an owner is heard of now. Raises AlreadyExists."""
        values = {**_values(one), "created": one.created, "updated": one.updated}
        if one.owner:
            values["seen"] = self._now()
        self._add(tables.batch_jobs, one.name, _KIND, values)
        return self.batch_job(one.name)

    def put_batch_job(
        self, one: BatchPredictionJob, *, attempt: int, heard: bool = False
    ) -> BatchPredictionJob:
        """Replace a job; return it with its new `updated`. `heard` says that its owner is alive, now.

        Raises NotFound; Aborted unless the stored job's attempt is the one given: another has taken it over.
        """
        stored = self._find(tables.batch_jobs, one.name, _KIND)
        _check_attempt(one.name, attempt, stored.attempt)
        values = {**_values(one), "updated": self._later(stored.updated)}
        if heard:
            values["seen"] = self._now()
        self._put(tables.batch_jobs, one.name, values)
        return self.batch_job(one.name)

    def delete_batch_job(self, name: Name) -> None:
        """Delete a job and its shards, whether or not it has ended; raises NotFound."""
        self._delete(tables.batch_jobs, name, _KIND)

    def batch_jobs(self, parent: Location, query: Query) -> Page[BatchPredictionJob]:
        """List jobs, by default the newest first; raises InvalidArgument.

        Filters and orders may speak of id, name, display_name, state (`JOB_STATE_RUNNING`), model,
        model_display_name, create_time and update_time; filters of labels, too. A model that is looked for
        may be an id or a full name, with or without a version's number.
        """
        table = tables.batch_jobs
        fields = under(parent, _COLLECTION, table.c.id) | {
            "display_name": Field("text", table.c.display_name),
            "state": Field("text", literal("JOB_STATE_", Text) + table.c.state),
            "model": Field("text", table.c.model, partial(_is_model, parent)),
            "model_display_name": Field("text", table.c.model_display_name),
            "create_time": Field("time", table.c.created),
            "update_time": Field("time", table.c.updated),
            "labels": Field("labels", table.c.labels),
        }
        listed = Listed(f"batch jobs of {parent}", table.c.parent == str(parent), fields)
        rows, token = self._page(table, listed, query)
        return Page([_job(row) for row in rows], token)

    def batch_jobs_using(self, model: Name, version: str = "") -> list[Name]:
        """Return the jobs that have not ended and use a model, or one version of it by its number."""
        return self._unfinished(_uses(str(model.at(version or model.version))))

    def batch_jobs_left(self, heard_within: float) -> list[Name]:
        """Return the jobs that have not ended and that nobody has, the oldest first.

        Nobody has those whose owner was not heard of within so many seconds.
        """
        return self._unfinished(self._left(heard_within))

    def batch_job_is_left(self, name: Name, heard_within: float) -> bool:
        """Say whether nobody has this job, ended or not."""
        table = tables.batch_jobs
        found = select(table.c.id).where(_named(name), self._left(heard_within))
        return self._connection.execute(found).first() is not None

    def newest_batch_job(self) -> datetime | None:
        """Return when the newest job that there is was created, wherever that is."""
        newest: datetime | None = self._connection.scalars(
            select(func.max(tables.batch_jobs.c.created))
        ).one()
        return newest

    def plan_batch_job(self, name: Name, shards: Sequence[Shard]) -> None:
        """Keep the shards of a job, instead of all that it had."""
        table, key = tables.batch_shards, {"parent": str(name.parent), "job": name.id}
        self._connection.execute(delete(table).where(_of(name)))
        rows = [
            {
                **key,
                "number": one.index,
                "shard": {**asdict(one), "details": dict(one.details)},
                "result": None,
            }
            for one in shards
        ]
        if rows:
            self._connection.execute(insert(table), rows)

    def put_shard_result(self, name: Name, result: ShardResult) -> None:
        """Note that a shard is done, or that it was done again; raises NotFound."""
        table = tables.batch_shards
        kept = {**asdict(result), "parts": dict(result.parts)}
        done = update(table).where(_of(name), table.c.number == result.index).values(result=kept)
        if self._connection.execute(done).rowcount == 0:
            raise missing(f"Shard {result.index} of BatchPredictionJob", name)

    def batch_shards(self, name: Name) -> list[tuple[Shard, ShardResult | None]]:
        """Return the shards of a job in their order, and the results of those that are done."""
        table = tables.batch_shards
        rows = select(table).where(_of(name)).order_by(table.c.number)
        return [
            (Shard(**row.shard), None if row.result is None else _result(row.result))
            for row in self._connection.execute(rows)
        ]

    def _left(self, heard_within: float) -> ColumnElement[bool]:
        table, since = tables.batch_jobs, self._now() - timedelta(seconds=heard_within)
        return or_(table.c.owner == "", table.c.seen.is_(None), table.c.seen < since)

    def _unfinished(self, where: ColumnElement[bool]) -> list[Name]:
        table = tables.batch_jobs
        rows = select(table.c.parent, table.c.id).where(tables.not_ended, where)
        rows = rows.order_by(table.c.created, table.c.parent, table.c.id)
        return [name_of(row.parent, _COLLECTION, row.id) for row in self._connection.execute(rows)]


def _named(name: Name) -> ColumnElement[bool]:
    table = tables.batch_jobs
    return and_(table.c.parent == str(name.parent), table.c.id == name.id)


def _is_model(parent: Location, text: str) -> ColumnElement[bool]:
    return _uses(f"{parent}/models/{text}" if text and not text.startswith("projects/") else text)


def _uses(model: str) -> ColumnElement[bool]:
    """Say which jobs use a version of a model, or any where its full name has none; those of none for ""."""
    column = tables.batch_jobs.c.model
    if "@" in model or not model:
        uses: ColumnElement[bool] = column == model
        return uses
    # those that begin with NAME@: "A" comes right after "@"
    return and_(column >= f"{model}@", column < f"{model}A")


def _of(name: Name) -> ColumnElement[bool]:
    table = tables.batch_shards
    return and_(table.c.parent == str(name.parent), table.c.job == name.id)


def _check_attempt(name: Name, given: int, stored: int) -> None:
    if given != stored:
        raise Aborted(f"{_KIND} {name} has been taken over by another: it is run for the {stored}. time")


def _values(one: BatchPredictionJob) -> dict[str, Any]:
    return {
        "display_name": one.display_name,
        "model": one.model,
        "model_display_name": one.model_display_name,
        "state": one.state,
        "ended": int(one.is_ended),
        "labels": dict(one.labels),
        "document": dict(one.document),
        "about": _about(one),
        "owner": one.owner,
        "attempt": one.attempt,
        "seen": one.seen,
    }


def _about(one: BatchPredictionJob) -> dict[str, Any]:
    return {
        "output_name": one.output_name,
        "started": _text(one.started),
        "ended": _text(one.ended),
        "output": dict(one.output),
        "counts": asdict(one.counts),
        "progress": list(one.progress),
        "failures": [asdict(each) for each in one.failures],
        "warnings": list(one.warnings),
        "first": one.first,
        "prepared": dict(one.prepared),
        "failure": None if one.failure is None else asdict(one.failure),
        "process_seconds": one.process_seconds,
    }


def _job(row: Row[Any]) -> BatchPredictionJob:
    about: Mapping[str, Any] = row.about
    failure = about["failure"]
    return BatchPredictionJob(
        name=name_of(row.parent, _COLLECTION, row.id),
        display_name=row.display_name,
        created=row.created,
        updated=row.updated,
        model=row.model,
        model_display_name=row.model_display_name,
        state=row.state,
        labels=row.labels,
        document=row.document,
        output_name=about["output_name"],
        started=_time(about["started"]),
        ended=_time(about["ended"]),
        output=about["output"],
        counts=Counts(**about["counts"]),
        progress=(about["progress"][0], about["progress"][1]),
        failures=tuple(_failures(about["failures"])),
        warnings=tuple(about["warnings"]),
        first=about["first"],
        prepared=about["prepared"],
        failure=None if failure is None else Failure(**failure),
        owner=row.owner,
        attempt=row.attempt,
        seen=row.seen,
        process_seconds=about["process_seconds"],
    )


def _result(kept: Mapping[str, Any]) -> ShardResult:
    return ShardResult(
        kept["index"], Counts(**kept["counts"]), tuple(_failures(kept["failures"])), kept["parts"]
    )


def _failures(kept: Sequence[Mapping[str, Any]]) -> Iterator[RowFailure]:
    return (RowFailure(**each) for each in kept)


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
