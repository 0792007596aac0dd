"""Endpoints, what is deployed at them, and their traffic, by Google's SDK."""

from collections import Counter

import pytest
from google.api_core import exceptions
from google.protobuf.field_mask_pb2 import FieldMask

from tests.sdk.place import BUCKET, XGBOOST

MACHINE = "n1-standard-4"


def test_an_endpoint_is_created_with_all_that_it_says_of_itself(aiplatform, project):
    endpoint = aiplatform.Endpoint.create(
        display_name="scoring",
        description="scores",
        labels={"team": "risk"},
        endpoint_id="scoring-1",
        enable_request_response_logging=True,
        request_response_logging_sampling_rate=0.5,
        request_response_logging_bq_destination_table="bq://p.d.t",
    )
    assert endpoint.resource_name == f"projects/{project}/locations/us-central1/endpoints/scoring-1"
    for one in (endpoint, aiplatform.Endpoint("scoring-1")):
        assert (one.display_name, one.labels) == ("scoring", {"team": "risk"})
        assert one.gca_resource.description == "scores"
        assert (one.traffic_split, one.list_models()) == ({}, [])
        assert one.create_time <= one.update_time
        logging = one.gca_resource.predict_request_response_logging_config
        assert (logging.enabled, logging.sampling_rate) == (True, 0.5)
        assert logging.bigquery_destination.output_uri == "bq://p.d.t"
        assert not one.dedicated_endpoint_enabled
    with pytest.raises(exceptions.Conflict, match="scoring-1"):
        aiplatform.Endpoint.create(display_name="again", endpoint_id="scoring-1")
    with pytest.raises(exceptions.NotFound, match="scoring-2"):
        aiplatform.Endpoint("scoring-2").list_models()


def test_a_dedicated_endpoint_is_at_the_tls_port(aiplatform, place):
    endpoint = aiplatform.Endpoint.create(
        display_name="dedicated", dedicated_endpoint_enabled=True, inference_timeout=1200
    )
    assert endpoint.dedicated_endpoint_enabled
    assert endpoint.dedicated_endpoint_dns == place.tls
    timeout = endpoint.gca_resource.client_connection_config.inference_timeout
    assert timeout.total_seconds() == 1200


def test_endpoints_are_listed_by_what_they_are(aiplatform):
    for name in ("b", "a"):
        aiplatform.Endpoint.create(display_name=name, labels={"team": name})
    network = "projects/1/global/networks/n"
    aiplatform.PrivateEndpoint.create(display_name="private", network=network)
    config = aiplatform.PrivateEndpoint.PrivateServiceConnectConfig(project_allowlist=["p"])
    aiplatform.PrivateEndpoint.create(display_name="psc", private_service_connect_config=config)

    def listed(kind=aiplatform.Endpoint, **asked):
        return [one.display_name for one in kind.list(**asked)]

    assert sorted(listed()) == ["a", "b"]
    assert listed(filter='display_name="a"') == ["a"]
    assert listed(filter="labels.team=b") == ["b"]
    assert listed(order_by="create_time desc") == ["a", "b"]
    assert sorted(listed(aiplatform.PrivateEndpoint)) == ["private", "psc"]


def test_an_endpoint_is_updated(aiplatform):
    endpoint = aiplatform.Endpoint.create(display_name="old", labels={"a": "1"})
    assert endpoint.update(display_name="new", description="said", labels={"b": "2"}) is endpoint
    for one in (endpoint, aiplatform.Endpoint(endpoint.resource_name)):
        assert (one.display_name, one.labels) == ("new", {"b": "2"})
        assert one.gca_resource.description == "said"


def test_an_endpoint_is_updated_after_another_object_has_deployed_to_it(aiplatform, upload):
    """The SDK sends the etag of the object that it has, which it does not get again."""
    seen = aiplatform.Endpoint.create(display_name="seen")
    aiplatform.Endpoint(seen.resource_name).deploy(upload(1), machine_type=MACHINE)
    seen.update(labels={"team": "a"})
    assert aiplatform.Endpoint(seen.resource_name).labels == {"team": "a"}


