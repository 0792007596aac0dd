"""What a killed process costs: SIGKILL at random, under load, and the time until all is as before.

    python -m benchmarks.kill [--kills 50] [--workers 2]

Serves a model that runs in the fronts and one in a process of its own, asks both all the time and checks
every answer. Then kills a process of the server, again and again: a front, the loader or the replica (the
supervisor is what a service manager restarts). Prints, for each kind, how many requests failed, and how
long it took until as many processes served as before and both models had answered again. No answer may be
wrong, and no connection refused.
"""

import argparse
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from rich.console import Console
from rich.table import Table

MARK = "SERVER_UNDER_BENCHMARK"
PREDICTOR = """
class Predictor:
    example = [1, 2]
    def predict(self, instances):
        return [sum(one) for one in instances]
"""


class Load:
    """Callers on connections that they keep, each asking both models in turn."""

    def __init__(self, url: str, callers: int) -> None:
        self.address = urlsplit(url)
        self.answered: Counter[str] = Counter()
        self.failed: list[str] = []
        self.wrong = 0
        self.over = False
        self.threads = [threading.Thread(target=self.ask, args=[number]) for number in range(callers)]

    def ask(self, number: int) -> None:
        chance = random.Random(number)
        connection = None
        while not self.over:
            row = [chance.randrange(1000), number]
            for model, expected in (("echo", row), ("sum", sum(row))):
                try:
                    if connection is None:
                        connection = http.client.HTTPConnection(*self.address.netloc.split(":"), timeout=20)
                    body = json.dumps({"instances": [row]})
                    connection.request("POST", f"/v1/models/{model}:predict", body)
                    response = connection.getresponse()
                    told = response.read()
                except (OSError, http.client.HTTPException) as error:
                    self.failed.append(type(error).__name__)
                    if connection is not None:
                        connection.close()
                    connection = None
                    continue
                if response.status != 200:
                    self.failed.append(str(response.status))
                elif json.loads(told)["predictions"] != [expected]:
                    self.wrong += 1
                else:
                    self.answered[model] += 1


def processes(mark: str, supervisor: int, port: int) -> dict[int, str]:
    """Return the processes of the server and what each is, whoever its parent is by now."""
    found = {}
    sockets = listening(port)
    for one in Path("/proc").iterdir():
        with suppress(OSError):
            if one.name.isdecimal() and mark.encode() in (one / "environ").read_bytes():
                words = (one / "cmdline").read_bytes().decode().split("\0")
                kind = next((word for word in words if word in ("replica", "control")), "loader")
                held = {os.readlink(descriptor) for descriptor in (one / "fd").iterdir()}
                found[int(one.name)] = "front" if kind == "loader" and held & sockets else kind
    found.pop(supervisor, None)
    return found


def listening(port: int) -> set[str]:
    """Return the sockets that listen at a port: of processes like the loader, the fronts have them."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {f"socket:[{one[9]}]" for one in lines if one[3] == "0A" and one[1].endswith(f":{port:04X}")}


def start(folder: Path, workers: int, mark: str) -> tuple[subprocess.Popen[str], str]:
    (folder / "sum").mkdir()
    (folder / "sum" / "predictor.py").write_text(PREDICTOR)
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "trivet", "serve", "echo=echo:", f"sum={folder / 'sum'}"),
            *("--port", "0", "--workers", str(workers)),
        ],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, MARK: mark},
    )
    assert server.stderr is not None
    for line in server.stderr:
        if "serving on http" in line:
            url = line[line.index("http://") :].split('"')[0]
            threading.Thread(target=server.stderr.read, daemon=True).start()
            return server, url
    raise SystemExit("the server did not start")


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--kills", type=int, default=50)
    asked.add_argument("--workers", type=int, default=2)
    asked.add_argument("--callers", type=int, default=8)
    asked.add_argument("--seed", type=int, default=0)
    given = asked.parse_args()
    mark, chance = uuid.uuid4().hex, random.Random(given.seed)
    with TemporaryDirectory() as name:
        server, url = start(Path(name), given.workers, mark)
        load = Load(url, given.callers)
        for thread in load.threads:
            thread.start()
        try:
            port = urlsplit(url).port
            costs = kill(given.kills, load, lambda: processes(mark, server.pid, port), given.workers, chance)
        finally:
            load.over = True
            for thread in load.threads:
                thread.join()
            server.terminate()
            server.wait()
    draw(costs, load)
    if load.wrong or "ConnectionRefusedError" in load.failed:
        sys.exit(1)


def kill(
    kills: int, load: Load, processes: Callable[[], dict[int, str]], workers: int, chance: random.Random
) -> dict[str, list[tuple[float, int]]]:
    """Kill processes; return, for each kind, the seconds until all was as before and the failed requests."""
    full = Counter({"front": workers, "loader": 1, "replica": 1, "control": 1})
    wait(lambda: Counter(processes().values()) == full, processes)  # others may have been there for the start
    costs = defaultdict(list)
    for _ in range(kills):
        victim, kind = chance.choice(sorted(processes().items()))
        failed = len(load.failed)
        os.kill(victim, signal.SIGKILL)
        since = time.perf_counter()
        wait(lambda: Counter(processes().values()) == full, processes)
        before = Counter(load.answered)
        wait(
            lambda before=before: all(load.answered[model] > before[model] for model in ("echo", "sum")),
            processes,
        )
        costs[kind].append((time.perf_counter() - since, len(load.failed) - failed))
        time.sleep(chance.uniform(0.2, 1.5))
    return costs


def wait(condition: Callable[[], bool], processes: Callable[[], dict[int, str]]) -> None:
    """Wait until something is so; a minute is a failure, of which the processes are told."""
    since = time.perf_counter()
    while not condition():
        if time.perf_counter() - since > 60:
            raise SystemExit(f"the server is not at full strength after a minute: {processes()}")
        time.sleep(0.002)


def draw(costs: dict[str, list[tuple[float, int]]], load: Load) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("killed", "times", "requests failed each", "s until full strength: median", "worst"):
        table.add_column(heading, justify="right" if heading != "killed" else "left")
    for kind, measured in sorted(costs.items()):
        seconds, failed = zip(*measured, strict=True)
        table.add_row(
            kind,
            str(len(measured)),
            f"{sum(failed) / len(failed):.1f}",
            f"{median(seconds):.2f}",
            f"{max(seconds):.2f}",
        )
    console = Console()
    console.print(table)
    answered = sum(load.answered.values())
    console.print(f"{answered:,} answers, {load.wrong} wrong; {len(load.failed)} requests failed: ", end="")
    console.print(", ".join(f"{count} {what}" for what, count in Counter(load.failed).items()) or "none")


if __name__ == "__main__":
    main()
