"""A process that dies before one of the things it does, for checks of what must survive that."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from threading import get_ident
from typing import Any

EVENTS = frozenset(
    ("open", "os.listdir", "os.scandir", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate",
     "os.link", "os.symlink", "os.chmod", "shutil.rmtree", "http.client.send", "sqlite3.connect")
)  # fmt: skip
"""What counts as a step, by Python's names of audited events."""


class Crash(BaseException):
    """The end of a process: nobody expects it, and nothing that is tried afterwards is done."""


class Steps:
    """Counts what is done, and crashes before one step and all that follow it."""

    def __init__(self, before: int) -> None:
        self._left = before
        self.crashed = False
        """Whether there were as many steps."""

    def step(self) -> None:
        """Take a step; raises Crash where it is not taken any more."""
        if self._left <= 0:
            self.crashed = True
            raise Crash
        self._left -= 1


CrashBefore = Callable[[int], AbstractContextManager[Steps]]
"""Gives a context in which so many steps are taken; the crash ends it quietly."""

_MOST = 10_000
_steps: dict[int, Steps] = {}  # by thread


@contextmanager
def crash_before(step: int) -> Iterator[Steps]:
    """Let this thread take so many steps in the file system, or over HTTP, and crash before the next one."""
    _install()
    steps = _steps[get_ident()] = Steps(step)
    try:
        yield steps
    except Crash:
        pass
    finally:
        del _steps[get_ident()]


@cache
def _install() -> None:
    """Have Python tell of its steps; that cannot be taken back, and costs nothing where nobody counts."""

    def told(event: str, arguments: Any) -> None:
        if _steps and event in EVENTS and (steps := _steps.get(get_ident())):
            steps.step()

    sys.addaudithook(told)


def each_crash(crash: CrashBefore, attempt: Callable[[], object], every: int = 1) -> Iterator[int]:
    """Attempt something again and again, crashing some steps later each time, until it comes to its end.

    Yields after each crash the number of steps that were taken.
    """
    for step in range(0, _MOST * every, every):
        with crash(step) as steps:
            attempt()
        if not steps.crashed:
            return
        yield step
    raise AssertionError(f"it does not come to its end in {_MOST * every} steps")
