import pytest

from tests.unit.control.conftest import ALL, FRAUD, HERE
from trivet.core.errors import Code, FailedPrecondition, InvalidArgument, NotFound
from trivet.core.resources import STARTING, Failure


def test_the_first_model_gets_all_the_traffic_and_another_nothing(server, endpoint):
    first = server.deploy(endpoint)
    assert server.traffic(endpoint) == {first: 100}
    second = server.deploy(endpoint)
    assert server.traffic(endpoint) == {first: 100, second: 0}


def test_a_deployed_model_is_seen_only_once_it_is_loaded(server, endpoint):
    operation = server.begin(endpoint)
    loading = server.plane.wish()
    assert [spec.ref.name for spec in loading.models] == ["fraud"]
    assert loading.addresses == ()
    assert server.deployed(endpoint) == {}
    assert not server.plane.operation(operation.name).done

    server.serve()
    ready = server.plane.wish()
    assert ready.revision > loading.revision
    (id_,) = server.deployed(endpoint)
    assert ready.addresses[0].split == {id_: 100}
    assert not server.plane.operation(operation.name).done, "its traffic is not on its way yet"

    server.serve()
    assert server.done(operation) == {"deployedModel": {"id": id_}}


def test_an_older_wish_is_not_enough(server, endpoint):
    before = server.plane.wish().revision
    operation = server.begin(endpoint)
    server.plane.applied(before, {})
    assert server.deployed(endpoint) == {}
    server.serve()
    server.plane.applied(before, {})
    assert not server.plane.operation(operation.name).done


def test_what_is_being_started_is_waited_for_while_all_else_goes_on(server, endpoint):
    operation = server.begin(endpoint, id="7")
    other = server.begin(endpoint, id="8")
    starting = {"7": STARTING}
    for _ in range(2):
        server.plane.applied(server.plane.wish().revision, starting)
    assert server.done(other) == {"deployedModel": {"id": "8"}}
    assert set(server.deployed(endpoint)) == {"8"}
    assert not server.plane.operation(operation.name).done

    server.serve()
    server.serve()
    assert server.done(operation) == {"deployedModel": {"id": "7"}}


def test_one_machine_that_has_not_started_it_is_enough_to_wait_for(server, endpoint):
    operation = server.begin(endpoint, id="7")
    revision = server.plane.wish().revision
    with server.catalog.transaction() as tx:
        tx.beat("other", revision, {"7": STARTING})
    server.serve()
    assert server.deployed(endpoint) == {}
    with server.catalog.transaction() as tx:
        tx.beat("other", revision, {"7": Failure(9, "no such file")})
    server.serve()
    assert server.failed(operation).message == "no such file"


def test_a_failed_deployment_leaves_everything_as_it_was(server, endpoint):
    first = server.deploy(endpoint)
    operation = server.begin(endpoint, {"0": 100, first: 0}, id="7")
    server.serve(d7="no such opset")
    failure = server.failed(operation)
    assert (failure.code, failure.message) == (9, "no such opset")
    assert server.traffic(endpoint) == {first: 100}
    assert [spec.id for spec in server.plane.wish().models] == [first]


def test_a_failure_of_another_model_is_none_of_its_business(server, endpoint):
    server.deploy(endpoint, id="7")
    operation = server.begin(endpoint)
    server.serve(d7="out of memory")
    server.serve(d7="out of memory")
    server.done(operation)


def test_a_model_that_a_restart_cannot_load_is_taken_back(server, endpoint):
    first = server.deploy(endpoint)
    operation = server.begin(endpoint, {"0": 100}, id="7")
    server.serve()
    assert server.traffic(endpoint) == {first: 0, "7": 100}
    server.serve(d7="out of memory")
    assert server.failed(operation).message == "out of memory"
    assert server.traffic(endpoint) == {first: 100}


def test_a_split_replaces_the_key_0(server, endpoint):
    first = server.deploy(endpoint)
    second = server.deploy(endpoint, {first: 80, "0": 20})
    assert server.traffic(endpoint) == {first: 80, second: 20}


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({"0": 90}, "Sum of all traffic within traffic split needs to be 100"),
        ({"0": 50, "17": 50}, r"trafficSplit\['17'\]: there is no such deployed model"),
        ({"0": 150, "17": -50}, r"trafficSplit\['0'\]: expected a whole number from 0 to 100"),
    ],
)
def test_splits_that_are_refused(server, endpoint, split, message):
    with pytest.raises(InvalidArgument, match=message):
        server.begin(endpoint, split)
    assert server.plane.wish().models == ()


