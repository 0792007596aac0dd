"""What people see of a batch prediction job: how far it is, and how it went."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from time import monotonic

import click

from trivet.cli import drawn
from trivet.cli.batch_jobs import Sees, Told

_FIRST = 200  # characters of the first instance
_FAILURES = 5

GONE = "its process is gone"

STATUS = {"SUCCEEDED": 0, "PARTIALLY_SUCCEEDED": 3, "CANCELLED": 130}
"""The exit status of a job that ended so; 1 for others."""


@contextmanager
def progress(name: str) -> Iterator[Sees]:
    """Show how far a job is, and what it warns of as soon as that is known, on a terminal."""
    if not sys.stderr.isatty():
        yield lambda told: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rows]:,} rows"),
        TextColumn("{task.fields[rate]:,.0f} rows/s"),
        TextColumn("{task.fields[failed]:,} failed"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=None, rows=0, rate=0.0, failed=0)
        begun: list[tuple[float, int]] = []
        warned: set[str] = set()

        def shows(told: Told) -> None:
            for one in told.warnings:
                if one not in warned:
                    warned.add(one)
                    bar.console.print(f"warning: {one}", markup=False, style="yellow")
            rows = told.successful + told.failed
            if told.size and not begun:
                begun.append((monotonic(), rows))
            since, already = begun[0] if begun else (monotonic(), rows)
            rate = (rows - already) / max(monotonic() - since, 1e-3)
            total = told.size or None
            bar.update(task, total=total, completed=told.done, rows=rows, rate=rate, failed=told.failed)

        yield shows


def ended(told: Told, *, as_id: str, resume: str) -> None:
    """Print how a job went; `resume` is the command that has it go on."""
    rows = told.successful + told.failed
    account = f"{rows:,} read = {told.successful:,} successful + {told.failed:,} failed"
    facts = {
        "job": f"{as_id}, {told.state}" + (f" ({GONE}: {resume})" if told.gone else took(told)),
        "error": told.error,
        "rows": account if told.state != "CANCELLED" else "",
        "output": told.output,
        "first instance": _cut(told.first),
    }
    facts |= {"warning" + " " * index: one for index, one in enumerate(told.warnings)}
    drawn.console().print(drawn.facts(facts))
    if told.failures:
        shown = told.failures[:_FAILURES]
        where = ", in the output" if told.output else ""
        more = f" (and {told.failed - len(shown):,} more{where})" if told.failed > len(shown) else ""
        click.echo(f"\nfailed{more}:")
        for one in shown:
            click.echo(f"  {one}")
    if told.state == "FAILED" and rows and not told.output:
        click.echo(f"\nGo on with what is done, when the reason is gone: {resume}")


def took(told: Told) -> str:
    """Return how long a job has been running, or ran."""
    if not told.started:
        return ""
    begun = datetime.fromisoformat(told.started)
    over = datetime.fromisoformat(told.ended) if told.ended else datetime.now(begun.tzinfo)
    seconds = max((over - begun).total_seconds(), 0.0)
    return f" in {seconds:.2f} s" if seconds < 60 else f" in {drawn.span(seconds)}"


def _cut(text: str) -> str:
    return text if len(text) <= _FIRST else text[:_FIRST] + " ..."
