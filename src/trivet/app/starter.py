"""Starts a process for each batch prediction job that nobody runs, as many at once as the settings allow."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from trivet.app.children import Child, spawn
from trivet.app.messages import RunJob
from trivet.control.jobs import Discard
from trivet.core.batch import BatchPredictionJob
from trivet.core.resources import Name
from trivet.settings import Settings

if TYPE_CHECKING:
    from trivet.catalog import Catalog
    from trivet.control.artifacts import ArtifactStore

log = logging.getLogger("trivet")

_TRIES_AGAIN = 5.0
"""Seconds before a job is run again whose process has just ended without ending the job."""

Waiting = Callable[[], Awaitable[list[Name]]]


class Starter:
    """Runs jobs: `waiting` tells the names of those that somebody should, `asks` what a process is told.

    `ended` is called when one of them is done.
    """

    def __init__(
        self, most: int, waiting: Waiting, asks: Callable[[Name], RunJob], ended: Callable[[], object]
    ) -> None:
        self._most = most
        self._waiting = waiting
        self._asks = asks
        self._ended = ended
        self._running: dict[Name, asyncio.Task[None]] = {}
        self._begun: dict[Name, float] = {}

    def __repr__(self) -> str:
        return f"<Starter {len(self._running)} of {self._most} jobs>"

    async def look(self) -> None:
        """Start what waits, the oldest first, while there is room."""
        if len(self._running) >= self._most:
            return
        names = await self._waiting()
        self._begun = {name: since for name, since in self._begun.items() if name in names}
        for name in names:
            if len(self._running) >= self._most:
                return
            soon = name in self._begun and monotonic() < self._begun[name] + _TRIES_AGAIN
            if name in self._running or soon:
                continue
            self._begun[name] = monotonic()
            self._running[name] = asyncio.create_task(self._run(name))

    async def _run(self, name: Name) -> None:
        try:
            child = await spawn("job", f"job {name.id}", _nothing)
            child.channel.send(self._asks(name))
            how = await child.ended
            if how not in ("ended", "ended with 0"):
                log.error("the process of batch prediction job %s %s; it goes on in another", name.id, how)
        except OSError as error:  # too many processes or files
            log.error("batch prediction job %s cannot be given a process: %s", name.id, error)
        finally:
            del self._running[name]
            self._ended()


def discards(settings: Settings, data: str, catalog: "Catalog", store: "ArtifactStore") -> Discard:
    """Return what removes the hidden output of a job that is deleted."""

    def discard(job: BatchPredictionJob) -> None:
        from trivet.app import jobs  # and with it all that runs one

        jobs.discard(jobs.Place(settings, Path(data), catalog, store), job)

    return discard


def _nothing(child: Child, message: object) -> None:
    """A job process says nothing: what it does is in the catalog."""