def test_an_endpoint_is_updated_by_an_operation(aiplatform, client, upload):
    endpoint = aiplatform.Endpoint.create(display_name="old")
    endpoint.deploy(upload(1), machine_type=MACHINE)
    endpoint.deploy(upload(2), machine_type=MACHINE)
    one, two = endpoint.traffic_split
    sent = {"name": endpoint.resource_name, "display_name": "new", "traffic_split": {one: 10, two: 90}}
    done = client("Endpoint").update_endpoint_long_running(request={"endpoint": sent}).result()
    assert done.name == endpoint.resource_name
    again = aiplatform.Endpoint(endpoint.resource_name)
    assert (again.display_name, again.traffic_split) == ("new", {one: 10, two: 90})


def test_a_model_is_deployed_with_all_that_is_asked_for(aiplatform, upload):
    endpoint = aiplatform.Endpoint.create(display_name="e")
    model = upload(1)
    endpoint.deploy(
        model,
        deployed_model_display_name="first",
        machine_type=MACHINE,
        min_replica_count=1,
        max_replica_count=3,
        accelerator_type="NVIDIA_TESLA_T4",
        accelerator_count=1,
        autoscaling_target_cpu_utilization=50,
        autoscaling_target_accelerator_duty_cycle=60,
        autoscaling_target_request_count_per_minute=100,
        service_account="sa@p.iam.gserviceaccount.com",
        enable_access_logging=True,
    )
    (deployed,) = endpoint.list_models()
    assert deployed.display_name == "first"
    assert (deployed.model, deployed.model_version_id) == (model.resource_name, "1")
    assert deployed.create_time
    asked = deployed.dedicated_resources
    assert (asked.min_replica_count, asked.max_replica_count) == (1, 3)
    assert asked.machine_spec.machine_type == MACHINE
    assert asked.machine_spec.accelerator_type.name == "NVIDIA_TESLA_T4"
    assert asked.machine_spec.accelerator_count == 1
    targets = {one.metric_name.rpartition("/")[2]: one.target for one in asked.autoscaling_metric_specs}
    assert targets == {"utilization": 50, "duty_cycle": 60, "request_count": 100}
    assert (deployed.service_account, deployed.enable_access_logging) == (
        "sa@p.iam.gserviceaccount.com",
        True,
    )
    assert endpoint.traffic_split == {deployed.id: 100}
    answer = endpoint.predict([[0.0], [1.0]])
    assert answer.predictions == [1, 1]
    assert answer.deployed_model_id == deployed.id
    assert (answer.model_version_id, answer.model_resource_name) == ("1", model.resource_name)


def test_a_version_is_deployed_by_its_alias(aiplatform, upload):
    first = upload(1, version_aliases=["champion"])
    upload(2, parent_model=first.name)
    endpoint = aiplatform.Model(f"{first.name}@champion").deploy(machine_type=MACHINE)
    assert endpoint.list_models()[0].model_version_id == "1"
    assert endpoint.predict([[0.0]]).predictions == [1]


def test_a_model_makes_an_endpoint_for_itself(aiplatform, upload):
    endpoint = upload(3, display_name="alone").deploy()
    assert endpoint.display_name == "alone_endpoint"
    asked = endpoint.list_models()[0].dedicated_resources
    assert (asked.machine_spec.machine_type, asked.max_replica_count) == ("n1-standard-2", 1)
    assert endpoint.predict([[0.0]]).predictions == [3]


def test_a_deployment_in_the_background_is_waited_for(aiplatform, upload):
    endpoint = aiplatform.Endpoint.create(display_name="e", sync=False)
    endpoint.deploy(upload(1, sync=False), machine_type=MACHINE, sync=False)
    endpoint.wait()
    assert endpoint.predict([[0.0]]).predictions == [1]
    endpoint.undeploy_all(sync=False)
    endpoint.wait()
    assert endpoint.list_models() == []
    endpoint.delete(sync=False)
    endpoint.wait()
    assert aiplatform.Endpoint.list() == []


