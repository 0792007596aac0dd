"""A server at a glance, as `trivet status` shows it: gathered here, drawn there."""

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from trivet.cli.control import Control, Json
from trivet.cli.deployed import Served, called, shown, titled
from trivet.cli.measured import Moment, Pace, pace, read

_KEPT = 11
"""Samples that rates are taken over: ten seconds, where one is taken each second."""


@dataclass(frozen=True, slots=True)
class Row:
    """A deployed model at an endpoint."""

    id: str
    model: str
    called: str
    share: int
    runs: str  # empty while it does not answer
    pace: Pace

    @property
    def well(self) -> int | None:
        """How many applications of its container take requests; None where it has no container."""
        return self.pace.well if self.runs == "container" else None

    @property
    def ready(self) -> bool:
        """Whether it answers: a container that is not well, or is being started again, does not."""
        return bool(self.runs) and self.well != 0


@dataclass(frozen=True, slots=True)
class Address:
    """An endpoint, under its short and its full name."""

    called: str
    name: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything that is shown."""

    addresses: dict[str, str]
    uptime: float | None
    processes: int | None
    endpoints: tuple[Address, ...]
    operations: tuple[Json, ...]
    elsewhere: int
    """Models that are served and are no endpoint's of this project and location."""

    def json(self) -> Json:
        """Return it for machines."""
        return {
            "server": {**self.addresses, "uptimeSeconds": self.uptime, "processes": self.processes},
            "endpoints": [
                {
                    "name": one.name,
                    "deployedModels": [_row_json(row) for row in one.rows],
                }
                for one in self.endpoints
            ],
            "deployedElsewhere": self.elsewhere,
            "operations": list(self.operations),
        }


def _row_json(row: Row) -> Json:
    told = asdict(row.pace)
    latencies = {name: _finite(told[name]) for name in ("p50", "p99")}
    return {
        "id": row.id,
        "model": row.model,
        "trafficPercent": row.share,
        "state": "READY" if row.ready else "NOT_READY",
        "placement": row.runs,
        "containersWell": row.well,
        "requestsPerSecond": round(row.pace.rate, 3),
        "errors": row.pace.errors,
        "queuedRows": row.pace.queue,
        "latencySeconds": latencies,
    }


def _finite(seconds: float | None) -> float | None:
    return seconds if seconds is not None and isfinite(seconds) else None


@dataclass
class Gauge:
    """Asks one server again and again."""

    control: Control
    _moments: deque[Moment] = field(default_factory=lambda: deque(maxlen=_KEPT))

    def sample(self) -> None:
        """Remember what is counted now; raises what the server says."""
        text = self.control.text("/metrics")
        self._moments.append(Moment(time.monotonic(), read(text)))

    def now(self) -> Overview:
        """Return how things are, with a sample of this moment; raises what the server says."""
        self.sample()
        return self.overview()

    def overview(self) -> Overview:
        """Return how things are, with rates over the samples so far; raises what the server says."""
        control = self.control
        home, found = control.found.home, control.found
        endpoints = list(control.listed(f"{home}/endpoints", pageSize=1000))
        served = Served(control)
        addresses = tuple(
            Address(
                titled(control.short(one["name"]), one["displayName"]),
                one["name"],
                tuple(self._rows(one, served)),
            )
            for one in endpoints
        )
        operations = control.listed(f"{home}/operations", filter="done=false", pageSize=1000)
        here = sum(bool(row.runs) for one in addresses for row in one.rows)
        return Overview(
            addresses=dict(found.addresses),
            uptime=max(0.0, time.time() - found.since) if found.since else None,
            processes=_processes(found.process) if found.process else None,
            endpoints=addresses,
            operations=tuple(operations),
            elsewhere=max(0, len(served) - here),
        )

    def _rows(self, endpoint: Json, served: Served) -> Iterator[Row]:
        shares: dict[str, int] = endpoint.get("trafficSplit", {})
        there: list[Json] = endpoint.get("deployedModels", [])
        for one in sorted(there, key=lambda one: -shares.get(one["id"], 0)):
            model: Any = served.of(one)
            measured = any(one["id"] in moment.counts for moment in self._moments)
            yield Row(
                id=one["id"],
                model=called(one),
                called=shown(one),
                share=shares.get(one["id"], 0),
                runs=model["placement"]["where"] if model else "",
                pace=pace(self._moments, one["id"] if measured else called(one)),
            )


def _processes(root: int) -> int | None:
    """Return how many processes a server has, itself included; None where the system does not tell."""
    found = [root]
    for one in found:
        try:
            tasks = list(Path(f"/proc/{one}/task").iterdir())
            found += [int(child) for task in tasks for child in (task / "children").read_text().split()]
        except (OSError, ValueError):
            if one == root:
                return None
    return len(found)
