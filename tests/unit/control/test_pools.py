import pytest

from tests.unit.control.conftest import ALL, FRAUD, HERE
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


def test_replicas_have_a_limit(server, pool, endpoint):
    """Of those that run; what may be run some day may be more."""
    enough, many = {"dedicatedResources": {"minReplicaCount": 64, "maxReplicaCount": 1000}}, 65
    asked = {"dedicatedResources": {"minReplicaCount": many, "maxReplicaCount": 1000}}
    id_ = server.deploy(endpoint, **enough)
    where, limit = r"dedicatedResources\.minReplicaCount", "expected at most 64, .*; got 65"
    with pytest.raises(InvalidArgument, match=rf"deployedModel\.{where}: {limit}"):
        server.begin(endpoint, **asked)
    with pytest.raises(InvalidArgument, match=rf"deployedModel\.{where}: {limit}"):
        server.plane.mutate_deployed(endpoint, {"id": id_, **asked}, [])
    with pytest.raises(InvalidArgument, match=rf"deploymentResourcePool\.{where}: {limit}"):
        server.plane.create_pool(HERE, "other", asked)
    with pytest.raises(InvalidArgument, match=rf"deploymentResourcePool\.{where}: {limit}"):
        server.plane.update_pool(pool, asked, [])
    with pytest.raises(InvalidArgument, match=rf"deployedModel\.trivet\.replicas: {limit}"):
        server.begin(endpoint, trivet={"replicas": many})
    with pytest.raises(InvalidArgument, match=rf"model\.trivet\.replicas: {limit}"):
        server.plane.update_model(FRAUD, {"trivet": {"replicas": many}}, ["trivet"])
    with pytest.raises(InvalidArgument, match=rf"model\.trivet\.replicas: {limit}"):
        server.upload("other", trivet={"replicas": many})
    with pytest.raises(InvalidArgument, match=r"maxReplicaCount: expected at most 2147483647"):
        server.begin(endpoint, dedicatedResources={"maxReplicaCount": 1 << 40})


def test_the_limit_of_replicas_is_a_setting(make_server):
    server = make_server(max_replicas=2)
    server.upload("fraud")
    with pytest.raises(InvalidArgument, match="expected at most 2,"):
        server.begin(server.endpoint(), dedicatedResources={"minReplicaCount": 3})
