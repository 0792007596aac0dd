"""What a job's document means, and what is refused, by the name of its field."""

import pytest

from tests.unit.control.test_jobs import JOB, JSONL
from trivet.control.job_documents import TOLD, Asked, asked_of, kept, read
from trivet.control.job_places import Place
from trivet.core.batch import BatchPredictionJob, InstanceConfig
from trivet.core.errors import InvalidArgument, Unimplemented
from trivet.core.resources import Name

MODEL = Name.parse(JOB["model"])
BIGQUERY = {"instancesFormat": "bigquery", "bigquerySource": {"inputUri": "bq://p.d.t"}}
FILES = {"instancesFormat": "csv", "gcsSource": {"uris": ["gs://b/a.csv", "gs://b/c/*"]}}


def test_the_least_that_a_job_says():
    assert read(JOB) == Asked(
        display_name="nightly",
        labels={},
        source=Place("jsonl", ("gs://b/in-*.jsonl",)),
        destination=Place("jsonl", ("gs://b/out/",)),
        model=MODEL,
    )


def test_all_that_a_job_may_say():
    document = {
        "displayName": "nightly",
        "labels": {"a": "b"},
        "model": f"{MODEL}@champion",
        "inputConfig": BIGQUERY,
        "outputConfig": {"predictionsFormat": "bigquery", "bigqueryDestination": {"outputUri": "bq://p.d"}},
        "instanceConfig": {"instanceType": "object", "keyField": "id", "excludedFields": ["x"]},
        "modelParameters": {"confidence": 0.5},
        "manualBatchTuningParameters": {"batchSize": 64},
        "dedicatedResources": {"machineSpec": {"machineType": "n1-standard-2"}},
        "trivet": {
            "native": True, "maxErrors": 0, "maxErrorShare": 1, "engine": "ray", "workers": 2, "timeout": 5,
            **dict.fromkeys(TOLD, "told by the server"),
        },
    }  # fmt: skip
    asked = read(document)
    assert asked == Asked(
        display_name="nightly",
        labels={"a": "b"},
        source=Place("bigquery", ("bq://p.d.t",)),
        destination=Place("bigquery", ("bq://p.d",)),
        model=MODEL.at("champion"),
        instances=InstanceConfig("object", "id", (), ("x",)),
        parameters={"confidence": 0.5},
        batch_size=64,
        native=True,
        max_errors=0,
        max_error_share=1.0,
        engine="ray",
        workers=2,
        timeout=5.0,
    )
    stored = kept({**document, "name": "x", "state": "JOB_STATE_FAILED", "endpoint": None})
    assert "labels" not in stored
    assert stored["trivet"]["workers"] == 2
    assert not stored["trivet"].keys() & {*TOLD}
    job = BatchPredictionJob(MODEL, "nightly", None, None, labels={"a": "b"}, document=stored)
    assert asked_of(job) == asked


def test_any_source_and_destination_may_be_named():
    own = {
        "source": {"uris": ["/data/a b.jsonl", "s3://b/x", "file:///c"], "options": {"sql": "SELECT 1"}},
        "destination": {"uri": "duckdb:/data/x.duckdb#out", "options": {"a": 1}},
    }
    formats = {"inputConfig": {"instancesFormat": "jsonl"}, "outputConfig": {"predictionsFormat": "jsonl"}}
    asked = read({**JOB, **formats, "trivet": own})
    assert asked.source == Place("jsonl", tuple(own["source"]["uris"]), {"sql": "SELECT 1"})
    assert asked.destination == Place("jsonl", ("duckdb:/data/x.duckdb#out",), {"a": 1})


def test_other_things_predict():
    unmanaged = {
        **JSONL,
        "displayName": "j",
        "unmanagedContainerModel": {"artifactUri": "/models/m", "predictSchemata": {}},
    }
    asked = read({**unmanaged, "trivet": {"framework": "xgboost"}})
    assert (asked.unmanaged.uri, asked.unmanaged.framework) == ("/models/m", "xgboost")
    assert asked.unmanaged.document == {"artifactUri": "/models/m", "trivet": {"framework": "xgboost"}}
    assert read(unmanaged).unmanaged.framework == ""
    image = {"containerSpec": {"imageUri": "us-docker.pkg.dev/vertex-ai/prediction/xgboost-cpu.2-1:latest"}}
    by_image = read({**unmanaged, "unmanagedContainerModel": {"artifactUri": "gs://b/m", **image}})
    assert by_image.unmanaged.framework == "xgboost"
    for endpoint in ("projects/p/locations/l/endpoints/e", "http://127.0.0.1:8080/v1/models/m"):
        assert read({**JSONL, "displayName": "j", "endpoint": endpoint}).endpoint == endpoint


