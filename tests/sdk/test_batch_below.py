"""Batch prediction jobs by the client below the SDK's own classes, which can say how instances are made."""

import pytest
from google.api_core import exceptions

from tests.sdk.place import BUCKET, ROWS, lines


def job_below(project, model, source, folder, **more):
    return {
        "display_name": "below",
        "input_config": {"instances_format": "jsonl", "gcs_source": {"uris": [source]}},
        "output_config": {
            "predictions_format": "jsonl",
            "gcs_destination": {"output_uri_prefix": f"gs://{BUCKET}/{folder.name}/out"},
        },
        "dedicated_resources": {"machine_spec": {"machine_type": "n1-standard-2"}, "max_replica_count": 1},
        **({"model": model} if model else {}),
        **more,
    }


@pytest.fixture
def ended(client, project):
    """Return a function that begins a job, and returns it when it has ended."""
    service = client("Job")

    def run(job):
        made = service.create_batch_prediction_job(
            parent=f"projects/{project}/locations/us-central1", batch_prediction_job=job
        )
        assert made.state.name == "JOB_STATE_QUEUED"
        while not made.end_time:
            made = service.get_batch_prediction_job(name=made.name)
        return made

    return run


def test_instances_are_made_as_the_config_says(ended, upload, write, folder, project):
    rows = [{"id": "a", "x": 0.0, "note": "n"}, {"id": "b", "x": 1.0}]
    config = {"instance_type": "array", "key_field": "id", "included_fields": ["x"]}
    model = upload(2).resource_name
    job = ended(job_below(project, model, write(rows), folder, instance_config=config))
    assert job.state.name == "JOB_STATE_SUCCEEDED"
    assert (job.instance_config.instance_type, list(job.instance_config.included_fields)) == ("array", ["x"])
    assert (job.model, job.model_version_id) == (f"{model}@1", "1")
    [results] = folder.glob("out/*/prediction.results-*")
    assert lines(results.read_text()) == [{"key": "a", "prediction": 2.0}, {"key": "b", "prediction": 2.0}]
    assert 0 <= job.resources_consumed.replica_hours < 1


def test_a_model_may_be_in_no_registry(ended, write, folder, project):
    unmanaged = {
        "artifact_uri": f"gs://{BUCKET}/constant-3",
        "container_spec": {"image_uri": "trivet/xgboost"},
    }
    job = ended(job_below(project, "", write(ROWS), folder, unmanaged_container_model=unmanaged))
    assert (job.state.name, job.model) == ("JOB_STATE_SUCCEEDED", "")
    [results] = folder.glob("out/*/prediction.results-*")
    assert [row["prediction"] for row in lines(results.read_text())] == [3.0] * 3


def test_what_is_wrong_is_named_before_any_work(client, upload, write, folder, project):
    service, source, model = client("Job"), write(ROWS), upload(1).resource_name

    def create(**more):
        job = {**job_below(project, model, source, folder), **more}
        service.create_batch_prediction_job(
            parent=f"projects/{project}/locations/us-central1", batch_prediction_job=job
        )

    config = {"included_fields": ["a"], "excluded_fields": ["b"]}
    with pytest.raises(exceptions.BadRequest, match="includedFields and excludedFields exclude each other"):
        create(instance_config=config)
    with pytest.raises(exceptions.BadRequest, match=r"instanceConfig.instanceType: expected object or array"):
        create(instance_config={"instance_type": "dict"})
    with pytest.raises(exceptions.BadRequest, match=r"inputConfig.instancesFormat: .*did you mean 'jsonl'"):
        create(input_config={"instances_format": "jsonnl", "gcs_source": {"uris": [source]}})
    with pytest.raises(
        exceptions.BadRequest, match=r"inputConfig: expected one of gcsSource, bigquerySource"
    ):
        create(input_config={"instances_format": "jsonl"})
    with pytest.raises(exceptions.NotFound, match="models/nothing"):
        create(model=f"projects/{project}/locations/us-central1/models/nothing")
    with pytest.raises(exceptions.BadRequest, match="expected exactly one of them; got none"):
        create(model="")
    with pytest.raises(exceptions.MethodNotImplemented, match="explanationSpec"):
        create(explanation_spec={"parameters": {"top_k": 1}})
    assert not [*service.list_batch_prediction_jobs(parent=f"projects/{project}/locations/us-central1")]
