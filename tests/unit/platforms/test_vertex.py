import json

import pytest

from tests.unit.platforms.wanted import FRAUD, OWN, split, wanted
from trivet.core.containers import ContainerSpec, Probe, Resources
from trivet.core.errors import InvalidArgument
from trivet.platforms.base import Version
from trivet.platforms.vertex import PLATFORM

PARENT = "projects/p/locations/us-central1"


def documents(asked):
    return {path: one for path, (one,) in PLATFORM.bundle(asked).documents.items()}


def upload(asked):
    return next(one for path, one in documents(asked).items() if "upload" in path)


def test_every_request_is_what_googles_client_would_send():
    """By the protobufs of Google's SDK, which know no field that is not there."""
    from google.cloud.aiplatform_v1 import types

    kinds = {"upload": types.UploadModelRequest, "deploy": types.DeployModelRequest}
    for path, one in documents(split(30, 70, gpus=1)).items():
        word = next((word for word in kinds if word in path), "")
        kind = kinds.get(word, types.Endpoint)
        assert kind.from_json(json.dumps(one), ignore_unknown_fields=False)


def test_a_container_is_not_told_what_vertex_tells_it():
    env = upload(wanted(FRAUD, allow_pickle=True, env=(("A", "b"),)))["model"]["containerSpec"]["env"]
    assert [one["name"] for one in env] == ["TRIVET_ARTIFACTS_ALLOW_PICKLE", "A"]


def test_the_split_is_by_ids_that_are_known_beforehand():
    made = documents(split(30, 70))
    assert made["traffic.json"] == {"trafficSplit": {"1001": 70, "1002": 30}}
    first, second = (made[f"{number}-deploy-fraud-{3 - number}.json"] for number in (1, 2))
    assert (first["deployedModel"]["id"], first["trafficSplit"]) == ("1001", {"0": 100})
    assert (second["deployedModel"]["id"], second["trafficSplit"]) == ("1002", {"0": 0, "1001": 100})
    assert first["deployedModel"]["model"] == f"{PARENT}/models/fraud@v2"


def test_the_versions_of_a_model_are_versions_of_one():
    made = documents(split(30, 70))
    assert made["1-upload-fraud-2.json"]["modelId"] == "fraud"
    assert made["2-upload-fraud-1.json"]["parentModel"] == f"{PARENT}/models/fraud"
    assert made["2-upload-fraud-1.json"]["model"]["versionAliases"] == ["v1"]


def test_what_a_container_says_of_itself_is_said():
    spec = ContainerSpec(
        image="r.io/p/chat:1",
        command=("/start",),
        args=("-x",),
        ports=(9000,),
        predict_route="",
        invoke_prefix="/",
        health=Probe(path="/ready", period=20),
        resources=Resources(shared_memory=1 << 30),
        start_timeout=90,
    )
    said = upload(wanted(Version("chat", container=spec)))["model"]["containerSpec"]
    assert said["invokeRoutePrefix"] == "/*"
    assert "predictRoute" not in said
    assert (said["command"], said["args"], said["ports"]) == (["/start"], ["-x"], [{"containerPort": 9000}])
    assert (said["sharedMemorySizeMb"], said["deploymentTimeout"]) == ("1024", "90s")
    assert said["healthProbe"]["httpGet"] == {"path": "/ready", "port": 9000}
    assert "startupProbe" not in said


def test_files_of_a_storage_are_the_artifact(tmp_path):
    asked = wanted(Version("echo", container=OWN.container, files=tmp_path), storage="gs://bucket/x")
    assert upload(asked)["model"]["artifactUri"] == "gs://bucket/x/echo-1"


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"project": ""}, "--gcp-project"),
        ({"least": 0}, "--min 0"),
        ({"public": True}, "--public"),
        ({"storage": "s3://bucket/x"}, "--storage s3"),
    ],
)
def test_what_vertex_refuses_is_refused_here(more, named):
    with pytest.raises(InvalidArgument, match=named):
        PLATFORM.bundle(wanted(**more))


def test_an_application_is_told_of_files_in_a_bucket_alone(tmp_path):
    with pytest.raises(InvalidArgument, match="--storage: required for echo@1"):
        PLATFORM.bundle(wanted(Version("echo", container=OWN.container, files=tmp_path)))
