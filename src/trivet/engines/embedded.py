"""The embedded engine: processes of this machine, each of which loads the model once and does shards.

It runs in its caller's thread and waits for its processes' sockets. The first process starts with the engine,
or is there already, so that it is ready when the job is to be planned.
"""

import logging
import os
import signal
import socket
import subprocess
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from selectors import EVENT_READ, DefaultSelector
from time import monotonic

from trivet.core.batch import Shard
from trivet.core.errors import Cancelled, Internal
from trivet.engines.cores import cores
from trivet.engines.messages import (
    Do,
    Done,
    Failed,
    Further,
    Load,
    Loaded,
    Message,
    Messages,
    Planned,
    Prepare,
    send,
)
from trivet.engines.process import Process
from trivet.jobs.engine import Event
from trivet.jobs.work import Prepared, Work
from trivet.serving import hop

log = logging.getLogger("trivet")

_TICK = 0.1  # seconds without news after which the caller may look around
_TRIES = 2
_SMALL, _SOON = 100_000, 0.2
"""Bytes or rows, and seconds, of work that are done by one process before another would have started."""

_LARGE = 64 << 20
"""Bytes of a file for which all processes get ready while its plan is made: several times their start."""

_ENDS_WITHIN = 5.0
"""Seconds that a process may take to end after its socket has."""


class Embedded:
    """Does the shards of one job in at most so many processes, 0 for one a core; `first` is one of them."""

    def __init__(self, workers: int = 0, first: Process | None = None) -> None:
        self._most = workers or cores()
        self._selector = DefaultSelector()
        self._workers: list[_Worker] = []
        self._closed = False
        self._hurry = 0.0
        self._start(first)

    def __repr__(self) -> str:
        busy = sum(worker.shard is not None for worker in self._workers)
        return f"<Embedded {busy} of {len(self._workers)} busy>"

    @property
    def processes(self) -> int:
        """How many processes there are."""
        return len(self._workers)

    def prepare(self, work: Work) -> tuple[Prepared, Sequence[Shard]]:
        """Load the model in the first process, and plan there. See `jobs.engine`."""
        for _ in range(_TRIES):
            worker = self._workers[0] if self._workers else self._start()
            worker.tell(Load(work))
            worker.tell(Prepare(work))
            if _are_large(work.inputs.uris):
                self._get_ready(work)
            while not worker.ended:
                if (planned := self._planned(work, worker)) is not None:
                    return planned.prepared, planned.shards
            how = worker.ended
            log.warning("%s: the process that was to plan it %s", work.job, how)
        raise Internal(
            f"the process that loads the model and plans the job {how}, {_TRIES} times{_hint(how)}"
        )

    def _planned(self, work: Work, planning: "_Worker") -> Planned | None:
        """Wait a little for the plan. What takes a while to plan is worth other processes: they get ready."""
        heard = self._listen()
        if not heard and planning.has_loaded:
            self._get_ready(work)
        for worker, message in heard:
            match message:
                case Planned():
                    return message
                case Loaded():
                    worker.has_loaded = True
                case Failed(failure=failure) if worker is planning:
                    raise hop.error_of(failure)
        return None

    def _get_ready(self, work: Work) -> None:
        """Start all other processes, before there is something to do for them."""
        while len(self._workers) < self._most:
            self._start().tell(Load(work))

    def run(self, work: Work, shards: Sequence[Shard]) -> Iterator[Event | None]:
        """Have shards done, each process one at a time. See `jobs.engine`."""
        waiting = deque(shards)
        lost: Counter[int] = Counter()
        self._hurry = monotonic() + (_SOON if sum(shard.size for shard in shards) < _SMALL else 0)
        while True:
            self._give(work, waiting)
            if not any(worker.shard for worker in self._workers):
                return
            heard = self._listen()
            if not heard:
                yield None
            for worker, message in heard:
                match message:
                    case Further(reading=reading):
                        yield reading
                    case Done(result=result):
                        worker.shard = None
                        self._give(work, waiting)  # before the caller keeps the result, which takes a while
                        yield result
                    case Failed(failure=failure):
                        raise hop.error_of(failure)
                    case None if worker.shard is not None:
                        lost[worker.shard.index] += 1
                        waiting.appendleft(_again(worker.shard, worker.ended, lost))

    def close(self) -> None:
        """End every process at once."""
        self._closed = True
        for worker in list(self._workers):
            worker.kill()
            worker.socket.close()
        self._selector.close()

    def _start(self, process: Process | None = None) -> "_Worker":
        if self._closed:
            raise Cancelled("the engine is closed")
        worker = _Worker(process or Process())
        self._workers.append(worker)
        self._selector.register(worker.socket, EVENT_READ, worker)
        if self._closed:  # by another thread, which may not have seen this one
            worker.kill()
        return worker

    def _give(self, work: Work, waiting: deque[Shard]) -> None:
        """Give shards to processes that have none, and start others while there are more shards."""
        while waiting:
            worker = next((one for one in self._workers if one.shard is None), None)
            if worker is None:
                enough = self._workers and monotonic() < self._hurry
                if enough or len(self._workers) >= self._most:
                    return
                worker = self._start()
            worker.shard = waiting.popleft()
            worker.tell(Do(work, worker.shard))

    def _listen(self) -> list[tuple["_Worker", Message | None]]:
        """Wait a little for what processes say; None for the end of one. Raises Cancelled when closed."""
        heard: list[tuple[_Worker, Message | None]] = []
        ready = [key.data for key, _ in self._selector.select(_TICK)]
        if self._closed:
            raise Cancelled("the engine is closed")
        if not ready:  # the socket of one that ended may be held open by what it has started
            ready = [worker for worker in self._workers if worker.process.poll() is not None]
        for worker in ready:
            heard += [(worker, message) for message in worker.read()]
            if worker.ended:
                self._selector.unregister(worker.socket)
                self._workers.remove(worker)
                worker.socket.close()
                heard.append((worker, None))
        return heard


