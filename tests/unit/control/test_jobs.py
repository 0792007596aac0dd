"""Batch prediction jobs: created once, cancelled, resumed, deleted; and who may have one."""

import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.unit.control.conftest import ALL, FRAUD, HERE
from trivet.control.plane import ControlPlane
from trivet.core.batch import HEARD_WITHIN, Counts, Shard, ShardResult
from trivet.core.errors import Aborted, AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from trivet.core.resources import Query
from trivet.jobs.ledger import Ledger, News
from trivet.jobs.work import Prepared

JSONL = {
    "inputConfig": {"instancesFormat": "jsonl", "gcsSource": {"uris": ["gs://b/in-*.jsonl"]}},
    "outputConfig": {"predictionsFormat": "jsonl", "gcsDestination": {"outputUriPrefix": "gs://b/out/"}},
}
JOB = {"displayName": "nightly", "model": str(FRAUD), **JSONL}


@pytest.fixture
def fraud(server):
    server.upload("fraud")
    return server


def begin(server, owner="runner"):
    """Claim the oldest job that nobody has."""
    ledger = Ledger(server.catalog, server.plane.waiting_batch_jobs()[0], owner)
    ledger.claim()
    return ledger


def fail(server, **more):
    """Run a job until it fails, with one of its two shards done."""
    ledger = begin(server)
    ledger.plan([Shard(0, "u"), Shard(1, "u")], Prepared())
    ledger.done(ShardResult(0, Counts(2, 2, 0)))
    return ledger.end("FAILED", News(Counts(2, 2, 0)), error=FailedPrecondition("no disk"), **more)


def test_a_job_waits_with_its_model_pinned(fraud):
    before = datetime.now(UTC)
    job = fraud.plane.create_batch_job(HERE, {**JOB, "labels": {"a": "b"}, "trivet": {"native": True}})
    fraud.upload("fraud")
    fraud.plane.merge_aliases(FRAUD.at("2"), ["default"])
    assert job == fraud.plane.batch_job(job.name)
    assert re.fullmatch(r"\d{19}", job.name.id)
    assert (job.state, job.model, job.model_display_name) == ("QUEUED", f"{FRAUD}@1", "fraud model")
    assert (job.labels, job.document["model"]) == ({"a": "b"}, str(FRAUD))
    assert job.document == {**JSONL, "model": str(FRAUD), "trivet": {"native": True}}
    assert job.created >= before
    assert job.output_name == (
        f"prediction-fraud_model-{job.created:%Y_%m_%dT%H_%M_%S}_{job.created.microsecond // 1000:03d}Z"
    )
    assert fraud.plane.waiting_batch_jobs() == [job.name]
    assert fraud.plane.batch_jobs(HERE, ALL).items == [job]
    assert fraud.plane.batch_jobs(HERE, Query('state="JOB_STATE_RUNNING"')).items == []


def test_outputs_have_names_of_their_own(fraud):
    names = [fraud.plane.create_batch_job(HERE, JOB).output_name for _ in range(5)]
    assert len({*names}) == 5
    odd = fraud.upload("odd", displayName="../a/ b\u00e9*")
    job = fraud.plane.create_batch_job(HERE, {**JOB, "model": str(odd.name)})
    assert job.output_name.startswith("prediction-a_b\u00e9-2")


def test_the_same_id_is_the_same_job(fraud):
    first = fraud.plane.create_batch_job(HERE, JOB, job_id="nightly-1")
    assert first.name.id == "nightly-1"
    assert fraud.plane.create_batch_job(HERE, JOB, job_id="nightly-1") == first
    fraud.plane.cancel_batch_job(first.name)
    again = fraud.plane.create_batch_job(HERE, {**JOB, "state": "x", "trivet": None}, job_id="nightly-1")
    assert again.state == "CANCELLED"
    for change in ({"displayName": "x"}, {"labels": {"a": "b"}}, {"modelParameters": {"a": 1}}):
        with pytest.raises(AlreadyExists, match=r"batchPredictionJobs/nightly-1 exists, and is another job"):
            fraud.plane.create_batch_job(HERE, JOB | change, job_id="nightly-1")
    with pytest.raises(InvalidArgument, match="batchPredictionJobId 'A': expected 1 to 63 of a-z 0-9"):
        fraud.plane.create_batch_job(HERE, JOB, job_id="A")
    assert len(fraud.plane.batch_jobs(HERE, ALL).items) == 1


