"""Put load on a server with wrk: connections that each send the next request when they have the answer."""

import json
import resource
import subprocess
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).parent / "post.lua"
ERRORS = ("connect", "read", "write", "status", "timeout")


@dataclass(frozen=True)
class Load:
    """What wrk saw; `cores` is how much of a core wrk itself took."""

    requests: int
    rps: float
    p50_ms: float
    p99_ms: float
    cores: float
    failure: str | None


def put(url: str, body: Path, connections: int, seconds: int, threads: int = 1) -> Load:
    """Load a server for some seconds, from some threads.

    No answer at all is a failure: a server that hangs shows zero requests, and zero errors.
    """
    command = [
        *("wrk", "--threads", str(threads), "--connections", str(connections), "--duration", f"{seconds}s"),
        *("--timeout", "10s", "--script", str(SCRIPT), url, "--", str(body)),
    ]
    before = _children_seconds()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
    except subprocess.TimeoutExpired:
        return Load(0, 0.0, 0.0, 0.0, 0.0, "wrk did not end")
    used = _children_seconds() - before
    found = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not found:
        return Load(0, 0.0, 0.0, 0.0, 0.0, f"wrk: {(done.stderr or done.stdout).strip()[-200:]}")
    seen = json.loads(found[0].removeprefix("RESULT "))
    wrong = [f"{seen[kind]} {kind} errors" for kind in ERRORS if seen[kind]]
    if not seen["requests"]:
        wrong.append("no request was answered")
    return Load(
        requests=seen["requests"],
        rps=seen["requests"] / seen["seconds"],
        p50_ms=seen["p50_ms"],
        p99_ms=seen["p99_ms"],
        cores=used / seen["seconds"],
        failure=", ".join(wrong) or None,
    )


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
