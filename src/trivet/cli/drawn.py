"""What tables of the command line have in common: how they are drawn, and how ages and shares are."""

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

_BAR = 20
_WIDE = 10_000  # columns where nobody looks: lines are not folded for a program

_UNITS = (("day", 86400), ("h", 3600), ("min", 60), ("s", 1))


def console() -> "Console":
    """Return what draws on standard output."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else _WIDE)


def table(*headings: str) -> "Table":
    """Return a table without lines; headings that begin with `>` are of columns of numbers."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        made.add_column(
            heading.removeprefix(">"), justify="right" if heading[:1] == ">" else "left", overflow="fold"
        )
    return made


def facts(rows: Mapping[str, str]) -> "Table":
    """Return a table of what is known of one thing, without what is empty."""
    from rich.table import Table

    made = Table(box=None, show_header=False, pad_edge=False)
    made.add_column(style="bold")
    made.add_column(overflow="fold")
    for name, value in rows.items():
        if value:
            made.add_row(name, value)
    return made


def bar(share: int, size: int = _BAR) -> "Text":
    """Return a share of 100 as a bar and a number; of size 0, the number alone."""
    from rich.text import Text

    full = round(share / 100 * size) or (1 if share and size else 0)
    number = (f"{' ' if size else ''}{share:>3} %", "" if share else "dim")
    return Text.assemble(("█" * full, "green"), ("░" * (size - full), "dim"), number)


def ago(stamp: str) -> str:
    """Return how long ago a time of the API was: `3 min ago`."""
    if not stamp:
        return ""
    seconds = (datetime.now(UTC) - datetime.fromisoformat(stamp)).total_seconds()
    return "just now" if seconds < 1 else f"{span(seconds)} ago"


def span(seconds: float) -> str:
    """Return a time in the largest unit of which it has one."""
    for unit, size in _UNITS:
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {unit}{'s' if unit == 'day' and count > 1 else ''}"
    return "0 s"


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """Print for machines."""
    click.echo(json.dumps(value, indent=indent, ensure_ascii=False))
