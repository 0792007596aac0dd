import pytest

from tests.unit.control.conftest import ALL, HERE
from trivet.core.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound

RESOURCES = {"machineSpec": {"machineType": "n1-standard-4"}, "minReplicaCount": 1, "maxReplicaCount": 3}
POOL = HERE.child("deploymentResourcePools", "pool")


@pytest.fixture
def pool(server):
    operation = server.plane.create_pool(HERE, "pool", {"dedicatedResources": RESOURCES})
    assert server.done(operation) == {"name": str(POOL)}
    return POOL


def test_a_pool_is_there_at_once(server, pool):
    assert server.plane.pool(pool).document == {"dedicatedResources": RESOURCES}
    assert [one.name for one in server.plane.pools(HERE, ALL).items] == [pool]
    with pytest.raises(AlreadyExists):
        server.plane.create_pool(HERE, "pool", {"dedicatedResources": RESOURCES})


@pytest.mark.parametrize(
    ("id_", "document", "message"),
    [
        ("", {"dedicatedResources": RESOURCES}, "deploymentResourcePoolId ''"),
        ("1pool", {"dedicatedResources": RESOURCES}, "with a letter at the start"),
        ("pool", {}, "deploymentResourcePool.dedicatedResources: required"),
        (
            "pool",
            {"dedicatedResources": {"minReplicaCount": 2, "maxReplicaCount": 1}},
            "at most maxReplicaCount",
        ),
    ],
)
def test_pools_that_are_refused(server, id_, document, message):
    with pytest.raises(InvalidArgument, match=message):
        server.plane.create_pool(HERE, id_, document)


def test_several_models_share_a_pool(server, pool, endpoint):
    other = server.endpoint("other")
    a = server.deploy(endpoint, sharedResources=str(pool))
    b = server.deploy(other, sharedResources=str(pool))
    assert server.deployed(endpoint)[a].pool == str(pool)
    server.begin(other, sharedResources=str(pool))
    listed = server.plane.deployed_in(pool, ALL).items
    assert {(name, one.id) for name, one in listed} == {(endpoint, a), (other, b)}
    with pytest.raises(
        FailedPrecondition, match=f"{pool} is in use by deployed models of: {other}, {endpoint}"
    ):
        server.plane.delete_pool(pool)


def test_a_pool_has_the_replicas(server, pool, endpoint):
    id_ = server.deploy(endpoint, sharedResources=str(pool))
    assert server.plane.wish().models[0].replicas == 1
    changes = {"dedicatedResources": {"minReplicaCount": 2}}
    operation = server.plane.update_pool(pool, changes, ["dedicated_resources"])
    assert server.plane.wish().models[0].replicas == 2
    server.serve()
    assert server.done(operation) == {"name": str(pool)}
    assert server.plane.pool(pool).document["dedicatedResources"] == {**RESOURCES, "minReplicaCount": 2}
    with pytest.raises(FailedPrecondition, match="which has the replicas; change the pool"):
        server.plane.mutate_deployed(endpoint, {"id": id_, **changes}, [])


def test_a_pool_that_is_not_in_use_is_deleted(server, pool):
    assert server.plane.update_pool(pool, {"dedicatedResources": {"maxReplicaCount": 9}}, []).done
    with pytest.raises(InvalidArgument, match=r"dedicatedResources\.machineSpec cannot be changed"):
        server.plane.update_pool(pool, {}, ["dedicatedResources.machineSpec"])
    assert server.done(server.plane.delete_pool(pool)) == {}
    with pytest.raises(NotFound):
        server.plane.pool(pool)
    for call in (server.plane.delete_pool, lambda name: server.plane.deployed_in(name, ALL)):
        with pytest.raises(NotFound):
            call(pool)
