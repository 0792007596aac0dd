"""Says nothing of where it runs: no endpoint, transport or credentials, as it would on Google's cloud."""

import json

from google.cloud import aiplatform

aiplatform.init(project="zero-code", location="europe-west4")
model = aiplatform.Model.upload(
    display_name="constant",
    artifact_uri="gs://models/constant-3",
    serving_container_image_uri="europe-docker.pkg.dev/vertex-ai/prediction/xgboost-cpu.2-1:latest",
)
endpoint = aiplatform.Endpoint.create(display_name="scoring")
endpoint.deploy(model, machine_type="n1-standard-4", min_replica_count=1, max_replica_count=3)

answer = endpoint.predict([[0.0]])
assert answer.predictions == [3], answer
assert answer.deployed_model_id == endpoint.list_models()[0].id

body, headers = json.dumps({"instances": [[0.0]]}).encode(), {"Content-Type": "application/json"}
raw = endpoint.raw_predict(body=body, headers=headers)
assert raw.json() == {"predictions": [3.0]}, raw.text
assert raw.headers["X-Vertex-AI-Deployed-Model-Id"] == answer.deployed_model_id
lines = endpoint.stream_raw_predict(body=body, headers=headers)
assert json.loads(b"".join(lines)) == {"predictions": [3.0]}
assert endpoint.predict([[0.0]], use_raw_predict=True).model_resource_name == model.resource_name
streamed = endpoint.stream_direct_raw_predict(method_name="/any/Method", requests=iter([body, body]))
assert [json.loads(one.predictions)["predictions"] for one in streamed] == [[3.0], [3.0]]

dedicated = aiplatform.Endpoint.create(display_name="dedicated", dedicated_endpoint_enabled=True)
dedicated.deploy(model, machine_type="n1-standard-4")
assert dedicated.predict([[0.0]]).predictions == [3]

for one in aiplatform.Endpoint.list():
    one.delete(force=True)
model.delete()
assert aiplatform.Model.list() == []
