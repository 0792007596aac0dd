import pytest

from tests.unit.protocols.vertex.calls import PARENT

RESOURCES = {
    "machineSpec": {"machineType": "n1-standard-2"},
    "minReplicaCount": 1,
    "maxReplicaCount": 3,
}


@pytest.fixture
async def pooled(calls):
    """A pool `pool1`, created as the SDK does."""
    body = {"deploymentResourcePool": {"dedicatedResources": RESOURCES}, "deploymentResourcePoolId": "pool1"}
    operation = await calls.ok("POST", "deploymentResourcePools", body)
    assert operation["done"]
    assert operation["response"] == {
        "@type": "type.googleapis.com/google.cloud.aiplatform.v1.DeploymentResourcePool",
        "name": f"{PARENT}/deploymentResourcePools/pool1",
    }
    return calls


async def test_a_pool_has_no_update_time(pooled):
    pool = await pooled.ok("GET", "deploymentResourcePools/pool1")
    assert pool == {
        "name": f"{PARENT}/deploymentResourcePools/pool1",
        "createTime": pool["createTime"],
        "dedicatedResources": RESOURCES,
    }
    listed = await pooled.ok("GET", "deploymentResourcePools")
    assert listed == {"deploymentResourcePools": [pool], "nextPageToken": ""}


async def test_an_id_is_needed(calls):
    body = {"deploymentResourcePool": {"dedicatedResources": RESOURCES}}
    error = await calls.error("POST", "deploymentResourcePools", body)
    assert error == ("INVALID_ARGUMENT", "deploymentResourcePoolId: required")
    wrong = {**body, "deploymentResourcePoolId": 7}
    error = await calls.error("POST", "deploymentResourcePools", wrong)
    assert error == ("INVALID_ARGUMENT", "deploymentResourcePoolId: expected a string; got 7")


async def test_a_pool_tells_what_is_deployed_in_it(pooled):
    path = "deploymentResourcePools/pool1:queryDeployedModels"
    empty = await pooled.ok("GET", path)
    assert (empty["deployedModels"], empty["totalDeployedModelCount"]) == ([], 0)
    await pooled.upload()
    name = f"{PARENT}/deploymentResourcePools/pool1"
    ids = {}
    for endpoint in ("e", "f"):
        await pooled.endpoint(endpoint)
        ids[endpoint] = await pooled.deploy(endpoint, sharedResources=name)
    told = await pooled.ok("GET", path, query="pageSize=1")
    assert (told["totalDeployedModelCount"], told["totalEndpointCount"]) == (2, 2)
    [deployed], [ref] = told["deployedModels"], told["deployedModelRefs"]
    assert deployed["sharedResources"] == name
    assert ids[ref["endpoint"].rpartition("/")[2]] == ref["deployedModelId"] == deployed["id"]
    assert told["nextPageToken"]
    [other] = (await pooled.ok("GET", "endpoints/e"))["deployedModels"]
    assert other["sharedResources"] == name


async def test_a_pool_is_updated_and_deleted(pooled):
    body = {"dedicatedResources": {"maxReplicaCount": 5}}
    mask = "updateMask=dedicatedResources.maxReplicaCount"
    response = await pooled.done(await pooled.ok("PATCH", "deploymentResourcePools/pool1", body, mask, "v1"))
    assert response["name"] == f"{PARENT}/deploymentResourcePools/pool1"
    pool = await pooled.ok("GET", "deploymentResourcePools/pool1")
    assert pool["dedicatedResources"] == {**RESOURCES, "maxReplicaCount": 5}
    deleted = await pooled.ok("DELETE", "deploymentResourcePools/pool1")
    assert deleted["response"] == {"@type": "type.googleapis.com/google.protobuf.Empty"}
    assert (await pooled.error("GET", "deploymentResourcePools/pool1"))[0] == "NOT_FOUND"
