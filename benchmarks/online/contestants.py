"""Who is compared, how each is started, and how it is spoken to.

Each is set up as its own documentation recommends for speed: one model worker, request logs off; batching,
where there is any, joins at most 64.
`note` is kept with the results, so that a reader can object.
"""

import functools
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import wires
from models import Model
from wires import Wire

PEERS = Path(__file__).parent / "peers"
TRIVET = (sys.executable, "-m", "trivet", "serve")


@dataclass(frozen=True)
class Start:
    """What a contestant is started with."""

    python: str
    model: Model
    port: int
    folder: Path  # its own, for what it writes
    replies: Mapping[int, bytes]  # the right answer by number of rows, as Trivet writes it


@dataclass(frozen=True)
class Contestant:
    """A server, run in one way."""

    name: str
    note: str
    command: Callable[[Start], list[str]]
    path: str = "/predict"  # may hold {rows}
    wire: Wire = wires.V1
    environment: str | None = None  # the requirement file in peers/; None runs on the benchmark's own Python
    variables: Mapping[str, str] = field(default_factory=dict)
    missing: Callable[[], str | None] = lambda: None  # why it cannot run here
    predicts: bool = True


def _trivet(start: Start, *options: str) -> list[str]:
    allow = ["--allow-pickle"] if start.model.name == "sklearn" else []
    workers = ["--workers", "1"] if has_workers() and "--workers" not in options else []
    model = f"m={start.model.file}"
    return [*TRIVET, model, "--port", str(start.port), "--log-requests", "none", *allow, *workers, *options]


def trivet(
    name: str, note: str, *options: str, missing: Callable[[], str | None] = lambda: None
) -> Contestant:
    """Trivet with some options; it counts and times requests for /metrics, as it always does."""
    return Contestant(
        name, note, lambda start: _trivet(start, *options), "/v1/models/m:predict", missing=missing
    )


@functools.cache
def _help() -> str:
    return subprocess.run([*TRIVET, "--help"], capture_output=True, text=True, check=True).stdout


def has_workers() -> bool:
    return "--workers" in _help()


def no_workers() -> str | None:
    return None if has_workers() else "this Trivet has no option --workers"


def no_process() -> str | None:
    found = re.search(r"--placement \[[^\]]*process[^\]]*\]", _help())
    return None if found else "this Trivet has no --placement process"


def nginx(name: str, note: str, workers: int = 1) -> Contestant:
    """nginx that answers what is asked with a static reply."""
    return Contestant(
        name,
        note,
        lambda start: _nginx(start, workers),
        "/{rows}",
        missing=lambda: None if shutil.which("nginx") else "nginx is not installed",
        predicts=False,
    )


def _nginx(start: Start, workers: int) -> list[str]:
    """Write the configuration; each number of rows has its own location, with a reply of the right size."""
    locations = "".join(
        f"location /{rows} {{ default_type application/json; return 200 '{reply.decode()}'; }}\n"
        for rows, reply in start.replies.items()
    )
    template = (PEERS / "nginx.conf").read_text()
    values = {"FOLDER": start.folder, "PORT": start.port, "WORKERS": workers, "LOCATIONS": locations}
    for key, value in values.items():
        template = template.replace(f"@{key}@", str(value))
    configuration = start.folder / "nginx.conf"
    configuration.write_text(template)
    return ["nginx", "-p", str(start.folder), "-e", "stderr", "-c", str(configuration)]


def _peer(name: str, note: str, environment: str, variant: str = "", **more: object) -> Contestant:
    """Describe a server whose program is in peers/."""
    script = str(PEERS / f"{environment}_server.py")
    given = {
        "command": lambda start: [start.python, script],
        "environment": environment,
        "variables": {"BENCH_VARIANT": variant},
        **more,
    }
    return Contestant(name, note, **given)


def _mlserver(name: str, note: str, variant: str = "") -> Contestant:
    return _peer(name, note, "mlserver", variant, path="/v2/models/model/infer", wire=wires.V2)


def _bentoml(name: str, note: str, variant: str = "") -> Contestant:
    def command(start: Start) -> list[str]:
        options = ["--working-dir", str(PEERS), "--host", "127.0.0.1", "--port", str(start.port), "--quiet"]
        return [start.python, "-m", "bentoml", "serve", "bentoml_server:Predictor", *options]

    variables = {"BENCH_VARIANT": variant, "BENTOML_DO_NOT_TRACK": "True"}
    return _peer(name, note, "bentoml", command=command, wire=wires.BARE, variables=variables)


def _rayserve(name: str, note: str, variant: str = "") -> Contestant:
    variables = {
        "BENCH_VARIANT": variant,
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    return _peer(name, note, "rayserve", variables=variables)


CONTESTANTS = (
    nginx("nginx", "a static reply of the same size, no model: the floor"),
    trivet("trivet", "as it comes, metrics on"),
    trivet(
        "trivet-process",
        "the model in a process of its own",
        *("--placement", "process"),
        missing=no_process,
    ),
    _peer("mosec", "one worker", "mosec", path="/inference"),
    _peer("mosec-batch", "64 requests, 1 ms", "mosec", "batch", path="/inference"),
    _peer("fastapi-async", "`async def`, pydantic, uvicorn with uvloop and httptools", "fastapi", "async"),
    _peer(
        "fastapi", "`def` as in the tutorial, pydantic, uvicorn with uvloop and httptools", "fastapi", "def"
    ),
    _mlserver("mlserver", "no worker processes, metrics and gzip off"),
    _mlserver("mlserver-batch", "64 requests, 2 ms", "batch"),
    _peer("litserve", "one API process, one worker", "litserve"),
    _peer("litserve-batch", "64 requests, 2 ms", "litserve", "batch"),
    _bentoml("bentoml", "one worker, metrics off"),
    _bentoml("bentoml-batch", "64 rows, at most 5 s", "batch"),
    _rayserve("rayserve", "one replica, optimised for throughput"),
    _rayserve("rayserve-batch", "64 requests, no wait", "batch"),
)
