"""Show the results of a run, as tables in the terminal and as a chart beside the file.

python benchmarks/online/report.py [RESULTS.json]
"""

import json
import sys
from pathlib import Path
from typing import Any

from chart import draw
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from summary import Figures, Key, cold_starts, in_order, summarise

LATEST = Path(__file__).parent / "results" / "latest.json"
BASES = ("nginx", "trivet")
WIDTH = 160  # of what is written to a file; a terminal has its own

Document = dict[str, Any]
Cells = dict[Key, Figures]


def show(document: Document, console: Console | None = None) -> None:
    if console is None:
        console = Console() if sys.stdout.isatty() else Console(width=WIDTH)
    machine, settings = document["machine"], document["settings"]
    cells = summarise(document["cells"])
    console.print(
        f"\n{document['time'][:10]}, {machine['processor']}, {machine['cores']} cores\n"
        f"medians of {settings['repeats']}, {settings['seconds']} s each\n"
    )
    if cells:
        console.print("server on one core, wrk on another; 1x64 is 1 row in a request, 64 connections\n")
    for model in in_order(key[1] for key in cells):
        heading = f"[bold]{model}[/]: CPU µs for a request, all processes (x nginx, x Trivet)"
        console.print(heading, cpu_table(cells, model), sep="\n", highlight=False)
        heading = f"[bold]{model}[/]: requests a second of one core (p50/p99 ms), cold start, memory"
        console.print(heading, rate_table(document, cells, model), sep="\n", highlight=False)
    if document["scaling"]:
        apart = document.get("scaling_settings", {}).get("cores")
        where = "two cores, wrk on others" if apart else "two cores, which wrk shares"
        console.print(f"[bold]{where}[/]; 1 row in a request", highlight=False)
        console.print(scaling_table(summarise(document["scaling"])))
    for name, reason in document["left_out"].items():
        console.print(f"[yellow]left out[/] {escape(f'{name}: {reason}')}", highlight=False)
    for told, where in _failures({**cells, **summarise(document["scaling"])}).items():
        console.print(f"[red]failed[/] {escape(told)} ({', '.join(where)})", highlight=False)


def _failures(cells: Cells) -> dict[str, list[str]]:
    """What failed and why, and in which cells."""
    found: dict[str, list[str]] = {}
    for (contestant, model, rows, connections), figures in cells.items():
        for failure in in_order(figures.failures):
            found.setdefault(f"{contestant}, {model}: {failure}", []).append(f"{rows}x{connections}")
    return found


def write_chart(document: Document, file: Path) -> None:
    if document["cells"]:
        file.write_text(draw(document))


def cpu_table(cells: Cells, model: str) -> Table:
    table = Table()
    loads = _loads(cells, model)
    _columns(table, "", *(f"{rows}x{connections}" for rows, connections in loads), "spread")
    for name in _by_cost(cells, model):
        found = [cells[name, model, *load] for load in loads]
        texts = []
        for load, figures in zip(loads, found, strict=True):
            ratios = [_ratio(figures, cells.get((base, model, *load))) for base in BASES]
            texts.append(_cell(figures, lambda one, r=ratios: f"{_short(one['cpu_us'])} ({' '.join(r)})"))
        table.add_row(name, *texts, _spread(found), style=_style(name))
    return table


def rate_table(document: Document, cells: Cells, model: str) -> Table:
    table = Table()
    loads = _loads(cells, model)
    _columns(
        table, "", *(f"{rows}x{connections}" for rows, connections in loads), "cold s", "RSS MiB", "PSS MiB"
    )
    cold = cold_starts(document["starts"])
    for name in _by_cost(cells, model):
        found = [cells[name, model, *load] for load in loads]
        texts = [
            _cell(figures, lambda one: f"{one['rps']:,.0f} ({one['p50_ms']:.2f}/{one['p99_ms']:.1f})")
            for figures in found
        ]
        start = f"{cold[name, model]:.2f}" if (name, model) in cold else "[red]failed[/]"
        good = [figures for figures in found if figures.values]
        kinds = ("rss_mb", "pss_mb")
        memory = [f"{max(one[kind] for one in good):,.0f}" if good else "-" for kind in kinds]
        table.add_row(name, *texts, start, *memory, style=_style(name))
    return table


