"""Upload, deploy, split traffic and roll back with Google's own SDK, against a `trivet up` of its own."""

import json
import logging
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import xgboost
from google.auth.credentials import AnonymousCredentials
from google.cloud import aiplatform
from sklearn.datasets import load_breast_cancer

TRIVET = [sys.executable, "-m", "trivet"]
IMAGE = "us-docker.pkg.dev/vertex-ai/prediction/xgboost-cpu.2-1:latest"
PATIENTS = load_breast_cancer()
ROW = PATIENTS.data[0].tolist()


def train(folder: Path) -> None:
    """Write two versions of a model, as Google's XGBoost container takes them."""
    for name, trees in (("v1", 10), ("v2", 50)):
        (folder / name).mkdir()
        data = xgboost.DMatrix(PATIENTS.data, PATIENTS.target)
        booster = xgboost.train({"objective": "binary:logistic", "nthread": 1}, data, trees)
        (folder / name / "model.bst").write_bytes(booster.save_raw("ubj"))


def start(data: Path, bucket: Path) -> tuple[subprocess.Popen[str], str]:
    """Start a server in which `gs://models` is a local folder, and return it with its address."""
    variables = {"TRIVET_DATA": str(data), "TRIVET_STORAGE_BUCKETS": f"gs://models={bucket}"}
    command = [*TRIVET, "up", "--port", "0", "--tls-port", "0", "--proxy-port", "0"]
    server = subprocess.Popen(command, env={**os.environ, **variables}, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    messages = (json.loads(line)["msg"] for line in server.stderr)
    return server, next(m for m in messages if m.startswith("serving on ")).removeprefix("serving on ")


def upload(version: str, parent: str | None = None) -> aiplatform.Model:
    return aiplatform.Model.upload(
        display_name="patients",
        artifact_uri=f"gs://models/{version}",
        serving_container_image_uri=IMAGE,
        parent_model=parent,
    )


def answers(endpoint: aiplatform.Endpoint) -> str:
    """Ask a hundred times, and return which versions answered."""
    counted = Counter(endpoint.predict([ROW]).model_version_id for _ in range(100))
    return ", ".join(f"version {version}: {count}" for version, count in sorted(counted.items()))


def manage(data: Path) -> None:
    """Do what people do with the SDK, which nothing was done to."""
    model = upload("v1")
    endpoint = aiplatform.Endpoint.create(display_name="diagnosis")
    began = time.perf_counter()
    endpoint.deploy(model, machine_type="n1-standard-4")
    answer = endpoint.predict([ROW])
    print(
        f"deployed, and answered with {answer.predictions[0]:.3f}, {time.perf_counter() - began:.1f} s later"
    )

    endpoint.deploy(upload("v2", parent=model.resource_name), machine_type="n1-standard-4")
    first, second = (one.id for one in sorted(endpoint.list_models(), key=lambda one: one.model_version_id))
    for title, share in (
        ("a new model gets none", 0),
        ("half of it", 50),
        ("all of it", 100),
        ("rollback", 0),
    ):
        endpoint.update(traffic_split={first: 100 - share, second: share})
        print(f"{title + ':':22} {answers(endpoint)}")

    script = Path(__file__).with_name("stock.py")
    subprocess.run([*TRIVET, "run", "--data", str(data), "--", sys.executable, str(script)], check=True)

    endpoint.undeploy(second)
    endpoint.delete(force=True)
    model.delete()


def main() -> None:
    logging.disable(logging.INFO)  # the SDK tells of every step
    with TemporaryDirectory() as name:
        folder = Path(name)
        train(folder)
        server, address = start(folder / "data", folder)
        try:
            aiplatform.init(
                project="local",
                location="us-central1",
                api_endpoint=address,
                api_transport="rest",
                credentials=AnonymousCredentials(),
            )
            manage(folder / "data")
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
