"""How the statements of a connection are run, and what DuckDB is told for it."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from trivet.sql.result import Result

if TYPE_CHECKING:
    from trivet.serving.leases import Leases
    from trivet.sql.functions import Functions

PROGRESS = ("SET enable_progress_bar = true", "SET enable_progress_bar_print = false")
"""What makes DuckDB count how far a statement is, and not draw it."""

Runs = Callable[[Callable[[], Result]], Result]
"""Runs a statement: at once, or so that somebody may break it off meanwhile."""


class Waiting:
    """Within it, this thread may wait for a model to be loaded, which can be broken off."""

    def __init__(self, leases: "Leases") -> None:
        self._leases = leases
        self._caller: int | None = None

    def __enter__(self) -> None:
        self._caller = self._leases.caller()

    def __exit__(self, *_: object) -> None:
        self._caller = None

    def interrupt(self) -> None:
        """Break it off; called by any thread."""
        if (caller := self._caller) is not None:
            self._leases.interrupt_caller(caller)


class Use:
    """Within it, the functions of models that a statement calls stay."""

    def __init__(self, functions: "Functions") -> None:
        self._functions = functions
        self._user: int | None = None

    def __enter__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Hold those that there are, until `end`."""
        self.end()
        self._user = self._functions.enter()

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Let them go, if they are held."""
        user, self._user = self._user, None
        if user is not None:
            self._functions.leave(user)


def nothing() -> None:
    """Return what there is of rows before a statement was run."""


def undone(setting: str) -> str:
    """Return the statement that gives a setting the value that DuckDB has for it, but for the time zone."""
    name = setting.removeprefix("SET ").partition(" ")[0].strip()
    return setting if name.lower() == "timezone" else f"RESET {name}"


def at_once(run: Callable[[], Result]) -> Result:
    """Run a statement."""
    return run()