def without(name):
    return {key: value for key, value in JOB.items() if key != name}


REFUSED = [
    ({"displayName": ""}, "batchPredictionJob.displayName: required"),
    ({"labels": {"A": "b"}}, "batchPredictionJob.labels: key 'A'"),
    ({"model": ""}, "model, endpoint, unmanagedContainerModel: expected exactly one of them; got none"),
    ({"endpoint": "e"}, "expected exactly one of them; got model and endpoint"),
    ({"model": "fraud"}, "model: name 'fraud': expected projects/PROJECT/locations/LOCATION/models/ID"),
    ({"model": "publishers/google/models/gemini"}, "model: name 'publishers/google"),
    ({"model": "", "endpoint": "e"}, "endpoint: name 'e': expected projects/.*, or an http.s. URL"),
    ({"model": "", "endpoint": "http://u:p@h/"}, "endpoint: name"),
    ({"model": "", "unmanagedContainerModel": {"artifactUri": "m"}},
     "unmanagedContainerModel.artifactUri: expected an absolute path or a URI; got 'm'"),
    ({"model": "", "unmanagedContainerModel": {"containerSpec": {}, "x": 1}},
     "unmanagedContainerModel.artifactUri: required"),
    ({"model": "", "unmanagedContainerModel": {"artifactUri": "/m"}, "trivet": {"framework": "xgbost"}},
     "trivet.framework: framework 'xgbost': unknown framework; did you mean 'xgboost'"),
    ({"inputConfig": None}, "inputConfig.instancesFormat: required"),
    ({"inputConfig": []}, "inputConfig: expected an object; got \\[\\]"),
    ({"inputConfig": FILES | {"instancesFormat": "cvs"}},
     "inputConfig.instancesFormat: .*did you mean 'csv'"),
    ({"inputConfig": {"instancesFormat": "csv"}},
     "inputConfig: expected one of gcsSource, bigquerySource and trivet.source; got none"),
    ({"inputConfig": FILES | BIGQUERY}, "got gcsSource and bigquerySource"),
    ({"trivet": {"source": {"uris": ["/a"]}}}, "got gcsSource and trivet.source"),
    ({"inputConfig": FILES | {"gcsSource": {"uris": []}}},
     "inputConfig.gcsSource.uris: expected 1 to 10000 texts; got 0"),
    ({"inputConfig": FILES | {"gcsSource": {"uris": ["/a"]}}},
     "inputConfig.gcsSource.uris: expected gs://BUCKET/OBJECT; trivet.source takes others; got '/a'"),
    ({"inputConfig": FILES | {"gcsSource": {"uris": ["gs://"]}}}, "gcsSource.uris: expected gs://BUCKET"),
    ({"inputConfig": BIGQUERY | {"bigquerySource": {"inputUri": "bq://p.d"}}},
     "inputConfig.bigquerySource.inputUri: expected bq://PROJECT.DATASET.TABLE; got 'bq://p.d'"),
    ({"inputConfig": BIGQUERY | {"instancesFormat": "jsonl"}},
     "inputConfig.instancesFormat: 'jsonl' does not go with bigquerySource"),
    ({"inputConfig": FILES | {"instancesFormat": "bigquery"}}, "'bigquery' does not go with gcsSource"),
    ({"inputConfig": {"instancesFormat": "jsonl"}, "trivet": {"source": {"uris": ["a.jsonl"]}}},
     "trivet.source.uris: expected an absolute path or a URI; got 'a.jsonl'"),
    ({"inputConfig": {"instancesFormat": "jsonl"}, "trivet": {"source": {"uris": []}}},
     "trivet.source.uris: expected 1 to 10000 texts; got 0"),
    ({"inputConfig": {"instancesFormat": "jsonl"}, "trivet": {"source": {"uri": "/a"}}}, "trivet.source: "),
    ({"outputConfig": {"predictionsFormat": "jsnol"}},
     "outputConfig.predictionsFormat: .*did you mean 'jsonl'"),
    ({"outputConfig": {"predictionsFormat": "jsonl", "bigqueryDestination": {"outputUri": "bq://p"}}},
     "outputConfig.predictionsFormat: 'jsonl' does not go with bigqueryDestination"),
    ({"outputConfig": {"predictionsFormat": "jsonl", "gcsDestination": {"outputUriPrefix": "/out"}}},
     "outputConfig.gcsDestination.outputUriPrefix: expected gs://BUCKET/FOLDER"),
    ({"outputConfig": {"predictionsFormat": "bigquery", "bigqueryDestination": {"outputUri": "p.d"}}},
     "outputConfig.bigqueryDestination.outputUri: expected bq://PROJECT.DATASET"),
    ({"instanceConfig": {"instanceType": "dict"}},
     "instanceConfig.instanceType: expected object or array; got 'dict'"),
    ({"instanceConfig": {"includedFields": ["a"], "excludedFields": ["b"]}},
     "includedFields and excludedFields exclude each other"),
    ({"instanceConfig": {"includeFields": ["a"]}},
     "instanceConfig.includeFields: unknown field; did you mean 'includedFields'?"),
    ({"instanceConfig": {"includedFields": "a"}}, "instanceConfig.includedFields: expected a list of texts"),
    ({"instanceConfig": {"includedFields": ["a", "a"]}},
     "instanceConfig.includedFields: a field is named twice"),
    ({"instanceConfig": {"keyField": "a", "includedFields": ["a"]}}, "'a' is the keyField"),
    ({"inputConfig": FILES, "instanceConfig": {"instanceType": "object"}},
     "instanceConfig.instanceType: not for csv"),
    ({"inputConfig": FILES | {"instancesFormat": "file-list"}, "instanceConfig": {"keyField": "a"}},
     "instanceConfig: the files of a file-list have no fields"),
    ({"inputConfig": FILES | {"instancesFormat": "tf-record"}, "instanceConfig": {"instanceType": "array"}},
     "instanceConfig.instanceType: not for tf-record"),
    ({"modelParameters": [1]}, "modelParameters: expected an object; got \\[1\\]"),
    ({"manualBatchTuningParameters": {"batchSize": -1}},
     "manualBatchTuningParameters.batchSize: expected a whole number from 0; got -1"),
    ({"trivet": []}, "trivet: expected an object"),
    ({"trivet": {"maxError": 1}}, "trivet.maxError: unknown field; did you mean 'maxErrors'"),
    ({"trivet": {"maxErrorShare": 1.5}}, "trivet.maxErrorShare: .*<= 1.0; got 1.5"),
    ({"trivet": {"engine": "../x"}}, "trivet.engine: "),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), REFUSED)