def scaling_table(cells: Cells) -> Table:
    """Show each beside the same server with one worker.

    By CPU, a server that keeps two cores busy carries what two cores have time for, without wrk's share.
    """
    table = Table()
    _columns(
        table,
        *("model", "connections", "", "requests/s", "x 1 worker", "CPU µs", "x by CPU", "p50/p99 ms"),
        *("server cores", "wrk cores", "PSS MiB", "spread"),
    )
    for model in in_order(key[1] for key in cells):
        for rows, connections in _loads(cells, model):
            named = {name: one for (name, *cell), one in cells.items() if cell == [model, rows, connections]}
            for name, one in named.items():
                _scaling_row(table, (model, str(connections), name), one, _one_worker(named, name))
    return table


def _one_worker(named: dict[str, Figures], name: str) -> Figures | None:
    base = named.get(f"{name.partition('-')[0]}-1")
    return base if base and base.values and base is not named[name] else None


def _scaling_row(table: Table, titles: tuple[str, str, str], one: Figures, base: Figures | None) -> None:
    if not one.values:
        table.add_row(*titles, "[red]failed[/]")
        return
    times = f"{one['rps'] / base['rps']:.2f}" if base else "-"
    by_cpu = f"{2 * base['cpu_us'] / one['cpu_us']:.2f}" if base and titles[2].endswith("-2") else "-"
    table.add_row(
        *(*titles, f"{one['rps']:,.0f}", times, _short(one["cpu_us"]), by_cpu),
        *(f"{one['p50_ms']:.2f}/{one['p99_ms']:.1f}", f"{one['cores']:.2f}"),
        *(f"{one['client_cores']:.2f}", f"{one['pss_mb']:,.0f}", _spread([one])),
    )


def _loads(cells: Cells, model: str) -> list[tuple[int, int]]:
    return sorted({(key[2], key[3]) for key in cells if key[1] == model})


def _by_cost(cells: Cells, model: str) -> list[str]:
    """Contestants, cheapest first in the cell with one row and most connections."""
    rows, connections = max(_loads(cells, model), key=lambda load: (-load[0], load[1]))
    names = in_order(key[0] for key in cells if key[1] == model)
    return sorted(
        names, key=lambda name: cells[name, model, rows, connections].values.get("cpu_us", float("inf"))
    )


def _cell(figures: Figures, text: Any) -> str:
    """Show a cell; one that failed says so, and one that failed sometimes says how often."""
    if not figures.values:
        return "[red]failed[/]"
    some = f" [red]{len(figures.failures)}/{figures.repeats} failed[/]" if figures.failures else ""
    return text(figures) + some


def _ratio(figures: Figures, base: Figures | None) -> str:
    if base is None or not base.values or not figures.values:
        return "-"
    times = figures["cpu_us"] / base["cpu_us"]
    return f"{times:.2f}" if times < 10 else f"{times:.0f}"


def _short(microseconds: float) -> str:
    return f"{microseconds:.1f}" if microseconds < 100 else f"{microseconds:,.0f}"


def _spread(found: list[Figures]) -> str:
    """Show the worst of some cells; one repeat has none."""
    repeated = [figures.spread for figures in found if figures.repeats - len(figures.failures) > 1]
    return f"{max(repeated):.0%}" if repeated else "-"


def _columns(table: Table, *headings: str) -> None:
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left", no_wrap=not number)


def _style(name: str) -> str:
    return "bold" if name.startswith("trivet") else ""


if __name__ == "__main__":
    results = Path(sys.argv[1]) if len(sys.argv) > 1 else LATEST
    read = json.loads(results.read_text())
    show(read)
    write_chart(read, results.with_suffix(".svg"))
    print(f"chart: {results.with_suffix('.svg')}")
