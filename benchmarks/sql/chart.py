"""Draw CPU a row as an SVG: one panel for each model, one bar for each way, on a log scale."""

from math import ceil, floor, log10
from statistics import median
from typing import Any

from benchmarks.batch.chart import BAR, COLOURS, FOOT, GAP, HEAD, LEFT, OTHER, RIGHT, TOP, WIDTH, text
from benchmarks.sql.cases import ABOUT
from benchmarks.sql.report import MOST_OF_FLOOR, TREES, least

WAYS = {
    "floor": "model alone", "trivet": "CREATE TABLE AS", "trivet all": "all columns, to disk",
    "trivet sum": "SELECT SUM", "pandas": "by way of pandas", "row by row": "row at a time",
}  # fmt: skip
"""What is drawn, and what it is called."""


def draw(document: dict[str, Any]) -> str:
    runs = [run for run in document["runs"] if "failed" not in run]
    models = [name for name in ABOUT if least(runs, "floor", name)]
    found = {
        name: {way: each for way in WAYS if (each := least(runs, way, name)) is not None} for name in models
    }
    every = [each for ways in found.values() for each in ways.values()] or [1.0]
    decades = range(floor(log10(min(every) * 0.7)), ceil(log10(max(every))) + 1)
    panels, y = [], TOP
    for name in models:
        drawn, height = _panel(runs, name, found[name], decades, y)
        panels.append(drawn)
        y += height
    title = f"ML.PREDICT over {document['settings']['rows']:,} rows of ten numbers"
    dotted = f"dotted is {MOST_OF_FLOOR} x the model alone"
    note = f"CPU microseconds a row, the least; logarithmic; {dotted}; {document['time'][:10]}"
    return "\n".join(
        [
            f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {y}' width='{WIDTH}'>",
            f"<rect width='{WIDTH}' height='{y}' fill='#ffffff'/>",
            text(20, 30, title, size=18, weight="bold"),
            text(20, 50, note, size=12, fill="#5f6368"),
            *panels,
            "</svg>\n",
        ]
    )


def _panel(
    runs: list[dict[str, Any]], model: str, ways: dict[str, float], decades: range, top: int
) -> tuple[str, int]:
    """Return the drawing of a model, and its height."""
    low, scale = decades[0], (WIDTH - LEFT - RIGHT) / (len(decades) - 1)
    bottom = top + HEAD + len(ways) * (BAR + GAP)

    def x(value: float) -> float:
        return LEFT + (log10(value) - low) * scale

    one_row = [run["median_ms"] for run in runs if run["model"] == model and run["way"] == "one row"]
    about = ABOUT[model] + (f"; one row takes {median(one_row):.1f} ms" if one_row else "")
    parts = [text(20, top + 28, about, size=14, weight="bold")]
    for decade in decades:
        at = x(10.0**decade)
        parts.append(f"<path d='M{at:.1f} {top + HEAD - 4}V{bottom}' stroke='#e8eaed'/>")
        parts.append(text(at, bottom + 14, f"{10.0**decade:g}", size=11, fill="#5f6368", anchor="middle"))
    for number, (way, each) in enumerate(ways.items()):
        y = top + HEAD + number * (BAR + GAP)
        bold = "bold" if way.startswith("trivet") else "normal"
        colour = COLOURS["trivet"] if way.startswith("trivet") else OTHER
        parts.append(text(LEFT - 8, y + 13, WAYS[way], size=12, anchor="end", weight=bold))
        parts.append(
            f"<rect x='{LEFT}' y='{y}' width='{x(each) - LEFT:.1f}' height='{BAR}' rx='2' fill='{colour}'/>"
        )
        memory = max(run["rss_mb"] for run in runs if run["model"] == model and run["way"] == way)
        times = "" if way == "floor" else f" = {each / ways['floor']:.2f} x"
        parts.append(text(x(each) + 6, y + 13, f"{each:.3f}{times}, {memory:,.0f} MB", size=12, weight=bold))
    if model in TREES:
        at = x(ways["floor"] * MOST_OF_FLOOR)
        parts.append(
            f"<path d='M{at:.1f} {top + HEAD + BAR + 4}V{bottom}' stroke='#c5221f' stroke-dasharray='2 3'/>"
        )
    return "\n".join(parts), bottom + FOOT - top
