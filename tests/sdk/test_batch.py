"""Batch prediction jobs by Google's SDK: begun, waited for, read, cancelled and deleted."""

import json
import uuid
from contextlib import suppress

import pytest
from google.api_core import exceptions

from tests.sdk.place import BUCKET, ROWS, STAGING, lines

SLOW = """
import time

class Predictor:
    def predict(self, instances):
        time.sleep(sum(instances))
        return instances
"""


@pytest.fixture
def stage(place):
    """Return the bucket of the object store, and a folder in it that nobody else has."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    client = storage.Client(project="p", credentials=AnonymousCredentials())
    return client.bucket(STAGING), f"batch-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def slow(aiplatform, folder):
    """A model that takes as many seconds as its instances say."""
    (folder / "slow").mkdir()
    (folder / "slow" / "predictor.py").write_text(SLOW)
    return aiplatform.Model.upload(
        display_name="slow",
        artifact_uri=f"gs://{BUCKET}/{folder.name}/slow",
        serving_container_image_uri="trivet",
    )


def outputs(job):
    """Return what a job has written, by the names of its files, without the numbers of shards."""
    blobs = {blob.name.rpartition("/")[2]: blob.download_as_text() for blob in job.iter_outputs()}
    return {name.partition("-")[0]: lines(text) for name, text in blobs.items()}


def stats(job):
    told = job.completion_stats
    return told.successful_count, told.failed_count, told.incomplete_count


def test_a_job_from_rows_to_results(aiplatform, upload, stage, project):
    bucket, name = stage
    for number, row in enumerate(ROWS):
        bucket.blob(f"{name}/in-{number}.jsonl").upload_from_string(json.dumps(row) + "\n")
    model = upload(2)
    job = model.batch_predict(
        job_display_name="nightly",
        gcs_source=f"gs://{STAGING}/{name}/in-*.jsonl",
        gcs_destination_prefix=f"gs://{STAGING}/{name}/out/",
        instances_format="jsonl",
        predictions_format="jsonl",
        machine_type="n1-standard-2",
        starting_replica_count=1,
        max_replica_count=2,
        batch_size=16,
        labels={"team": "a"},
    )
    assert job.resource_name.startswith(f"projects/{project}/locations/us-central1/batchPredictionJobs/")
    assert (job.state.name, job.done()) == ("JOB_STATE_SUCCEEDED", True)
    assert (job.display_name, job.labels) == ("nightly", {"team": "a"})
    assert (job.partial_failures, job.error.message) == ([], "")
    assert job.create_time <= job.start_time <= job.end_time
    assert stats(job) == (3, 0, 0)
    directory = job.output_info.gcs_output_directory
    assert directory.startswith(f"gs://{STAGING}/{name}/out/prediction-model-2")
    found = outputs(job)
    assert found.pop("prediction.errors_stats") == []
    results = [blob.download_as_text() for blob in job.iter_outputs() if "results" in blob.name]
    rows = [row for text in results for row in lines(text)]
    assert sorted(rows, key=lambda row: row["instance"]) == [{"instance": r, "prediction": 2.0} for r in ROWS]
    asked = aiplatform.BatchPredictionJob(job.name).gca_resource
    assert asked.dedicated_resources.machine_spec.machine_type == "n1-standard-2"
    assert asked.manual_batch_tuning_parameters.batch_size == 16
    assert asked.model == f"{model.resource_name}@1"
    job.delete()
    with pytest.raises(exceptions.NotFound, match=job.name):
        aiplatform.BatchPredictionJob(job.name)
    assert [blob.name for blob in bucket.list_blobs(prefix=f"{name}/out/prediction-")]


def test_a_job_in_a_bucket_that_is_a_folder(upload, write, folder):
    job = upload(1).batch_predict(
        job_display_name="j",
        gcs_source=[write(ROWS[:2], "a.jsonl"), write(ROWS[2:], "b.jsonl")],
        gcs_destination_prefix=f"gs://{BUCKET}/{folder.name}/out",
        sync=False,
    )
    job.wait()
    assert job.state.name == "JOB_STATE_SUCCEEDED"
    [made] = (folder / "out").iterdir()
    assert job.output_info.gcs_output_directory == f"gs://{BUCKET}/{folder.name}/out/{made.name}"
    files = {file.name: lines(file.read_text()) for file in made.iterdir()}
    assert files == {
        "prediction.results-00000-of-00002": [{"instance": row, "prediction": 1.0} for row in ROWS[:2]],
        "prediction.results-00001-of-00002": [{"instance": [2.0], "prediction": 1.0}],
        "prediction.errors_stats-00000-of-00001": [],
    }


def test_a_job_of_csv_is_as_google_has_it(upload, folder):
    (folder / "in.csv").write_text("a\r\n0\r\n1.5\r\n")
    job = upload(3).batch_predict(
        job_display_name="j",
        gcs_source=f"gs://{BUCKET}/{folder.name}/in.csv",
        gcs_destination_prefix=f"gs://{BUCKET}/{folder.name}/out",
        instances_format="csv",
    )
    [results] = folder.glob("out/*/prediction.results-*")
    assert results.read_text() == (
        '{"instance":[0.0],"prediction":3.0}\n{"instance":[1.5],"prediction":3.0}\n'
    )
    assert stats(job) == (2, 0, 0)


def test_a_job_from_table_to_table(aiplatform, upload, project):
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import bigquery

    tables = bigquery.Client(project=project, credentials=AnonymousCredentials())
    tables.create_dataset("d")
    tables.create_table(bigquery.Table(f"{project}.d.t", [bigquery.SchemaField("a", "FLOAT")]))
    assert tables.insert_rows_json(f"{project}.d.t", [{"a": number} for number in range(3)]) == []
    job = upload(2).batch_predict(
        job_display_name="j",
        bigquery_source=f"bq://{project}.d.t",
        bigquery_destination_prefix=f"bq://{project}.d",
        instances_format="bigquery",
        predictions_format="bigquery",
    )
    assert (job.state.name, stats(job)) == ("JOB_STATE_SUCCEEDED", (3, 0, 0))
    assert job.output_info.bigquery_output_dataset == f"bq://{project}.d"
    assert job.output_info.bigquery_output_table.startswith("predictions_2")
    rows = sorted((row["a"], row["prediction"]) for row in job.iter_outputs())
    assert rows == [(0.0, "2.0"), (1.0, "2.0"), (2.0, "2.0")]


def test_rows_that_fail_are_told_and_the_sdk_does_not_wait_for_ever(upload, stage, client):
    bucket, name = stage
    bucket.blob(f"{name}/in.jsonl").upload_from_string('[0.0]\n["x"]\n[1.0]\nnonsense\n')
    job = upload(1).batch_predict(
        job_display_name="j",
        gcs_source=f"gs://{STAGING}/{name}/in.jsonl",
        gcs_destination_prefix=f"gs://{STAGING}/{name}/out",
    )
    assert job.state.name == "JOB_STATE_SUCCEEDED"
    assert stats(job) == (2, 2, 0)
    assert [one.code for one in job.partial_failures] == [3, 3]
    assert "in.jsonl, record 1: " in job.partial_failures[0].message
    found = outputs(job)
    assert [row["instance"] for row in found["prediction.results"]] == [[0.0], [1.0]]
    assert [row["instance"] for row in found["prediction.errors_stats"]] == [["x"], "nonsense"]
    assert {row["error"]["code"] for row in found["prediction.errors_stats"]} == {3}
    below = client("Job").get_batch_prediction_job(name=job.resource_name)
    assert below.state.name == "JOB_STATE_PARTIALLY_SUCCEEDED"


def test_a_job_whose_input_is_missing_fails(upload, folder):
    model = upload(1)
    given = {
        "job_display_name": "j",
        "gcs_source": f"gs://{BUCKET}/{folder.name}/nothing.jsonl",
        "gcs_destination_prefix": f"gs://{BUCKET}/{folder.name}/out",
    }
    with pytest.raises(RuntimeError, match=r"nothing\.jsonl"):
        model.batch_predict(**given)
    assert not (folder / "out").exists() or not [*(folder / "out").iterdir()]


def test_a_job_whose_every_row_fails_fails_and_tells_of_each(aiplatform, upload, write, folder):
    model, source = upload(1), write(["x", "y"])
    with pytest.raises(RuntimeError, match="all 2 rows failed"):
        model.batch_predict(
            job_display_name="bad",
            gcs_source=source,
            gcs_destination_prefix=f"gs://{BUCKET}/{folder.name}/out",
        )
    [job] = aiplatform.BatchPredictionJob.list(filter='display_name="bad"')
    assert (job.state.name, job.done(), stats(job)) == ("JOB_STATE_FAILED", True, (0, 2, 0))
    assert job.error.code == 3
    [errors] = folder.glob("out/*/prediction.errors_stats-*")
    assert [row["instance"] for row in lines(errors.read_text())] == ["x", "y"]


def test_a_job_that_runs_is_cancelled(aiplatform, slow, write, folder):
    job = aiplatform.BatchPredictionJob.submit(
        job_display_name="slow",
        model_name=slow.resource_name,
        gcs_source=write([0.0] * 10 + [60.0] * 10),
        gcs_destination_prefix=f"gs://{BUCKET}/{folder.name}/out",
    )
    with pytest.raises(exceptions.BadRequest, match="cancel it first"):
        job.delete()
    with pytest.raises(exceptions.BadRequest, match="used by batch prediction jobs"):
        slow.delete()
    while job.state.name == "JOB_STATE_QUEUED":
        pass  # each look is held for a while
    job.cancel()
    assert job.state.name in ("JOB_STATE_CANCELLED", "JOB_STATE_CANCELLING")
    with suppress(RuntimeError):  # which it is, where it had not ended
        job._block_until_complete()
    assert job.state.name == "JOB_STATE_CANCELLED"
    assert not (folder / "out").exists() or not [*(folder / "out").iterdir()]
    job.cancel()
    job.delete()


def test_jobs_are_listed(aiplatform, upload, write, folder):
    model, source = upload(1), write(ROWS)
    jobs = [
        model.batch_predict(
            job_display_name=name,
            gcs_source=source,
            gcs_destination_prefix=f"gs://{BUCKET}/{folder.name}/{name}",
            labels={"name": name},
            sync=False,
        )
        for name in ("a", "b")
    ]
    for job in jobs:
        job.wait()

    def found(filter_, order=None):
        return [one.display_name for one in aiplatform.BatchPredictionJob.list(filter_, order)]

    assert sorted(found(None)) == ["a", "b"]
    assert found(None, "display_name desc") == ["b", "a"]
    assert found('display_name="a"') == ["a"]
    assert found("labels.name=b") == ["b"]
    assert sorted(found('state="JOB_STATE_SUCCEEDED"')) == ["a", "b"]
    assert found('state="JOB_STATE_FAILED"') == []


def test_what_is_not_done_is_refused(upload, write, folder):
    model, source = upload(1), write(ROWS)
    given = {
        "job_display_name": "j",
        "gcs_source": source,
        "gcs_destination_prefix": f"gs://{BUCKET}/{folder.name}/out",
    }
    with pytest.raises(
        exceptions.MethodNotImplemented, match="generateExplanation: explanations are not made"
    ):
        model.batch_predict(**given, generate_explanation=True)
    with pytest.raises(exceptions.BadRequest, match="'bigquery' does not go with gcsSource"):
        model.batch_predict(**{**given, "instances_format": "bigquery"})
