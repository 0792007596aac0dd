"""Everything that `trivet.connect()` adds to plain HTTP. Its argument is the server's URL."""

import asyncio
import json
import sys

from google.cloud import aiplatform

from trivet import connect

connect(sys.argv[1], project="connected")
model = aiplatform.Model.upload(
    display_name="constant",
    artifact_uri="gs://models/constant-3",
    serving_container_image_uri="us-docker.pkg.dev/vertex-ai/prediction/xgboost-cpu.2-1:latest",
)
body, headers = json.dumps({"instances": [[0.0]]}).encode(), {"Content-Type": "application/json"}
for dedicated in (False, True):
    endpoint = aiplatform.Endpoint.create(display_name="e", dedicated_endpoint_enabled=dedicated)
    endpoint.deploy(model, machine_type="n1-standard-2")
    assert endpoint.predict([[0.0]]).predictions == [3]
    assert endpoint.predict([[0.0]], use_raw_predict=True).model_version_id == "1"
    assert endpoint.raw_predict(body=body, headers=headers).json() == {"predictions": [3.0]}
    lines = endpoint.stream_raw_predict(body=body, headers=headers)
    assert json.loads(b"".join(lines)) == {"predictions": [3.0]}
    answer = asyncio.run(endpoint.predict_async([[0.0]]))
    assert answer.predictions == [3]
    assert answer.deployed_model_id == endpoint.list_models()[0].id
assert endpoint.invoke(request_path="/x", body=body, headers=headers).status_code == 501

config = aiplatform.PrivateEndpoint.PrivateServiceConnectConfig(project_allowlist=["p"])
private = aiplatform.PrivateEndpoint.create(display_name="psc", private_service_connect_config=config)
private.deploy(model, machine_type="n1-standard-2")
answer = private.predict([[0.0]], endpoint_override="127.0.0.1")
assert answer.predictions == [3]
assert answer.model_resource_name == model.resource_name
raw = private.raw_predict(body=body, headers=headers, endpoint_override="127.0.0.1")
assert raw.json() == {"predictions": [3.0]}
streamed = private.stream_raw_predict(body=body, headers=headers, endpoint_override="127.0.0.1")
assert json.loads(b"".join(streamed)) == {"predictions": [3.0]}

for one in [*aiplatform.Endpoint.list(), *aiplatform.PrivateEndpoint.list()]:
    one.delete(force=True)
model.delete()
