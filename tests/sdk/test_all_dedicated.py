"""A server that says of every endpoint that it is a dedicated one: raw predictions then need no proxy."""

import json
import os

import pytest

from tests.sdk.conftest import LOCATION
from tests.sdk.place import BUCKET, VARIABLE, XGBOOST, started

BODY = json.dumps({"instances": [[0.0]]}).encode()
JSON = {"Content-Type": "application/json"}

pytestmark = pytest.mark.skipif(VARIABLE in os.environ, reason="the server that is given is another one")


def test_raw_predictions_go_over_tls(models, tmp_path, monkeypatch):
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import aiplatform

    with started(tmp_path, models, TRIVET_CATALOG_ALL_DEDICATED="true") as place:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", place.bundle)
        aiplatform.init(
            project="p",
            location=LOCATION,
            credentials=AnonymousCredentials(),
            api_endpoint=f"https://{place.tls}",
            api_transport="rest",
        )
        model = aiplatform.Model.upload(
            display_name="m",
            artifact_uri=f"gs://{BUCKET}/constant-1",
            serving_container_image_uri=XGBOOST,
        )
        endpoint = aiplatform.Endpoint.create(display_name="like any other")
        endpoint.deploy(model, machine_type="n1-standard-2")
        assert endpoint.dedicated_endpoint_dns == place.tls
        assert endpoint.predict([[0.0]]).predictions == [1]
        assert endpoint.raw_predict(body=BODY, headers=JSON).json() == {"predictions": [1.0]}
        lines = endpoint.stream_raw_predict(body=BODY, headers=JSON)
        assert json.loads(b"".join(lines)) == {"predictions": [1.0]}