def test_what_is_wrong_is_named(change, message):
    with pytest.raises(InvalidArgument, match=message):
        read(JOB | change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"generateExplanation": True}, "generateExplanation: explanations are not made"),
        ({"explanationSpec": {"parameters": {}}}, "explanationSpec: explanations are not made"),
        ({"modelMonitoringConfig": {"objectiveConfigs": [{}]}},
         "modelMonitoringConfig: models are not monitored"),
        ({"inputConfig": FILES | {"vertexMultimodalDatasetSource": {"datasetName": "d"}}},
         "inputConfig.vertexMultimodalDatasetSource: there are no multimodal datasets"),
    ],
)  # fmt: skip
def test_what_is_not_done_is_said(change, message):
    with pytest.raises(Unimplemented, match=message):
        read(JOB | change)


def test_a_rows_type_may_be_chosen_natively():
    document = {**JOB, "inputConfig": FILES, "instanceConfig": {"instanceType": "object"}}
    assert read({**document, "trivet": {"native": True}}).instances.type == "object"


def test_a_container_that_is_not_sound_is_refused():
    model = {"artifactUri": "gs://b/m", "containerSpec": {"imageUri": "My Image"}}
    with pytest.raises(InvalidArgument, match=r"^unmanagedContainerModel.containerSpec.imageUri 'My Image'"):
        read({**without("model"), "unmanagedContainerModel": model})


def test_an_own_container_needs_no_files():
    model = {"containerSpec": {"imageUri": "/apps/echo"}}
    asked = read({**without("model"), "unmanagedContainerModel": model})
    assert (asked.unmanaged.uri, asked.unmanaged.framework) == ("", "container")