def test_what_is_being_loaded_is_not_in_a_split(server, endpoint):
    server.begin(endpoint, id="7")
    with pytest.raises(InvalidArgument, match="no such deployed model"):
        server.begin(endpoint, {"7": 50, "0": 50})


def test_two_deployments_at_once_do_not_undo_each_other(server, endpoint):
    first = server.deploy(endpoint)
    both = [server.begin(endpoint, {first: 50, "0": 50}) for _ in range(2)]
    server.serve()
    server.serve()
    ids = [server.done(one)["deployedModel"]["id"] for one in both]
    assert server.traffic(endpoint) == {first: 25, ids[0]: 25, ids[1]: 50}


def test_traffic_that_was_moved_meanwhile_is_kept(server, endpoint):
    a, b = server.deploy(endpoint), server.deploy(endpoint)
    operation = server.begin(endpoint, {a: 90, "0": 10})
    server.plane.update_endpoint(endpoint, {"trafficSplit": {a: 0, b: 100}}, ["trafficSplit"])
    server.serve()
    server.serve()
    new = server.done(operation)["deployedModel"]["id"]
    assert server.traffic(endpoint) == {a: 0, b: 90, new: 10}


def test_a_split_over_a_model_that_was_undeployed_meanwhile_fails(server, endpoint):
    a, b = server.deploy(endpoint), server.deploy(endpoint)
    operation = server.begin(endpoint, {a: 90, "0": 10})
    server.plane.undeploy(endpoint, a, {b: 100})
    server.serve()
    assert server.failed(operation).code == Code.FAILED_PRECONDITION.value
    assert f"gives a share to {a}" in server.failed(operation).message
    assert server.traffic(endpoint) == {b: 100}


def test_a_deployment_to_an_endpoint_that_is_deleted_is_aborted(server, endpoint):
    operation = server.begin(endpoint)
    deletion = server.plane.delete_endpoint(endpoint, force=True)
    server.serve()
    assert server.failed(operation).code == Code.ABORTED.value
    assert server.done(deletion) == {}


def test_a_deployment_that_is_cancelled_leaves_nothing(server, endpoint):
    operation = server.begin(endpoint)
    server.plane.cancel_operation(operation.name)
    assert server.failed(operation).code == Code.CANCELLED.value
    assert server.plane.wish().models == ()
    server.plane.cancel_operation(operation.name)


def test_a_deployment_that_is_cancelled_too_late_goes_on(server, endpoint):
    operation = server.begin(endpoint)
    server.serve()
    server.plane.cancel_operation(operation.name)
    server.serve()
    server.done(operation)


def test_an_alias_is_resolved_when_a_model_is_deployed(server, endpoint):
    server.upload("fraud", versionAliases=["champion"])
    id_ = server.deploy(endpoint, model=f"{FRAUD}@champion")
    server.upload("fraud", versionAliases=["champion"])
    assert server.deployed(endpoint)[id_].version == "2"
    default = server.deploy(endpoint)
    assert server.deployed(endpoint)[default].version == "1"


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"model": None}, InvalidArgument, "deployedModel.model: required"),
        ({"model": "fraud"}, InvalidArgument, "expected projects/PROJECT/locations/LOCATION/models/ID"),
        ({"model": str(HERE.child("models", "other"))}, NotFound, "models/other"),
        ({"model": f"{FRAUD}@9"}, NotFound, "fraud@9"),
        ({"model": "projects/local/locations/eu/models/fraud"}, InvalidArgument, "not in the location"),
        ({"id": "0"}, InvalidArgument, "deployedModel.id '0'"),
        ({"id": "a"}, InvalidArgument, "deployedModel.id 'a'"),
        ({"displayName": "x" * 129}, InvalidArgument, "deployedModel.displayName"),
        (
            {"dedicatedResources": {"minReplicaCount": 3, "maxReplicaCount": 2}},
            InvalidArgument,
            "expected minReplicaCount to be at most maxReplicaCount; got 3 and 2",
        ),
        (
            {"dedicatedResources": {"minReplicaCount": -1}},
            InvalidArgument,
            "deployedModel.dedicatedResources.minReplicaCount: expected a whole number, 0 or more; got -1",
        ),
        (
            {"dedicatedResources": {"minReplicaCount": 1}, "automaticResources": {"maxReplicaCount": 1}},
            InvalidArgument,
            "got dedicatedResources and automaticResources",
        ),
        (
            {"sharedResources": str(HERE.child("deploymentResourcePools", "none"))},
            NotFound,
            "deploymentResourcePools/none",
        ),
        (
            {"trivet": {"maxRows": 0}},
            InvalidArgument,
            r"deployedModel\.trivet\.maxRows: Expected `int` >= 1; got 0",
        ),
        ({"trivet": {"rows": 1}}, InvalidArgument, r"deployedModel\.trivet\.rows: unknown field; known: "),
        ({"trivet": {"framework": "onnx"}}, InvalidArgument, r"deployedModel\.trivet\.framework"),
    ],
)
def test_deployments_that_are_refused(server, endpoint, fields, error, message):
    with pytest.raises(error, match=message):
        server.begin(endpoint, **fields)
    assert server.plane.wish().models == ()


