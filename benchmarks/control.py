"""The control plane, empty and with 10,000 models and 1,000 endpoints: how long calls and deploys take.

    python -m benchmarks.control [--models 10000] [--endpoints 1000] [--calls 50] [--seconds 3]

Starts `trivet up` twice, once with an empty catalog and once with a full one, and prints, and writes to
`results/control.json`:
- the time of a deploy, from the call to the first prediction of a new model that is answered;
- the times of calls: a page of 100 models, with and without a filter, one model, one endpoint, a deploy call;
- predictions a second, of both servers in turns: what a full catalog costs the hot path (as a ratio).
"""

import argparse
import gc
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"
PARENT = "/v1/projects/local/locations/us-central1"
POST = """wrk.method = "POST"
wrk.body = [==[{"instances": [%s]}]==]
wrk.headers["Content-Type"] = "application/json"
"""


def train(folder: Path) -> tuple[Path, list[float]]:
    """Return gradient boosted trees as ONNX, and a row for them."""
    from skl2onnx import to_onnx
    from sklearn.datasets import load_breast_cancer
    from sklearn.ensemble import GradientBoostingClassifier

    x, y = load_breast_cancer(return_X_y=True)
    model = GradientBoostingClassifier(random_state=0).fit(x, y)
    converted = to_onnx(model, x[:1].astype("float32"), options={"zipmap": False}, target_opset=18)
    path = folder / "model.onnx"
    path.write_bytes(converted.SerializeToString())
    return path, x[0].tolist()


def fill(data: Path, models: int, endpoints: int) -> None:
    """Enter models and endpoints into a catalog, of which nothing is deployed."""
    from trivet.catalog import Catalog
    from trivet.core.resources import Endpoint, Location, ModelVersion

    data.mkdir(parents=True)
    catalog, now = Catalog(f"sqlite:///{data.absolute() / 'catalog.db'}"), datetime.now(UTC)
    here = Location("local", "us-central1")
    with catalog.transaction() as tx:
        for index in range(models):
            labels = {"team": f"t{index % 50}"}
            name = here.child("models", f"model-{index}")
            tx.add_version(ModelVersion(name, "", f"Model {index}", now, now, now, labels))
        for index in range(endpoints):
            name = here.child("endpoints", f"endpoint-{index}")
            tx.add_endpoint(Endpoint(name, f"Endpoint {index}", now, now))
    catalog.close()


