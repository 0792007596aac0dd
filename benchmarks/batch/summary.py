"""From the repeats of a run to one figure for each cell: the median, and how far the repeats lie apart."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Any

Record = dict[str, Any]
Cell = tuple[str, str]  # format, model

# What is asked of Trivet, as times the rate of others, by their kind.
GOALS = {"objects": 0.8, "arrays": 0.8, "native": 0.8, "container": 15.0}
GOALS |= dict.fromkeys(("engine", "engine, native", "engine, objects"), 5.0)
PIPELINES = ("objects", "arrays", "native")  # in process, by hand; named by the rows that they write
MOST_MEMORY = 1000.0  # MB


@dataclass(frozen=True)
class Figures:
    """Medians of the repeats that succeeded, but the most memory; empty if none did."""

    values: dict[str, float]
    least: float  # seconds
    most: float
    repeats: int
    failures: tuple[str, ...]
    ordered: bool

    def __getitem__(self, name: str) -> float:
        return self.values[name]


@dataclass(frozen=True)
class Ratio:
    """The rate of one, as times that of another, and what was asked for; `work` is the same by CPU time."""

    cell: Cell
    one: str
    other: str
    times: float
    work: float
    goal: float | None

    @property
    def is_met(self) -> bool | None:
        return None if self.goal is None else self.times >= self.goal


def summarise(records: Iterable[Record], rows: int) -> dict[Cell, dict[str, Figures]]:
    cells: dict[Cell, dict[str, list[Record]]] = {}
    for record in records:
        cell = cells.setdefault((record["format"], record["model"]), {})
        cell.setdefault(record["contestant"], []).append(record)
    return {
        cell: {name: _figures(repeats, rows) for name, repeats in found.items()}
        for cell, found in cells.items()
    }


def _figures(repeats: list[Record], rows: int) -> Figures:
    good = [record for record in repeats if not record["failed"]]
    failures = tuple(record["failed"] for record in repeats if record["failed"])
    if not good:
        return Figures({}, 0.0, 0.0, len(repeats), failures, ordered=False)
    seconds = [record["all_s"] for record in good]
    values = {
        "seconds": median(seconds),
        "rate": rows / median(seconds),
        "cpu_us": median(record["cpu_s"] / record["rows"] * 1e6 for record in good),
        "pss_mb": max(record["pss_mb"] for record in good),
        "rss_mb": max(record["rss_mb"] for record in good),
    }
    ordered = all(record["check"]["ordered"] for record in good)
    return Figures(values, min(seconds), max(seconds), len(repeats), failures, ordered)


def ratios(cells: dict[Cell, dict[str, Figures]], kinds: dict[str, str]) -> list[Ratio]:
    """Compare each of ours with each of the others; of the pipelines, with the fastest of the same rows."""
    found = []
    for cell, figures in cells.items():
        good = {name: one for name, one in figures.items() if one.values}
        for one in (name for name in good if kinds[name] == "trivet"):
            same = [name for name in good if kinds[name] == _written(one, cell)]
            best = sorted(same, key=lambda name: good[name]["seconds"])[:1]
            unlike = "engine, objects" if one == "trivet" else "engine, native"
            others = [name for name in good if kinds[name] not in ("trivet", unlike, *PIPELINES)]
            for other in [*best, *others]:
                times = good[one]["rate"] / good[other]["rate"]
                work = good[other]["cpu_us"] / good[one]["cpu_us"]
                found.append(Ratio(cell, one, other, times, work, GOALS.get(kinds[other])))
    return found


def _written(one: str, cell: Cell) -> str:
    """Return which rows one of ours writes: natively with source and offset, else of CSV files as arrays."""
    if one == "trivet":
        return "native"
    return "arrays" if cell[0] == "csv" else "objects"


def in_order(values: Iterable[Any]) -> list[Any]:
    """Return each value once, in the order of first sight."""
    return list(dict.fromkeys(values))
