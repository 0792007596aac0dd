from pathlib import Path

import pytest

from tests.unit.control.conftest import FRAUD, HERE
from trivet.core.names import ModelRef
from trivet.core.resources import Location, Name
from trivet.serving.batching import BatchLimits
from trivet.serving.lifecycle import ModelSpec
from trivet.serving.wish import Address


def test_nothing_deployed_is_nothing_to_serve(server, endpoint):
    wish = server.plane.wish()
    assert (wish.revision, wish.models, wish.addresses) == (0, (), ())


def test_a_wish_says_everything(server, endpoint):
    id_ = server.deploy(endpoint, dedicatedResources={"minReplicaCount": 2, "maxReplicaCount": 4})
    wish = server.plane.wish()
    assert wish.revision == server.plane.revision()
    assert wish.models == (
        ModelSpec(
            ref=ModelRef("fraud", "1"),
            path=server.store.path(server.plane.model(FRAUD).artifact),
            framework="python",
            replicas=2,
            id=id_,
            model=str(FRAUD),
            display_name="fraud model",
        ),
    )
    assert wish.addresses == (
        Address(
            names=("local/us-central1/scoring", "scoring"),
            split={id_: 100},
            versions={"1": id_},
            anywhere=False,
        ),
    )


def test_only_the_servers_own_project_and_location_have_plain_names(server, endpoint):
    server.upload("fraud")
    there = Location("other", "us-central1")
    name = Name.parse(
        str(server.plane.create_endpoint(there, {"displayName": "e"}, endpoint_id="e").response["name"])
    )
    server.deploy(name)
    assert server.plane.wish().addresses[0].names == ("other/us-central1/e",)


def test_what_a_deployed_model_says_goes_before_its_model_and_that_before_the_settings(make_server):
    server = make_server(limits=BatchLimits(max_rows=10, max_wait=0.1, timeout=9), placement="thread")
    server.upload("fraud", trivet={"maxRows": 20, "maxWait": 0.2, "output": "probabilities", "replicas": 2})
    endpoint = server.endpoint("scoring")
    server.deploy(
        endpoint, trivet={"maxRows": 30, "placement": "process", "replicas": 3, "maxQueuedRows": 99}
    )
    spec = server.plane.wish().models[0]
    assert spec.limits == BatchLimits(max_rows=30, max_wait=0.2, max_queued_rows=99, timeout=9)
    assert (spec.placement, spec.replicas, spec.output) == ("process", 3, "probabilities")


def test_the_endpoints_timeout_holds_where_no_model_says(server):
    server.upload("fraud")
    endpoint = server.endpoint("scoring", clientConnectionConfig={"inferenceTimeout": "1200s"})
    server.deploy(endpoint)
    server.deploy(endpoint, trivet={"timeout": 5})
    assert [spec.limits.timeout for spec in server.plane.wish().models] == [1200, 5]


def test_what_a_model_says_later_holds_for_later_deployments(server):
    server.upload("fraud", trivet={"maxRows": 20})
    endpoint = server.endpoint("scoring")
    first = server.deploy(endpoint, trivet={"maxWait": 1})
    server.plane.update_model(FRAUD, {"trivet": {"maxRows": 30}}, ["trivet"])
    server.deploy(endpoint)
    assert [spec.limits.max_rows for spec in server.plane.wish().models] == [20, 30]
    assert server.deployed(endpoint)[first].document["trivet"] == {"maxRows": 20, "maxWait": 1}


@pytest.mark.parametrize(
    ("fields", "flavour"),
    [
        ({}, "shared"),
        ({"dedicatedEndpointEnabled": True}, "dedicated"),
        ({"privateServiceConnectConfig": {"enablePrivateServiceConnect": True}}, "dedicated"),
        ({"network": "projects/1/global/networks/n"}, "private"),
    ],
)
def test_kinds_of_endpoints(server, fields, flavour):
    server.upload("fraud")
    server.deploy(server.endpoint("e", **fields))
    assert server.plane.wish().addresses[0].flavour == flavour


def test_of_two_deployments_of_a_version_the_one_with_traffic_is_found_by_it(server, endpoint):
    a, b = server.deploy(endpoint), server.deploy(endpoint)
    assert server.plane.wish().addresses[0].versions == {"1": a}
    server.plane.update_endpoint(endpoint, {"trafficSplit": {b: 100}}, ["trafficSplit"])
    assert server.plane.wish().addresses[0].versions == {"1": b}


def test_a_model_without_files_has_no_path(server):
    server.plane.upload_model(HERE, {"displayName": "e", "trivet": {"framework": "echo"}}, model_id="echo")
    server.work()
    server.deploy(server.endpoint("e"), model=str(HERE.child("models", "echo")))
    assert server.plane.wish().models[0].path == Path()


def test_what_is_broken_by_hand_does_not_keep_the_rest_from_being_served(server, endpoint, caplog):
    id_ = server.deploy(endpoint)
    server.upload("other")
    server.deploy(endpoint, model=str(HERE.child("models", "other")))
    with server.catalog.transaction() as tx:
        tx.delete_model(HERE.child("models", "other"))
    assert [spec.id for spec in server.plane.wish().models] == [id_]
    assert "models/other" in caplog.text


def test_an_artifact_whose_files_are_gone_does_not_keep_the_rest_from_being_served(server, endpoint, caplog):
    server.deploy(endpoint)
    server.upload("other")
    server.deploy(endpoint, model=str(HERE.child("models", "other")))
    server.store.remove(server.plane.model(FRAUD).artifact)
    first, second = server.plane.wish().models
    assert not first.path.exists()
    assert second.path.exists()
    assert "upload it again" in caplog.text