def test_a_chosen_id_is_used_once(server, endpoint):
    assert server.deploy(endpoint, id="7") == "7"
    with pytest.raises(
        InvalidArgument, match="in use at projects/local/locations/us-central1/endpoints/scoring"
    ):
        server.begin(server.endpoint("other"), id="7")


def test_a_private_endpoint_takes_one_model_and_no_split(server, endpoint):
    private = server.endpoint("private", network="projects/1/global/networks/n")
    with pytest.raises(InvalidArgument, match="is private, and has no traffic split"):
        server.begin(private, {"0": 50, "1": 50})
    id_ = server.deploy(private)
    assert server.traffic(private) == {id_: 100}
    with pytest.raises(FailedPrecondition, match=f"takes one model; undeploy {id_} first"):
        server.begin(private)
    server.plane.undeploy(private, id_)
    assert server.traffic(private) == {}


def test_a_share_goes_to_the_others_by_the_split_that_is_sent(server, endpoint):
    a = server.deploy(endpoint)
    b = server.deploy(endpoint, {a: 60, "0": 40})
    c = server.deploy(endpoint, {a: 30, b: 20, "0": 50})
    revision = server.plane.revision()
    with pytest.raises(FailedPrecondition, match=f"'{c}' has 50 % of the traffic") as refused:
        server.plane.undeploy(endpoint, c)
    assert f'such as {{"{a}": 60, "{b}": 40}}' in str(refused.value)
    assert (server.traffic(endpoint), server.plane.revision()) == ({a: 30, b: 20, c: 50}, revision)
    operation = server.plane.undeploy(endpoint, c, {a: 60, b: 40})
    assert server.traffic(endpoint) == {a: 60, b: 40}
    assert c not in server.deployed(endpoint)
    assert not server.plane.operation(operation.name).done
    server.serve()
    assert server.done(operation) == {}


def test_undeploying_with_a_split(server, endpoint):
    a = server.deploy(endpoint)
    b = server.deploy(endpoint)
    with pytest.raises(InvalidArgument, match="Model being undeployed should have 0 traffic"):
        server.plane.undeploy(endpoint, a, {a: 50, b: 50})
    with pytest.raises(FailedPrecondition, match="would leave the remaining traffic split at 0%"):
        server.plane.undeploy(endpoint, a)
    server.plane.undeploy(endpoint, a, {b: 100})
    assert server.traffic(endpoint) == {b: 100}
    server.plane.undeploy(endpoint, b)
    assert server.traffic(endpoint) == {}


def test_what_has_no_traffic_needs_no_split(server, endpoint):
    a, b = server.deploy(endpoint), server.deploy(endpoint)
    c = server.deploy(endpoint, {a: 60, b: 40})
    server.plane.undeploy(endpoint, c)
    assert server.traffic(endpoint) == {a: 60, b: 40}
    server.plane.update_endpoint(endpoint, {"trafficSplit": {}}, ["trafficSplit"])
    server.plane.undeploy(endpoint, a)
    assert (server.traffic(endpoint), list(server.deployed(endpoint))) == ({}, [b])


