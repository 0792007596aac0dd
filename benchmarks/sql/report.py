"""Show what was measured: CPU a row for each way and model, and what became of the goals."""

import sys
from statistics import median
from typing import Any

from benchmarks.sql.cases import ABOUT
from rich.console import Console
from rich.table import Table

TREES = ("xgboost", "forest", "lightgbm", "catboost", "catboost-1000")
MOST_OF_FLOOR, MOST_OVERHEAD, MOST_MS, MOST_MB = 1.4, 0.2, 2.0, 600.0

Document = dict[str, Any]


def show(document: Document) -> None:
    console = Console() if sys.stdout.isatty() else Console(width=130)
    machine, settings = document["machine"], document["settings"]
    runs = [run for run in document["runs"] if "failed" not in run]
    loads = [run["load"] for run in document["runs"]] or [0.0]
    console.print(
        f"\n{document['time'][:10]}, {machine['processor']}, {machine['cores']} cores; "
        f"{settings['rows']:,} rows, DuckDB on {settings['threads']} thread(s); "
        f"load {min(loads):.1f} to {max(loads):.1f}\n"
        "CPU µs a row (least of the repeats), and how many times the floor\n",
        highlight=False,
    )
    models = list(dict.fromkeys(run["model"] for run in document["runs"]))
    ways = list(dict.fromkeys(run["way"] for run in document["runs"]))
    table = Table()
    table.add_column("")
    for model in models:
        table.add_column(model, justify="right")
    for way in ways:
        table.add_row(way, *(_cell(runs, way, model) for model in models))
    console.print(table)
    for told, met in _goals(runs, models):
        console.print(told, "[green]met[/]" if met else "[red]missed[/]", highlight=False)
    for run in document["runs"]:
        if "failed" in run:
            console.print(f"[red]failed[/] {run['model']}, {run['way']}: {run['failed']}", highlight=False)
    for told in _differing(runs, models):
        console.print(f"[red]wrong[/] {told}", highlight=False)


def least(runs: list[dict[str, Any]], way: str, model: str) -> float | None:
    """Return the least CPU µs a row: what else runs on the machine can only add to it."""
    found = [r["cpu_s"] / r["rows"] * 1e6 for r in runs if r["way"] == way and r["model"] == model]
    return min(found) if found else None


def _cell(runs: list[dict[str, Any]], way: str, model: str) -> str:
    each, floor = least(runs, way, model), least(runs, "floor", model)
    if each is None:
        return ""
    if way in ("one row", "filtered", "no model", "constant") or not floor or way == "floor":
        return f"{each:.3f}"
    return f"{each:.3f} = {each / floor:.2f} x"


def _goals(runs: list[dict[str, Any]], models: list[str]) -> list[tuple[str, bool]]:
    goals = []
    for model in models:
        sql, floor = least(runs, "trivet", model), least(runs, "floor", model)
        if sql is not None and floor is not None:
            if model in TREES:
                times = sql / floor
                told = f"{ABOUT[model]}: CREATE TABLE AS is {times:.2f} x the floor, goal {MOST_OF_FLOOR}:"
                goals.append((told, times <= MOST_OF_FLOOR))
            else:
                told = f"{ABOUT[model]}: {sql - floor:.3f} µs a row above the floor, goal {MOST_OVERHEAD}:"
                goals.append((told, sql - floor <= MOST_OVERHEAD))
    if rows := [run["median_ms"] for run in runs if run["way"] == "one row"]:
        goals.append(
            (f"one row: {median(rows):.2f} ms (median), goal < {MOST_MS:g}:", median(rows) < MOST_MS)
        )
    if counted := [(run["predicted"], run["rows"]) for run in runs if run["way"] == "filtered"]:
        seen, kept = counted[0]
        goals.append((f"a filter that keeps {kept:,} rows: {seen:,} are predicted:", seen == kept))
    if most := [run["rss_mb"] for run in runs if run["way"].startswith("trivet")]:
        goals.append((f"memory: {max(most):,.0f} MB at most, goal < {MOST_MB:g}:", max(most) < MOST_MB))
    return goals


def _differing(runs: list[dict[str, Any]], models: list[str]) -> list[str]:
    """Say where the predictions of two ways do not add up to the same."""
    told = []
    for model in models:
        sums = {run["way"]: run["sum"] for run in runs if run["model"] == model and "sum" in run}
        expected = next(iter(sums.values()), 0.0)
        told += [
            f"{model}: {way} adds up to {found}, not {expected}"
            for way, found in sums.items()
            if abs(found - expected) > 1e-6 * abs(expected)
        ]
    return told
