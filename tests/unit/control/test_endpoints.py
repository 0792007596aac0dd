import pytest

from tests.unit.control.conftest import ALL, FRAUD, HERE
from trivet.core.errors import Aborted, AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from trivet.core.resources import Query


def test_an_endpoint_is_there_at_once(server):
    operation = server.plane.create_endpoint(HERE, {"displayName": "scoring", "labels": {"a": "b"}})
    assert operation.done
    name = HERE.child("endpoints", operation.response["name"].rpartition("/")[2])
    endpoint = server.plane.endpoint(name)
    assert (endpoint.display_name, endpoint.labels, endpoint.traffic) == ("scoring", {"a": "b"}, {})
    assert name.id.isdigit()
    assert [one.name for one in server.plane.endpoints(HERE, ALL).items] == [name]


def test_an_id_is_chosen_once(server):
    assert server.endpoint("scoring").id == "scoring"
    with pytest.raises(AlreadyExists, match="scoring"):
        server.endpoint("scoring")
    assert server.endpoint("4711").id == "4711"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"displayName": ""}, "endpoint.displayName: required"),
        ({"trafficSplit": {"0": 100}}, "nothing is deployed yet"),
        ({"labels": {"1": "x"}}, "key '1'"),
        (
            {"network": "projects/1/global/networks/n", "dedicatedEndpointEnabled": True},
            "got network and dedicatedEndpointEnabled",
        ),
        ({"clientConnectionConfig": {"inferenceTimeout": "10"}}, 'expected a duration such as "600s"'),
        ({"clientConnectionConfig": {"inferenceTimeout": "3601s"}}, "at most an hour"),
    ],
)
def test_endpoints_that_are_refused(server, fields, message):
    with pytest.raises(InvalidArgument, match=message):
        server.endpoint(**fields)


@pytest.mark.parametrize("id_", ["Scoring", "a_b", "-a", "a" * 64])
def test_ids_that_google_would_not_take(server, id_):
    with pytest.raises(InvalidArgument, match="endpointId"):
        server.endpoint(id_)


def test_dedicated_endpoints_say_where_they_are(make_server):
    server = make_server(dedicated_dns="localhost:8443")
    shared, dedicated = server.endpoint(), server.endpoint(dedicatedEndpointEnabled=True)
    assert server.plane.endpoint(shared).document == {}
    assert server.plane.endpoint(dedicated).document == {
        "dedicatedEndpointEnabled": True,
        "dedicatedEndpointDns": "localhost:8443",
    }
    shown = server.plane.endpoints(HERE, ALL).items
    assert {one.document.get("dedicatedEndpointDns") for one in shown} == {None, "localhost:8443"}


def test_all_endpoints_may_be_dedicated(make_server):
    server = make_server(all_dedicated=True, dedicated_dns="localhost:8443")
    assert server.plane.endpoint(server.endpoint()).document["dedicatedEndpointDns"] == "localhost:8443"
    private = server.endpoint(network="projects/1/global/networks/n")
    assert "dedicatedEndpointDns" not in server.plane.endpoint(private).document


def test_fields_are_changed_by_mask(server, endpoint):
    changes = {"displayName": "new", "description": "new", "labels": {"a": "b"}, "deployedModels": []}
    changed, revision = server.plane.update_endpoint(endpoint, changes, ["displayName", "description"])
    assert (changed.display_name, changed.document, changed.labels) == ("new", {"description": "new"}, {})
    assert revision == 0
    again, _ = server.plane.update_endpoint(endpoint, changes, ["displayName"])
    assert again.etag == changed.etag
    with pytest.raises(InvalidArgument, match=r"updateMask: endpoint\.network cannot be changed"):
        server.plane.update_endpoint(endpoint, {"network": "x"}, ["network"])
    with pytest.raises(NotFound):
        server.plane.update_endpoint(HERE.child("endpoints", "none"), changes, [])
    with pytest.raises(Aborted):
        server.plane.update_endpoint(endpoint, {"displayName": "x", "etag": "old"}, ["displayName"])


def test_traffic_moves_and_says_when(server, endpoint):
    a, b = server.deploy(endpoint), server.deploy(endpoint)
    assert server.plane.reached(server.plane.revision())
    changed, revision = server.plane.update_endpoint(
        endpoint, {"displayName": "scoring", "trafficSplit": {a: 40, b: 60}}, ["displayName", "trafficSplit"]
    )
    assert changed.traffic == {a: 40, b: 60}
    assert not server.plane.reached(revision)
    server.serve()
    assert server.plane.reached(revision)
    assert server.plane.wish().addresses[0].split == {a: 40, b: 60}


