"""Show what was measured: a table for each input and model, and what became of the goals."""

import sys
from typing import Any

from benchmarks.batch.summary import MOST_MEMORY, Cell, Figures, Ratio, in_order, ratios, summarise
from rich.console import Console
from rich.markup import escape
from rich.table import Table

WIDTH = 130  # of what is written to a file; a terminal has its own

Document = dict[str, Any]


def show(document: Document) -> None:
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH)
    machine, settings = document["machine"], document["settings"]
    kinds = {name: one["kind"] for name, one in document["contestants"].items()}
    cells = summarise(document["runs"], settings["rows"])
    compared = ratios(cells, kinds)
    loads = [record["load"] for record in document["runs"]] or [0.0]
    console.print(
        f"\n{document['time'][:10]}, {machine['processor']}, {machine['cores']} cores; {settings['rows']:,} "
        f"rows; load of the machine before runs {min(loads):.1f} to {max(loads):.1f}\n"
        "medians; * is one run; `trivet is`, `--vertex is`: how many times as fast\n",
        highlight=False,
    )
    for cell, figures in cells.items():
        console.print(f"[bold]{cell[0]}, {cell[1]}[/]", _table(cell, figures, compared), sep="\n")
    for ratio in compared:
        if ratio.goal is not None:
            console.print(_judged(ratio), highlight=False)
    for name, most in _memory(cells, kinds).items():
        met = "[green]met[/]" if most < MOST_MEMORY else "[red]missed[/]"
        console.print(f"{name}: {most:,.0f} MB at most, goal < {MOST_MEMORY:,.0f}: {met}", highlight=False)
    if echo := document["echo"]:
        told = ", ".join(f"{name} {_echoed(one)}" for name, one in echo.items())
        console.print(f"18 echo rows, from command to results (goal < 2 s): {told}", highlight=False)
    for name, reason in document["left_out"].items():
        console.print(f"[yellow]left out[/] {escape(f'{name}: {reason}')}", highlight=False)
    for told in _failures(cells):
        console.print(f"[red]failed[/] {escape(told)}", highlight=False)


def _table(cell: Cell, figures: dict[str, Figures], compared: list[Ratio]) -> Table:
    table = Table()
    for number, heading in enumerate(
        ("", "s", "least-most", "rows/s", "CPU µs/row", "PSS MB", "RSS MB", "trivet is", "--vertex is", "")
    ):
        table.add_column(heading, justify="right" if number else "left", no_wrap=True)
    times = {(ratio.one, ratio.other): f"{ratio.times:.2f} x" for ratio in compared if ratio.cell == cell}
    for name in sorted(figures, key=lambda name: figures[name].values.get("seconds", float("inf"))):
        one = figures[name]
        if not one.values:
            table.add_row(name, "[red]failed[/]")
            continue
        notes = ["" if one.ordered else "order lost"]
        notes += [f"{len(one.failures)}/{one.repeats} failed"] if one.failures else []
        table.add_row(
            name,
            f"{one['seconds']:.2f}" + ("*" if one.repeats == 1 else ""),
            f"{one.least:.2f}-{one.most:.2f}" if one.repeats > 1 else "-",
            f"{one['rate']:,.0f}",
            f"{one['cpu_us']:.2f}",
            f"{one['pss_mb']:,.0f}",
            f"{one['rss_mb']:,.0f}",
            times.get(("trivet", name), ""),
            times.get(("trivet --vertex", name), ""),
            ", ".join(filter(None, notes)),
            style="bold" if name.startswith("trivet") else "",
        )
    return table


def _judged(ratio: Ratio) -> str:
    met = "[green]met[/]" if ratio.is_met else "[red]missed[/]"
    return (
        f"{', '.join(ratio.cell)}: {ratio.one} is {ratio.times:.2f} x {ratio.other} "
        f"({ratio.work:.2f} x by CPU), goal {ratio.goal:g}: {met}"
    )


def _memory(cells: dict[Cell, dict[str, Figures]], kinds: dict[str, str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for figures in cells.values():
        for name, one in figures.items():
            if kinds[name] == "trivet" and one.values:
                found[name] = max(found.get(name, 0.0), one["pss_mb"])
    return found


def _echoed(one: dict[str, Any]) -> str:
    return f"[red]{escape(one['failed'])}[/]" if one["failed"] else f"{one['seconds']:.2f} s"


def _failures(cells: dict[Cell, dict[str, Figures]]) -> list[str]:
    return [
        f"{', '.join(cell)}, {name}: {failure}"
        for cell, figures in cells.items()
        for name, one in figures.items()
        for failure in in_order(one.failures)
    ]