def test_traffic_goes_where_it_is_sent(aiplatform, upload):
    """Deploy beside, shift, go back, take away: the roll-out that everybody runs."""
    endpoint = aiplatform.Endpoint.create(display_name="e")

    def deployed(constant, **share):
        before = {one.id for one in endpoint.list_models()}
        endpoint.deploy(upload(constant), machine_type=MACHINE, **share)
        (new,) = {one.id for one in endpoint.list_models()} - before
        return new

    def answers(calls=40):
        return Counter(endpoint.predict([[0.0]]).deployed_model_id for _ in range(calls))

    one = deployed(1)
    two = deployed(2)
    assert endpoint.traffic_split == {one: 100, two: 0}
    assert set(answers(5)) == {one}
    endpoint.update(traffic_split={one: 70, two: 30})
    assert endpoint.traffic_split == {one: 70, two: 30}
    assert set(answers()) == {one, two}
    three = deployed(3, traffic_percentage=20)  # which the SDK takes from the others in proportion
    assert endpoint.traffic_split == {one: 56, two: 24, three: 20}
    endpoint.undeploy(three)
    assert endpoint.traffic_split == {one: 70, two: 30}
    four = deployed(3, traffic_split={"0": 50, one: 50, two: 0})
    assert endpoint.traffic_split == {four: 50, one: 50, two: 0}
    assert set(answers()) == {one, four}
    endpoint.undeploy(one, traffic_split={four: 0, two: 100})
    assert {id_: share for id_, share in endpoint.traffic_split.items() if share} == {two: 100}
    assert set(answers(10)) == {two}
    with pytest.raises(ValueError, match="traffic"):  # the SDK's own rule
        endpoint.undeploy(two)
    endpoint.undeploy(four)
    endpoint.undeploy(two)
    assert (endpoint.traffic_split, endpoint.list_models()) == ({}, [])
    with pytest.raises((exceptions.NotFound, exceptions.FailedPrecondition, exceptions.BadRequest)):
        endpoint.predict([[0.0]])


def test_a_wrong_split_is_refused_and_changes_nothing(aiplatform, upload):
    endpoint = aiplatform.Endpoint.create(display_name="e")
    endpoint.deploy(upload(1), machine_type=MACHINE)
    before = endpoint.traffic_split
    (one,) = before
    for split, said in [({one: 90}, "100"), ({one: 50, "77": 50}, "77"), ({one: 101}, "10[01]")]:
        with pytest.raises(exceptions.BadRequest, match=said) as refused:
            endpoint.update(traffic_split=split)
        assert refused.value.code == 400
    assert aiplatform.Endpoint(endpoint.resource_name).traffic_split == before


def test_an_endpoint_with_models_is_deleted_by_force_alone(aiplatform, upload):
    endpoint = aiplatform.Endpoint.create(display_name="e")
    endpoint.deploy(upload(1), machine_type=MACHINE)
    endpoint.deploy(upload(2), machine_type=MACHINE, traffic_percentage=40)
    with pytest.raises(exceptions.BadRequest, match="has deployed or being deployed Model"):
        endpoint.delete()
    assert len(endpoint.list_models()) == 2
    endpoint.delete(force=True)
    assert aiplatform.Endpoint.list() == []


def test_all_models_are_undeployed(aiplatform, upload):
    endpoint = aiplatform.Endpoint.create(display_name="e")
    for constant in (1, 2):
        endpoint.deploy(upload(constant), machine_type=MACHINE, traffic_percentage=50 if constant == 2 else 0)
    endpoint.undeploy_all()
    assert (endpoint.traffic_split, endpoint.list_models()) == ({}, [])
    endpoint.delete()