@contextmanager
def served(data: Path) -> Iterator[httpx.Client]:
    """Run `trivet up` with one front on a free port."""
    command = [sys.executable, "-m", "trivet", "up", "--port=0", "--tls-port=-1", "--workers=1"]
    process = subprocess.Popen(
        [*command, f"--data={data}", "--log-requests=none"], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if found := re.search(r"serving on (http://[^\s\"]+)", line):
                with httpx.Client(base_url=found[1], timeout=30) as client:
                    yield client
                break
        else:
            raise SystemExit("the server did not start")
    finally:
        process.terminate()
        process.wait()
        process.stderr.close()


def done(client: httpx.Client, answer: httpx.Response) -> dict[str, Any]:
    """Wait for an operation; returns its response."""
    operation = answer.raise_for_status().json()
    while not operation.get("done"):
        operation = client.get(f"/ui/{operation['name']}").raise_for_status().json()
    if "error" in operation:
        raise SystemExit(operation["error"]["message"])
    return operation["response"]


def deploys(client: httpx.Client, model: Path, row: list[float], times: int) -> list[float]:
    """Return the seconds from a deploy call to the first prediction of the new model, several times."""
    body = {"model": {"displayName": "m", "artifactUri": str(model)}, "modelId": "m"}
    done(client, client.post(f"{PARENT}/models:upload", json=body))
    name, seconds = f"{PARENT[4:]}/models/m", []
    for index in range(times):
        endpoint = f"e{index}"
        done(client, client.post(f"{PARENT}/endpoints?endpointId={endpoint}", json={"displayName": endpoint}))
        began = time.perf_counter()
        body = {"deployedModel": {"model": name, "displayName": "m"}}
        done(client, client.post(f"{PARENT}/endpoints/{endpoint}:deployModel", json=body))
        answer = client.post(f"{PARENT}/endpoints/{endpoint}:predict", json={"instances": [row]})
        answer.raise_for_status()
        seconds.append(time.perf_counter() - began)
    return seconds


def calls(client: httpx.Client, times: int, full: bool) -> dict[str, list[float]]:
    """Return the seconds of each kind of call."""
    last = "model-9" if full else "m"

    def get(path: str) -> Callable[[], httpx.Response]:
        return lambda: client.get(f"{PARENT}/{path}")

    def deploy() -> httpx.Response:
        body = {"deployedModel": {"model": f"{PARENT[4:]}/models/m", "displayName": "again"}}
        answer = client.post(f"{PARENT}/endpoints/e0:deployModel", json=body)
        began = answer.elapsed
        made = done(client, answer)["deployedModel"]["id"]
        done(client, client.post(f"{PARENT}/endpoints/e0:undeployModel", json={"deployedModelId": made}))
        answer.elapsed = began
        return answer

    kinds = {
        "list 100 models": get("models?pageSize=100"),
        "list by display name": get('models?pageSize=100&filter=display_name="Model 77"'),
        "list by label": get("models?pageSize=100&filter=labels.team=t7"),
        "list 100 endpoints": get("endpoints?pageSize=100"),
        "get a model": get(f"models/{last}"),
        "get an endpoint": get("endpoints/e0"),
        "deploy call": deploy,
    }
    found: dict[str, list[float]] = {kind: [] for kind in kinds}
    for index in range(times):
        for kind, call in kinds.items():
            if kind == "deploy call" and index >= 5:  # which waits for the deploy
                continue
            answer = call()
            answer.raise_for_status()
            found[kind].append(answer.elapsed.total_seconds())
    return found


def rate(client: httpx.Client, script: Path, seconds: float) -> float:
    """Return predictions a second at 32 connections."""
    address = f"{str(client.base_url).rstrip('/')}{PARENT}/endpoints/e0:predict"
    wrk = ["wrk", "-t1", "-c32", f"-d{seconds:g}s", "-s", str(script), address]
    told = subprocess.run(wrk, capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in told, told
    found = re.search(r"Requests/sec:\s+([\d.]+)", told)
    assert found is not None, told
    return float(found[1])


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--models", type=int, default=10_000)
    options.add_argument("--endpoints", type=int, default=1_000)
    options.add_argument("--calls", type=int, default=50)
    options.add_argument("--seconds", type=float, default=3.0)
    asked = options.parse_args()
    found: dict[str, Any] = {}
    with TemporaryDirectory() as name:
        folder = Path(name)
        model, row = train(folder)
        script = folder / "post.lua"
        script.write_text(POST % json.dumps(row))
        gc.collect()
        gc.freeze()  # or the garbage collector's looks at scikit-learn would count as the server's time
        fill(folder / "full", asked.models, asked.endpoints)
        with served(folder / "empty") as empty, served(folder / "full") as full:
            for title, client in (("empty", empty), ("full", full)):
                found[title] = {"deploy": deploys(client, model, row, 5)}
                found[title]["calls"] = calls(client, asked.calls, full=title == "full")
            rates: dict[str, list[float]] = {"empty": [], "full": []}
            for _ in range(5):
                rates["empty"].append(rate(empty, script, asked.seconds))
                rates["full"].append(rate(full, script, asked.seconds))
    found["rates"] = rates
    found["hot path"] = median(a / b for a, b in zip(rates["empty"], rates["full"], strict=True))
    show(found)
    RESULTS.mkdir(exist_ok=True)
    about = {"machine": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()}
    sizes = {"models": asked.models, "endpoints": asked.endpoints}
    (RESULTS / "control.json").write_text(json.dumps({**about, **sizes, **found}, indent=1) + "\n")


def show(found: dict[str, Any]) -> None:
    table = Table(title="milliseconds, median / worst")
    for name in ("", "empty", "full"):
        table.add_column(name, justify="left" if not name else "right")
    rows = {"deploy to first prediction": [found[one]["deploy"] for one in ("empty", "full")]}
    rows |= {
        kind: [found[one]["calls"][kind] for one in ("empty", "full")] for kind in found["full"]["calls"]
    }
    for kind, (empty, full) in rows.items():
        table.add_row(kind, *(f"{median(one) * 1e3:.1f} / {max(one) * 1e3:.1f}" for one in (empty, full)))
    Console(width=100).print(table)
    print(f"predictions a second, empty over full: {found['hot path']:.3f}")


if __name__ == "__main__":
    main()