ENGINE = Embedded


class _Worker:
    """A process, and the shard that it does. `ended` says how it ended, once it has."""

    def __init__(self, started: Process) -> None:
        self.socket, self.process = started.socket, started.popen
        self.kill = started.kill
        self.shard: Shard | None = None
        self.has_loaded = False
        self.ended = ""
        self._messages = Messages()

    def __repr__(self) -> str:
        return f"<_Worker {self.process.pid}, {self.ended or self.shard}>"

    def tell(self, message: Message) -> None:
        """Tell it; one that has just ended hears nothing, which is noticed next."""
        with suppress(OSError):
            send(self.socket, message)

    def read(self) -> list[Message]:
        """Return what it has said, and notice where it has ended."""
        try:
            data = self.socket.recv(1 << 18, socket.MSG_DONTWAIT)
        except BlockingIOError:
            if self.process.poll() is None:
                return []
            data = b""
        except OSError:
            data = b""
        if not data:
            self.ended = self._await_end()
        return list(self._messages.feed(data))

    def _await_end(self) -> str:
        try:
            status = self.process.wait(_ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            self.kill()
            return "fell silent"
        return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"


def _are_large(uris: Sequence[str]) -> bool:
    """Whether a local file is so large that every process is needed; of other inputs nobody knows yet."""
    return any(os.path.isfile(uri) and os.path.getsize(uri) > _LARGE for uri in uris)


def _again(shard: Shard, how: str, lost: Counter[int]) -> Shard:
    """Return a shard whose process is lost, for another try; raises Internal where that was one too many."""
    where = f"{shard.uri}, from record {shard.first} on"
    if lost[shard.index] >= _TRIES:
        raise Internal(f"{where}: the process that did this part {how}, {_TRIES} times{_hint(how)}")
    log.warning("%s: the process that did this part %s; another does it again", where, how)
    return shard


def _hint(how: str) -> str:
    if how.endswith(signal.SIGKILL.name):
        return "; was there too little memory? Fewer workers need less"
    return "; what it said before is in the log"
