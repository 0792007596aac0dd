"""Load a server for long, and see whether it grows; then let many connections come and go.

    python -m benchmarks.soak --requests 10_000_000 --connections 10_000

wrk sends predictions, and now and then other routes and errors. Memory and open files of all processes of the
server are read between its slices; what counts is the slope once the first fifth has passed.
"""

import argparse
import json
import re
import resource
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console
from rich.table import Table
from tests.integration.processes import descriptors, family
from tests.integration.raw import request
from tests.integration.server import Server, serve

RESULTS = Path(__file__).parent / "results"
MIB = 1 << 20
LOAD = """
local json = {["Content-Type"] = "application/json"}
local predict = wrk.format("POST", "/v1/models/e:predict", json, '{"instances":[[1.5,2,"a"],{"b":null}]}')
local others = {
   wrk.format("GET", "/readyz"), wrk.format("GET", "/v1/models"), wrk.format("GET", "/nowhere"),
   wrk.format("POST", "/v1/models/e:predict", json, "{"),
   wrk.format("POST", "/v1/projects/p/locations/l/endpoints/e:rawPredict", json, '{"instances":[]}'),
}
local sent = 0
function request()
   sent = sent + 1
   if sent % 20 == 0 then return others[sent / 20 % #others + 1] end
   return predict
end
"""


@dataclass(frozen=True)
class Sample:
    """What the processes of a server hold together; `rss` counts shared pages for each, `pss` once."""

    requests: int
    seconds: float
    rss: float  # MiB
    pss: float  # MiB
    files: int
    processes: int


def sample(server: Server, requests: int, start: float) -> Sample:
    rss = pss = 0
    pids = family(server.process.pid)
    for pid in pids:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        rss += int(re.search(r"^Rss: +(\d+)", text, re.MULTILINE)[1])
        pss += int(re.search(r"^Pss: +(\d+)", text, re.MULTILINE)[1])
    files = sum(descriptors(server.process.pid).values())
    return Sample(requests, time.perf_counter() - start, rss / 1024, pss / 1024, files, len(pids))


def load(server: Server, script: Path, seconds: float) -> int:
    """Let wrk send for a while; return how many answers there were."""
    command = ["wrk", "-t1", "-c64", f"-d{seconds:g}s", "-s", str(script), server.url]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 60).stdout
    if errors := re.search(r"Socket errors.*", told):
        raise RuntimeError(errors[0])
    return int(re.search(r"(\d+) requests in", told)[1])


def soak(server: Server, requests: int, seconds: float, console: Console) -> list[Sample]:
    """Load it with that many requests, in slices of some seconds."""
    start, done = time.perf_counter(), 0
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "load.lua")
        script.write_text(LOAD)
        done += load(server, script, min(seconds, 3))
        samples = [sample(server, done, start)]
        while done < requests:
            done += load(server, script, seconds)
            samples.append(sample(server, done, start))
            console.print(
                f"{done:>12,} of {requests:,}: {samples[-1].rss:.1f} MiB, {samples[-1].files} files"
            )
    return samples


def slope(samples: list[Sample]) -> float:
    """Return MiB for each million requests, by least squares, once a fifth of them has been sent."""
    first = samples[-1].requests / 5 if len(samples) > 4 else 0
    late = [one for one in samples if one.requests >= first]
    x = [one.requests / 1e6 for one in late]
    middle, mean = sum(x) / len(x), sum(one.rss for one in late) / len(late)
    spread = sum((one - middle) ** 2 for one in x)
    return sum((a - middle) * (b.rss - mean) for a, b in zip(x, late, strict=True)) / (spread or 1.0)


def come_and_go(server: Server, connections: int) -> dict[str, Sample]:
    """Open connections, all at once, ask on every second one, and close them; three times."""
    address = urlsplit(server.url)
    start, found = time.perf_counter(), {}
    for turn in range(3):
        found.setdefault("before", sample(server, 0, start))
        with ExitStack() as stack:
            held = []
            for _ in range(connections):
                one = stack.enter_context(socket.create_connection((address.hostname, address.port), 30))
                held.append(one)
            for first in range(0, connections, 2000):  # fewer than the requests that may wait for a replica
                asking = held[first : first + 2000 : 2]
                for one in asking:
                    one.sendall(request())
                if not all(one.recv(1000).startswith(b"HTTP/1.1 200") for one in asking):
                    raise RuntimeError("not every connection was answered")
            found["with all of them"] = sample(server, 0, start)
        if turn == 0:
            settle(server, found["before"].files)
            found["before"] = sample(server, 0, start)  # with what the first of them made it set up
    settle(server, found["before"].files)
    found["after"] = sample(server, 0, start)
    return found


