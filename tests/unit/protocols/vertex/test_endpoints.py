import asyncio

import pytest

from tests.unit.protocols.vertex.calls import PARENT

EMPTY = {"@type": "type.googleapis.com/google.protobuf.Empty"}


@pytest.fixture
async def ready(calls):
    """A model `m` and an endpoint `e`, with nothing deployed."""
    await calls.upload()
    await calls.endpoint()
    return calls


async def test_creating_is_done_at_once(calls):
    body = {"displayName": "E", "description": "d", "labels": {"a": "b"}}
    operation = await calls.ok("POST", "endpoints", body)
    assert operation["done"]
    assert operation["response"]["@type"] == "type.googleapis.com/google.cloud.aiplatform.v1.Endpoint"
    name = operation["response"]["name"]
    assert set(operation["response"]) == {"@type", "name"}  # or the client would not get the rest
    endpoint = await calls.ok("GET", f"endpoints/{name.rpartition('/')[2]}")
    shown = {**body, "name": name, "deployedModels": [], "trafficSplit": {}}
    assert {field: endpoint[field] for field in shown} == shown
    assert endpoint["createTime"].endswith("Z")


async def test_an_id_may_be_chosen(calls):
    assert (await calls.endpoint("my-endpoint"))["name"] == f"{PARENT}/endpoints/my-endpoint"
    assert (await calls.error("POST", "endpoints", {"displayName": "E"}, "endpointId=my-endpoint"))[0] == (
        "ALREADY_EXISTS"
    )


async def test_a_deployment_as_the_sdk_asks_for_it(ready):
    body = {
        "deployedModel": {
            "model": f"{PARENT}/models/m@1",
            "displayName": "dm1",
            "dedicatedResources": {
                "machineSpec": {
                    "machineType": "n1-standard-2",
                    "acceleratorType": 5,
                    "acceleratorCount": 1,
                },
                "minReplicaCount": 1,
                "maxReplicaCount": 2,
                "autoscalingMetricSpecs": [
                    {
                        "metricName": "aiplatform.googleapis.com/prediction/online/cpu/utilization",
                        "target": 50,
                    }
                ],
            },
            "serviceAccount": "sa@x",
            "enableAccessLogging": True,
        },
        "trafficSplit": {"0": 100},
    }
    begun = await ready.ok("POST", "endpoints/e:deployModel", body)
    assert begun == {"name": begun["name"], "done": False}
    response = await ready.done(begun)
    id_ = response["deployedModel"]["id"]
    assert response == {
        "@type": "type.googleapis.com/google.cloud.aiplatform.v1.DeployModelResponse",
        "deployedModel": {"id": id_},
    }
    assert id_.isdigit()
    endpoint = await ready.ok("GET", "endpoints/e")
    assert endpoint["trafficSplit"] == {id_: 100}
    [deployed] = endpoint["deployedModels"]
    assert deployed["createTime"].endswith("Z")
    assert deployed["modelVersionId"] == "1"
    assert deployed["model"] == f"{PARENT}/models/m"
    assert deployed["dedicatedResources"]["machineSpec"]["acceleratorType"] == "NVIDIA_TESLA_T4"
    assert deployed["dedicatedResources"]["autoscalingMetricSpecs"][0]["target"] == 50
    assert (deployed["displayName"], deployed["serviceAccount"]) == ("dm1", "sa@x")
    assert "privateEndpoints" not in deployed


async def test_a_call_of_the_preview_api_is_answered_in_its_types(ready):
    body = {
        "deployedModel": {
            "model": f"{PARENT}/models/m",
            "displayName": "d",
            "enableContainerLogging": True,
            "fasterDeploymentConfig": {},
            "dedicatedResources": {
                "machineSpec": {"machineType": "n1-standard-2"},
                "maxReplicaCount": 2,
                "initialReplicaCount": 1,
                "scaleToZeroSpec": {"minScaleupPeriod": "300s", "idleScaledownPeriod": "300s"},
            },
        },
        "trafficSplit": {"0": 100},
    }
    begun = await ready.ok("POST", "endpoints/e:deployModel", body, api="v1beta1")
    response = await ready.done(begun)
    assert response["@type"] == "type.googleapis.com/google.cloud.aiplatform.v1beta1.DeployModelResponse"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "deployedModel.model: required"),
        ({"deployedModel": {"model": 1}}, "deployedModel.model: expected a string"),
        ({"deployedModel": {"model": "m"}}, "name 'm'"),
        (
            {
                "deployedModel": {
                    "model": "m",
                    "dedicatedResources": {"machineSpec": {"acceleratorType": "T5"}},
                }
            },
            "deployedModel.dedicatedResources.machineSpec.acceleratorType: unknown value",
        ),
        (
            {"deployedModel": {"model": "m"}, "trafficSplit": {"0": "x"}},
            "trafficSplit['0']: expected an integer",
        ),
    ],
)
async def test_a_deployment_says_which_field_is_wrong(ready, body, said):
    status, message = await ready.error("POST", "endpoints/e:deployModel", body)
    assert (status, said in message) == ("INVALID_ARGUMENT", True), message