def test_what_predicts_must_be_there(server):
    for name in (f"{FRAUD}", f"{FRAUD}@champion"):
        with pytest.raises(NotFound, match="fraud"):
            server.plane.create_batch_job(HERE, {**JOB, "model": name})
    endpoint = HERE.child("endpoints", "e")
    by_endpoint = {**JSONL, "displayName": "j", "endpoint": str(endpoint)}
    with pytest.raises(NotFound, match="endpoints/e"):
        server.plane.create_batch_job(HERE, by_endpoint)
    server.endpoint("e")
    job = server.plane.create_batch_job(HERE, by_endpoint)
    assert (job.model, job.model_display_name) == ("", "scoring")
    by_url = {**by_endpoint, "endpoint": "https://models.example:8443/v1/x"}
    assert server.plane.create_batch_job(HERE, by_url).output_name.startswith("prediction-models.example-")
    unmanaged = {"unmanagedContainerModel": {"artifactUri": "gs://b/churn/"}, **JSONL, "displayName": "j"}
    assert server.plane.create_batch_job(HERE, unmanaged).output_name.startswith("prediction-churn-")
    assert server.plane.batch_jobs(HERE, ALL).items


def test_a_job_that_nobody_has_begun_is_cancelled_at_once(fraud):
    job = fraud.plane.create_batch_job(HERE, JOB)
    cancelled = fraud.plane.cancel_batch_job(job.name)
    assert (cancelled.state, cancelled.ended is None) == ("CANCELLED", False)
    assert fraud.plane.cancel_batch_job(job.name) == cancelled
    assert fraud.plane.waiting_batch_jobs() == []
    with pytest.raises(FailedPrecondition, match="has ended: it is CANCELLED"):
        Ledger(fraud.catalog, job.name, "late").claim()


def test_a_job_that_is_being_run_is_cancelled_by_its_runner(fraud):
    job = fraud.plane.create_batch_job(HERE, JOB)
    ledger = begin(fraud)
    assert fraud.plane.waiting_batch_jobs() == []
    nudges = fraud.nudges
    assert fraud.plane.cancel_batch_job(job.name).state == "CANCELLING"
    assert fraud.nudges == nudges + 1
    assert ledger.beat() == "CANCELLING"
    ledger.end("CANCELLED")
    assert fraud.plane.batch_job(job.name).state == "CANCELLED"


def test_a_job_that_was_left_waits_again_also_to_be_cleaned_up(fraud):
    job = fraud.plane.create_batch_job(HERE, JOB)
    begin(fraud)
    fraud.clock.later(HEARD_WITHIN + 1)
    assert fraud.plane.waiting_batch_jobs() == [job.name]
    fraud.plane.cancel_batch_job(job.name)
    assert fraud.plane.waiting_batch_jobs() == [job.name]
    begin(fraud, "another").end("CANCELLED")
    assert fraud.plane.waiting_batch_jobs() == []


def test_an_owner_is_left_alone_with_its_job(fraud):
    job = fraud.plane.create_batch_job(HERE, JOB, owner="cli")
    assert fraud.plane.waiting_batch_jobs() == []
    with pytest.raises(Aborted, match="is being run by cli"):
        Ledger(fraud.catalog, job.name, "server").claim()
    assert fraud.plane.cancel_batch_job(job.name).state == "CANCELLING"  # it may have begun already
    fraud.clock.later(HEARD_WITHIN + 1)
    assert fraud.plane.waiting_batch_jobs() == [job.name]


def test_a_failed_job_is_resumed_with_what_is_done(fraud):
    job = fraud.plane.create_batch_job(HERE, JOB)
    failed = fail(fraud)
    assert (failed.failure.code, failed.failure.message) == (9, "no disk")
    resumed = fraud.plane.resume_batch_job(job.name)
    assert (resumed.state, resumed.failure, resumed.ended) == ("QUEUED", None, None)
    assert fraud.plane.resume_batch_job(job.name).state == "QUEUED"  # nobody has it, so nothing changes
    ledger = begin(fraud)
    assert [result is not None for _, result in ledger.shards()] == [True, False]
    assert ledger.job().attempt == 2
    with pytest.raises(FailedPrecondition, match="is RUNNING: it is being run"):
        fraud.plane.resume_batch_job(job.name)
    ended = ledger.end("SUCCEEDED", output={"gcsOutputDirectory": "gs://b/out/x"})
    with pytest.raises(FailedPrecondition, match="is SUCCEEDED: only a job that failed can be resumed"):
        fraud.plane.resume_batch_job(ended.name)