def test_a_model_that_cannot_be_loaded_changes_nothing(aiplatform, upload):
    endpoint = aiplatform.Endpoint.create(display_name="e")
    endpoint.deploy(upload(1), machine_type=MACHINE)
    before = endpoint.traffic_split
    broken = aiplatform.Model.upload(
        display_name="broken", artifact_uri=f"gs://{BUCKET}/broken", serving_container_image_uri=XGBOOST
    )
    with pytest.raises(exceptions.GoogleAPICallError, match=r"(?i)xgboost"):
        endpoint.deploy(broken, machine_type=MACHINE, traffic_percentage=50)
    again = aiplatform.Endpoint(endpoint.resource_name)
    assert (again.traffic_split, len(again.list_models())) == (before, 1)
    assert again.predict([[0.0]]).predictions == [1]


def test_the_replicas_of_a_deployed_model_are_changed(aiplatform, client, upload):
    endpoint = upload(1).deploy(machine_type=MACHINE)
    (deployed,) = endpoint.list_models()
    metric = "aiplatform.googleapis.com/prediction/online/request_count"
    resources = {
        "min_replica_count": 1,
        "max_replica_count": 5,
        "autoscaling_metric_specs": [{"metric_name": metric, "target": 100}],
    }
    done = client("Endpoint").mutate_deployed_model(
        endpoint=endpoint.resource_name,
        deployed_model={"id": deployed.id, "dedicated_resources": resources},
        update_mask=FieldMask(
            paths=[
                "dedicated_resources.min_replica_count",
                "dedicated_resources.max_replica_count",
                "dedicated_resources.autoscaling_metric_specs",
            ]
        ),
    )
    assert done.result().deployed_model.id == deployed.id
    asked = aiplatform.Endpoint(endpoint.resource_name).list_models()[0].dedicated_resources
    assert (asked.max_replica_count, asked.machine_spec.machine_type) == (5, MACHINE)
    assert [(one.metric_name, one.target) for one in asked.autoscaling_metric_specs] == [(metric, 100)]
    with pytest.raises(exceptions.NotFound, match="77"):
        client("Endpoint").mutate_deployed_model(
            endpoint=endpoint.resource_name,
            deployed_model={"id": "77", "dedicated_resources": resources},
            update_mask=FieldMask(paths=["dedicated_resources.max_replica_count"]),
        )


def test_a_preview_deployment_may_scale_to_zero(aiplatform, upload):
    from google.cloud.aiplatform.preview import models as preview

    model = preview.Model(upload(1).resource_name)
    endpoint = preview.Endpoint.create(display_name="e", dedicated_endpoint_enabled=True)
    model.deploy(
        endpoint,
        machine_type=MACHINE,
        min_replica_count=0,
        max_replica_count=2,
        initial_replica_count=1,
        min_scaleup_period=300,
        idle_scaledown_period=300,
    )
    (deployed,) = endpoint.list_models()
    assert deployed.dedicated_resources.max_replica_count == 2
    assert endpoint.predict([[0.0]]).predictions == [1]
    endpoint.undeploy_all()


def test_what_is_not_there_cannot_be_deployed(aiplatform, client, upload, project):
    parent = f"projects/{project}/locations/us-central1"
    endpoint = aiplatform.Endpoint.create(display_name="e")
    service = client("Endpoint")
    with pytest.raises(exceptions.NotFound, match="models/77"):
        service.deploy_model(endpoint=endpoint.resource_name, deployed_model={"model": f"{parent}/models/77"})
    with pytest.raises(exceptions.NotFound, match="endpoints/77"):
        service.deploy_model(
            endpoint=f"{parent}/endpoints/77", deployed_model={"model": upload(1).resource_name}
        )
    with pytest.raises(exceptions.BadRequest, match=r"deployedModel.model"):
        service.deploy_model(endpoint=endpoint.resource_name, deployed_model={"display_name": "d"})
    with pytest.raises(exceptions.NotFound, match="77"):
        service.undeploy_model(endpoint=endpoint.resource_name, deployed_model_id="77")
