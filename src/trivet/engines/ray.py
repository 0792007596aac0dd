"""The Ray engine: actors of a Ray cluster, each of which loads the model once and does shards.

It uses the cluster that this process is connected to, else the one that RAY_ADDRESS names or that runs on
this machine, else it starts Ray here, for as long as the engine is there. All machines of a cluster must have
Trivet installed, and find the model and all local files under the same paths.

Actors, and not a pipeline of Ray Data: a shard is read, scored and written in one place, so no rows travel,
and an actor that is lost is counted, told of, and costs its shard alone.
"""

import logging
import os
import re
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from threading import Event as Waiting
from threading import Lock
from typing import Any

from trivet.core.batch import Shard
from trivet.core.errors import Cancelled, FailedPrecondition, Internal
from trivet.engines.cores import cores
from trivet.engines.doer import Doer
from trivet.engines.messages import Do, Done, Failed, Further, Message, Planned, Prepare, decode, encode
from trivet.jobs.engine import Event
from trivet.jobs.work import Prepared, Work
from trivet.serving import hop

log = logging.getLogger("trivet")

_TICK = 0.1  # seconds without news after which the caller may look around
_TRIES = 2
_STORE = 100_000_000
"""Bytes of Ray's object store where it is started here: nothing but short messages goes through it."""

_ENDS_WITHIN = 1.0  # seconds that a process on this machine may take to be gone once it is killed
_TELL = "tell"
"""The group of an actor's methods that are answered while it works."""


class Actor:
    """What runs on the cluster. Speaks JSON, so that nothing of a model's is ever unpickled here."""

    def __init__(self) -> None:
        self._doer = Doer(self._told)
        self._further = b""

    def ready(self) -> tuple[int, str]:
        """Return the ids of this process and of the machine's boot, by which it can be told from others."""
        return os.getpid(), _machine()

    def answer(self, asked: bytes) -> bytes:
        """Do what is asked, and say how it went."""
        message = decode(asked)
        assert isinstance(message, Prepare | Do)
        self._further = b""
        return encode(self._doer.answer(message))

    def reading(self) -> bytes:
        """Return how far it is; nothing where that has been told."""
        further, self._further = self._further, b""
        return further

    def _told(self, further: Further) -> None:
        self._further = encode(further)


@dataclass(eq=False, slots=True)
class _Process:
    """An actor, what it was asked last, and the shard that it does. `pid` is 0 until it is there."""

    handle: Any
    asked: Any
    shard: Shard | None = None
    pid: int = 0
    machine: str = ""
    reading: Any = None

    @property
    def index(self) -> int | None:
        """The shard's."""
        return None if self.shard is None else self.shard.index