def test_a_resumed_job_is_cancelled_by_a_runner_who_cleans_up(fraud):
    job = fraud.plane.create_batch_job(HERE, JOB)
    fail(fraud)
    fraud.plane.resume_batch_job(job.name)
    assert fraud.plane.cancel_batch_job(job.name).state == "CANCELLING"
    assert fraud.plane.waiting_batch_jobs() == [job.name]


def test_a_job_whose_every_row_failed_is_not_resumed(fraud):
    job = fraud.plane.create_batch_job(HERE, JOB)
    fail(fraud, output={"gcsOutputDirectory": "gs://b/out/x"})
    with pytest.raises(FailedPrecondition, match="every row failed; correct what is wrong"):
        fraud.plane.resume_batch_job(job.name)


def test_a_model_is_not_deleted_under_a_job(fraud):
    fraud.upload("fraud", versionAliases=["default"])
    job = fraud.plane.create_batch_job(HERE, {**JOB, "model": f"{FRAUD}@1"})
    for call, name in ((fraud.plane.delete_model, FRAUD), (fraud.plane.delete_version, FRAUD.at("1"))):
        with pytest.raises(FailedPrecondition, match=f"used by batch prediction jobs .*{job.name}"):
            call(name)
    fail(fraud)
    fraud.plane.delete_version(FRAUD.at("1"))
    with pytest.raises(NotFound, match="fraud"):
        fraud.plane.resume_batch_job(job.name)


def test_a_job_that_has_ended_is_deleted(fraud):
    job = fraud.plane.create_batch_job(HERE, JOB)
    with pytest.raises(FailedPrecondition, match="is QUEUED: cancel it first"):
        fraud.plane.delete_batch_job(job.name)
    fraud.plane.cancel_batch_job(job.name)
    operation = fraud.plane.delete_batch_job(job.name, api="v1beta1")
    assert (operation.kind, operation.api) == ("deleteBatchPredictionJob", "v1beta1")
    assert fraud.done(operation) == {}
    with pytest.raises(NotFound):
        fraud.plane.batch_job(job.name)
    with pytest.raises(NotFound):
        fraud.plane.delete_batch_job(job.name)


@pytest.fixture
def discarding(fraud):
    """The same, with somebody who removes what jobs leave; it fails once with each of `fraud.trouble`."""
    fraud.discarded, fraud.trouble = [], []

    def discard(job):
        if fraud.trouble:
            raise fraud.trouble.pop()
        fraud.discarded.append(job)

    fraud.plane = ControlPlane(fraud.catalog, fraud.store, fraud.settings, fraud._nudge, discard)
    return fraud


def test_what_a_job_has_left_goes_with_it(discarding):
    job = discarding.plane.create_batch_job(HERE, JOB)
    failed = fail(discarding)
    operations = [discarding.plane.delete_batch_job(job.name) for _ in range(2)]
    assert not any(one.done for one in operations)
    assert discarding.plane.batch_job(job.name) == failed
    discarding.settle()
    assert [discarding.done(one) for one in operations] == [{}, {}]
    assert discarding.discarded == [failed]
    assert discarding.plane.batch_jobs(HERE, ALL).items == []


def test_a_job_stays_where_what_it_has_left_cannot_be_removed(discarding):
    job = discarding.plane.create_batch_job(HERE, JOB)
    fail(discarding)
    discarding.trouble.append(FailedPrecondition("the bucket is gone"))
    operation = discarding.plane.delete_batch_job(job.name)
    discarding.settle()
    assert discarding.failed(operation).message == "the bucket is gone"
    assert discarding.plane.batch_job(job.name).state == "FAILED"
    again = discarding.plane.delete_batch_job(job.name)
    discarding.settle()
    assert discarding.done(again) == {}


def test_a_job_that_is_resumed_meanwhile_is_not_deleted(discarding):
    job = discarding.plane.create_batch_job(HERE, JOB)
    fail(discarding)
    operation = discarding.plane.delete_batch_job(job.name)
    discarding.plane.resume_batch_job(job.name)
    discarding.settle()
    assert "is QUEUED: cancel it first" in discarding.failed(operation).message
    assert discarding.discarded == []
    assert replace(discarding.plane.batch_job(job.name), document={}).state == "QUEUED"
