"""`trivet status`: what a server does at this moment."""

import sys
from math import isinf
from threading import Event
from typing import TYPE_CHECKING

import click

from trivet.cli import warn
from trivet.cli.control import Control, Json, asks
from trivet.core.errors import Unavailable

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from trivet.cli.measured import Pace
    from trivet.cli.overview import Gauge, Overview, Row

_GLANCE = 0.5
"""Seconds over which rates are taken where nobody watches."""

_SECOND = 1.0

_WIDE, _NARROW = 115, 100  # columns


@click.command()
@click.option("--watch", is_flag=True, help="Go on, once a second, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON; with --watch, one line a second.")
@asks
def command(control: Control, *, watch: bool, as_json: bool) -> None:
    """Show the server, its endpoints, how each deployed model does, and operations under way.

    Requests a second are those of the last ten seconds; latencies too, or since the start where there were
    none; errors are counted since the start.
    """
    from trivet.cli import drawn
    from trivet.cli.overview import Gauge

    gauge = Gauge(control)
    if watch:
        _watch(gauge, as_json=as_json)
        return
    gauge.sample()
    if any(one.rows for one in gauge.overview().endpoints):
        Event().wait(_GLANCE)
        gauge.sample()
    overview = gauge.overview()
    if as_json:
        drawn.print_json(overview.json())
    else:
        where = drawn.console()
        where.print(_drawn(overview, where.width))


def _watch(gauge: "Gauge", *, as_json: bool) -> None:
    """Show it again each second; a server that is gone may come back."""
    from rich.live import Live

    from trivet.cli import drawn

    pause, where = Event(), drawn.console()
    try:
        if as_json or not sys.stdout.isatty():
            overview: Overview | None = gauge.now()  # a server that was never there is an error
            while True:
                if overview is not None and as_json:
                    drawn.print_json(overview.json(), indent=None)
                elif overview is not None:
                    where.print(_drawn(overview, where.width))
                pause.wait(_SECOND)
                overview = _again(gauge)
        with Live(console=where, auto_refresh=False, vertical_overflow="ellipsis") as live:
            while True:
                live.update(_glance(gauge, where.width), refresh=True)
                pause.wait(_SECOND)
    except KeyboardInterrupt:
        pass


def _again(gauge: "Gauge") -> "Overview | None":
    """Return how things are, or say on standard error that the server is not there."""
    try:
        return gauge.now()
    except Unavailable as error:
        warn(f"{error}; watching for it")
        gauge.control.look()
        return None


def _glance(gauge: "Gauge", width: int) -> "RenderableType":
    from rich.text import Text

    try:
        return _drawn(gauge.now(), width)
    except Unavailable as error:
        gauge.control.look()
        return Text(str(error), style="red")


def _drawn(overview: "Overview", width: int) -> "RenderableType":
    from rich.console import Group

    parts: list[RenderableType] = [_server(overview), ""]
    if overview.endpoints:
        parts.append(_endpoints(overview, width))
    else:
        parts.append("No endpoints yet: `trivet endpoint create NAME` makes one")
    if overview.elsewhere:
        parts += ["", f"{overview.elsewhere} more models are served for other projects: see --project"]
    if overview.operations:
        parts += ["", "Under way:", *(_operation(one) for one in overview.operations)]
    return Group(*parts)


def _server(overview: "Overview") -> str:
    from trivet.cli.drawn import span

    others = [f"{name} {url}" for name, url in overview.addresses.items() if name != "http"]
    told = [overview.addresses["http"], *others]
    if overview.uptime is not None:
        told.append(f"up {span(overview.uptime)}")
    if overview.processes:
        told.append(f"{overview.processes} processes")
    return " · ".join(told)


def _endpoints(overview: "Overview", width: int) -> "Table":
    """Draw them all, in a narrow terminal with less."""
    from rich.text import Text

    from trivet.cli import drawn

    bar = 20 if width >= _WIDE else 10 if width >= _NARROW else 0
    runs = ["runs"] if width >= _NARROW else []
    numbers = (">req/s", ">p50", ">p99", ">errors", ">queue")
    shown = drawn.table("endpoint", "model", "traffic", "state", *runs, *numbers)
    for one in overview.endpoints:
        if not one.rows:
            shown.add_row(one.called, Text("nothing deployed", style="dim"))
        for index, row in enumerate(one.rows):
            state = Text("READY", style="green") if row.ready else Text("NOT READY", style="red")
            where = [_where(row)] if runs else []
            name = "" if index else one.called
            shown.add_row(name, row.called, drawn.bar(row.share, bar), state, *where, *_pace(row.pace))
    return shown


def _where(row: "Row") -> str:
    return row.runs if row.well is None else f"{row.runs}, {row.well or 'none'} well"


def _pace(pace: "Pace") -> tuple["RenderableType", ...]:
    from rich.text import Text

    errors = Text(f"{pace.errors:,}", style="red" if pace.errors else "")
    rate = f"{pace.rate:,.0f}" if pace.rate >= 10 or not pace.rate else f"{pace.rate:.1f}"
    return rate, _seconds(pace.p50), _seconds(pace.p99), errors, f"{pace.queue:,}"


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if isinf(seconds):
        return "> 30 s"
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{seconds * 1e3:.1f} ms" if seconds >= 0.001 else f"{seconds * 1e6:.0f} µs"


def _operation(operation: Json) -> str:
    """Tell of an operation, as much as the server does."""
    metadata = operation.get("metadata", {})
    kind = str(metadata.get("@type", "")).rpartition(".")[2].removesuffix("OperationMetadata")
    name = str(operation["name"]).rpartition("/")[2]
    return f"  {kind or 'operation'} {name}"
