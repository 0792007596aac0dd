"""What a server does when more is asked of it than it can answer.

    python -m benchmarks.overload [--seconds 6]

Measures how many requests a second a model can answer, then offers up to three times as many, each with a
deadline, at fixed times whatever becomes of the earlier ones. Latency counts from the time at which a request
was to be sent. Prints, and writes to `results/overload.json` and `.svg`, how much of the capacity is still
answered in time (goodput), how long accepted requests take, and whether a refused one is accepted when it
comes back after the time it was told.
"""

import argparse
import asyncio
import json
import os
import platform
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

from benchmarks.open_loop import PREDICTOR, Client, Sent, quantile

RESULTS = Path(__file__).parent / "results"
LOADS = (1.0, 1.5, 2.0, 3.0)


@dataclass
class Point:
    """What came of one load."""

    load: float
    capacity: float
    goodput: float
    p50: float
    p99: float
    refused: int
    late: int
    other: int
    honest: bool | None


async def measure(client: Client, load: float, capacity: float, seconds: float, deadline: float) -> Point:
    """Offer a load, and come back once when a refusal says so."""
    rate = load * capacity
    sent = await client.offer(rate, seconds, deadline)
    refused = [one for one in sent if one.status == 429]
    honest = None
    if refused:
        last = refused[-1]
        await asyncio.sleep(max(0.0, last.at + last.seconds + last.retry_after - monotonic()))
        back = await client.ask(Sent(-1, monotonic()), deadline)
        honest = back.status == 200
    settled = [one for one in sent if one.at >= sent[0].at + seconds / 4]  # once the queue is full
    good = [one.seconds for one in settled if one.status == 200]
    in_time = sum(one <= deadline * 1.05 for one in good)  # the way to the server and back is not its own
    counts = Counter(one.status for one in settled)
    return Point(
        load=load,
        capacity=capacity,
        goodput=in_time / (seconds * 3 / 4),
        p50=quantile(good, 0.5),
        p99=quantile(good, 0.99),
        refused=counts[429],
        late=counts[504],
        other=len(settled) - counts[200] - counts[429] - counts[504],
        honest=honest,
    )


@contextmanager
def served(*arguments: str, **environment: str) -> Iterator[str]:
    """Run a server on a free port, and give its address."""
    command = [sys.executable, "-m", "trivet", "serve", *arguments, "--port=0"]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TRIVET_LOG_REQUESTS": "none", **environment},
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if found := re.search(r"serving on (http://[^\s\"]+)", line):
                yield found[1]
                break
        else:
            raise SystemExit("the server did not start")
    finally:
        process.terminate()
        process.wait()


def train(folder: Path) -> tuple[Path, list[float]]:
    """Return nearest neighbours, whose batches take some 16 ms, nearly whatever their size, and a row."""
    import joblib
    import numpy as np
    from sklearn.neighbors import KNeighborsClassifier

    x = np.random.default_rng(0).normal(size=(250_000, 30))
    neighbours = KNeighborsClassifier(algorithm="brute", n_jobs=1).fit(x, x[:, 0] > 0)
    path = folder / "neighbours.joblib"
    joblib.dump(neighbours, path)
    return path, x[0].tolist()


