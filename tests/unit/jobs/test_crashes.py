"""A job that crashes between any two steps, and goes on: the output is what it is without a crash.

A step is a call of the catalog, a batch of records, or a change of the file system. Everything is real but
the process, which a crash would end: an exception that nothing catches stands for it.
"""

import os
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.unit.jobs.fakes import NAME, catalog_with_job, ledger
from trivet.core.batch import Counts
from trivet.core.errors import Aborted, FailedPrecondition
from trivet.core.names import ModelRef
from trivet.jobs import run as shards
from trivet.jobs.ledger import Ledger
from trivet.jobs.runner import Runner
from trivet.jobs.work import Work
from trivet.serving.lifecycle import ModelSpec
from trivet.sinks.base import Outputs
from trivet.sinks.registry import get_sink
from trivet.sources.base import Inputs

# a process that is gone has no files open any more
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

CHANGES = ("mkdir", "replace", "rename", "unlink", "rmdir")
"""The functions of `os` by which a local disk is changed, but for what is written to files that are open."""

KEPT = ("claim", "plan", "shards", "prepared", "done", "end")


class Crash(BaseException):
    """The process is gone."""


class Steps:
    """Counts steps, and crashes at one."""

    def __init__(self, crash_at: int | None = None) -> None:
        self.crash_at = crash_at
        self.count = 0

    def step(self) -> None:
        if self.crash_at is not None and self.count >= self.crash_at:
            raise Crash
        self.count += 1

    def around(self, call):
        def stepping(*args, **more):
            self.step()
            returned = call(*args, **more)
            self.step()
            return returned

        return stepping

    @contextmanager
    def taken(self):
        """Have every change of the catalog and of the disk be a step."""
        with ExitStack() as stack:
            for name in CHANGES:
                stack.enter_context(mock.patch.object(os, name, self.around(getattr(os, name))))
            for name in KEPT:
                method = self.around(getattr(Ledger, name))
                stack.enter_context(mock.patch.object(Ledger, name, method))
            yield


class InProcess:
    """Does shards here, one after the other."""

    processes = 1

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.begun: list[int] = []

    def prepare(self, work: Work):
        return shards.prepare(work, shards.load(work))

    def run(self, work: Work, parts):
        scorer = shards.load(work)
        for part in parts:
            self.begun.append(part.index)
            yield None
            yield shards.run_shard(work, part, scorer, lambda reading: self.steps.step())

    def close(self) -> None:
        pass


ROWS = {
    "a.jsonl": [b"[%d, 1.5]" % i for i in range(40)],
    "b.jsonl": [b'{"x": %d' % i if i % 7 == 3 else b'{"x": %d}' % i for i in range(30)],
    "c.jsonl": [],
    "d.jsonl": [b'"\xff"', b"", b"9007199254740993", b"no"],
}


