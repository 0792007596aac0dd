"""Runs statements on a thread beside the one that Ctrl-C reaches, and shows how far they are."""

import sys
from collections.abc import Callable
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any

import click

from trivet.core.errors import Cancelled, ServingError

if TYPE_CHECKING:
    from trivet.cli.sql_engine import Engine
    from trivet.cli.sql_output import Output
    from trivet.sql.parameters import Given

_FIRST = 0.5  # seconds after which one wants to know
_EVERY = 0.1

INTERRUPTED = 130


class Progress:
    """What a terminal shows of a statement that takes long, until its first rows are shown."""

    def __init__(self, of: Callable[[], float]) -> None:
        self._of = of
        self._bar: Any = None
        self._task: Any = None
        self._shows = sys.stderr.isatty()
        self.rows = 0
        self.start()

    def start(self) -> None:
        """Begin anew, with another statement."""
        self.stop()
        self._begun, self._quiet, self.rows = monotonic(), False, 0

    def look(self) -> None:
        """Show how far it is."""
        if self._quiet or not self._shows or monotonic() - self._begun < _FIRST:
            return
        if self._bar is None:
            self._bar = _bar()
            self._task = self._bar.add_task("", total=None, rows="")
            self._bar.start()
        done = self._of()
        rate = self.rows / max(monotonic() - self._begun, 1e-3)
        rows = f"{self.rows:,} rows  {rate:,.0f} rows/s" if self.rows else ""
        known = done > 0 or self._bar.tasks[0].total is not None
        self._bar.update(self._task, total=1.0 if known else None, completed=max(done, 0), rows=rows)

    def stop(self) -> None:
        """Show nothing more: something else is about to be shown."""
        self._quiet = True
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def run(engine: "Engine", text: str, parameters: "Given", output: "Output") -> int:
    """Run statements, and show what they give; returns the exit status. Raises what one of them raises."""
    progress = Progress(engine.progress)
    raised: list[BaseException] = []

    def work() -> None:
        try:
            progress.start()
            for result in engine.script(text, parameters, streams=True):
                output.show(result, progress)
                progress.start()
        except BaseException as error:  # noqa: BLE001 - raised by the thread that waits
            raised.append(error)
        finally:
            ended.set()

    ended = Event()  # a thread that is joined counts as ended after Ctrl-C, though it is not
    Thread(target=work, name="statement", daemon=True).start()
    status = 0
    while not ended.is_set():
        try:
            if not ended.wait(_EVERY):
                progress.look()
        except KeyboardInterrupt:
            if status:  # the second one: what it waits for does not listen
                raise
            status = INTERRUPTED
            engine.interrupt()
    progress.stop()
    if status and (not raised or isinstance(raised[0], Cancelled)):
        click.echo("Interrupted", err=True)
        return status
    if raised:
        raise located(raised[0], text)
    return 0


def located(error: BaseException, text: str) -> BaseException:
    """Add the line of the statement that an error is about."""
    import re

    found = re.search(r" at \[(\d+):(\d+)\]$", str(error))
    lines = text.splitlines()
    if not isinstance(error, ServingError) or found is None or len(lines) < int(found[1]):
        return error
    line, column = lines[int(found[1]) - 1], int(found[2])
    if len(lines) == 1 and len(line) < 60:
        return error
    start = max(0, column - 60)
    shown = line[start : start + 100]
    return type(error)(f"{error}\n  {shown}\n  {' ' * (column - 1 - start)}^")


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TextColumn("{task.fields[rows]}"))
    return Bar(*columns, console=Console(stderr=True), transient=True)