async def test_a_failed_deployment_is_an_operation_with_an_error(ready):
    body = {"deployedModel": {"model": f"{PARENT}/models/m"}}
    begun = await ready.ok("POST", "endpoints/e:deployModel", body)
    deploying = [spec.id for spec in ready.server.plane.wish().models]
    await asyncio.to_thread(lambda: ready.server.serve(**{f"d{id_}": "no such library" for id_ in deploying}))
    operation = await ready.ok("GET", begun["name"].removeprefix(f"{PARENT}/"), api="ui")
    assert operation == {
        "name": begun["name"],
        "done": True,
        "error": {"code": 9, "message": operation["error"]["message"]},
    }
    assert "no such library" in operation["error"]["message"]


async def answered(calls, call):
    """Return the answer to a call that waits for the machine, which goes on meanwhile."""
    asking = asyncio.ensure_future(call)
    while not calls.waiting and not asking.done():  # noqa: ASYNC110 - the call itself is what is waited for
        await asyncio.sleep(0)
    assert not asking.done()
    await asyncio.to_thread(calls.server.settle)
    calls.change()
    return await asking


async def test_a_new_split_is_answered_when_it_is_served(ready):
    one = await ready.deploy()
    two = await ready.deploy(split={"0": 20, one: 80})
    endpoint = await ready.ok("GET", "endpoints/e")
    assert endpoint["trafficSplit"] == {one: 80, two: 20}
    sent = {**endpoint, "trafficSplit": {one: 0, two: 100}, "displayName": "other"}
    changed = await answered(ready, ready.ok("PATCH", "endpoints/e", sent, "updateMask=trafficSplit"))
    assert changed["trafficSplit"] == {one: 0, two: 100}
    assert changed["displayName"] == "E"
    assert ready.server.plane.reached(ready.server.plane.revision())


async def test_a_change_that_is_not_served_in_time_says_that_it_is_recorded(ready, monkeypatch):
    monkeypatch.setattr("trivet.protocols.vertex.api._SETTLES_WITHIN", 0.01)
    one = await ready.deploy()
    two = await ready.deploy()
    split = {"trafficSplit": {one: 50, two: 50}}
    status, message = await ready.error("PATCH", "endpoints/e", split, "updateMask=trafficSplit")
    assert status == "UNAVAILABLE"
    assert "the change is recorded (revision " in message
    assert (await ready.ok("GET", "endpoints/e"))["trafficSplit"] == {one: 50, two: 50}


async def test_what_is_not_served_is_changed_at_once(ready):
    ready.held.clear()
    changed = await ready.ok("PATCH", "endpoints/e", {"displayName": "new"}, "updateMask=display_name")
    assert changed["displayName"] == "new"
    assert ready.held == []
    assert (await ready.error("PATCH", "endpoints/e", {}, "updateMask=network"))[0] == "INVALID_ARGUMENT"


async def test_an_endpoint_may_be_updated_by_an_operation(ready):
    body = {"endpoint": {"displayName": "new", "name": f"{PARENT}/endpoints/e"}}
    response = await ready.done(await ready.ok("POST", "endpoints/e:update", body))
    assert response == {
        "@type": "type.googleapis.com/google.cloud.aiplatform.v1.Endpoint",
        "name": f"{PARENT}/endpoints/e",
    }
    assert (await ready.ok("GET", "endpoints/e"))["displayName"] == "new"


