"""A server whose processes are killed at random, and a runner that starts it again."""

import http.client
import json
import os
import random
import signal
import socket
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import httpx

from tests.integration.plane import PARENT, Failed, Plane
from tests.integration.server import MARK, Server, up

WITHIN = 90.0  # seconds; a bound for hangs


class Kept:
    """`trivet up` on one port, started again whenever it has ended, as a service manager does."""

    def __init__(self, data: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.starts = 0
        self.over = False
        self._data = data
        self._server: Server
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._keep)
        self._thread.start()
        assert self._started.wait(WITHIN)

    def _keep(self) -> None:
        while not self.over:
            self._server = up(self._data, f"--port={self.port}", wait="", TRIVET_LOG_REQUESTS="none")
            self.starts += 1
            self._started.set()
            self._server.process.wait()
            if not self.over:  # the port may still be an orphan's for a moment
                self._server.__exit__()

    def processes(self) -> list[int]:
        """Return every process of the server that runs now."""
        found = []
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                if (
                    entry.name.isdigit()
                    and f"{MARK}={self._server.mark}\0".encode() in (entry / "environ").read_bytes()
                ):
                    found.append(int(entry.name))
        return found

    def stop(self) -> str:
        """Stop it in good order; returns what the last one wrote."""
        self.over = True
        self._server.process.send_signal(signal.SIGTERM)
        self._thread.join(WITHIN)
        told = self._server.told()
        assert self._server.process.returncode == 0, told
        self._server.__exit__()
        return told


class Killer:
    """Ends a process of the server at random, every now and then."""

    def __init__(self, kept: Kept, kills: int, every: float, seed: int) -> None:
        self.killed: Counter[str] = Counter()
        self._kept = kept
        self._kills = kills
        self._every = every
        self._chance = random.Random(seed)
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        while sum(self.killed.values()) < self._kills:
            time.sleep(self._chance.uniform(0.5, 1.5) * self._every)
            found = self._kept.processes()
            if not found:
                continue
            victim = self._chance.choice(found)
            with suppress(OSError):
                command = Path(f"/proc/{victim}/cmdline").read_text().split("\0")
                os.kill(victim, signal.SIGKILL)
                self.killed[next((one for one in command if one in KINDS), "supervisor")] += 1


KINDS = ("loader", "control", "replica", "gateway")


class Truth:
    """Which deployed models may answer a request that begins now."""

    def __init__(self) -> None:
        self.allowed: set[str] = set()

    def becomes(self, *ids: str) -> None:
        self.allowed = set(ids)


class Callers:
    """Ask an endpoint all the time, and note who answers."""

    def __init__(self, kept: Kept, endpoint: str, truth: Truth, callers: int = 2) -> None:
        self.answers: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.failed = 0
        self._over = threading.Event()
        self._path = f"{PARENT}/endpoints/{endpoint}:predict"
        self._truth = truth
        self._port = kept.port
        self._threads = [threading.Thread(target=self._ask) for _ in range(callers)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        connection = None
        while not self._over.is_set():
            before = self._truth.allowed
            try:
                connection = connection or http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
                connection.request("POST", self._path, '{"instances": [[0.0]]}')
                answer = connection.getresponse()
                told = json.loads(answer.read())
            except (OSError, http.client.HTTPException, ValueError):
                self.failed += 1
                if connection is not None:
                    connection.close()
                connection = None
                time.sleep(0.01)
                continue
            if answer.status != 200:
                self.failed += 1
            elif (by := told["deployedModelId"]) in before | self._truth.allowed:
                self.answers[by] += 1
            else:
                self.wrong.append(f"{by}, and not one of {before | self._truth.allowed}")
        if connection is not None:
            connection.close()

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


class Patient:
    """A client that asks again what a killed process did not answer, and looks what was done."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def until(self, call):
        """Call with a plane until it is answered; an answer that refuses is raised."""
        since = time.monotonic()
        while True:
            try:
                with httpx.Client(base_url=self._kept.url, timeout=15) as client:
                    return call(Plane(client))
            except (httpx.TransportError, Failed, ValueError) as error:
                if isinstance(error, Failed) and error.args[0] not in (13, 14, 503, 500):
                    raise
                if time.monotonic() - since > WITHIN:
                    raise
                time.sleep(0.05)

    def endpoint(self, name):
        return self.until(lambda plane: plane.get(f"endpoints/{name}"))

    def create(self, name):
        def call(plane):
            with suppress(Failed):
                return plane.get(f"endpoints/{name}")
            return plane.endpoint(name)

        return self.until(call)

    def upload(self, path, name):
        """Upload until a model of this name is there."""

        def call(plane):
            answer = plane.client.get(f"{PARENT}/models/{name}")
            if answer.status_code == 200:
                return f"{PARENT[4:]}/models/{name}@1"
            try:
                return plane.upload(path, name)
            except Failed as failed:
                if failed.args[0] in (6, 409):  # the first try is under way, or has just been done
                    raise Failed({"code": 14, "message": failed.args[1]}) from None
                raise

        return self.until(call)

    def deploy(self, endpoint, model, display_name):
        """Deploy until a deployed model of this display name is there; returns its id."""

        def call(plane):
            for one in plane.get(f"endpoints/{endpoint}").get("deployedModels", []):
                if one["displayName"] == display_name:
                    return one["id"]
            under_way = [
                one
                for one in plane.get("operations?pageSize=1000").get("operations", [])
                if not one.get("done")
            ]
            if under_way:
                raise Failed({"code": 14, "message": "another try is under way"})
            return plane.deploy(endpoint, model, displayName=display_name)

        return self.until(call)

    def split(self, endpoint, split):
        self.until(lambda plane: plane.split(endpoint, split))

    def undeploy(self, endpoint, id_):
        def call(plane):
            there = [one["id"] for one in plane.get(f"endpoints/{endpoint}").get("deployedModels", [])]
            if id_ in there:
                plane.undeploy(endpoint, id_)

        self.until(call)
