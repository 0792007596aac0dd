from datetime import datetime

import pytest

from tests.unit.protocols.vertex.calls import PARENT
from trivet.core.resources import Name

WHOLE = {
    "displayName": "m1",
    "description": "d",
    "predictSchemata": {"instanceSchemaUri": "gs://b/i.yaml"},
    "containerSpec": {
        "command": ["python"],
        "args": ["-m", "x"],
        "env": [{"name": "A", "value": "1"}],
        "ports": [{"containerPort": 8080}],
        "grpcPorts": [{"containerPort": 8500}],
        "predictRoute": "/predict",
        "healthRoute": "/health",
        "deploymentTimeout": "600s",
        "sharedMemorySizeMb": "128",
        "startupProbe": {"exec": {"command": ["ls"]}, "periodSeconds": 5},
    },
    "labels": {"team": "a"},
    "versionAliases": ["default", "prod"],
    "versionDescription": "vd",
}


async def test_an_upload_is_an_operation_and_then_a_model(calls):
    artifact = {"artifactUri": str(calls.server.artifact())}
    begun = await calls.ok("POST", "models:upload", {"model": {**WHOLE, **artifact}, "modelId": "m1"})
    assert begun == {"name": begun["name"], "done": False}
    assert await calls.done(begun) == {
        "@type": "type.googleapis.com/google.cloud.aiplatform.v1.UploadModelResponse",
        "model": f"{PARENT}/models/m1",
        "modelVersionId": "1",
    }
    model = await calls.ok("GET", "models/m1@1")
    sent = {**WHOLE, **artifact}
    assert {field: model[field] for field in sent} == sent
    assert model["name"] == f"{PARENT}/models/m1"
    assert model["versionId"] == "1"
    assert model["supportedDeploymentResourcesTypes"] == ["DEDICATED_RESOURCES", "SHARED_RESOURCES"]
    assert "file-list" in model["supportedInputStorageFormats"]
    assert model["supportedOutputStorageFormats"] == ["jsonl", "bigquery"]
    for time in ("createTime", "updateTime", "versionCreateTime", "versionUpdateTime"):
        assert datetime.fromisoformat(model[time]).utcoffset().total_seconds() == 0
        assert model[time].endswith("Z")


async def test_fields_of_newer_clients_are_kept(calls):
    await calls.upload(newerField={"a_b": [1]}, version_description="v")
    model = await calls.ok("GET", "models/m")
    assert model["newerField"] == {"a_b": [1]}
    assert model["versionDescription"] == "v"


async def test_what_the_server_says_is_not_taken_from_callers(calls):
    await calls.upload(versionId="9", createTime="2020-01-01T00:00:00Z", name=f"{PARENT}/models/other")
    model = await calls.ok("GET", "models/m")
    assert (model["versionId"], model["name"]) == ("1", f"{PARENT}/models/m")
    assert model["createTime"] > "2025"


async def test_the_runtime_that_was_found_is_told_and_may_be_given_back(calls):
    await calls.upload(trivet={"maxRows": 7})
    model = await calls.ok("GET", "models/m")
    assert model["trivet"] == {"maxRows": 7, "runtime": "python"}
    model["trivet"]["maxRows"] = 8
    changed = await calls.ok("PATCH", "models/m", model, query="updateMask=trivet")
    assert changed["trivet"] == {"maxRows": 8, "runtime": "python"}
    await calls.upload("copy", **{name: changed[name] for name in ("artifactUri", "trivet")})
    assert (await calls.ok("GET", "models/copy"))["trivet"] == changed["trivet"]
    stored = calls.server.plane.model(Name.parse(f"{PARENT}/models/copy"))
    assert stored.document["trivet"] == {"maxRows": 8}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"[]", "the body: expected a JSON object; got []"),
        (b"{", "the body is not valid JSON"),
        ({}, "model: required"),
        ({"model": {}}, "model.displayName: required"),
        ({"model": {"displayName": 7}}, "model.displayName: expected a string; got 7"),
        ({"model": {"displayName": "d", "labels": {"a": 1}}}, "model.labels['a']: expected a string; got 1"),
        ({"model": {"containerSpec": {"env": {}}}}, "model.containerSpec.env: expected a list; got {}"),
        ({"parentModel": 1}, "parentModel: expected a string; got 1"),
        (
            {"model": {"displayName": "d", "artifactUri": "/a"}, "parentModel": "m"},
            "projects/PROJECT/locations/LOCATION/models/ID",
        ),
    ],
)
async def test_an_upload_says_which_field_is_wrong(calls, body, said):
    status, message = await calls.error("POST", "models:upload", body)
    assert status == "INVALID_ARGUMENT"
    assert said in message


