"""Measure one contestant with one model: start it, check it, load it cell by cell, end it."""

import json
import socket
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import check
import load
from contestants import PEERS, Contestant, Start
from environments import BUILD
from models import Model, Rows
from processes import Server

Record = dict[str, Any]

IDLE = 0.2  # of a core; the processes around some servers never rest entirely


@dataclass(frozen=True)
class Cell:
    """A kind of load: rows in a request, and connections that send them."""

    rows: int
    connections: int

    def __str__(self) -> str:
        return f"{self.rows}x{self.connections}"


@dataclass(frozen=True)
class Plan:
    """How to measure; `cores` are those of the server, None for all, and `threads` those of wrk."""

    cells: tuple[Cell, ...]
    port: int
    seconds: int
    warm_up: int
    cores: tuple[int, ...] | None
    threads: int = 1


def refuse_if_answered(port: int) -> None:
    """Stop if something listens already: its answers would be taken for the contestant's."""
    for used in (port, port + 1):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", used)) == 0:
                raise SystemExit(
                    f"something answers on port {used} already; end it, or choose another --port"
                )


def one_pass(contestant: Contestant, python: str, model: Model, rows: Rows, plan: Plan) -> list[Record]:
    """Return a record for each cell, and one for the start; what fails is a record, too."""
    refuse_if_answered(plan.port)
    about = {"contestant": contestant.name, "model": model.name}
    cells = [{**about, **asdict(cell)} for cell in plan.cells]
    server = _start(contestant, python, model, rows, plan)
    try:
        seconds = check.cold_start(contestant, server, plan.port, model, rows)
        check.steady(contestant, server, plan.port, model, rows)
        for size in sorted({cell.rows for cell in plan.cells}):
            check.right(contestant, plan.port, model, rows[:size])
        if contestant.predicts:
            check.right_in_a_crowd(contestant, plan.port, model, rows)
        for record, cell in zip(cells, plan.cells, strict=True):
            record.update(_load(contestant, server, model, rows[: cell.rows], cell.connections, plan))
        return [{**about, "cold_s": seconds, "failed": None}, *cells]
    except check.Failed as error:
        missed = [{**record, "failed": str(error)} for record in cells]
        return [{**about, "cold_s": None, "failed": str(error)}, *missed]
    finally:
        server.stop()


def _start(contestant: Contestant, python: str, model: Model, rows: Rows, plan: Plan) -> Server:
    folder = BUILD / "run" / contestant.name
    folder.mkdir(parents=True, exist_ok=True)
    replies = {size: _reply(model, rows[:size]) for size in {1, *(cell.rows for cell in plan.cells)}}
    command = contestant.command(Start(python, model, plan.port, folder, replies))
    variables = {
        "BENCH_MODEL": model.name,
        "BENCH_FILE": str(model.file),
        "BENCH_PORT": str(plan.port),
        **({"PYTHONPATH": str(PEERS)} if contestant.environment else {}),
        **contestant.variables,
    }
    return Server(command, variables, folder / "output.log", set(plan.cores) if plan.cores else None)


def _reply(model: Model, rows: Rows) -> bytes:
    return json.dumps({"predictions": model.predict(rows)}, separators=(",", ":")).encode()


def _load(
    contestant: Contestant, server: Server, model: Model, rows: Rows, connections: int, plan: Plan
) -> Record:
    """Load a server with one cell: warm up, measure, and see that it still gives the right answer."""
    url = f"http://127.0.0.1:{plan.port}{contestant.path.format(rows=len(rows))}"
    body = BUILD / "run" / contestant.name / "body.json"
    body.write_bytes(contestant.wire.body(rows))
    load.put(url, body, connections, plan.warm_up, plan.threads)
    _settle(server)
    before = server.cpu_seconds()
    seen = load.put(url, body, connections, plan.seconds, plan.threads)
    cpu = server.cpu_seconds() - before
    memory = server.memory()
    try:
        check.right(contestant, plan.port, model, rows)
        failure = seen.failure
    except check.Failed as error:
        failure = f"{seen.failure or ''} {server.ended or f'after the load: {error}'}".strip()
    return {
        "rps": seen.rps,
        "p50_ms": seen.p50_ms,
        "p99_ms": seen.p99_ms,
        "cpu_us": cpu / seen.requests * 1e6 if seen.requests else None,
        "cores": seen.rps * cpu / seen.requests if seen.requests else None,
        "client_cores": seen.cores,
        "requests": seen.requests,
        "rss_mb": memory.rss,
        "pss_mb": memory.pss,
        "processes": memory.processes,
        "failed": failure,
    }


def _settle(server: Server) -> None:
    """Wait until the server has done what the warm-up left it.

    A slow one still works on requests whose callers are gone; they would be counted as time, not as requests.
    """
    for _ in range(50):
        before = server.cpu_seconds()
        time.sleep(0.1)
        if server.cpu_seconds() - before <= IDLE * 0.1:
            return


def cells_of(rows: Iterable[int], connections: Iterable[int]) -> tuple[Cell, ...]:
    return tuple(Cell(one, other) for one in sorted(rows) for other in sorted(connections))
