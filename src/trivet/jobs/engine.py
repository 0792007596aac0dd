"""How an engine plugs in: it has shards done, on this machine or on others.

The runner of a job asks it, and keeps what it tells; an engine keeps nothing. Whatever it loses, it is asked
for again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from trivet.core.batch import Counts, Shard, ShardResult
from trivet.jobs.work import Prepared, Work


@dataclass(frozen=True, slots=True)
class Reading:
    """How far a shard is that is being done: all its counts so far, and how much of its size was read."""

    index: int
    counts: Counts
    size: int


Event = Reading | ShardResult


class Engine(Protocol):
    """Does the shards of one job, and is then closed."""

    @property
    def processes(self) -> int:
        """How many processes there are at this moment: what they cost is told with the job."""
        ...

    def prepare(self, work: Work) -> tuple[Prepared, Sequence[Shard]]:
        """Load the model, look at the input and plan: `jobs.run.prepare`, in a process that may be lost.

        Raises what keeps the job from being done.
        """
        ...

    def run(self, work: Work, shards: Sequence[Shard]) -> Iterator[Event | None]:
        """Do the shards: `jobs.run.run_shard` for each, each reported by its result, in any order.

        Yields None where nothing has happened for 0.1 s, so that its caller may look around. A process that
        is lost costs only its shard, which is done again; one that is lost again over the same shard ends the
        job. Raises what a shard cannot be done for.
        """
        ...

    def close(self) -> None:
        """End every process at once, whatever it does.

        May be called at any time, more than once, and by another thread: what goes on then raises.
        """
        ...