class RayEngine:
    """Does the shards of one job in at most so many actors, 0 for as many as the cluster has CPUs."""

    def __init__(self, workers: int = 0) -> None:
        self._ray = _import_ray()
        self._most = workers
        self._actor: Any = None
        self._processes: list[_Process] = []
        self._failed = 0  # processes that were lost before they had anything to do
        self._calling = Lock()  # held while Ray is asked anything, since it must not be shut down meanwhile
        self._closing = Lock()
        self._closed = self._connected = False

    def __repr__(self) -> str:
        busy = sum(process.shard is not None for process in self._processes)
        return f"<RayEngine {busy} of {len(self._processes)} busy>"

    @property
    def processes(self) -> int:
        """How many processes there are."""
        return sum(process.pid > 0 for process in self._processes)

    def prepare(self, work: Work) -> tuple[Prepared, Sequence[Shard]]:
        """Load the model in the first actor, and plan there. See `jobs.engine`."""
        for _ in range(_TRIES):
            with self._calling:
                process = self._processes[0] if self._processes else self._start()
            heard = None
            while heard is None:
                if process.asked is None:  # it is there, and has nothing to do
                    with self._calling:
                        process.asked = process.handle.answer.remote(encode(Prepare(work)))
                heard = self._listen()
            match heard:
                case _, Planned(prepared=prepared, shards=shards):
                    return prepared, shards
                case _, Failed(failure=failure):
                    raise hop.error_of(failure)
                case _, str(how):
                    log.warning("%s: the process that was to plan it %s", work.job, how)
        raise Internal(f"the process that loads the model and plans the job {how}, {_TRIES} times")

    def run(self, work: Work, shards: Sequence[Shard]) -> Iterator[Event | None]:
        """Have shards done, each actor one at a time. See `jobs.engine`."""
        waiting = deque(shards)
        lost: Counter[int] = Counter()
        while True:
            self._give(work, waiting)
            if not waiting and not any(process.shard for process in self._processes):
                return
            heard = self._listen()
            if heard is None:
                yield None
                continue
            process, message = heard
            match message:
                case Further(reading=reading):
                    yield reading
                case Done(result=result):
                    process.shard = None
                    self._give(work, waiting)  # before the caller keeps the result, which takes a while
                    yield result
                case Failed(failure=failure):
                    raise hop.error_of(failure)
                case str(how) if process.shard is not None:
                    lost[process.shard.index] += 1
                    waiting.appendleft(_again(process.shard, how, lost))
                case str(how):
                    self._failed += 1
                    if self._failed >= _TRIES:
                        raise Internal(f"a process of the cluster {how}, {_TRIES} times")

    def close(self) -> None:
        """End every actor at once, and Ray where it was started for this."""
        with self._closing:
            first, self._closed = not self._closed, True
            if first and self._ray.is_initialized():
                self._kill()
        if first:
            with self._calling:
                if self._connected:
                    self._ray.shutdown()
                    self._connected = False

    def _kill(self) -> None:
        processes = list(self._processes)
        for process in processes:
            with suppress(Exception):  # it may be gone, as may the cluster
                self._ray.kill(process.handle)
        here = _machine()
        for process in processes:
            if process.machine == here:
                _await_end(process.pid)

    def _connect(self) -> None:
        """Be connected to a cluster, whichever there is."""
        if not self._ray.is_initialized():
            _join(self._ray, self._most or cores())
            self._connected = True
        if not self._most:
            self._most = max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        self._actor = self._ray.remote(num_cpus=1, max_restarts=0, concurrency_groups={_TELL: 1})(Actor)

    def _start(self) -> _Process:
        if self._closed:
            raise Cancelled("the engine is closed")
        if self._actor is None:
            self._connect()
        handle = self._actor.remote()
        process = _Process(handle, handle.ready.remote())
        self._processes.append(process)
        if self._closed:  # by another thread, which may not have seen this one
            self._ray.kill(handle)
        return process

    def _give(self, work: Work, waiting: deque[Shard]) -> None:
        """Give shards to actors that have none, and have as many as there are shards for.

        One that has not said that it is there gets none: a cluster may be too busy for it to ever be.
        """
        with self._calling:
            idle = [process for process in self._processes if process.shard is None]
            while waiting and len(idle) < len(waiting) and not self._is_full():
                idle.append(self._start())
            for process in idle:
                if waiting and process.asked is None and not self._closed:
                    process.shard = waiting.popleft()
                    process.asked = process.handle.answer.remote(encode(Do(work, process.shard)))

    def _is_full(self) -> bool:
        return self._most > 0 and len(self._processes) >= self._most

    def _listen(self) -> tuple[_Process, Message | str] | None:
        """Wait a little for what an actor says, or how it ended. Raises Cancelled when closed."""
        if self._closed:
            raise Cancelled("the engine is closed")
        with self._calling:
            if self._closed:
                raise Cancelled("the engine is closed")
            by_reference = {process.asked: process for process in self._processes if process.asked}
            by_reference |= {process.reading: process for process in self._processes if process.reading}
            ready, _ = self._ray.wait(list(by_reference), timeout=_TICK)
            if not ready:
                self._ask_how_far()
                return None
            return self._heard(by_reference[ready[0]], ready[0])

    def _ask_how_far(self) -> None:
        for process in self._processes:
            if process.shard is not None and process.reading is None:
                process.reading = process.handle.reading.options(concurrency_group=_TELL).remote()

    def _heard(self, process: _Process, reference: Any) -> tuple[_Process, Message | str] | None:
        try:
            said = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            self._processes.remove(process)
            with suppress(Exception):  # what is left of it
                self._ray.kill(process.handle)
            return process, _how(error)
        if reference is process.reading:
            process.reading = None
            further = decode(said) if said else None
            # it may be of the shard before
            current = isinstance(further, Further) and further.reading.index == process.index
            return (process, further) if current and further is not None else None
        process.asked = None
        if isinstance(said, bytes):
            return process, decode(said)
        process.pid, process.machine = said
        self._failed = 0
        return None


ENGINE = RayEngine


def _import_ray() -> Any:
    try:
        return import_module("ray")
    except ModuleNotFoundError:
        raise FailedPrecondition(
            "the engine ray needs the library ray, which is not installed: pip install 'trivet[ray]'"
        ) from None


def _join(ray: Any, here: int) -> None:
    """Connect to the cluster that there is, or start one with so many CPUs here.

    Ray then says nothing on the standard output, which is the command's: what went wrong is told by us.
    """
    # Ray takes this from nowhere else; a machine that sends nothing home is what people expect of Trivet
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # noqa: TID251
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        try:
            ray.init(num_cpus=here, object_store_memory=_STORE, include_dashboard=False, **quiet)
        except ValueError:  # there is a cluster, and it has its own
            ray.init(**quiet)
    except (ConnectionError, RuntimeError, OSError, ValueError) as error:
        raise FailedPrecondition(f"no Ray cluster can be reached or started: {error}") from None
    with suppress(AttributeError):  # `log_to_driver` leaves out what Ray itself says of lost workers
        ray._private.worker._worker_logs_enabled = False


def _machine() -> str:
    """Return what is the same for all processes that have their ids in common."""
    with suppress(OSError):
        return f"{os.uname().nodename} {os.readlink('/proc/self/ns/pid')}"
    return ""


def _await_end(pid: int) -> None:
    """Wait until a killed process is gone, since it could still write."""
    waiting = Waiting()
    for _ in range(int(_ENDS_WITHIN / 0.01)):
        try:
            os.kill(pid, 0)
        except OSError:
            return
        waiting.wait(0.01)


def _how(error: Exception) -> str:
    """Say how an actor ended, in Ray's words, which are many."""
    told = str(error)
    if found := re.search(r"Worker exit type: (\w+) Worker exit detail: ([^.\n]*)", told):
        return f"was lost ({found[1]}: {found[2]}; was there too little memory?)"
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    return f"was lost ({type(error).__name__}: {lines[-1][:300] if lines else ''})"


def _again(shard: Shard, how: str, lost: Counter[int]) -> Shard:
    """Return a shard whose actor is lost, for another try; raises Internal where that was one too many."""
    where = f"{shard.uri}, from record {shard.first} on"
    if lost[shard.index] >= _TRIES:
        raise Internal(f"{where}: the process that did this part {how}, {_TRIES} times")
    log.warning("%s: the process that did this part %s; another does it again", where, how)
    return shard
