"""A real `trivet serve` process on a port of loopback, for the tests that need one."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

MARK = "SERVER_UNDER_TEST"
"""A variable in the environment of all processes of one server, whatever becomes of their parents."""

STARTS_WITHIN = 60  # seconds; a bound for hangs, not a measurement


@dataclass
class Server:
    """Started by `serve`; stop it with `stop`, or use it as a context.

    A thread reads what it writes: a full pipe would stop the server in the middle of a log line.
    """

    process: subprocess.Popen
    mark: str = ""
    lines: list[str] = field(default_factory=list)
    url: str = ""

    def __post_init__(self) -> None:
        self._said = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._read_all()
        self.process.stderr.close()
        if hasattr(self, "_client"):
            self._client.close()

    def _read(self) -> None:
        for line in self.process.stderr:
            self.lines.append(line)
            if found := re.search(r"serving on (http://[^\s\"]+)", line):
                self.url = found[1]
                self._said.set()
        self._said.set()

    def await_address(self) -> None:
        self._said.wait(STARTS_WITHIN)
        if not self.url:
            with self:
                raise AssertionError("the server did not start:\n" + self.told())
        _ = self.client  # made here, since threads will share it

    def told(self) -> str:
        """Return everything it wrote, after the process has ended."""
        self.process.wait(STARTS_WITHIN)
        self._read_all()
        return "".join(self.lines)

    def _read_all(self) -> None:
        """Read to the end, which comes when the last process has ended; those left after a time are ended."""
        self._reader.join(STARTS_WITHIN)
        if not self._reader.is_alive():
            return
        left = []
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                if (
                    entry.name.isdigit()
                    and f"{MARK}={self.mark}\0".encode() in (entry / "environ").read_bytes()
                ):
                    left.append((entry.name, (entry / "cmdline").read_text().replace("\0", " ")))
                    os.kill(int(entry.name), signal.SIGKILL)
        self._reader.join()
        raise AssertionError(f"processes outlived the server: {left}\n{''.join(self.lines)}")

    @property
    def client(self) -> httpx.Client:
        if not hasattr(self, "_client"):
            self._client = httpx.Client(base_url=self.url, timeout=10)
        return self._client

    def predict(self, model: str, instances: Any, parameters: Any = None) -> httpx.Response:
        body = {"instances": instances, **({"parameters": parameters} if parameters else {})}
        return self.client.post(f"/v1/models/{model}:predict", content=json.dumps(body))

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)

    def log(self) -> list[dict[str, Any]]:
        """Return the log, after the process has ended."""
        return [json.loads(line) for line in self.told().splitlines() if line.startswith("{")]


def serve(*arguments: str, wait: str = "ready", cwd: Any = None, **environment: str) -> Server:
    """Start a server on a free port and wait until it says that it serves ("ready"), or for nothing.

    It has one front, unless the environment says otherwise: most tests are about what one does.
    """
    return _start("serve", arguments, wait, cwd, environment)


def up(data: Any, *arguments: str, wait: str = "ready", cwd: Any = None, **environment: str) -> Server:
    """Start `trivet up` with a data folder, two fronts, and neither TLS nor a proxy unless asked for."""
    few = {
        "TRIVET_SERVER_WORKERS": "2",
        "TRIVET_GATEWAY_TLS_PORT": "-1",
        "TRIVET_GATEWAY_PROXY_PORT": "-1",
        "TRIVET_DATA": str(data),
    }
    return _start("up", arguments, wait, cwd, {**few, **environment})


def _start(
    command: str, arguments: tuple[str, ...], wait: str, cwd: Any, environment: dict[str, str]
) -> Server:
    port = (
        []
        if any(one.startswith("--port") for one in arguments) or "AIP_HTTP_PORT" in environment
        else ["--port=0"]
    )
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("TRIVET_", "AIP_"))}
    mark = uuid.uuid4().hex
    process = subprocess.Popen(
        [sys.executable, "-m", "trivet", command, *arguments, *port],
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env={**clean, "TRIVET_SERVER_WORKERS": "1", MARK: mark, **environment},
    )
    server = Server(process, mark)
    if wait:
        server.await_address()
    return server
