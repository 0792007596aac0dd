"""What a second front adds, and a process beside the front; nginx with a second worker is what can be had.

Where the machine has four cores or more, servers have two of them and wrk has the rest: then requests a
second tell. Of two cores wrk takes its share, and the time of both cores divided by the CPU time of a
request tells what they would carry without it. A machine's cores slow each other down, more so when wrk's
own work evicts the server's from their caches: nginx shows by how much.
"""

from collections.abc import Sequence
from dataclasses import replace

import contestants
from measure import Plan, cells_of

CORES = 2
"""Of the server."""

CONTESTANTS = (
    contestants.nginx("nginx-1", "a static reply of the same size, one worker"),
    contestants.nginx("nginx-2", "the same, two workers on one port", workers=2),
    contestants.trivet("trivet-1", "one front"),
    contestants.trivet(
        "trivet-2", "two fronts, one port", *("--workers", "2"), missing=contestants.no_workers
    ),
    contestants.trivet(
        "trivet-process",
        "one front, and the model beside it",
        *("--placement", "process"),
        missing=contestants.no_process,
    ),
)


def plan_of(plan: Plan, cores: Sequence[int]) -> Plan:
    """Return how to measure it, on two cores of many, or on both that there are.

    With as many connections for two as for one, each has half of them, and batches half as large.
    """
    many = len(cores) >= 2 * CORES
    return replace(
        plan,
        cells=cells_of((1,), (64, 128)),
        cores=tuple(cores[:CORES]) if many else None,
        threads=CORES if many else 1,
    )
