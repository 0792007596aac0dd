"""Raw predictions of a container by the SDK: any bytes there, the container's own back."""

from pathlib import Path

import pytest
from google.api import httpbody_pb2
from google.api_core import exceptions

FRANK = Path(__file__).parents[1] / "integration" / "frank"
BYTES = bytes(range(256))


@pytest.fixture
def endpoint(aiplatform):
    """An endpoint with a container that answers a raw prediction with what it was sent."""
    model = aiplatform.Model.upload(
        display_name="frank",
        serving_container_image_uri=str(FRANK),
        serving_container_predict_route="/predict",
        serving_container_health_route="/health",
    )
    endpoint = aiplatform.Endpoint.create(display_name="frank")
    endpoint.deploy(model, machine_type="n1-standard-2")
    return endpoint


def test_the_containers_bytes_come_back(endpoint, client):
    service, body = client("Prediction"), httpbody_pb2.HttpBody(data=BYTES, content_type="image/x")
    answer = service.raw_predict(endpoint=endpoint.resource_name, http_body=body)
    assert (answer.data, answer.content_type) == (BYTES, "image/x")
    parts = list(service.stream_raw_predict(request={"endpoint": endpoint.resource_name, "http_body": body}))
    assert b"".join(part.data for part in parts) == BYTES
    assert {part.content_type for part in parts} == {"image/x"}
    with pytest.raises(exceptions.InternalServerError, match="the container answered"):
        service.predict(endpoint=endpoint.resource_name, instances=[1])
