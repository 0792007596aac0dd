"""Ask containers directly, through Trivet and through nginx, in turns, and compare what that takes."""

import argparse
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import numpy as np

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT / "examples" / "07-containers"), str(ROOT / "benchmarks" / "online")]

from load import Load, put  # noqa: E402
from run import APPLICATION, train  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "container.json"
APPLICATIONS = {"echo": APPLICATION.parent / "echo", "fraud": APPLICATION}
ENDPOINT = "/v1/projects/local/locations/us-central1/endpoints/{name}:predict"
TICK = os.sysconf("SC_CLK_TCK")
NGINX = """
daemon off; pid nginx.pid; error_log stderr; worker_processes 1;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    upstream application {{ server 127.0.0.1:{application}; keepalive 64; }}
    server {{
        listen 127.0.0.1:{port};
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        client_body_buffer_size 1m;  # or bodies of many rows would go by a file
        location / {{ proxy_pass http://application; }}
    }}
}}
"""


class Server:
    """A `trivet up` with one front, and one application behind an endpoint."""

    def __init__(self, folder: Path, name: str) -> None:
        self._environment = {
            **os.environ,
            "TRIVET_DATA": str(folder / "data"),
            "TRIVET_CONTAINERS_ENGINE": "process",
            "TRIVET_SERVER_WORKERS": "1",
        }
        self._folder = folder
        command = self._command("up", "--port", "0", "--tls-port", "-1", "--proxy-port", "-1")
        self.log = (folder / "log").open("w+")
        self._process = subprocess.Popen(command, env=self._environment, stderr=self.log, cwd=folder)
        self.address = ""
        while not self.address:
            time.sleep(0.1)
            said = (folder / "log").read_text().partition("serving on ")[2]
            self.address = said.partition('"')[0]
        train(folder / "model")
        files = ["model"] if name == "fraud" else []
        quiet = ("--env", "ACCESS_LOG=")  # or it would print a line for each request
        self._trivet("model", "upload", name, *files, "--image", APPLICATIONS[name], *quiet)
        self._trivet("endpoint", "create", name)
        self._trivet("deploy", name, "--to", name)
        self.through = self.address + ENDPOINT.format(name=name)
        self.application, self.direct = self._found()
        self.nginx = ""
        if which("nginx"):
            url = urlsplit(self.direct)
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
            (folder / "nginx.conf").write_text(NGINX.format(application=url.port, port=port))
            self.proxy = subprocess.Popen(["nginx", "-p", folder, "-c", "nginx.conf"], stderr=self.log)
            self.nginx = f"http://127.0.0.1:{port}{url.path}"

    def _found(self) -> tuple[list[int], str]:
        """Return the processes of the application, and where it predicts."""
        found, variables = [], {}
        for pid in family(self._process.pid):
            own = dict(one.partition("=")[::2] for one in _read(pid, "environ").split("\0"))
            if "AIP_HTTP_PORT" in own and b"guard.py" not in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
                variables = own
        return found, f"http://127.0.0.1:{variables['AIP_HTTP_PORT']}{variables['AIP_PREDICT_ROUTE']}"

    @property
    def own(self) -> list[int]:
        """The processes of Trivet."""
        return [pid for pid in family(self._process.pid) if pid not in self.application]

    def stop(self) -> None:
        for process in [self._process, self.proxy] if self.nginx else [self._process]:
            process.terminate()
            process.wait()
        self.log.close()

    def _trivet(self, *arguments: object) -> None:
        command = self._command(*arguments)
        subprocess.run(command, env=self._environment, cwd=self._folder, check=True, capture_output=True)

    def _command(self, *arguments: object) -> list[str]:
        return [sys.executable, "-m", "trivet", *map(str, arguments)]


def family(pid: int) -> list[int]:
    """Return a process and all below it."""
    found = [pid]
    for one in found:
        for thread in Path(f"/proc/{one}/task").glob("*/children"):
            found += map(int, thread.read_text().split())
    return found


def _read(pid: int, what: str) -> str:
    try:
        return Path(f"/proc/{pid}/{what}").read_text(errors="replace")
    except OSError:
        return ""


def cpu(pids: list[int]) -> float:
    """Return the seconds of CPU that processes have used."""
    stats = [_read(pid, "stat").rpartition(")")[2].split() for pid in pids]
    return sum(int(stat[11]) + int(stat[12]) for stat in stats if stat) / TICK


