"""Draw rows a second as an SVG: one panel for each input and model, one bar for each way, on a log scale."""

from html import escape
from math import ceil, floor, log10
from typing import Any

from benchmarks.batch.summary import PIPELINES, Cell, Figures, Ratio, ratios, summarise

LEFT, RIGHT, WIDTH = 150, 250, 900  # names stand left of the bars, figures right of them
BAR, GAP, HEAD, FOOT, TOP = 18, 8, 44, 34, 64
COLOURS = {"trivet": "#0b7a75", **dict.fromkeys(PIPELINES, "#9aa0a6")}
OTHER = "#c9ced6"
FONT = "font-family='Helvetica, Arial, sans-serif'"


def draw(document: dict[str, Any]) -> str:
    rows = document["settings"]["rows"]
    kinds = {name: one["kind"] for name, one in document["contestants"].items()}
    cells = summarise(document["runs"], rows)
    compared = ratios(cells, kinds)
    rates = [one["rate"] for found in cells.values() for one in found.values() if one.values] or [1.0]
    decades = range(floor(log10(min(rates) * 0.7)), ceil(log10(max(rates))) + 1)
    panels, y = [], TOP
    for cell, figures in cells.items():
        drawn, height = _panel(cell, figures, kinds, compared, decades, y)
        panels.append(drawn)
        y += height
    title = f"Batch prediction: {rows:,} rows of ten numbers, two cores"
    note = f"rows a second, from a cold start to the whole output; logarithmic; {document['time'][:10]}"
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
    cell: Cell,
    figures: dict[str, Figures],
    kinds: dict[str, str],
    compared: list[Ratio],
    decades: range,
    top: int,
) -> tuple[str, int]:
    """Return the drawing of a cell, and its height."""
    order = sorted(figures, key=lambda name: -figures[name].values.get("rate", 0.0))
    height = HEAD + len(order) * (BAR + GAP) + FOOT
    low, scale = decades[0], (WIDTH - LEFT - RIGHT) / (len(decades) - 1)
    bottom = top + HEAD + len(order) * (BAR + GAP)
    parts = [text(20, top + 28, ", ".join(cell), size=14, weight="bold")]
    for decade in decades:
        x = LEFT + (decade - low) * scale
        parts.append(f"<path d='M{x:.1f} {top + HEAD - 4}V{bottom}' stroke='#e8eaed'/>")
        parts.append(text(x, bottom + 14, f"{10**decade:,}", size=11, fill="#5f6368", anchor="middle"))
    for number, name in enumerate(order):
        y = top + HEAD + number * (BAR + GAP)
        bold = "bold" if kinds[name] == "trivet" else "normal"
        parts.append(text(LEFT - 8, y + 13, name, size=12, anchor="end", weight=bold))
        one = figures[name]
        if not one.values:
            parts.append(text(LEFT + 6, y + 13, "failed", size=12, fill="#c5221f"))
            continue
        length = (log10(one["rate"]) - low) * scale
        colour = COLOURS.get(kinds[name], OTHER)
        parts.append(f"<rect x='{LEFT}' y='{y}' width='{length:.1f}' height='{BAR}' rx='2' fill='{colour}'/>")
        ratio = [one for one in compared if one.cell == cell and one.one == "trivet" and one.other == name]
        told = f"{one['rate']:,.0f}, {one['pss_mb']:,.0f} MB"
        told += "".join(f"; trivet is {found.times:.2f} x" for found in ratio)
        parts.append(text(LEFT + length + 6, y + 13, told, size=12, weight=bold))
    return "\n".join(parts), height


def text(x: float, y: float, words: str, *, size: int, **how: str) -> str:
    """Return words as SVG; `how` are their `fill`, `weight` and `anchor`."""
    fill, weight, anchor = how.get("fill", "#202124"), how.get("weight", "normal"), how.get("anchor", "start")
    look = f"{FONT} font-size='{size}' font-weight='{weight}' fill='{fill}' text-anchor='{anchor}'"
    return f"<text x='{x:.1f}' y='{y:.1f}' {look}>{escape(words)}</text>"