def test_an_endpoint_whose_models_have_traffic_is_deleted_by_force(server, endpoint):
    a = server.deploy(endpoint)
    server.deploy(endpoint, {a: 60, "0": 40})
    deletion = server.plane.delete_endpoint(endpoint, force=True)
    server.serve()
    assert server.done(deletion) == {}
    assert server.plane.wish().models == ()


def test_what_is_not_deployed_cannot_be_undeployed(server, endpoint):
    server.begin(endpoint, id="7")
    with pytest.raises(NotFound, match="endpoints/scoring has no deployed model '7'; it has: none"):
        server.plane.undeploy(endpoint, "7")


def test_undeploying_the_last_one_while_another_is_being_loaded(server, endpoint):
    a = server.deploy(endpoint)
    operation = server.begin(endpoint)
    server.plane.undeploy(endpoint, a)
    assert server.traffic(endpoint) == {}
    server.serve()
    server.serve()
    assert server.traffic(endpoint) == {server.done(operation)["deployedModel"]["id"]: 100}


def test_replicas_are_changed_by_mask(server, endpoint):
    resources = {"machineSpec": {"machineType": "n1-standard-4"}, "minReplicaCount": 1, "maxReplicaCount": 2}
    id_ = server.deploy(endpoint, dedicatedResources=resources)
    operation = server.plane.mutate_deployed(
        endpoint,
        {"id": id_, "dedicatedResources": {"minReplicaCount": 3, "maxReplicaCount": 5}},
        ["dedicated_resources.min_replica_count", "dedicatedResources.maxReplicaCount"],
    )
    assert server.plane.wish().models[0].replicas == 3
    server.serve()
    assert server.done(operation) == {"deployedModel": {"id": id_}}
    assert server.deployed(endpoint)[id_].document["dedicatedResources"] == {
        "machineSpec": {"machineType": "n1-standard-4"},
        "minReplicaCount": 3,
        "maxReplicaCount": 5,
    }


def test_a_count_that_is_left_out_is_0_which_serves_1(server, endpoint):
    id_ = server.deploy(endpoint, dedicatedResources={"minReplicaCount": 2, "maxReplicaCount": 2})
    changes = {"id": id_, "dedicatedResources": {}}
    server.plane.mutate_deployed(endpoint, changes, ["dedicatedResources.minReplicaCount"])
    assert server.plane.wish().models[0].replicas == 1


def test_a_change_that_cannot_be_served_is_taken_back(server, endpoint):
    id_ = server.deploy(endpoint, id="7", trivet={"placement": "process"})
    changes = {"id": id_, "trivet": {"placement": "inline"}}
    operation = server.plane.mutate_deployed(endpoint, changes, ["trivet"])
    with pytest.raises(FailedPrecondition, match="7 is being changed already"):
        server.plane.mutate_deployed(endpoint, changes, ["trivet"])
    server.serve(d7="it runs the user's own code")
    assert server.failed(operation).message == "it runs the user's own code"
    assert server.plane.wish().models[0].placement == "process"
    server.plane.mutate_deployed(endpoint, changes, ["trivet"])


@pytest.mark.parametrize(
    ("changes", "mask", "message"),
    [
        (
            {"serviceAccount": "x"},
            ["serviceAccount"],
            "deployedModel.serviceAccount cannot be changed; what can",
        ),
        (
            {"dedicatedResources": {"machineSpec": {}}},
            ["dedicatedResources.machineSpec"],
            "deployedModel.dedicatedResources.machineSpec cannot be changed",
        ),
        (
            {"dedicatedResources": {"maxReplicaCount": 1}},
            ["dedicatedResources"],
            "to be at most maxReplicaCount",
        ),
        ({"trivet": {"timeout": -1}}, [], r"deployedModel\.trivet\.timeout"),
    ],
)
def test_changes_that_are_refused(server, endpoint, changes, mask, message):
    id_ = server.deploy(endpoint, dedicatedResources={"minReplicaCount": 2, "maxReplicaCount": 2})
    with pytest.raises(InvalidArgument, match=message):
        server.plane.mutate_deployed(endpoint, {"id": id_, **changes}, mask)


def test_a_list_of_operations_tells_no_answer_before_it_is_true(server, endpoint):
    id_ = server.deploy(endpoint)
    server.plane.undeploy(endpoint, id_)
    first = server.plane.operations(HERE, ALL).items[0]
    assert (first.kind, first.done, first.response) == ("undeployModel", False, None)
