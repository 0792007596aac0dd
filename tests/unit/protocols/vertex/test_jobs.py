import asyncio
import json
from datetime import timedelta

import pytest

from tests.unit.protocols.vertex.calls import PARENT
from trivet.core.batch import Counts, RowFailure, Shard
from trivet.core.errors import FailedPrecondition
from trivet.core.resources import Name
from trivet.jobs.ledger import Ledger, News
from trivet.jobs.work import Prepared
from trivet.protocols.vertex import jobs

BODY = {
    "displayName": "j",
    "model": f"{PARENT}/models/m",
    "inputConfig": {"instancesFormat": "jsonl", "gcsSource": {"uris": ["gs://b/in"]}},
    "outputConfig": {"predictionsFormat": "jsonl", "gcsDestination": {"outputUriPrefix": "gs://b/out"}},
}
SDK = {"x-goog-api-client": "model-builder/2.7.0+top_google_constructor_method+x gapic/2.7.0"}
BELOW = {"x-goog-api-client": "gl-python/3.11 grpc/1.60 gapic/2.7.0"}
FAILURE = RowFailure("gs://b/in", 7, 3, "no field 'a'")


@pytest.fixture
async def job(calls):
    """A job `j`, as the SDK asks for one, and its model."""
    await calls.upload()
    return await calls.ok("POST", "batchPredictionJobs", BODY, "batchPredictionJobId=j")


def claimed(calls):
    ledger = Ledger(calls.server.catalog, Name.parse(f"{PARENT}/batchPredictionJobs/j"), "runner")
    ledger.claim()
    return ledger


async def got(calls, headers, path="/j"):
    reply = await calls.reply("GET", f"/v1/{PARENT}/batchPredictionJobs{path}", **headers)
    return json.loads(reply.body)


async def test_a_job_is_answered_at_once(calls, job):
    assert job == {
        **BODY,
        "name": f"{PARENT}/batchPredictionJobs/j",
        "model": f"{PARENT}/models/m@1",
        "modelVersionId": "1",
        "labels": {},
        "state": "JOB_STATE_QUEUED",
        "createTime": job["createTime"],
        "updateTime": job["updateTime"],
        "trivet": {"outputName": job["trivet"]["outputName"]},
    }
    assert await calls.ok("POST", "batchPredictionJobs", BODY, "batchPredictionJobId=j") == job
    assert (await calls.ok("GET", "batchPredictionJobs/j", api="v1beta1")) == job
    listed = await calls.ok("GET", "batchPredictionJobs", query='filter=display_name="j"')
    assert listed == {"batchPredictionJobs": [job], "nextPageToken": ""}
    other = await calls.error(
        "POST", "batchPredictionJobs", BODY | {"displayName": "k"}, "batchPredictionJobId=j"
    )
    assert other[0] == "ALREADY_EXISTS"


async def test_numbers_and_names_are_taken_as_clients_send_them(calls, job):
    body = {
        "display_name": "k",
        "model": BODY["model"],
        "input_config": {"instances_format": "jsonl", "gcs_source": {"uris": ["gs://b/in"]}},
        "output_config": {"predictions_format": "jsonl", "gcs_destination": {"output_uri_prefix": "gs://b/o"}},
        "instance_config": {"included_fields": ["a"]},
        "manual_batch_tuning_parameters": {"batch_size": 16.0},
        "dedicated_resources": {
            "machine_spec": {"machine_type": "n1-standard-4", "accelerator_type": 5},
            "starting_replica_count": "1",
        },
        "model_parameters": None,
    }  # fmt: skip
    made = await calls.ok("POST", "batchPredictionJobs", body, api="v1beta1")
    assert made["instanceConfig"] == {"includedFields": ["a"]}
    assert made["manualBatchTuningParameters"] == {"batchSize": 16}
    assert made["dedicatedResources"]["machineSpec"]["acceleratorType"] == "NVIDIA_TESLA_T4"
    error = await calls.error(
        "POST", "batchPredictionJobs", BODY | {"inputConfig": {"gcsSource": {"uris": 1}}}
    )
    assert error == ("INVALID_ARGUMENT", "inputConfig.gcsSource.uris: expected a list; got 1")
    error = await calls.error("POST", "batchPredictionJobs", BODY | {"generateExplanation": True})
    assert error[0] == "UNIMPLEMENTED"
    monitored = BODY | {"modelMonitoringConfig": {"objectiveConfigs": [{}]}}
    error = await calls.error("POST", "batchPredictionJobs", monitored, api="v1beta1")
    assert error == (
        "UNIMPLEMENTED",
        "modelMonitoringConfig: models are not monitored by batch prediction jobs here; leave it out",
    )