@contextmanager
def measured(server: Server, into: dict[str, Any]) -> Iterator[None]:
    before = cpu(server.application), cpu(server.own)
    yield
    into["application_s"] = cpu(server.application) - before[0]
    into["trivet_s"] = cpu(server.own) - before[1]


def round_of(server: Server, url: str, body: Path, connections: int, seconds: int) -> dict[str, Any]:
    """Load one way for some seconds."""
    found: dict[str, Any] = {}
    with measured(server, found):
        load: Load = put(url, body, connections, seconds)
    if load.failure:
        raise SystemExit(f"{url}: {load.failure}")
    each = 1e6 / load.requests
    return {
        "p50_ms": load.p50_ms,
        "p99_ms": load.p99_ms,
        "rps": load.rps,
        "application_us": found["application_s"] * each,
        "trivet_us": found["trivet_s"] * each,
        "cores": load.cores + (found["application_s"] + found["trivet_s"]) / seconds,
    }


def compare(name: str, rows: int, connections: list[int], rounds: int, seconds: int) -> list[dict[str, Any]]:
    """Measure one application; returns a cell for each number of connections."""
    cells = []
    with TemporaryDirectory() as given:
        folder = Path(given)
        server = Server(folder, name)
        try:
            body = folder / "body.json"
            instances = np.random.default_rng(7).normal(size=(rows, 30)).round(8).tolist()
            body.write_text(json.dumps({"instances": instances}))
            names = ["direct", "through", "nginx"] if server.nginx else ["direct", "through"]
            for way in names:
                put(getattr(server, way), body, 4, 1)  # so that nothing is done for the first time
            for number in connections:
                ways: dict[str, list[dict[str, Any]]] = {way: [] for way in names}
                for _ in range(rounds):
                    for way, kept in ways.items():
                        kept.append(round_of(server, getattr(server, way), body, number, seconds))
                cells.append(cell(name, rows, number, ways))
                print(said(cells[-1]), flush=True)
        finally:
            server.stop()
    return cells


def cell(name: str, rows: int, connections: int, ways: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    middle = {way: {key: median(one[key] for one in kept) for key in kept[0]} for way, kept in ways.items()}
    ratio = {key: middle["through"][key] / middle["direct"][key] for key in ("p50_ms", "rps")}
    return {
        "application": name, "rows": rows, "connections": connections,
        **middle, "p50_ratio": ratio["p50_ms"], "rps_ratio": ratio["rps"],
        "p50s_ms": {way: [one["p50_ms"] for one in kept] for way, kept in ways.items()},
    }  # fmt: skip


def said(one: dict[str, Any]) -> str:
    direct, through = one["direct"], one["through"]
    nginx = f"; nginx {one['nginx']['p50_ms']:.3f} ms {one['nginx']['rps']:,.0f} /s" if "nginx" in one else ""
    return (
        f"{one['application']:6} {one['rows']:3} rows {one['connections']:3} connections   "
        f"p50 {direct['p50_ms']:7.3f} -> {through['p50_ms']:7.3f} ms ({one['p50_ratio']:.2f} x)   "
        f"{direct['rps']:7,.0f} -> {through['rps']:7,.0f} /s ({one['rps_ratio']:.2f} x)   "
        f"CPU {direct['application_us']:.0f} -> {through['application_us']:.0f} + "
        f"{through['trivet_us']:.0f} µs, {through['cores']:.2f} cores{nginx}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--application", "-a", action="append", choices=APPLICATIONS)
    parser.add_argument("--rows", type=int, action="append")
    parser.add_argument("--connections", type=int, action="append")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="one short round of each")
    asked = parser.parse_args()
    rounds, seconds = (1, 1) if asked.quick else (asked.rounds, asked.seconds)
    cells = [
        one
        for name in asked.application or APPLICATIONS
        for rows in asked.rows or [1, 64]
        for one in compare(name, rows, asked.connections or [1, 16, 64], rounds, seconds)
    ]
    if not asked.quick:
        about = {"cpus": os.cpu_count(), "load": os.getloadavg(), "rounds": rounds, "seconds": seconds}
        RESULTS.write_text(json.dumps({**about, "cells": cells}, indent=1) + "\n")


if __name__ == "__main__":
    main()
