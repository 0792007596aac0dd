"""From the repeats of a run to one figure for each cell: the median, and how far the repeats lie apart."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Any

Record = dict[str, Any]
Key = tuple[str, str, int, int]  # contestant, model, rows, connections

MEASURED = ("cpu_us", "rps", "p50_ms", "p99_ms", "cores", "client_cores", "rss_mb", "pss_mb")


@dataclass(frozen=True)
class Figures:
    """Medians of the repeats that succeeded; empty if none did."""

    values: dict[str, float]
    spread: float  # of the CPU time: (most - least) / median
    repeats: int
    failures: tuple[str, ...]

    def __getitem__(self, name: str) -> float:
        return self.values[name]


def summarise(records: Iterable[Record]) -> dict[Key, Figures]:
    cells: dict[Key, list[Record]] = {}
    for record in records:
        key = (record["contestant"], record["model"], record["rows"], record["connections"])
        cells.setdefault(key, []).append(record)
    return {key: _figures(repeats) for key, repeats in cells.items()}


def _figures(repeats: list[Record]) -> Figures:
    good = [record for record in repeats if not record["failed"]]
    failures = tuple(record["failed"] for record in repeats if record["failed"])
    if not good:
        return Figures({}, 0.0, len(repeats), failures)
    values = {name: median(record[name] for record in good) for name in MEASURED}
    times = [record["cpu_us"] for record in good]
    return Figures(values, (max(times) - min(times)) / values["cpu_us"], len(repeats), failures)


def cold_starts(starts: Iterable[Record]) -> dict[tuple[str, str], float]:
    """Median seconds to the first right answer, by contestant and model."""
    seconds: dict[tuple[str, str], list[float]] = {}
    for start in starts:
        if not start["failed"]:
            seconds.setdefault((start["contestant"], start["model"]), []).append(start["cold_s"])
    return {key: median(values) for key, values in seconds.items()}


def in_order(values: Iterable[Any]) -> list[Any]:
    """Return each value once, in the order of first sight."""
    return list(dict.fromkeys(values))