async def test_undeploying_gives_the_traffic_to_the_others(ready):
    one = await ready.deploy()
    two = await ready.deploy(split={"0": 20, one: 80})
    path = "endpoints/e:undeployModel"
    for split in ({}, {"trafficSplit": {}}):
        status, message = await ready.error("POST", path, {"deployedModelId": two, **split})
        assert status == "FAILED_PRECONDITION"
        assert "has 20 % of the traffic. Send a trafficSplit" in message
        assert f'such as {{"{one}": 100}}' in message
    body = {"deployedModelId": two, "trafficSplit": {one: 100}}
    response = await ready.done(await ready.ok("POST", path, body))
    assert response == {"@type": "type.googleapis.com/google.cloud.aiplatform.v1.UndeployModelResponse"}
    assert (await ready.ok("GET", "endpoints/e"))["trafficSplit"] == {one: 100}
    await ready.done(await ready.ok("POST", path, {"deployedModelId": one}))
    endpoint = await ready.ok("GET", "endpoints/e")
    assert (endpoint["trafficSplit"], endpoint["deployedModels"]) == ({}, [])
    assert await ready.error("POST", path, {}) == ("INVALID_ARGUMENT", "deployedModelId: required")
    assert (await ready.error("POST", path, {"deployedModelId": "7"}))[0] == "NOT_FOUND"


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize(
    "mask",
    [
        "dedicatedResources.minReplicaCount,dedicatedResources.maxReplicaCount",
        {"paths": ["dedicated_resources.min_replica_count", "dedicated_resources.max_replica_count"]},
    ],
)
async def test_replicas_change_without_redeploying(ready, method, mask):
    id_ = await ready.deploy(dedicatedResources={"minReplicaCount": 1, "maxReplicaCount": 1})
    body = {
        "deployedModel": {"id": id_, "dedicatedResources": {"minReplicaCount": 1, "maxReplicaCount": 5}},
        "updateMask": mask,
    }
    response = await ready.done(await ready.ok(method, "endpoints/e:mutateDeployedModel", body))
    assert response == {
        "@type": "type.googleapis.com/google.cloud.aiplatform.v1.MutateDeployedModelResponse",
        "deployedModel": {"id": id_},
    }
    [deployed] = (await ready.ok("GET", "endpoints/e"))["deployedModels"]
    assert deployed["dedicatedResources"]["maxReplicaCount"] == 5
    missing = await ready.error(method, "endpoints/e:mutateDeployedModel", {"deployedModel": {}})
    assert missing == ("INVALID_ARGUMENT", "deployedModel.id: required")


async def test_a_peered_endpoint_says_where_it_is_found(calls):
    await calls.upload()
    await calls.endpoint(network="projects/123/global/networks/n")
    await calls.deploy()
    [deployed] = (await calls.ok("GET", "endpoints/e"))["deployedModels"]
    assert deployed["privateEndpoints"] == {
        "predictHttpUri": f"http://127.0.0.1:8080/v1/{PARENT}/endpoints/e:predict",
        "explainHttpUri": f"http://127.0.0.1:8080/v1/{PARENT}/endpoints/e:explain",
        "healthHttpUri": "http://127.0.0.1:8080/readyz",
    }


async def test_an_attached_endpoint_says_to_what(calls):
    config = {"enablePrivateServiceConnect": True, "projectAllowlist": ["p"]}
    await calls.upload()
    await calls.endpoint(privateServiceConnectConfig=config)
    await calls.deploy()
    endpoint = await calls.ok("GET", "endpoints/e")
    assert endpoint["privateServiceConnectConfig"] == config
    [deployed] = endpoint["deployedModels"]
    attachment = "projects/local/regions/us-central1/serviceAttachments/e"
    assert deployed["privateEndpoints"] == {"serviceAttachment": attachment}


async def test_a_dedicated_endpoint_says_its_name(make_server, calls):
    other = type(calls)(make_server(dedicated_dns="localhost:8443"))
    await other.endpoint(
        "d", dedicatedEndpointEnabled=True, clientConnectionConfig={"inferenceTimeout": "1200s"}
    )
    endpoint = await other.ok("GET", "endpoints/d")
    assert endpoint["dedicatedEndpointDns"] == "localhost:8443"
    assert endpoint["clientConnectionConfig"] == {"inferenceTimeout": "1200s"}


async def test_logging_is_configured(calls):
    config = {
        "enabled": True,
        "samplingRate": 0.5,
        "bigqueryDestination": {"outputUri": "bq://p.d.t"},
    }
    await calls.endpoint(predictRequestResponseLoggingConfig=config)
    assert (await calls.ok("GET", "endpoints/e"))["predictRequestResponseLoggingConfig"] == config


async def test_endpoints_are_listed(calls):
    for id_ in ("a", "b"):
        await calls.endpoint(id_, displayName=id_)
    listed = await calls.ok("GET", "endpoints", query="filter=display_name%3D%22a%22")
    assert [one["displayName"] for one in listed["endpoints"]] == ["a"]
    assert len((await calls.ok("GET", "endpoints"))["endpoints"]) == 2


async def test_deleting_by_force_undeploys_first(ready):
    await ready.deploy()
    assert (await ready.error("DELETE", "endpoints/e"))[0] == "FAILED_PRECONDITION"
    assert await ready.done(await ready.ok("DELETE", "endpoints/e", query="force=true")) == EMPTY
    assert (await ready.error("GET", "endpoints/e"))[0] == "NOT_FOUND"
    await ready.endpoint("empty")
    deleted = await ready.ok("DELETE", "endpoints/empty")
    assert (deleted["done"], deleted["response"]) == (True, EMPTY)
