"""Jobs: what is asked for, how far it is, and how it ended. They are known as long as their process lives.

https://cloud.google.com/bigquery/docs/reference/rest/v2/Job
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from threading import Event, Lock
from time import time
from typing import Literal, Protocol, TypeVar

from trivet.core.errors import (
    AlreadyExists,
    Cancelled,
    Internal,
    NotFound,
    ResourceExhausted,
    ServingError,
    model_error,
)
from trivet.protocols.bigquery.errors import job_error
from trivet.protocols.bigquery.results import KeptRows, Rows
from trivet.protocols.bigquery.wire import Json
from trivet.sql.result import Done

log = logging.getLogger("trivet")

Kind = Literal["query", "load", "extract", "copy"]
T = TypeVar("T")

AT_ONCE = 16
WAITING = 1_000
KEPT = 1_000
KEPT_BYTES = 8 << 30
KEPT_FOR = 24 * 3600.0  # seconds, as long as BigQuery keeps results

_INTERRUPTS_EVERY = 0.1
_ENDS_WITHIN = 2.0
_LOOKS_EVERY = 0.02
_STOPPED = "Job execution was cancelled: User requested cancellation"


class InThread(Protocol):
    """Runs what may block, and is awaited for what it returns or raises."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]:
        """Run it in a thread."""
        ...


class Job:
    """One job. `work` is done in a thread; whoever waits for the job awaits `over`."""

    def __init__(self, project: str, id_: str, configuration: Json, kind: Kind, location: str) -> None:
        self.project = project
        self.id = id_
        self.kind = kind
        self.configuration = configuration
        self.location = location
        self.state = "PENDING"
        self.error: Json | None = None
        self.created = _now()
        self.started = self.ended = 0
        self.statistics: Json = {}
        self.done: Done | None = None
        self.rows: Rows | None = None
        self.over = asyncio.Event()
        self.stopped = ""
        """Why it is to end before it is done, if it is."""

        self._interrupt: Callable[[], None] | None = None
        self._lock = Lock()

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.kind} {self.state}>"

    def interruptible(self, interrupt: Callable[[], None]) -> None:
        """Know how what runs now can be ended; raises Cancelled where it is to end."""
        with self._lock:
            self._interrupt = interrupt
        self.check()

    def uninterruptible(self) -> None:
        """Forget that: it has ended."""
        with self._lock:
            self._interrupt = None

    def check(self) -> None:
        """Raise Cancelled where it is to end."""
        if self.stopped:
            raise Cancelled(self.stopped)

    def interrupt(self) -> None:
        """End what runs now."""
        with self._lock, suppress(Exception):  # it may have ended, and be closed
            if self._interrupt is not None:
                self._interrupt()

    def json(self) -> Json:
        """Write it as the API has it."""
        statistics: Json = {"creationTime": str(self.created)}
        if self.started:
            statistics["startTime"] = str(self.started)
        if self.ended:
            statistics |= {"endTime": str(self.ended), "totalSlotMs": "0"}
        if self.kind == "query":
            statistics["totalBytesProcessed"] = "0"
        statistics[self.kind] = self.statistics
        status: Json = {"state": self.state}
        if self.error is not None:
            status |= {"errorResult": self.error, "errors": [self.error]}
        return {
            "kind": "bigquery#job",
            "etag": f"{self.id}-{self.state}",
            "id": f"{self.project}:{self.location}.{self.id}",
            "jobReference": self.reference,
            "configuration": self.configuration,
            "status": status,
            "statistics": statistics,
        }

    @property
    def reference(self) -> Json:
        """What names it."""
        return {"projectId": self.project, "jobId": self.id, "location": self.location}


