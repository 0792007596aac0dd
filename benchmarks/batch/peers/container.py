"""What the managed service does: read, parse, and POST 64 rows at a time to a container, on one connection.

It writes to OUTPUT.started how many seconds went by until the container was there, which rows do not add to.
"""

import csv
import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from common import NAMES, asked

ROWS = 64

began = time.perf_counter()
ask = asked()


def instances() -> Iterator[dict[str, float]]:
    with Path(ask.input).open(newline="") as file:
        if ask.format == "csv":
            for row in csv.DictReader(file):
                yield {name: float(row[name]) for name in NAMES}
        else:
            yield from map(json.loads, file)


def call(method: str, path: str, body: bytes | None = None) -> bytes:
    connection.request(method, path, body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != 200:
        raise SystemExit(f"{answer.status} {content[:200]!r}")
    return content


def wait() -> None:
    while True:
        if container.poll() is not None:
            raise SystemExit("the container ended")
        try:
            call("GET", "/health")
            return
        except OSError:
            connection.close()
            time.sleep(0.01)


with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
command = [sys.executable, str(Path(__file__).with_name("container_server.py")), str(port), ask.model]
container = subprocess.Popen(command)
connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
try:
    wait()
    Path(f"{ask.output}.started").write_text(str(time.perf_counter() - began))
    with Path(ask.output).open("w") as out:
        rows = instances()
        while batch := list(islice(rows, ROWS)):
            body = json.dumps({"instances": [list(one.values()) for one in batch]}).encode()
            predictions = json.loads(call("POST", "/predict", body))["predictions"]
            for one, prediction in zip(batch, predictions, strict=True):
                out.write(json.dumps({"instance": one, "prediction": prediction}) + "\n")
finally:
    container.terminate()
    container.wait()