async def sweep(client: Client, seconds: float, deadline: float) -> list[Point]:
    """Measure every load between two measurements of the capacity, which is that of a machine with others."""
    await client.capacity(2, 0.5)
    points, capacity = [], await client.capacity(64, seconds)
    for load in LOADS:
        point = await measure(client, load, capacity, seconds, deadline)
        capacity = await client.capacity(64, seconds)
        points.append(replace(point, capacity=(point.capacity + capacity) / 2))
    client.close()
    return points


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--seconds", type=float, default=6.0, help="of each load")
    seconds = options.parse_args().seconds
    found: dict[str, Any] = {}
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "slow").mkdir()
        code = PREDICTOR.format(ran=os.devnull, seconds=0.005)
        (folder / "slow/predictor.py").write_text(code)
        neighbours, row = train(folder)
        python = f"m={folder / 'slow'}"
        native = (f"m={neighbours}", "--allow-pickle")
        few = {"TRIVET_BATCHING_MAX_ROWS": "2", "OMP_NUM_THREADS": "1"}
        (folder / "trivet.toml").write_text(
            f"[models.m]\npath = '{neighbours}'\nplacement = 'inline'\n[artifacts]\nallow_pickle = true\n"
        )
        inline = {**few, "TRIVET_SERVER_WORKERS": "1", "TRIVET_CONFIG": str(folder / "trivet.toml")}
        scenarios: list[tuple[str, tuple[str, ...], dict[str, str], Any]] = [
            ("Python, 5 ms a row, in a process", (python,), {}, None),
            ("neighbours, 2 rows at most, in a process", native, few, row),
            ("neighbours, 2 rows at most, inline", (), inline, row),
        ]
        deadline = 0.3
        for title, arguments, environment, instance in scenarios:
            with served(*arguments, **environment) as url:
                points = asyncio.run(sweep(Client(url, "m", instance), seconds, deadline))
            found[title] = {"deadline": deadline, "points": [asdict(one) for one in points]}
            show(title, found[title])
    RESULTS.mkdir(exist_ok=True)
    about = {"machine": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()}
    document = {**about, "seconds": seconds, "scenarios": found}
    (RESULTS / "overload.json").write_text(json.dumps(document, indent=1) + "\n")
    (RESULTS / "overload.svg").write_text(draw(found))


def show(title: str, scenario: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{title}; deadline {scenario['deadline'] * 1e3:g} ms")
    for name in (
        "capacity/s",
        "offered",
        "goodput",
        "p50 ms",
        "p99 ms",
        "429",
        "504",
        "other",
        "back in time",
    ):
        table.add_column(name, justify="right")
    for one in scenario["points"]:
        honest = {None: "-", True: "accepted", False: "refused"}[one["honest"]]
        table.add_row(
            f"{one['capacity']:,.0f}",
            f"{one['load']:g} x",
            f"{one['goodput'] / one['capacity']:.2f} x",
            *(f"{one[name] * 1e3:,.0f}" for name in ("p50", "p99")),
            *(f"{one[name]:,}" for name in ("refused", "late", "other")),
            honest,
        )
    Console(width=110).print(table)


def draw(found: dict[str, Any]) -> str:
    """Draw goodput over offered load, both as shares of the capacity."""
    left, top, width, height, colours = 60, 50, 480, 240, ("#0b7a75", "#d9822b", "#5c6bc0")
    font = "font-family='Helvetica, Arial, sans-serif' font-size='12'"

    def place(load: float, share: float) -> tuple[float, float]:
        return left + load / 3 * width, top + height - min(share, 1.25) / 1.25 * height

    parts = [
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 580 400' width='580'>",
        "<rect width='580' height='400' fill='#ffffff'/>",
        f"<text x='20' y='28' {font} font-weight='bold'>Answered in time, over what is offered</text>",
    ]
    for share in (0.0, 0.5, 1.0):
        x, y = place(0, share)
        parts.append(f"<path d='M{x:.0f} {y:.0f}h{width}' stroke='#e8eaed'/>")
        parts.append(f"<text x='{x - 8:.0f}' y='{y + 4:.0f}' text-anchor='end' {font}>{share:g}</text>")
    for load in LOADS:
        x, y = place(load, 0)
        parts.append(f"<text x='{x:.0f}' y='{y + 18:.0f}' text-anchor='middle' {font}>{load:g} x</text>")
    for index, (title, scenario) in enumerate(found.items()):
        colour = colours[index % len(colours)]
        shares = [(one["load"], one["goodput"] / one["capacity"]) for one in scenario["points"]]
        points = [(0.0, 0.0), *shares]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*one) for one in points))
        parts.append(f"<polyline points='{line}' fill='none' stroke='{colour}' stroke-width='2'/>")
        y = 340 + 18 * index
        parts.append(f"<rect x='60' y='{y - 9}' width='10' height='10' fill='{colour}'/>")
        parts.append(f"<text x='78' y='{y}' {font}>{title}</text>")
    return "\n".join([*parts, "</svg>\n"])


if __name__ == "__main__":
    main()