def settle(server: Server, files: int) -> None:
    """Wait until the server has forgotten the connections, or has had time to."""
    until = time.monotonic() + 10
    while sum(descriptors(server.process.pid).values()) > files and time.monotonic() < until:
        time.sleep(0.05)


def draw(samples: list[Sample], rise: float) -> str:
    """Draw memory over requests as an SVG."""
    width, height, left, bottom = 900, 360, 70, 310
    top = max(one.rss for one in samples) * 1.2
    last = samples[-1].requests
    points = {
        name: " ".join(
            f"{left + one.requests / last * (width - left - 60):.1f},"
            f"{bottom - getattr(one, name) / top * (bottom - 60):.1f}"
            for one in samples
        )
        for name in ("rss", "pss")
    }
    marks = []
    for tick in range(5):
        y, x = bottom - tick / 4 * (bottom - 60), left + tick / 4 * (width - left - 60)
        marks.append(f"<path d='M{left} {y:.1f}H{width - 60}' stroke='#e8eaed'/>")
        marks.append(f"<text x='{left - 8}' y='{y + 4:.1f}' text-anchor='end'>{top * tick / 4:.0f}</text>")
        marks.append(
            f"<text x='{x:.1f}' y='{bottom + 18}' text-anchor='middle'>{last * tick / 4e6:.1f}</text>"
        )
    title = f"Memory of all processes over {last:,} requests: {rise:+.3f} MiB per million"
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' "
        "font-family='Helvetica, Arial, sans-serif' font-size='12' fill='#5f6368'>"
        f"<rect width='{width}' height='{height}' fill='#fff'/>"
        f"<text x='20' y='28' font-size='16' font-weight='bold' fill='#202124'>{title}</text>"
        "<text x='20' y='46'>MiB; dark: RSS, which counts shared pages for each process; light: PSS</text>"
        + "".join(marks)
        + f"<polyline points='{points['rss']}' fill='none' stroke='#0b7a75' stroke-width='2'/>"
        f"<polyline points='{points['pss']}' fill='none' stroke='#8cc5c2' stroke-width='2'/>"
        f"<text x='{(left + width - 60) / 2}' y='{bottom + 38}' text-anchor='middle'>million requests</text>"
        "</svg>\n"
    )


def show(console: Console, rows: dict[str, Sample]) -> None:
    table = Table("", "RSS, MiB", "PSS, MiB", "open files", "processes", "seconds")
    for name, one in rows.items():
        numbers = f"{one.rss:.1f}", f"{one.pss:.1f}", str(one.files), str(one.processes), f"{one.seconds:.0f}"
        table.add_row(name, *numbers)
    console.print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=10_000_000)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--slice", type=float, default=10.0, help="seconds between two samples")
    parser.add_argument("--results", type=Path, default=RESULTS)
    asked = parser.parse_args()
    console = Console()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # which the server inherits
    if hard < asked.connections + 200:
        parser.error(f"{asked.connections} connections need more than the {hard} files that may be open")
    with serve("e=echo:", "--log-requests=none") as server:
        samples = soak(server, asked.requests, asked.slice, console)
        rise = slope(samples)
        show(console, {f"{one.requests:,} requests": one for one in samples[:: max(1, len(samples) // 20)]})
        rate = (samples[-1].requests - samples[0].requests) / (samples[-1].seconds - samples[0].seconds)
        console.print(f"{rise:+.3f} MiB per million requests; {rate:,.0f} requests/s")
        connections = come_and_go(server, asked.connections)
        show(console, connections)
        document = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "mib_per_million_requests": rise,
            "requests_per_second": rate,
            "samples": [asdict(one) for one in samples],
            "connections": {"number": asked.connections, **{k: asdict(v) for k, v in connections.items()}},
        }
    asked.results.mkdir(parents=True, exist_ok=True)
    (asked.results / "soak.json").write_text(json.dumps(document, indent=1) + "\n")
    (asked.results / "soak.svg").write_text(draw(samples, rise))
    leaks = connections["after"].files > connections["before"].files
    return 1 if leaks else 0


if __name__ == "__main__":
    sys.exit(main())
