import asyncio
from pathlib import Path

import pytest

from trivet.app.openings import Openings
from trivet.core.errors import FailedPrecondition
from trivet.core.names import ModelRef
from trivet.serving.lifecycle import ModelSpec


class Group:
    """What is opened; closing it is noted."""

    closed = False

    def close(self):
        self.closed = True
        return []


class Opened:
    """Opens a group once `go` is set; `log` has what was begun, and what was ended before."""

    def __init__(self):
        self.go = asyncio.Event()
        self.group = Group()
        self.log = []

    async def __call__(self, spec):
        self.log.append(f"begun {spec.replicas}")
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.log.append("ended")
            raise
        if isinstance(self.group, Exception):
            raise self.group
        return self.group


def spec(replicas=1):
    return ModelSpec(ModelRef("echo"), "container", Path(), id="7", replicas=replicas)


async def some_turns():
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_group_is_taken_once_it_is_open():
    opened, again = Opened(), []
    openings = Openings(opened)
    for _ in range(2):  # asking twice begins once
        assert openings.take(spec(), lambda: again.append(1)) is None
        await some_turns()
    assert opened.log == ["begun 1"]
    assert set(openings.ids) == {"7"}
    opened.go.set()
    await some_turns()
    assert again == [1]
    assert openings.take(spec(), lambda: None) is opened.group
    assert set(openings.ids) == set()


async def test_what_fails_is_told_once_and_begun_anew():
    opened = Opened()
    openings = Openings(opened)
    opened.group = FailedPrecondition("no such file")
    opened.go.set()
    assert openings.take(spec(), lambda: None) is None
    await some_turns()
    with pytest.raises(FailedPrecondition, match="no such file"):
        openings.take(spec(), lambda: None)
    opened.group = Group()
    assert openings.take(spec(), lambda: None) is None
    await some_turns()
    assert openings.take(spec(), lambda: None) is opened.group


async def test_one_that_is_wished_otherwise_is_ended():
    opened, again = Opened(), []
    openings = Openings(opened)
    openings.take(spec(), lambda: again.append(1))
    await some_turns()
    assert openings.take(spec(replicas=2), lambda: None) is None
    await some_turns()
    assert opened.log == ["begun 1", "ended", "begun 2"]
    openings.keep({"7"})
    assert set(openings.ids) == {"7"}
    openings.keep(set())
    await some_turns()
    assert (opened.log[3:], set(openings.ids), again) == (["ended"], set(), [])


async def test_one_that_is_open_and_not_wanted_any_more_is_closed():
    opened = Opened()
    openings = Openings(opened)
    opened.go.set()
    openings.take(spec(), lambda: None)
    await some_turns()
    openings.drop("7")
    assert opened.group.closed
