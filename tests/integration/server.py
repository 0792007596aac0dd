"""A real `trivet serve` process on a port of loopback, for the tests that need one."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from typing import Any

import httpx

STARTS_WITHIN = 60  # seconds; a bound for hangs, not a measurement


@dataclass
class Server:
    """Started by `serve`; stop it with `stop`, or use it as a context."""

    process: subprocess.Popen
    lines: list[str] = field(default_factory=list)
    url: str = ""

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stderr.close()
        if hasattr(self, "_client"):
            self._client.close()

    @property
    def client(self) -> httpx.Client:
        if not hasattr(self, "_client"):
            self._client = httpx.Client(base_url=self.url, timeout=30)
        return self._client

    def predict(self, model: str, instances: Any, parameters: Any = None) -> httpx.Response:
        body = {"instances": instances, **({"parameters": parameters} if parameters else {})}
        return self.client.post(f"/v1/models/{model}:predict", content=json.dumps(body))

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)

    def log(self) -> list[dict[str, Any]]:
        """Return the log so far, after the process has ended."""
        rest = self.process.stderr.read()
        self.lines += rest.splitlines()
        return [json.loads(line) for line in self.lines if line.startswith("{")]


def serve(*arguments: str, wait: str = "ready", cwd: Any = None, **environment: str) -> Server:
    """Start a server on a free port and wait until it says that it serves ("ready"), or for nothing."""
    port = (
        []
        if any(one.startswith("--port") for one in arguments) or "AIP_HTTP_PORT" in environment
        else ["--port=0"]
    )
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("TRIVET_", "AIP_"))}
    process = subprocess.Popen(
        [sys.executable, "-m", "trivet", "serve", *arguments, *port],
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env={**clean, **environment},
    )
    server = Server(process)
    if wait:
        _await_address(server)
    return server


def _await_address(server: Server) -> None:
    hangs = threading.Timer(STARTS_WITHIN, server.process.kill)
    hangs.start()
    for line in server.process.stderr:
        server.lines.append(line)
        if found := re.search(r"serving on (http://[^\s\"]+)", line):
            server.url = found[1]
            hangs.cancel()
            return
    hangs.cancel()
    with server:
        raise AssertionError("the server did not start:\n" + "".join(server.lines))