def test_who_asks_again_is_told_no_sooner_that_it_is_served(server, endpoint):
    a, b = server.deploy(endpoint), server.deploy(endpoint)
    split = {"trafficSplit": {a: 40, b: 60}}
    _, first = server.plane.update_endpoint(endpoint, split, ["trafficSplit"])
    _, again = server.plane.update_endpoint(endpoint, split, ["trafficSplit"])
    assert again == first
    operation = server.plane.update_endpoint_later(endpoint, split)
    assert not operation.done
    server.serve()
    assert server.done(operation) == {"name": str(endpoint)}
    assert server.plane.reached(again)


def test_an_operation_may_wait_for_the_change(server, endpoint):
    a, b = server.deploy(endpoint), server.deploy(endpoint)
    operation = server.plane.update_endpoint_later(endpoint, {"trafficSplit": {a: 40, b: 60}})
    assert not operation.done
    server.serve()
    assert server.done(operation) == {"name": str(endpoint)}
    server.done(server.plane.update_endpoint_later(endpoint, {"displayName": "x"}))


def test_traffic_may_be_stopped(server, endpoint):
    a = server.deploy(endpoint)
    server.plane.update_endpoint(endpoint, {}, ["trafficSplit"])
    assert server.plane.wish().addresses[0].split == {}
    assert server.plane.wish().addresses[0].versions == {"1": a}


@pytest.mark.parametrize("split", [{"0": 100}, {"17": 100}, {"7": 99}, {"7": 50, "8": 50}])
def test_splits_that_are_refused(server, endpoint, split):
    server.deploy(endpoint, id="7")
    server.begin(endpoint, id="8")
    with pytest.raises(InvalidArgument, match=r"trafficSplit|Sum of all traffic"):
        server.plane.update_endpoint(endpoint, {"trafficSplit": split}, ["trafficSplit"])


def test_a_private_endpoint_has_no_split_to_change(server, endpoint):
    private = server.endpoint(network="projects/1/global/networks/n")
    id_ = server.deploy(private)
    server.plane.update_endpoint(private, {"trafficSplit": {id_: 100}}, ["trafficSplit"])
    with pytest.raises(FailedPrecondition, match="is a private endpoint: it has no traffic split"):
        server.plane.update_endpoint(private, {"trafficSplit": {}}, ["trafficSplit"])


def test_an_endpoint_with_models_is_deleted_by_force_alone(server, endpoint):
    server.deploy(endpoint, id="7")
    server.begin(endpoint, id="8")
    with pytest.raises(FailedPrecondition) as refused:
        server.plane.delete_endpoint(endpoint)
    assert str(refused.value) == (
        f'Endpoint "{endpoint}" has deployed or being deployed Model(s) with ids: "7", "8". Undeploy them '
        "first, or delete the endpoint by force"
    )
    operation = server.plane.delete_endpoint(endpoint, force=True)
    with pytest.raises(NotFound):
        server.plane.endpoint(endpoint)
    assert not operation.done
    server.serve()
    assert server.done(operation) == {}
    server.plane.delete_model(FRAUD)


def test_an_empty_endpoint_is_gone_at_once(server, endpoint):
    assert server.plane.delete_endpoint(endpoint).done
    assert server.plane.endpoints(HERE, Query()).items == []


def test_an_etag_outlasts_deployments(server, endpoint):
    """Google's SDK sends the etag that it has seen, whatever has been deployed by way of another object."""
    seen = server.plane.endpoint(endpoint)
    first = server.deploy(endpoint)
    second = server.deploy(endpoint, {"0": 40, first: 60})
    server.plane.mutate_deployed(endpoint, {"id": first, "trivet": {"maxRows": 8}}, ["trivet"])
    server.settle()
    server.plane.undeploy(endpoint, first, {second: 100})
    server.settle()
    changes = {"labels": {"team": "a"}, "etag": seen.etag}
    changed, _ = server.plane.update_endpoint(endpoint, changes, ["labels"])
    assert changed.etag != seen.etag
    with pytest.raises(Aborted):
        server.plane.update_endpoint(endpoint, {**changes, "labels": {}}, ["labels"])
