"""Calls that concern jobs: they begin, are waited for, and give what they have given, page by page."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from trivet.core.errors import FailedPrecondition, InvalidArgument, NotFound, Unimplemented
from trivet.protocols.base import Reply, encode_json
from trivet.protocols.bigquery import queries, transfers
from trivet.protocols.bigquery.errors import failed
from trivet.protocols.bigquery.inserts import Ids
from trivet.protocols.bigquery.jobs import InThread, Job, Jobs, Kind
from trivet.protocols.bigquery.results import page, read_token
from trivet.protocols.bigquery.schema import schema_json
from trivet.protocols.bigquery.tables import TableRows
from trivet.protocols.bigquery.wire import LOCATION, Asked, Json, paged, read_format, read_number
from trivet.sql.names import ObjectName

if TYPE_CHECKING:
    from trivet.sql.database import Database

_KINDS: tuple[Kind, ...] = ("query", "load", "extract", "copy")
_WAITS = 10.0
"""Seconds for which a call waits for a query where its caller does not say."""

_LONGEST = 60.0
_CANCELS_WITHIN = 1.0
_REMEMBERED = 1000

_OF_REQUEST = (
    "query", "useLegacySql", "defaultDataset", "queryParameters", "parameterMode", "createSession",
    "connectionProperties", "useQueryCache", "maximumBytesBilled", "continuous", "writeIncrementalResults",
)  # fmt: skip
"""What of a QueryRequest is the query's own configuration."""


@dataclass(slots=True)
class Service:
    """What calls may use: the database, which is opened when it is first needed, and jobs.

    `results` is a folder for rows.
    """

    database: Callable[[], "Database"]
    in_thread: InThread
    jobs: Jobs
    results: Path
    requests: dict[tuple[str, str], Job] = field(default_factory=dict)
    ids: Ids = field(default_factory=Ids)


async def insert(service: Service, asked: Asked, file: Path | None = None) -> Json:
    """Begin with a job; a dry run is over at once. A load job may have a `file` that came with the call."""
    reference = asked.body.get("jobReference") or {}
    if not isinstance(reference, dict):
        raise InvalidArgument("jobReference: expected an object")
    configuration = asked.body.get("configuration")
    project = asked.project
    if not isinstance(configuration, dict):
        raise InvalidArgument("configuration: expected an object")
    id_ = str(reference.get("jobId") or f"job_{uuid4().hex}")
    location = str(reference.get("location") or asked.said("location") or LOCATION)
    job = await _begun(service, project, id_, configuration, location, file)
    return job.json()


async def _begun(
    service: Service, project: str, id_: str, configuration: Json, location: str, file: Path | None = None
) -> Job:
    kinds = [kind for kind in _KINDS if kind in configuration]
    if len(kinds) != 1:
        raise InvalidArgument(f"configuration: expected exactly one of {', '.join(_KINDS)}; got {kinds}")
    if not id_ or len(id_) > 1024 or not id_.replace("-", "").replace("_", "").isalnum():
        raise InvalidArgument(f"jobId {id_[:60]!r}: expected letters, digits, dashes and underscores")
    kind = kinds[0]
    told = {**configuration, kind: dict(configuration[kind]), "jobType": kind.upper()}
    job = Job(project, id_, told, kind, location)
    dry = str(configuration.get("dryRun", "")).lower() == "true"
    work: Callable[[Job], None]
    if kind == "query":
        told["query"] = {"useLegacySql": False, "priority": "INTERACTIVE", **told["query"]}
        query = queries.read_query_job(configuration, project)
        if dry:
            await service.in_thread(lambda: queries.dry_run(job, service.database(), query))
            job.state, job.started, job.ended = "DONE", job.created, job.created
            return job
        work = lambda job: queries.run(job, service.database(), query, service.results)  # noqa: E731
    elif dry:
        raise InvalidArgument("dryRun: expected a query; jobs that copy, load or extract have no dry run")
    else:
        work = transfers.read_job(service.database, kind, configuration[kind], project, file)
    timeout = configuration.get("jobTimeoutMs")
    seconds = None if timeout is None else read_number(timeout, "jobTimeoutMs") / 1000
    return service.jobs.start(job, work, seconds)


async def query(service: Service, asked: Asked) -> Json | Reply:
    """Run a query and wait for it, as long as its caller wants; then give its first page of rows."""
    body, project = asked.body, asked.project
    if str(body.get("queryResultsFormat") or "STRUCT_ENCODING").upper() not in ("STRUCT_ENCODING", "JSON"):
        raise Unimplemented(
            "queryResultsFormat: results in Arrow are not supported; ask for none in particular"
        )
    micros = read_format(body.get("formatOptions"))
    configuration: Json = {"query": {name: body[name] for name in _OF_REQUEST if name in body}}
    configuration |= {name: body[name] for name in ("labels", "jobTimeoutMs", "dryRun") if name in body}
    waits = read_number(body["timeoutMs"], "timeoutMs") / 1000 if "timeoutMs" in body else _WAITS
    most = read_number(body["maxResults"], "maxResults") if body.get("maxResults") is not None else None
    request = project, str(body.get("requestId") or "")
    job = service.requests.get(request) if request[1] else None
    if job is None:
        location = str(body.get("location") or LOCATION)
        job = await _begun(service, project, f"job_{uuid4().hex}", configuration, location)
        if request[1] and job.state != "DONE":
            service.requests[request] = job
            if len(service.requests) > _REMEMBERED:
                del service.requests[next(iter(service.requests))]
    return await _given(service, job, "bigquery#queryResponse", waits, 0, most, micros=micros)


