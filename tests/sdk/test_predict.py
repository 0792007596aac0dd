"""Every way to predict that Google's SDK has, at shared, dedicated and private endpoints."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import ModuleType

import pytest
from google.api import httpbody_pb2
from google.api_core import exceptions

from tests.sdk.conftest import clear
from tests.sdk.place import BUCKET, XGBOOST

BODY = json.dumps({"instances": [[0.0], [1.0]]}).encode()
JSON = {"Content-Type": "application/json"}
TENSOR = {"dtype": "FLOAT", "shape": [2, 1], "float_val": [0.0, 1.0]}
PROJECT = "predictions"


@dataclass(frozen=True)
class Served:
    """Names of a model and of two endpoints that serve it, and the ids it has there."""

    model: str
    shared: str
    dedicated: str
    ids: dict[str, str]


@pytest.fixture(scope="module")
def served(connected):
    aiplatform = connected(PROJECT)
    model = aiplatform.Model.upload(
        display_name="constant",
        artifact_uri=f"gs://{BUCKET}/constant-2",
        serving_container_image_uri=XGBOOST,
    )
    shared = aiplatform.Endpoint.create(display_name="shared")
    dedicated = aiplatform.Endpoint.create(display_name="dedicated", dedicated_endpoint_enabled=True)
    for endpoint in (shared, dedicated):
        endpoint.deploy(model, machine_type="n1-standard-2")
    ids = {one.resource_name: one.list_models()[0].id for one in (shared, dedicated)}
    yield Served(model.resource_name, shared.resource_name, dedicated.resource_name, ids)
    clear(connected(PROJECT))


@pytest.fixture
def project(served):
    """Return the project of what is served: these tests change nothing in it."""
    return PROJECT


@pytest.fixture
def shared(aiplatform, served):
    return aiplatform.Endpoint(served.shared)


@pytest.fixture
def dedicated(aiplatform, served):
    return aiplatform.Endpoint(served.dedicated)


@pytest.fixture
def check(served):
    """Return what checks a prediction: what was predicted, and who says that it did."""

    def checked(prediction, endpoint):
        assert prediction.predictions == [2, 2]
        assert prediction.deployed_model_id == served.ids[endpoint.resource_name]
        assert prediction.model_version_id == "1"
        assert prediction.model_resource_name == served.model

    return checked


def test_predict(shared, check):
    check(shared.predict([[0.0], [1.0]]), shared)
    check(shared.predict(instances=[[0.0], [1.0]], parameters={}, timeout=30), shared)
    assert len(shared.predict([[float(index)] for index in range(500)]).predictions) == 500


def test_predict_says_what_is_wrong_with_the_instances(shared):
    for instances, said in [([[0.0, 1.0]], r"(?i)instances?\[0\]"), ([["x"]], "x"), ([], "instances")]:
        with pytest.raises(exceptions.BadRequest, match=said) as refused:
            shared.predict(instances)
        assert refused.value.code == 400


def test_predict_at_what_is_not_there(aiplatform):
    nothing = aiplatform.Endpoint.create(display_name="nothing")
    with pytest.raises(exceptions.NotFound, match="nothing is deployed at"):
        nothing.predict([[0.0]])
    nothing.delete()
    with pytest.raises(exceptions.NotFound):
        aiplatform.Endpoint(nothing.resource_name).predict([[0.0]])


async def test_predict_async(aiplatform, shared, check, transport):
    if transport == "rest":
        from google.auth.aio.credentials import StaticCredentials

        # otherwise the SDK falls back to gRPC, at the address of REST
        aiplatform.initializer._set_async_rest_credentials(StaticCredentials(token="t"))
        try:
            check(await shared.predict_async([[0.0], [1.0]]), shared)
            await shared._prediction_async_client.transport.close()
        finally:
            aiplatform.initializer.global_config._async_rest_credentials = None
    else:
        check(await shared.predict_async([[0.0], [1.0]]), shared)


def test_direct_predict(shared):
    for inputs in ([TENSOR], [{"struct_val": {"features": TENSOR}}]):
        (found,) = shared.direct_predict(inputs=inputs).predictions
        assert (found["dtype"], found["floatVal"]) == ("FLOAT", [2, 2])
    with pytest.raises(exceptions.BadRequest, match="inputs"):
        shared.direct_predict(inputs=[TENSOR, TENSOR])


def test_direct_raw_predict(shared):
    answer = shared.direct_raw_predict(method_name="/any/Method", request=BODY)
    assert json.loads(answer.predictions)["predictions"] == [2, 2]


@pytest.mark.parametrize("transport", ["grpc"])  # where alone the SDK has them
async def test_direct_predictions_are_asynchronous(shared):
    (found,) = (await shared.direct_predict_async(inputs=[TENSOR])).predictions
    assert found["floatVal"] == [2, 2]
    answer = await shared.direct_raw_predict_async(method_name="/any/Method", request=BODY)
    assert json.loads(answer.predictions)["predictions"] == [2, 2]


@pytest.mark.parametrize("transport", ["grpc"])
def test_direct_predictions_of_a_stream_are_answered_in_order(shared):
    sizes = [2, 1, 3]
    asked = ([{"shape": [size, 1], "dtype": "FLOAT", "float_val": [0.0] * size}] for size in sizes)
    answered = list(shared.stream_direct_predict(inputs_iterator=asked))
    assert [one.predictions[0]["floatVal"] for one in answered] == [[2] * size for size in sizes]
    bodies = (json.dumps({"instances": [[0.0]] * size}).encode() for size in sizes)
    answered = list(shared.stream_direct_raw_predict(method_name="/any/Method", requests=bodies))
    assert [json.loads(one.predictions)["predictions"] for one in answered] == [[2] * size for size in sizes]
    with pytest.raises(exceptions.InvalidArgument):
        list(shared.stream_direct_raw_predict(method_name="/any/Method", requests=iter([b"{"])))


def test_explain_tells_what_each_feature_adds(shared, dedicated):
    for endpoint in (shared, dedicated):
        answer = endpoint.explain([[0.0], [1.0]])
        assert answer.predictions == [2, 2]
        for one in answer.explanations:
            [attribution] = one.attributions
            assert dict(attribution.feature_attributions) == {"f0": 0}
            assert attribution.baseline_output_value == attribution.instance_output_value == 2
            assert attribution.output_name == "prediction"


def test_clients_below_the_sdks_classes(client, served):
    service = client("Prediction")
    answer = service.predict(endpoint=served.shared, instances=[[0.0]])
    assert (list(answer.predictions), answer.model_display_name) == ([2], "constant")
    body = httpbody_pb2.HttpBody(data=BODY, content_type="application/json")
    raw = service.raw_predict(endpoint=served.shared, http_body=body)
    assert json.loads(raw.data)["predictions"] == [2, 2]
    assert raw.content_type.startswith("application/json")
    parts = service.stream_raw_predict(request={"endpoint": served.shared, "http_body": body})
    assert json.loads(b"".join(part.data for part in parts))["predictions"] == [2, 2]
    streamed = service.server_streaming_predict(request={"endpoint": served.shared, "inputs": [TENSOR]})
    assert [list(one.outputs[0].float_val) for one in streamed] == [[2, 2]]
    with pytest.raises(exceptions.NotFound, match="endpoints/none"):
        service.predict(endpoint=served.shared.rpartition("/")[0] + "/none", instances=[[0.0]])


def test_dedicated_endpoints_are_asked_over_tls(dedicated, check):
    check(dedicated.predict([[0.0], [1.0]]), dedicated)
    check(dedicated.predict([[0.0], [1.0]], timeout=30), dedicated)
    check(dedicated.predict([[0.0], [1.0]], use_raw_predict=True), dedicated)
    with pytest.raises(ValueError, match=r"Status code:400, response: .*INVALID_ARGUMENT"):
        dedicated.predict([["x"]])


def test_raw_predictions_say_who_answered(dedicated, served):
    answer = dedicated.raw_predict(body=BODY, headers=JSON)
    assert answer.status_code == 200
    assert answer.json() == {"predictions": [2.0, 2.0]}
    headers = {name: answer.headers[f"X-Vertex-AI-{name}"] for name in ("Endpoint-Id", "Deployed-Model-Id")}
    assert headers == {
        "Endpoint-Id": dedicated.name,
        "Deployed-Model-Id": served.ids[dedicated.resource_name],
    }
    assert answer.headers["X-Vertex-AI-Model"] == served.model
    assert answer.headers["X-Vertex-AI-Model-Version-Id"] == "1"
    lines = list(dedicated.stream_raw_predict(body=BODY, headers=JSON))
    assert json.loads(b"".join(lines)) == {"predictions": [2.0, 2.0]}
    refused = dedicated.raw_predict(body=b"{", headers=JSON)
    assert (refused.status_code, refused.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")


def test_invoke_says_that_there_is_no_container(dedicated):
    answer = dedicated.invoke(request_path="/v1/chat", body=BODY, headers=JSON)
    assert (answer.status_code, answer.json()["error"]["status"]) == (501, "UNIMPLEMENTED")
    assert "Use :predict" in answer.json()["error"]["message"]


async def test_dedicated_endpoints_are_asked_asynchronously(
    aiplatform: ModuleType, served, place, check, monkeypatch
):
    """Of all ways over TLS the one that a setting cannot lead here: it trusts the roots of certifi alone."""
    import certifi
    from google.oauth2.credentials import Credentials

    monkeypatch.setattr(certifi, "where", lambda: place.bundle)
    later = datetime.now() + timedelta(hours=1)
    token = Credentials(token="t", refresh_handler=lambda request, scopes: ("t", later))
    endpoint = aiplatform.Endpoint(served.dedicated, credentials=token)
    check(await endpoint.predict_async([[0.0], [1.0]]), endpoint)
