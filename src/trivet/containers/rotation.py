"""When an application is asked how it is, and when it gets no more requests: the rule, and its clock.

As on Vertex AI: so many failed checks in a row take it out of rotation, the first good one brings it back. It
is for whoever asks to read a clock and to wait.
"""

from collections.abc import Callable

from trivet.core.containers import Probe

Check = Callable[[], str]
"""Asks once; returns why it failed, empty where it did not."""


class Rotation:
    """Counts the failures of one probe; `well` until there were `failures` in a row."""

    def __init__(self, failures: int) -> None:
        self.well = True
        self.reason = ""
        self._most = failures
        self._failed = 0

    def __repr__(self) -> str:
        return f"<Rotation {'well' if self.well else 'not well'}, {self._failed} failed in a row>"

    def heard(self, why: str) -> bool:
        """Count the outcome of a check; returns whether that has changed if it is well."""
        before = self.well
        self._failed = self._failed + 1 if why else 0
        self.reason = why
        self.well = self._failed < self._most if before else not why
        return self.well is not before


def follow(
    probe: Probe,
    check: Check,
    changed: Callable[[Rotation], None],
    *,
    clock: Callable[[], float],
    over: Callable[[float], bool],
) -> None:
    """Check every `probe.period` seconds, from one start to the next, and tell when the outcome changes.

    `over` waits so many seconds, and returns whether to end; `clock` is in seconds.
    """
    rotation = Rotation(probe.failures)
    due = clock() + max(probe.delay, probe.period)
    while not over(max(0.0, due - clock())):
        due = max(due + probe.period, clock())
        if rotation.heard(check()):
            changed(rotation)
