"""Draw what a request costs as an SVG: one panel for each model, one bar for each server, on a log scale."""

from html import escape
from math import ceil, floor, log10
from typing import Any

from summary import Figures, in_order, summarise

LEFT, RIGHT, WIDTH = 170, 190, 900  # names stand left of the bars, figures right of them
BAR, GAP, HEAD, FOOT, TOP = 18, 8, 44, 34, 64
COLOURS = {"nginx": "#9aa0a6", "trivet": "#0b7a75", "other": "#c9ced6"}
FONT = "font-family='Helvetica, Arial, sans-serif'"


def draw(document: dict[str, Any]) -> str:
    """Draw the cell with one row and the most connections: there a server is busy, and shows its cost."""
    cells = summarise(document["cells"])
    rows = min(key[2] for key in cells)
    connections = max(key[3] for key in cells if key[2] == rows)
    shown = {key: one for key, one in cells.items() if key[2:] == (rows, connections)}
    costs = [one["cpu_us"] for one in shown.values() if one.values] or [1.0]
    # One scale for all panels, so that bars of two models can be compared.
    decades = range(floor(log10(min(costs) * 0.7)), ceil(log10(max(costs))) + 1)
    panels, y = [], TOP
    for model in in_order(key[1] for key in shown):
        bars = {key[0]: one for key, one in shown.items() if key[1] == model}
        drawn, height = _panel(model, bars, decades, y)
        panels.append(drawn)
        y += height
    word = "row" if rows == 1 else "rows"
    title = f"CPU time of a request: {rows} {word}, {connections} connections"
    note = f"µs, user and system time of all processes of a server; logarithmic; {document['time'][:10]}"
    return "\n".join(
        [
            f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {y}' width='{WIDTH}'>",
            f"<rect width='{WIDTH}' height='{y}' fill='#ffffff'/>",
            _text(20, 30, title, size=18, weight="bold"),
            _text(20, 50, note, size=12, fill="#5f6368"),
            *panels,
            "</svg>\n",
        ]
    )


def _panel(model: str, bars: dict[str, Figures], decades: range, top: int) -> tuple[str, int]:
    """Return the drawing of a model, and its height."""
    costs = {name: one["cpu_us"] for name, one in bars.items() if one.values}
    failed = [name for name, one in bars.items() if not one.values]
    order = [*sorted(costs, key=costs.__getitem__), *failed]
    height = HEAD + len(order) * (BAR + GAP) + FOOT
    low, scale = decades[0], (WIDTH - LEFT - RIGHT) / (len(decades) - 1)
    bottom = top + HEAD + len(order) * (BAR + GAP)
    parts = [_text(20, top + 28, model, size=14, weight="bold")]
    for decade in decades:
        x = LEFT + (decade - low) * scale
        parts.append(f"<path d='M{x:.1f} {top + HEAD - 4}V{bottom}' stroke='#e8eaed'/>")
        parts.append(_text(x, bottom + 14, f"{10**decade:,g}", size=11, fill="#5f6368", anchor="middle"))
    for number, name in enumerate(order):
        y = top + HEAD + number * (BAR + GAP)
        bold = "bold" if name.startswith("trivet") else "normal"
        parts.append(_text(LEFT - 8, y + 13, name, size=12, anchor="end", weight=bold))
        if name in failed:
            parts.append(_text(LEFT + 6, y + 13, "failed", size=12, fill="#c5221f"))
            continue
        length = (log10(costs[name]) - low) * scale
        colour = COLOURS.get(name.partition("-")[0], COLOURS["other"])
        parts.append(f"<rect x='{LEFT}' y='{y}' width='{length:.1f}' height='{BAR}' rx='2' fill='{colour}'/>")
        parts.append(_text(LEFT + length + 6, y + 13, _said(name, costs), size=12, weight=bold))
    return "\n".join(parts), height


def _said(name: str, costs: dict[str, float]) -> str:
    """A cost, as it is and beside Trivet's."""
    cost = f"{costs[name]:,.1f}" if costs[name] < 100 else f"{costs[name]:,.0f}"
    if "trivet" not in costs or name == "trivet":
        return f"{cost} µs"
    times = costs[name] / costs["trivet"]
    return f"{cost} µs, {times:.2f} x Trivet" if times < 10 else f"{cost} µs, {times:,.0f} x Trivet"


def _text(x: float, y: float, words: str, *, size: int, **how: str) -> str:
    fill, weight, anchor = how.get("fill", "#202124"), how.get("weight", "normal"), how.get("anchor", "start")
    look = f"{FONT} font-size='{size}' font-weight='{weight}' fill='{fill}' text-anchor='{anchor}'"
    return f"<text x='{x:.1f}' y='{y:.1f}' {look}>{escape(words)}</text>"
