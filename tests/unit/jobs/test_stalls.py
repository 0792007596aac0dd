"""A runner that is stopped between any two steps, and goes on when another has done its job."""

import threading
from contextlib import suppress

import pytest

from tests.unit.jobs.fakes import ledger
from tests.unit.jobs.test_crashes import InProcess, Steps, World, whole
from trivet.core.errors import Aborted, FailedPrecondition
from trivet.jobs.runner import Runner


class Stall(Steps):
    """Has something else happen at a step, as if this process were stopped meanwhile."""

    def __init__(self, at, meanwhile):
        super().__init__()
        self.at, self.meanwhile = at, meanwhile
        self.stops = threading.current_thread()

    def step(self):
        if threading.current_thread() is self.stops:
            self.count += 1
            if self.count == self.at:
                self.meanwhile()


def runner(world, owner, steps):
    return Runner(ledger(world.catalog, owner), world.work, InProcess(steps), world.sink)


@pytest.mark.parametrize("cancels", [False, True], ids=["goes on", "is cancelled"])
@pytest.mark.parametrize("part", range(3))
def test_whoever_wakes_up_too_late_changes_nothing(tmp_path, part, cancels):
    count, _ = whole()
    for at in range(1 + part, count + 1, 6 if cancels else 3):
        stalled(World(tmp_path / str(at)), at, cancels=cancels)


def stalled(world, at, *, cancels):
    said = []

    def another():
        try:
            said.append(runner(world, "another", Steps()).run().state)
        except (Aborted, FailedPrecondition) as error:  # since it had ended
            said.append(str(error))

    other = threading.Thread(target=another)

    def meanwhile():
        if cancels:
            first.cancel()
        other.start()
        other.join(0.2)  # it may have to wait for what is locked

    steps = Stall(at, meanwhile)
    first = runner(world, "first", steps)
    with steps.taken(), suppress(Aborted, FailedPrecondition):
        assert first.run().state == "PARTIALLY_SUCCEEDED"
    other.join()
    assert said[0] == "PARTIALLY_SUCCEEDED" or "has ended" in said[0]
    world.finish()
