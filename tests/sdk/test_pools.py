"""Deployment resource pools by Google's SDK."""

import pytest
from google.api_core import exceptions

MACHINE = "n1-standard-4"


def test_models_share_a_pool(aiplatform, upload, project):
    pool = aiplatform.DeploymentResourcePool.create(
        deployment_resource_pool_id="pool-1",
        machine_type=MACHINE,
        min_replica_count=1,
        max_replica_count=3,
        autoscaling_target_cpu_utilization=60,
    )
    assert pool.resource_name == (f"projects/{project}/locations/us-central1/deploymentResourcePools/pool-1")
    asked = aiplatform.DeploymentResourcePool("pool-1").gca_resource.dedicated_resources
    assert (asked.machine_spec.machine_type, asked.max_replica_count) == (MACHINE, 3)
    assert [one.name for one in aiplatform.DeploymentResourcePool.list()] == ["pool-1"]

    endpoints = [upload(constant).deploy(deployment_resource_pool=pool) for constant in (1, 2)]
    for constant, endpoint in enumerate(endpoints, 1):
        assert endpoint.list_models()[0].shared_resources == pool.resource_name
        assert endpoint.predict([[0.0]]).predictions == [constant]
    refs = [one for page in pool.query_deployed_models() for one in page]
    assert {(one.endpoint, one.deployed_model_id) for one in refs} == {
        (one.resource_name, one.list_models()[0].id) for one in endpoints
    }
    with pytest.raises(exceptions.BadRequest, match="pool-1"):
        pool.delete()
    for endpoint in endpoints:
        endpoint.delete(force=True)
    assert [one for page in pool.query_deployed_models() for one in page] == []
    pool.delete()
    assert aiplatform.DeploymentResourcePool.list() == []


def test_pools_are_known_by_their_names(aiplatform, upload):
    def create(name):
        return aiplatform.DeploymentResourcePool.create(
            deployment_resource_pool_id=name, machine_type=MACHINE
        )

    create("a")
    create("b")
    assert sorted(one.name for one in aiplatform.DeploymentResourcePool.list()) == ["a", "b"]
    with pytest.raises(exceptions.Conflict, match="deploymentResourcePools/a"):
        create("a")
    with pytest.raises(exceptions.NotFound, match="deploymentResourcePools/c"):
        aiplatform.DeploymentResourcePool("c")


def test_a_pool_is_changed_by_an_operation(aiplatform, client):
    pool = aiplatform.DeploymentResourcePool.create(
        deployment_resource_pool_id="a", machine_type=MACHINE, max_replica_count=2
    )
    done = client("DeploymentResourcePool").update_deployment_resource_pool(
        deployment_resource_pool={
            "name": pool.resource_name,
            "dedicated_resources": {"min_replica_count": 1, "max_replica_count": 4},
        },
        update_mask={"paths": ["dedicated_resources.max_replica_count"]},
    )
    assert done.result().name == pool.resource_name
    asked = aiplatform.DeploymentResourcePool("a").gca_resource.dedicated_resources
    assert (asked.max_replica_count, asked.machine_spec.machine_type) == (4, MACHINE)


def test_a_preview_deployment_goes_into_a_pool(aiplatform, upload):
    from google.cloud.aiplatform.preview import models as preview

    pool = aiplatform.DeploymentResourcePool.create(
        deployment_resource_pool_id="a", machine_type=MACHINE
    )  # that of the preview mixes up its own types
    endpoint = preview.Model(upload(2).resource_name).deploy(deployment_resource_pool=pool)
    assert endpoint.list_models()[0].shared_resources == pool.resource_name
    assert endpoint.predict([[0.0]]).predictions == [2]
    endpoint.delete(force=True)
    pool.delete()
