"""Asks an endpoint as a script on Google Cloud does: no address, no transport and no credentials in it."""

import json
import logging

from google.cloud import aiplatform
from sklearn.datasets import load_breast_cancer

logging.disable(logging.INFO)
aiplatform.init(project="local", location="us-central1")
(endpoint,) = aiplatform.Endpoint.list(filter='display_name="diagnosis"')
body = json.dumps({"instances": load_breast_cancer().data[:2].tolist()}).encode()
answer = endpoint.raw_predict(body=body, headers={"Content-Type": "application/json"})
print("a script as it is:     version", answer.headers["X-Vertex-AI-Model-Version-Id"], "says", answer.json())