class World:
    """A folder with an input, a catalog with a job, and the output."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "in").mkdir(parents=True)
        for name, rows in ROWS.items():
            (folder / "in" / name).write_bytes(b"".join(row + b"\n" for row in rows))
        inputs = Inputs((str(folder / "in" / "*.jsonl"),), shard_bytes=128)
        outputs = Outputs(str(folder / "out"), "prediction-echo", str(folder / "scratch"))
        model = ModelSpec(ModelRef("echo"), Path(), "echo")
        self.work = Work("j", "jsonl", "jsonl", inputs, outputs, model=model, batch_size=8)
        self.sink = get_sink("jsonl")
        self.catalog = catalog_with_job(folder)

    def run(self, crash_at: int | None = None) -> Steps:
        """Run until the end, or a crash; what was done before must not be done again."""
        done, steps = self.done(), Steps(crash_at)
        engine = InProcess(steps)
        with suppress(Crash), steps.taken():
            Runner(ledger(self.catalog), self.work, engine, self.sink).run()
        assert done.isdisjoint(engine.begun)
        return steps

    @property
    def job(self):
        with self.catalog.reading() as tx:
            return tx.batch_job(NAME)

    def done(self) -> set[int]:
        """Return the shards whose results are kept, and whose parts are there."""
        with self.catalog.reading() as tx:
            results = [result for _, result in tx.batch_shards(NAME) if result is not None]
        return {one.index for one in results} - set(self.sink.missing(self.work.outputs, results))

    def shown(self) -> dict[str, bytes]:
        """Return what anybody can see of the output, wherever it is."""
        here, folder = str(self.folder).encode(), self.folder / "out"
        files = folder.glob("[!.]*/*") if folder.is_dir() else ()
        return {file.name: file.read_bytes().replace(here, b"HERE") for file in files}

    def left(self) -> list[str]:
        """Return what is left that nobody should see."""
        return [str(one) for one in (self.folder / "out").rglob(".*")]

    def finish(self) -> None:
        """Go on to the end, and check that it is the one that it comes to without a crash."""
        if not self.job.is_ended:
            self.run()
        assert self.job.state == "PARTIALLY_SUCCEEDED"
        assert self.job.counts == Counts(73, 67, 6)
        assert [one.offset for one in self.job.failures] == [3, 10, 17, 24, 0, 3]
        assert self.shown() == whole()[1]
        assert self.left() == []
        self.catalog.close()


@cache
def whole() -> tuple[int, dict[str, bytes]]:
    """Return how many steps a job has, and what its output is without a crash."""
    with TemporaryDirectory() as folder:
        world = World(Path(folder))
        steps = world.run()
        assert world.job.state == "PARTIALLY_SUCCEEDED"
        assert world.job.counts == Counts(73, 67, 6)
        shown = world.shown()
        assert len(shown) == 9
        assert world.left() == []
        world.catalog.close()
        return steps.count, shown


@pytest.mark.parametrize("part", range(8))
def test_a_crash_at_any_step_changes_nothing(tmp_path, part):
    count, _ = whole()
    for at in range(part, count, 8):
        world = World(tmp_path / str(at))
        assert world.run(at).count == at
        assert world.shown() in ({}, whole()[1])
        world.finish()


class Crashes(RuleBasedStateMachine):
    """Any number of crashes, of losses of what was written, and of attempts of others."""

    @initialize()
    def begin(self) -> None:
        self.folder = TemporaryDirectory()
        self.world = World(Path(self.folder.name))

    @property
    def goes_on(self) -> bool:
        return not self.world.job.is_ended

    @precondition(lambda self: self.goes_on)
    @rule(at=st.integers(0, 60))
    def crash(self, at: int) -> None:
        self.world.run(at)

    @precondition(lambda self: self.goes_on)
    @rule(at=st.integers(60, 200))
    def crash_late(self, at: int) -> None:
        self.world.run(at)

    @precondition(lambda self: self.goes_on)
    @rule(which=st.integers(0, 100), torn=st.booleans())
    def lose_a_part(self, which: int, torn: bool) -> None:
        parts = sorted(self.world.folder.glob("out/.*/results-*"))
        if parts:
            part = parts[which % len(parts)]
            if torn:
                part.write_bytes(part.read_bytes()[:-1])
            else:
                part.unlink()

    @precondition(lambda self: self.goes_on)
    @rule()
    def another_has_it(self) -> None:
        """Whoever had the job before is told so, and touches nothing."""
        first = ledger(self.world.catalog, "first")
        first.claim()
        ledger(self.world.catalog, "second").claim()
        for call in (first.shards, first.beat, lambda: first.end("FAILED")):
            with pytest.raises(Aborted):
                call()

    @precondition(lambda self: not self.goes_on)
    @rule()
    def run_again(self) -> None:
        """A job that has ended is not run again."""
        with pytest.raises(FailedPrecondition, match="has ended"):
            self.world.run()

    @invariant()
    def nothing_is_shown_that_is_not_whole(self) -> None:
        if hasattr(self, "world"):
            assert self.world.shown() in ({}, whole()[1])

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.finish()
            self.folder.cleanup()


TestCrashes = Crashes.TestCase
TestCrashes.settings = settings(
    max_examples=12, stateful_step_count=6, deadline=None, suppress_health_check=list(HealthCheck)
)