async def test_a_job_tells_how_far_it_is(calls, job):
    ledger = claimed(calls)
    ledger.plan([Shard(0, "gs://b/in", 0, 9, 0, 9)], Prepared(("arrays for names",), "[1.0]"))
    ledger.beat(News(Counts(5, 3, 1), (4, 9), (FAILURE,), 1800.0))
    told = await calls.ok("GET", "batchPredictionJobs/j")
    assert told["state"] == "JOB_STATE_RUNNING"
    assert told["startTime"]
    assert "endTime" not in told
    assert told["completionStats"] == {"successfulCount": "3", "failedCount": "1", "incompleteCount": "-1"}
    assert told["partialFailures"] == [{"code": 3, "message": "gs://b/in, record 7: no field 'a'"}]
    assert told["resourcesConsumed"] == {"replicaHours": 0.5}
    assert told["trivet"] == {
        "outputName": job["trivet"]["outputName"],
        "attempt": 1,
        "warnings": ["arrays for names"],
        "firstInstance": "[1.0]",
        "progress": {"done": 4, "total": 9},
    }
    copied = await calls.ok("POST", "batchPredictionJobs", told)
    assert (copied["state"], copied["trivet"].keys()) == ("JOB_STATE_QUEUED", {"outputName"})


async def test_a_partial_success_is_told_to_the_sdks_classes_as_one(calls, job):
    ended = {"output": {"gcsOutputDirectory": "gs://b/out/prediction-m"}}
    claimed(calls).end("PARTIALLY_SUCCEEDED", News(Counts(3, 2, 1), failures=(FAILURE,)), **ended)
    for headers, state in (({}, "PARTIALLY_SUCCEEDED"), (BELOW, "PARTIALLY_SUCCEEDED"), (SDK, "SUCCEEDED")):
        told = await got(calls, headers)
        assert told["state"] == f"JOB_STATE_{state}"
        assert told["completionStats"] == {"successfulCount": "2", "failedCount": "1"}
        assert told["outputInfo"] == {"gcsOutputDirectory": "gs://b/out/prediction-m"}
        assert (len(told["partialFailures"]), "error" in told) == (1, False)
        listed = await got(calls, headers, "")
        assert [one["state"] for one in listed["batchPredictionJobs"]] == [f"JOB_STATE_{state}"]


async def test_a_failure_says_why(calls, job):
    claimed(calls).end("FAILED", error=FailedPrecondition("no disk"))
    told = await calls.ok("GET", "batchPredictionJobs/j")
    assert (told["state"], told["error"]) == ("JOB_STATE_FAILED", {"code": 9, "message": "no disk"})
    resumed = await calls.ok("POST", "batchPredictionJobs/j:resume")
    assert (resumed["state"], "error" in resumed, "endTime" in resumed) == ("JOB_STATE_QUEUED", False, False)


async def test_the_sdk_hears_at_once_that_a_job_has_ended(calls, job, monkeypatch):
    monkeypatch.setattr(jobs, "HOLDS", 60.0)
    ledger = claimed(calls)
    assert (await got(calls, BELOW))["state"] == "JOB_STATE_RUNNING"
    calls.held.clear()
    asked = asyncio.create_task(got(calls, SDK))
    async with asyncio.timeout(30):
        while not calls.held:  # noqa: ASYNC110 - it looks, and then waits
            await asyncio.sleep(0)
    assert max(calls.held) <= 0.1  # seconds between two looks: nobody tells
    ledger.end("SUCCEEDED")
    async with asyncio.timeout(30):
        assert (await asked)["state"] == "JOB_STATE_SUCCEEDED"


@pytest.mark.parametrize(("new_for", "held"), [(3600, "HOLDS"), (0, "HOLDS_LATER")])
async def test_the_sdk_is_not_held_for_long(calls, job, monkeypatch, new_for, held):
    for name in ("HOLDS", "HOLDS_LATER"):
        monkeypatch.setattr(jobs, name, 0.05 if name == held else 60.0)
    monkeypatch.setattr(jobs, "_NEW_FOR", timedelta(seconds=new_for))
    ledger = claimed(calls)
    ledger.beat(News(Counts(1, 1, 0)))
    told = await got(calls, SDK)
    assert (told["state"], told["completionStats"]["successfulCount"]) == ("JOB_STATE_RUNNING", "1")


async def test_a_job_is_cancelled_and_deleted(calls, job):
    early = await calls.error("DELETE", "batchPredictionJobs/j")
    assert early[0] == "FAILED_PRECONDITION"
    assert "cancel it first" in early[1]
    assert await calls.ok("POST", "batchPredictionJobs/j:cancel", {}) == {}
    assert (await calls.ok("GET", "batchPredictionJobs/j"))["state"] == "JOB_STATE_CANCELLED"
    assert await calls.ok("POST", "batchPredictionJobs/j:cancel", {}) == {}
    response = await calls.done(await calls.ok("DELETE", "batchPredictionJobs/j"))
    assert response == {"@type": "type.googleapis.com/google.protobuf.Empty"}
    for method, path in (("GET", "j"), ("DELETE", "j"), ("POST", "j:cancel"), ("POST", "j:resume")):
        assert (await calls.error(method, f"batchPredictionJobs/{path}"))[0] == "NOT_FOUND"