async def results(service: Service, asked: Asked) -> Json | Reply:
    """Give a page of a query's rows, once there are any; wait for that as long as the caller wants."""
    job = service.jobs.get(asked.project, asked.parts["id"])
    if job.kind != "query":
        raise InvalidArgument(f"Job {job.project}:{job.id} is no query")
    timeout, start = asked.number("timeoutMs"), asked.number("startIndex") or 0
    if token := asked.said("pageToken"):
        start = read_token(token)
    return await _given(
        service,
        job,
        "bigquery#getQueryResultsResponse",
        _WAITS if timeout is None else timeout / 1000,
        start,
        asked.number("maxResults"),
        micros=asked.micros,
    )


async def _given(  # noqa: PLR0913 - a page is of a job, and from where to where
    service: Service, job: Job, kind: str, waits: float, start: int, most: int | None, *, micros: bool
) -> Json | Reply:
    """Return what a query has given, from a row on, or that it is not complete."""
    begun = monotonic()
    if job.state != "DONE":
        with suppress(TimeoutError):
            await asyncio.wait_for(job.over.wait(), min(waits, _LONGEST))
    answer: Json = {"kind": kind, "jobReference": job.reference, "jobComplete": job.state == "DONE"}
    if job.state != "DONE":
        return answer
    if job.error is not None:
        return failed(job.error)
    times = {"creationTime": str(job.created), "startTime": str(job.started), "endTime": str(job.ended)}
    answer |= {**times, "totalBytesProcessed": "0", "cacheHit": False, "totalSlotMs": "0"}
    answer["elapsedMs"] = str(int((monotonic() - begun) * 1000))
    answer["statementType"] = job.statistics.get("statementType", "")
    answer |= {
        name: job.statistics[name] for name in ("numDmlAffectedRows", "dmlStats") if name in job.statistics
    }
    if "totalBytesProcessedAccuracy" in job.statistics:  # a dry run
        return {**answer, "schema": job.statistics["schema"], "jobComplete": True}
    return await service.in_thread(lambda: _page(service, job, answer, start, most, micros=micros))


def _page(
    service: Service, job: Job, answer: Json, start: int, most: int | None, *, micros: bool
) -> Json | Reply:
    rows = job.rows
    if rows is None:
        target = job.configuration["query"].get("destinationTable")
        if job.statistics.get("statementType") != "SELECT" or not target:
            return answer
        name = ObjectName(target["projectId"], target["datasetId"], target["tableId"])
        if name.dataset.startswith("_"):
            raise NotFound(f"Not found: Table {name}: its rows are kept for a day, and while there is room")
        rows = TableRows(service.database(), name)
    answer |= {"schema": schema_json(rows.fields), "totalRows": str(rows.total)}
    if most == 0:
        return answer
    content, following = page(rows, start, most, micros=micros)
    if following is not None:
        answer["pageToken"] = str(following)
    return Reply(200, spliced(answer, content))


def spliced(answer: Json, rows: bytes) -> bytes:
    """Write an answer whose `rows` are JSON already."""
    return encode_json(answer)[:-1] + b',"rows":' + rows + b"}"


async def get(service: Service, asked: Asked) -> Json:
    """Say how far a job is."""
    return service.jobs.get(asked.project, asked.parts["id"]).json()


async def cancel(service: Service, asked: Asked) -> Json:
    """Have a job end; it may not have by then."""
    job = service.jobs.get(asked.project, asked.parts["id"])
    service.jobs.stop(job)
    with suppress(TimeoutError):
        await asyncio.wait_for(job.over.wait(), _CANCELS_WITHIN)
    return {"kind": "bigquery#jobCancelResponse", "job": job.json()}


async def delete(service: Service, asked: Asked) -> Json:
    """Forget a job that has ended."""
    job = service.jobs.get(asked.project, asked.parts["id"])
    if not job.over.is_set():
        raise FailedPrecondition(f"Job {job.project}:{job.id} still runs; cancel it first")
    service.jobs.delete(job)
    return {}


async def list_(service: Service, asked: Asked) -> Json:
    """List jobs, the newest first."""
    project = asked.project
    states = {one.upper() for one in asked.query.get("stateFilter", [])}
    least, most = asked.number("minCreationTime"), asked.number("maxCreationTime")
    found = [
        job
        for job in service.jobs
        if job.project == project
        and (not states or job.state in states)
        and (least is None or job.created >= least)
        and (most is None or job.created <= most)
        and not asked.said("parentJobId")
    ]
    listed, following = paged(found, asked)
    jobs: list[Any] = [{**job.json(), "state": job.state} for job in listed]
    for one in jobs:
        if "errorResult" in one["status"]:
            one["errorResult"] = one["status"]["errorResult"]
    return {"kind": "bigquery#jobList", "etag": "", "jobs": jobs, **following}
