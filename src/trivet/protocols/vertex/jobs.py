"""Batch prediction jobs on the wire."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from trivet.control.job_documents import TOLD
from trivet.control.plane import ControlPlane
from trivet.core.batch import BatchPredictionJob, RowFailure
from trivet.core.resources import Name, Operation
from trivet.protocols.vertex import shapes
from trivet.protocols.vertex.wire import Asked, Json, timestamp

_COLLECTION = "batchPredictionJobs"
_HIGH_LEVEL = "model-builder"

HOLDS, HOLDS_LATER = 4.0, 0.5
"""Seconds for which the SDK's question for a job is held while that has not ended: it asks again after 5, so
that a small job would seem to take as long. Later there is less to gain, and people ask, too."""

_NEW_FOR = timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class HeldJob:
    """A job whose end its caller waits for, and how long in seconds; `plainly` as `job_json` has it."""

    job: BatchPredictionJob
    seconds: float
    plainly: bool


def job_json(job: BatchPredictionJob, *, plainly: bool = False) -> Json:
    """Write a job.

    `plainly` it has no state that the classes of Google's SDK do not know: they wait for ever for a job that
    PARTIALLY_SUCCEEDED, so that one SUCCEEDED, and its `completionStats` and `partialFailures` tell the rest.
    """
    state = "SUCCEEDED" if plainly and job.state == "PARTIALLY_SUCCEEDED" else job.state
    made: Json = {
        **job.document,
        "name": str(job.name),
        "displayName": job.display_name,
        "labels": dict(job.labels),
        "state": f"JOB_STATE_{state}",
        "createTime": timestamp(job.created),
        "updateTime": timestamp(job.updated),
        "trivet": {**job.document.get("trivet", {}), **_told(job)},
    }
    if job.model:
        made |= {"model": job.model, "modelVersionId": Name.parse(job.model).version}
    if job.started is not None:
        made |= {
            "startTime": timestamp(job.started),
            "completionStats": _stats(job),
            "resourcesConsumed": {"replicaHours": job.process_seconds / 3600},
        }
    if job.ended is not None:
        made["endTime"] = timestamp(job.ended)
    if job.output:
        made["outputInfo"] = dict(job.output)
    if job.failures:
        made["partialFailures"] = [_status(one) for one in job.failures]
    if job.failure is not None:
        made["error"] = {"code": job.failure.code, "message": job.failure.message}
    return made


def _told(job: BatchPredictionJob) -> Json:
    """Return what Google has no field for."""
    done, total = job.progress
    told: dict[str, object] = dict.fromkeys(TOLD)
    told |= {"outputName": job.output_name, "attempt": job.attempt or None}
    told |= {"warnings": list(job.warnings) or None, "firstInstance": job.first or None}
    told["progress"] = {"done": done, "total": total} if total else None
    return {name: value for name, value in told.items() if value is not None}


def _stats(job: BatchPredictionJob) -> Json:
    """Return the counts, as text: they are 64-bit integers. -1 is Google's word for a number not known."""
    whole = job.counts.successful + job.counts.failed
    stats = {"successfulCount": str(job.counts.successful), "failedCount": str(job.counts.failed)}
    if job.state not in ("SUCCEEDED", "PARTIALLY_SUCCEEDED") and not job.output:
        stats["incompleteCount"] = "-1"
    elif job.counts.read > whole:
        stats["incompleteCount"] = str(job.counts.read - whole)
    return stats


def _status(failure: RowFailure) -> Json:
    return {"code": failure.code, "message": f"{failure.uri}, record {failure.offset}: {failure.message}"}


def create(control: ControlPlane, asked: Asked) -> Json:
    """`POST batchPredictionJobs[?batchPredictionJobId=]`; the parameter is ours."""
    document = shapes.batch_prediction_job(asked.body, "")
    job = control.create_batch_job(asked.parent, document, job_id=asked.said("batchPredictionJobId"))
    return job_json(job, plainly=_plainly(asked))


def get(control: ControlPlane, asked: Asked) -> HeldJob:
    """`GET batchPredictionJobs/J`: held a little where it is the SDK that asks."""
    job, plainly = control.batch_job(asked.name(_COLLECTION)), _plainly(asked)
    is_new = datetime.now(UTC) - (job.started or job.created) < _NEW_FOR
    holds = HOLDS if is_new else HOLDS_LATER
    return HeldJob(job, holds if plainly else 0.0, plainly)


def list_(control: ControlPlane, asked: Asked) -> Json:
    """`GET batchPredictionJobs`."""
    page = control.batch_jobs(asked.parent, asked.page())
    shown = [job_json(one, plainly=_plainly(asked)) for one in page.items]
    return {"batchPredictionJobs": shown, "nextPageToken": page.next_page_token}


def cancel(control: ControlPlane, asked: Asked) -> Json:
    """`POST batchPredictionJobs/J:cancel`."""
    control.cancel_batch_job(asked.name(_COLLECTION))
    return {}


def resume(control: ControlPlane, asked: Asked) -> Json:
    """`POST batchPredictionJobs/J:resume`: ours."""
    return job_json(control.resume_batch_job(asked.name(_COLLECTION)), plainly=_plainly(asked))


def delete(control: ControlPlane, asked: Asked) -> Operation:
    """`DELETE batchPredictionJobs/J`."""
    return control.delete_batch_job(asked.name(_COLLECTION), api=asked.api)


def _plainly(asked: Asked) -> bool:
    """Say whether it is a class of Google's SDK that asks, not the client below it nor anybody else."""
    return _HIGH_LEVEL in asked.client
