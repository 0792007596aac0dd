"""An engine and a sink in memory, and a job in a catalog: what a runner needs."""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from trivet.catalog import Catalog
from trivet.core.batch import BatchPredictionJob, Counts, RowFailure, Shard, ShardResult
from trivet.core.resources import Name
from trivet.jobs.engine import Event, Reading
from trivet.jobs.ledger import Ledger
from trivet.jobs.work import Prepared, Work
from trivet.sinks.base import Outputs
from trivet.sources.base import Inputs

NAME = Name.parse("projects/p/locations/l/batchPredictionJobs/j")
WORK = Work("j", "jsonl", "jsonl", Inputs(("in",)), Outputs("out", "prediction-m"))


def catalog_with_job(folder, state="QUEUED") -> Catalog:
    catalog = Catalog(f"sqlite:///{folder / 'catalog.db'}")
    now = datetime.now(UTC)
    with catalog.transaction() as tx:
        tx.add_batch_job(BatchPredictionJob(NAME, "j", now, now, state=state))
    return catalog


def ledger(catalog: Catalog, owner: str = "me", alive_within: float = 0.0) -> Ledger:
    return Ledger(catalog, NAME, owner, alive_within)


def shards(count: int) -> list[Shard]:
    return [Shard(i, "in", i * 10, i * 10 + 10, i * 10, 10) for i in range(count)]


def result(index: int, failed: int = 0, rows: int = 10) -> ShardResult:
    failures = tuple(RowFailure("in", index * 10 + i, 3, "bad") for i in range(failed))
    return ShardResult(index, Counts(rows, rows - failed, failed), failures, {f"results-{index}": rows})


class MemorySink:
    """Parts by shard, and what is shown."""

    tabular = False

    def __init__(self) -> None:
        self.parts: dict[int, int] = {}
        self.shown: list[int] | None = None

    def check(self, outputs: Outputs) -> None:
        raise NotImplementedError

    def open(self, outputs: Outputs, shard: int) -> Any:
        raise NotImplementedError

    def missing(self, outputs: Outputs, results: Any) -> list[int]:
        return [] if self.shown is not None else [one.index for one in results if one.index not in self.parts]

    def finish(self, outputs: Outputs, results: Any) -> dict[str, Any]:
        assert all(one.index in self.parts for one in results)
        self.shown = [one.index for one in results]
        return {"gcsOutputDirectory": f"{outputs.uri}/{outputs.name}"}

    def discard(self, outputs: Outputs) -> None:
        self.parts.clear()


class ScriptedEngine:
    """Does shards by making their results up; `each` is called before every event."""

    processes = 1

    def __init__(self, sink: MemorySink, count: int, failed: Callable[[int], int] = lambda i: 0) -> None:
        self.sink = sink
        self.count = count
        self.result: Callable[[int], ShardResult] = lambda index: result(index, failed(index))
        self.each: Callable[[], None] = lambda: None
        self.loads: Exception | None = None
        self.forgets: set[int] = set()
        self.order: Callable[[list[Shard]], Iterable[Shard]] = iter
        self.done: list[int] = []
        self.closed = False

    def prepare(self, work: Work) -> tuple[Prepared, list[Shard]]:
        if self.loads:
            raise self.loads
        self.each()
        return Prepared(("mind",), "[1]", ("a",), (), "echo"), shards(self.count)

    def run(self, work: Work, shards: Any) -> Iterator[Event | None]:
        assert work.outputs.columns == ("a",)
        for shard in self.order(shards):
            self.each()
            yield None
            self.each()
            yield Reading(shard.index, Counts(5, 5, 0), 5)
            if shard.index in self.forgets:
                continue
            self.done.append(shard.index)
            self.sink.parts[shard.index] = 10
            yield self.result(shard.index)

    def close(self) -> None:
        self.closed = True