async def test_versions_and_aliases(calls):
    await calls.upload(versionAliases=["prod"])
    assert (await calls.upload())["modelVersionId"] == "2"
    moved = await calls.ok("POST", "models/m@2:mergeVersionAliases", {"versionAliases": ["blue"]})
    assert (moved["versionId"], moved["versionAliases"]) == ("2", ["blue"])
    assert (await calls.ok("GET", "models/m@blue"))["versionId"] == "2"
    assert (await calls.ok("GET", "models/m"))["versionId"] == "1"
    gone = await calls.ok("POST", "models/m@2:mergeVersionAliases", {"versionAliases": ["-blue"]})
    assert gone["versionAliases"] == []
    versions = await calls.ok("GET", "models/m:listVersions")
    assert sorted(one["versionId"] for one in versions["models"]) == ["1", "2"]
    assert await calls.error("GET", "models/m@blue") == (
        "NOT_FOUND",
        (await calls.error("GET", "models/m@blue"))[1],
    )
    assert (await calls.error("POST", "models/m@2:mergeVersionAliases", {}))[0] == "INVALID_ARGUMENT"


async def test_the_wire_may_escape_the_version(calls):
    await calls.upload()
    reply = await calls.reply("GET", f"//v1//{PARENT}/models/m@1", query="%24alt=json%3Benum-encoding%3Dint")
    assert reply.status == 200


async def test_models_are_listed_by_page(calls):
    for id_, name in (("a", "x"), ("b", "y"), ("c", "x")):
        await calls.upload(id_, displayName=name)
    found = await calls.ok("GET", "models", query="filter=display_name%3D%22x%22&orderBy=create_time%20desc")
    assert [one["name"].rpartition("/")[2] for one in found["models"]] == ["c", "a"]
    first = await calls.ok("GET", "models", query="pageSize=2")
    rest = await calls.ok("GET", "models", query=f"pageSize=2&pageToken={first['nextPageToken']}")
    assert (len(first["models"]), len(rest["models"]), rest["nextPageToken"]) == (2, 1, "")
    assert (await calls.ok("GET", "models", parent="projects/other/locations/us-central1"))["models"] == []
    assert (await calls.error("GET", "models", query="filter=colour%3D1"))[0] == "INVALID_ARGUMENT"


async def test_of_a_whole_model_only_the_masked_fields_are_changed(calls):
    await calls.upload(description="old")
    model = await calls.ok("GET", "models/m")
    sent = {**model, "displayName": "new", "description": "new", "labels": {"a": "b"}}
    changed = await calls.ok("PATCH", "models/m", sent, "updateMask=displayName%2Clabels")
    assert (changed["displayName"], changed["description"]) == ("new", "old")
    assert changed["labels"] == {"a": "b"}
    assert changed["etag"] != model["etag"]
    status, message = await calls.error("PATCH", "models/m", sent, "updateMask=description")
    assert status == "ABORTED", message
    cleared = await calls.ok("PATCH", "models/m", {}, "updateMask=description,labels")
    assert "description" not in cleared
    assert (await calls.error("PATCH", "models/m", {}, "updateMask=artifactUri"))[0] == "INVALID_ARGUMENT"


async def test_the_version_that_is_sent_whole_is_the_one_that_changes(calls):
    await calls.upload()
    await calls.upload(versionAliases=["default"])
    sent = {**await calls.ok("GET", "models/m@1"), "versionDescription": "the first"}
    changed = await calls.ok("PATCH", "models/m", sent, "updateMask=versionDescription")
    assert (changed["versionId"], changed["versionDescription"]) == ("1", "the first")
    default = await calls.ok("GET", "models/m")
    assert (default["versionId"], "versionDescription" in default) == ("2", False)


async def test_a_model_is_copied(calls):
    await calls.upload()
    body = {"sourceModel": f"{PARENT}/models/m@1", "modelId": "copy"}
    response = await calls.done(await calls.ok("POST", "models:copy", body))
    assert response == {
        "@type": "type.googleapis.com/google.cloud.aiplatform.v1.CopyModelResponse",
        "model": f"{PARENT}/models/copy",
        "modelVersionId": "1",
    }
    assert (await calls.error("POST", "models:copy", {}))[1] == "sourceModel: required"


async def test_deleting_answers_with_nothing(calls):
    empty = {"@type": "type.googleapis.com/google.protobuf.Empty"}
    await calls.upload()
    await calls.upload()
    assert await calls.done(await calls.ok("DELETE", "models/m@2:deleteVersion")) == empty
    assert (await calls.error("GET", "models/m@2"))[0] == "NOT_FOUND"
    assert (await calls.error("DELETE", "models/m:deleteVersion"))[0] in (
        "INVALID_ARGUMENT",
        "FAILED_PRECONDITION",
    )
    assert await calls.done(await calls.ok("DELETE", "models/m")) == empty
    assert (await calls.error("DELETE", "models/m"))[0] == "NOT_FOUND"


async def test_there_are_no_evaluations(calls):
    await calls.upload()
    assert await calls.ok("GET", "models/m@1/evaluations") == {}
    assert (await calls.error("GET", "models/x/evaluations"))[0] == "NOT_FOUND"
