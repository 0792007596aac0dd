"""Be what a platform starts: a prediction container, told everything by `AIP_*` variables.

Vertex AI starts any image with these variables, on paths that it makes up; on Cloud Run and Kubernetes you
set them yourself. `trivet serve` needs nothing else.
"""

import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from tempfile import TemporaryDirectory

import skops.io
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression


def get(url: str, body: bytes | None = None) -> str:
    with urllib.request.urlopen(urllib.request.Request(url, body)) as response:
        return str(response.read().decode())


def main() -> None:
    with TemporaryDirectory() as artifact:
        model = LogisticRegression(max_iter=1000).fit(*load_iris(return_X_y=True))
        skops.io.dump(model, Path(artifact) / "model.skops")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        told = {
            "AIP_HTTP_PORT": str(port),
            "AIP_HEALTH_ROUTE": "/v1/endpoints/123/deployedModels/456",
            "AIP_PREDICT_ROUTE": "/v1/endpoints/123/deployedModels/456:predict",
            "AIP_STORAGE_URI": artifact,
            "TRIVET_SERVER_HOST": "127.0.0.1",  # a container would listen on every address
        }
        command = [sys.executable, "-m", "trivet", "serve"]
        server = subprocess.Popen(command, env={**os.environ, **told}, stderr=subprocess.PIPE, text=True)
        assert server.stderr is not None
        try:
            next(line for line in server.stderr if "serving on" in line)
            address = f"http://127.0.0.1:{port}"
            print("health: ", get(address + told["AIP_HEALTH_ROUTE"]))
            body = json.dumps({"instances": [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]})
            print("predict:", get(address + told["AIP_PREDICT_ROUTE"], body.encode()))
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
