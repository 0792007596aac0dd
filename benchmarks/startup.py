"""What it costs to have Trivet and to start it, beside what a user would otherwise do.

    python benchmarks/startup.py

Prints the installed size of the light install, the time to import and to show the help, the time from
`trivet serve small.onnx` to the first prediction, and the same for a server written by hand on the web
framework that Trivet itself uses. Best of five; ratios, since absolute times belong to one machine.
"""

import http.client
import importlib.metadata
import json
import os
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from packaging.requirements import Requirement

BY_HAND = """
import sys

import numpy
import onnxruntime
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])

async def predict(request):
    rows = numpy.array((await request.json())["instances"], numpy.float32)
    return JSONResponse({"predictions": session.run(["label"], {"X": rows})[0].tolist()})

app = Starlette(routes=[Route("/v1/models/model:predict", predict, methods=["POST"])])
uvicorn.run(app, port=int(sys.argv[2]), log_level="error")
"""


def installed_megabytes() -> float:
    """Add up the files of Trivet and of all it needs without extras."""
    seen: set[str] = set()
    todo = ["trivet"]
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        for text in importlib.metadata.requires(name) or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                todo.append(requirement.name)
    files = (file.locate() for name in seen for file in importlib.metadata.distribution(name).files or ())
    return sum(os.path.getsize(file) for file in files if os.path.exists(file)) / 1e6


def best_of_five(measure: Callable[[], float]) -> float:
    return min(measure() for _ in range(5))


def command_seconds(*arguments: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def train(folder: Path) -> tuple[Path, bytes]:
    from skl2onnx import to_onnx
    from sklearn.datasets import load_breast_cancer
    from sklearn.ensemble import GradientBoostingClassifier

    x, y = load_breast_cancer(return_X_y=True)
    model = GradientBoostingClassifier(n_estimators=100, max_depth=3).fit(x, y)
    converted = to_onnx(model, x[:1].astype("float32"), options={id(model): {"zipmap": False}})
    path = folder / "model.onnx"
    path.write_bytes(converted.SerializeToString())
    return path, json.dumps({"instances": x[:1].tolist()}).encode()


def first_prediction_seconds(command: list[str], port: int, body: bytes) -> float:
    """Return the time from starting a server to its first right answer."""
    started = time.perf_counter()
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        while time.perf_counter() - started < 60:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            try:
                connection.request("POST", "/v1/models/model:predict", body)
                response = connection.getresponse()
                answer = response.read()
                if response.status == 200:
                    assert json.loads(answer)["predictions"] == [0]
                    return time.perf_counter() - started
            except ConnectionError:
                pass
            finally:
                connection.close()
        raise SystemExit(f"no answer from {' '.join(command)}")
    finally:
        server.terminate()
        server.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def main() -> None:
    python = best_of_five(lambda: command_seconds("-c", "pass"))
    imported = best_of_five(lambda: command_seconds("-c", "import trivet"))
    helped = best_of_five(lambda: command_seconds("-m", "trivet", "--help"))
    with TemporaryDirectory() as name:
        model, body = train(Path(name))
        script = Path(name) / "by_hand.py"
        script.write_text(BY_HAND)

        def trivet() -> float:
            port = free_port()
            command = [sys.executable, "-m", "trivet", "serve", str(model), "--port", str(port)]
            return first_prediction_seconds(command, port, body)

        def by_hand() -> float:
            port = free_port()
            return first_prediction_seconds([sys.executable, str(script), str(model), str(port)], port, body)

        pairs = [(trivet(), by_hand()) for _ in range(5)]  # interleaved
    ours, theirs = (min(times) for times in zip(*pairs, strict=True))
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"installed without extras       {installed_megabytes():7.1f} MB")
    print(f"python -c pass                 {python:7.3f} s")
    print(f"import trivet                  {imported:7.3f} s   {imported / python:5.2f} x python")
    print(f"trivet --help                  {helped:7.3f} s   {helped / python:5.2f} x python")
    print(f"serve small.onnx to prediction {ours:7.3f} s   {ours / theirs:5.2f} x starlette by hand")


if __name__ == "__main__":
    main()