class Jobs:
    """All jobs of this process: some run, others wait for their turn."""

    def __init__(self, in_thread: InThread) -> None:
        self._in_thread = in_thread
        self._free = asyncio.Semaphore(AT_ONCE)
        self._jobs: dict[tuple[str, str], Job] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __iter__(self) -> Iterator[Job]:
        return reversed(list(self._jobs.values()))

    def get(self, project: str, id_: str) -> Job:
        """Return a job; raises NotFound."""
        job = self._jobs.get((project, id_))
        if job is None:
            raise NotFound(f"Not found: Job {project}:{id_}")
        return job

    def start(self, job: Job, work: Callable[[Job], None], timeout: float | None = None) -> Job:
        """Begin with a job as soon as it is its turn.

        Raises AlreadyExists where there is one of its id, and ResourceExhausted where too many wait.
        """
        if (job.project, job.id) in self._jobs:
            raise AlreadyExists(f"Already Exists: Job {job.project}:{job.location}.{job.id}")
        if sum(not one.over.is_set() for one in self._jobs.values()) >= WAITING:
            raise ResourceExhausted(f"{WAITING} jobs run or wait already")
        self._jobs[job.project, job.id] = job
        self._forget()
        task = asyncio.get_running_loop().create_task(self._run(job, work, timeout))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return job

    def stop(self, job: Job, why: str = _STOPPED) -> None:
        """Have a job end, which may take a moment; one that has ended stays as it is."""
        if not job.over.is_set() and not job.stopped:
            job.stopped = why
            task = asyncio.get_running_loop().create_task(self._interrupt(job))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def delete(self, job: Job) -> None:
        """Forget a job that has ended, with its rows."""
        del self._jobs[job.project, job.id]
        _drop(job)

    def close(self) -> None:
        """Have everything end that runs, and wait for that, for a while; called by a thread."""
        left, until = list(self._jobs.values()), time() + _ENDS_WITHIN
        while (left := [job for job in left if not job.over.is_set()]) and time() < until:
            for job in left:
                job.stopped = job.stopped or "the server ends"
                job.interrupt()
            Event().wait(_LOOKS_EVERY)

    async def _run(self, job: Job, work: Callable[[Job], None], within: float | None) -> None:
        timer = None
        if within is not None:
            why = f"Job timed out after {within:g}s"
            timer = asyncio.get_running_loop().call_later(within, self.stop, job, why)
        try:
            async with self._free:
                job.check()
                job.started, job.state = _now(), "RUNNING"
                await self._in_thread(lambda: work(job))
        except Exception as error:  # noqa: BLE001 - whatever it is, the job says so
            job.error = _told(error, job)
        finally:
            if timer is not None:
                timer.cancel()
            job.ended, job.state = _now(), "DONE"
            job.started = job.started or job.ended
            job.over.set()

    async def _interrupt(self, job: Job) -> None:
        """Interrupt what runs until it has ended: it may be between two statements."""
        while not job.over.is_set():
            await self._in_thread(job.interrupt)
            with suppress(TimeoutError):
                await asyncio.wait_for(job.over.wait(), _INTERRUPTS_EVERY)

    def _forget(self) -> None:
        """Forget the oldest jobs, and the oldest rows, where there are too many."""
        ended = [job for job in self._jobs.values() if job.over.is_set()]
        old = _now() - KEPT_FOR * 1000
        for at, job in enumerate(ended):
            if job.ended < old or len(ended) - at > KEPT:
                self.delete(job)
        size = sum(job.rows.size for job in ended if isinstance(job.rows, KeptRows))
        for job in ended:
            if size <= KEPT_BYTES:
                break
            if isinstance(job.rows, KeptRows):
                size -= job.rows.size
                _drop(job)


def _drop(job: Job) -> None:
    if isinstance(job.rows, KeptRows):
        job.rows.drop()
        job.rows = None


def _told(error: Exception, job: Job) -> Json:
    if job.stopped:
        return job_error(Cancelled(job.stopped), job.kind)
    if not isinstance(error, ServingError) or isinstance(error, Internal):
        log.error("job %s failed", job.id, exc_info=error)
    return job_error(error if isinstance(error, ServingError) else model_error(error), job.kind)


def _now() -> int:
    return int(time() * 1000)


def anonymous(job: Job) -> Json:
    """Return the name of the table that the rows of a query are in, where it names none."""
    return {"projectId": job.project, "datasetId": ANONYMOUS, "tableId": f"anon{job.id.replace('-', '')}"}


ANONYMOUS = "_anonymous"
