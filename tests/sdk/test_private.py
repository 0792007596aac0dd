"""Private endpoints by Google's SDK: in a peered network, and behind Private Service Connect."""

import json

import pytest
from google.api_core import exceptions

BODY = json.dumps({"instances": [[0.0]]}).encode()
JSON = {"Content-Type": "application/json"}
NETWORK = "projects/1/global/networks/n"


def test_an_endpoint_in_a_peered_network(aiplatform, upload):
    endpoint = aiplatform.PrivateEndpoint.create(display_name="private", network=NETWORK)
    assert endpoint.network == NETWORK
    with pytest.raises(RuntimeError, match="has not been"):
        endpoint.predict([[0.0]])
    endpoint.deploy(upload(2), machine_type="n1-standard-2", max_replica_count=2)
    (deployed,) = endpoint.list_models()
    assert endpoint.predict_http_uri.startswith("http://")
    answer = endpoint.predict([[0.0], [1.0]])
    assert (answer.predictions, answer.deployed_model_id) == ([2, 2], deployed.id)
    assert json.loads(endpoint.raw_predict(body=BODY, headers=JSON).data)["predictions"] == [2]
    assert endpoint.health_check()
    with pytest.raises(RuntimeError, match=r"400 - .*INVALID_ARGUMENT"):
        endpoint.predict([["x"]])
    with pytest.raises(exceptions.BadRequest, match="takes one model"):
        endpoint.deploy(upload(1), machine_type="n1-standard-2")
    endpoint.undeploy(deployed.id)
    assert endpoint.list_models() == []
    endpoint.delete()
    assert aiplatform.PrivateEndpoint.list() == []


@pytest.mark.parametrize("transport", ["rest"])
def test_plain_http_is_told_to_those_who_come_by_tls(place, connected, upload, project):
    aiplatform = connected(project, "rest", f"https://{place.tls}")
    endpoint = aiplatform.PrivateEndpoint.create(display_name="private", network=NETWORK)
    endpoint.deploy(upload(2), machine_type="n1-standard-2")
    assert endpoint.predict([[0.0]]).predictions == [2]
    assert endpoint.health_check()


def test_an_endpoint_behind_private_service_connect(aiplatform, upload, project):
    config = aiplatform.PrivateEndpoint.PrivateServiceConnectConfig(project_allowlist=["p"])
    endpoint = aiplatform.PrivateEndpoint.create(display_name="psc", private_service_connect_config=config)
    assert list(endpoint.private_service_connect_config.project_allowlist) == ["p"]
    endpoint.deploy(upload(1), machine_type="n1-standard-2")
    endpoint.deploy(upload(2), machine_type="n1-standard-2", traffic_percentage=40)
    assert sorted(endpoint.traffic_split.values()) == [40, 60]
    for deployed in endpoint.list_models():
        attachment = deployed.private_endpoints.service_attachment
        assert attachment.startswith(f"projects/{project}/regions/us-central1/serviceAttachments/")
    one = next(iter(endpoint.traffic_split))
    endpoint.update(traffic_split={id_: 100 if id_ == one else 0 for id_ in endpoint.traffic_split})
    assert endpoint.traffic_split[one] == 100
    endpoint.undeploy_all()
    endpoint.delete(force=True)
