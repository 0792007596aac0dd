"""The front's end of the hop: one model's replica processes, asked over their unix sockets.

Everything here runs in one event loop and costs a batch no task and no timer. Starting the processes,
and starting others in place of those that end, is the supervisor's.
"""

import asyncio
import itertools
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from os import PathLike

from trivet.codecs.tensors import UNSENDABLE
from trivet.core.errors import Cancelled, DeadlineExceeded, InvalidArgument, Unavailable
from trivet.core.instances import Instances
from trivet.core.signature import Parameters
from trivet.serving import hop
from trivet.serving.batching import Answer, Unwanted
from trivet.serving.replica import Done, Some, run_apart

log = logging.getLogger("trivet")

SHORTEST_PAUSE, LONGEST_PAUSE = 0.01, 1.0
"""Seconds between attempts to connect."""


@dataclass(slots=True, eq=False)
class _Batch:
    """What is kept of a batch until it is answered.

    `sent` counts the replicas that it was sent to, and `link` leads to the last one; nobody waits any more
    for the `unwanted` parts. Some may have got their answers already.
    """

    id: int
    frame: bytearray
    counts: list[int]
    rows: int
    deadline: float
    done: Done
    sent: int = 0
    link: "_Link | None" = None
    unwanted: set[int] = field(default_factory=set)
    answers: dict[int, Answer] = field(default_factory=dict)

    def answered(self, message: hop.Answered | hop.Separate) -> list[Answer]:
        """Return all answers, as soon as there are all; `Some` where others must still come."""
        answers, had = hop.answers(message, self.counts), self.answers
        if not had and (isinstance(message, hop.Answered) or None not in message.each):
            return answers  # type: ignore[return-value]  # none is None
        new = {place: one for place, one in enumerate(answers) if one is not None and place not in had}
        had |= new
        if len(had) < len(answers):
            self.unwanted.update(new)  # from another replica, should this one end
            return Some(new.values(), list(new))
        return [had[place] for place in range(len(answers))]


class ProcessReplicas:
    """Runs batches on the replica processes that listen at `paths`, the one with the least to do first.

    Must be made in the event loop; connects, and connects again whenever a process has ended, until it
    is closed. A batch whose process ended is sent once more if `idempotent`: if asking the model twice
    does no harm. A replica has `each` batches at once: what it can run and one that waits beside it, since
    all others had better wait in the queue of the front, where they can grow. `lanes` of them it predicts at
    once: all but one, where nothing is said. `name` is the model's, for the log; `clock` gives the seconds
    that deadlines are in.
    """

    blocks = False

    def __init__(
        self,
        paths: Sequence[str | PathLike[str]],
        *,
        name: str,
        idempotent: bool,
        each: int = 2,
        lanes: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.slots = each * len(paths)
        self.lanes = (lanes or max(1, each - 1)) * len(paths)
        self.name = name
        self.closed = False
        self._idempotent = idempotent
        self._each = each
        self._clock = clock
        self._ids = itertools.count()
        self._waiting: deque[_Batch] = deque()
        self._open: set[_Link] = set()
        self._links: list[_Link] = []  # those to replicas that take batches
        self._any = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._stay_connected(path)) for path in paths]

    def __repr__(self) -> str:
        flying = len(self._waiting) + sum(len(link.batches) for link in self._open)
        connected, all_ = len(self._links), len(self._tasks)
        return f"<ProcessReplicas {connected} of {all_} connected, {flying} batches in flight>"

    async def connected(self) -> None:
        """Wait until at least one replica takes batches."""
        await self._any.wait()

    def run(
        self, parts: Sequence[Instances], parameters: Parameters, deadlines: Sequence[float], done: Done
    ) -> Unwanted | None:
        """Send the parts to a replica together, or keep them until one is there."""
        if self.closed:
            done([Unavailable("this model is being removed")] * len(parts))
            return None
        id_ = next(self._ids)
        try:
            frame, counts = hop.write_ask(id_, parts, parameters, deadlines)
        except UNSENDABLE as error:
            if len(parts) > 1:
                return run_apart(self, parts, parameters, deadlines, done)
            done([InvalidArgument(f"instances: cannot be sent to the replica process: {error}")])
            return None
        batch = _Batch(id_, frame, counts, sum(counts), max(deadlines), done)
        self._place(batch)
        return partial(self._unwanted, batch)

    def close(self) -> None:
        """Connect no more; batches that were sent are still answered, and those that wait refused."""
        self.closed = True
        for task in self._tasks:
            task.cancel()
        self._links.clear()
        self._any.clear()
        for link in list(self._open):
            link.leave()
        while self._waiting:
            batch = self._waiting.popleft()
            batch.done([Unavailable("this model is being removed")] * len(batch.counts))

    def opened(self, link: "_Link") -> None:
        """There is a connection; whether it leads to a replica is still to be seen."""
        self._open.add(link)
        if self.closed:
            link.leave()

    def greeted(self, link: "_Link") -> None:
        """A replica takes batches: send it those that waited for one."""
        self._links.append(link)
        self._any.set()
        waiting, self._waiting = self._waiting, deque()
        for batch in waiting:
            self._place(batch)

    def leaving(self, link: "_Link") -> None:
        """A replica takes no more batches."""
        if link in self._links:
            self._links.remove(link)
        if not self._links:
            self._any.clear()

    def lost(self, link: "_Link") -> None:
        """A replica has gone, and with it what it had not answered."""
        self.leaving(link)
        self._open.discard(link)
        batches, link.batches = link.batches, {}
        for batch in batches.values():
            if self._idempotent and batch.sent <= 1 and not self.closed:
                self._place(batch)
            else:
                reason = "the replica process ended before it answered; the request may be tried again"
                batch.done([Unavailable(reason)] * len(batch.counts))

    def _place(self, batch: _Batch) -> None:
        batch.link = None
        if len(batch.unwanted) == len(batch.counts):
            batch.done([Cancelled("nobody waits for the answer any more")] * len(batch.counts))
        elif batch.deadline <= self._clock():
            reason = "there was no replica process to answer in time"
            batch.done([DeadlineExceeded(reason)] * len(batch.counts))
        elif not self._links:
            self._waiting.append(batch)
        else:
            # the number first, so that a replica that hangs is never given more than its share
            link = min(self._links, key=lambda link: (len(link.batches) >= self._each, link.rows))
            link.send(batch)

    def _unwanted(self, batch: _Batch, parts: Sequence[int]) -> None:
        """Have the replica not begin with some parts of a batch, or forget it if it was to be sent."""
        batch.unwanted.update(parts)
        if batch.link is not None:
            batch.link.cancel(batch, parts)
        elif len(batch.unwanted) == len(batch.counts) and batch in self._waiting:
            self._waiting.remove(batch)
            self._place(batch)

    async def _stay_connected(self, path: str | PathLike[str]) -> None:
        pause = SHORTEST_PAUSE
        loop = asyncio.get_running_loop()
        while True:
            try:
                _, link = await loop.create_unix_connection(lambda: _Link(self), str(path))
            except OSError as error:
                log.debug("%s: no replica process at %s: %s", self.name, path, error)
            else:
                if await link.ended:
                    pause = SHORTEST_PAUSE
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


class _Link(asyncio.Protocol):
    """A connection to one replica process. `ended` is whether the replica had ever taken batches."""

    def __init__(self, owner: ProcessReplicas) -> None:
        self.ended: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.batches: dict[int, _Batch] = {}
        self.rows = 0
        self._owner = owner
        self._frames = hop.Frames()
        self._transport: asyncio.Transport | None = None
        self._hello: hop.Hello | None = None
        self._leaving = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the replica's greeting."""
        self._transport = transport
        self._owner.opened(self)

    def data_received(self, data: bytes) -> None:
        """Take whatever answers are complete."""
        try:
            for frame in self._frames.feed(data):
                self._read(hop.read_reply(frame))
        except hop.Malformed as error:
            log.error("%s: a replica process is not understood: %s", self._owner.name, error)
            self._owner.leaving(self)
            self._close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The process has ended, or one side has closed the connection."""
        if self._hello is not None and not self._leaving:
            log.warning("%s: the replica process %d is gone", self._owner.name, self._hello.pid)
        self._owner.lost(self)
        if not self.ended.done():
            self.ended.set_result(self._hello is not None)

    def send(self, batch: _Batch) -> None:
        """Ask the replica."""
        assert self._transport is not None
        batch.sent += 1
        batch.link = self
        self.batches[batch.id] = batch
        self.rows += batch.rows
        self._transport.write(batch.frame)
        if batch.unwanted:
            self.cancel(batch, sorted(batch.unwanted))

    def cancel(self, batch: _Batch, parts: Sequence[int]) -> None:
        """Tell the replica that nobody waits for some parts of a batch."""
        if self._transport is not None and batch.id in self.batches:
            self._transport.write(hop.write(hop.Cancel(batch.id, list(parts))))

    def leave(self) -> None:
        """Send nothing more, and close when all that was sent is answered."""
        self._leaving = True
        if not self.batches:
            self._close()

    def _read(self, message: hop.Reply) -> None:
        if isinstance(message, hop.Answered) or isinstance(message, hop.Separate):  # noqa: SIM101 - no union to make
            self._answer(message)
        elif isinstance(message, hop.Goodbye):
            self._owner.leaving(self)
            self.leave()
        elif message.version != hop.VERSION or self._hello is not None:
            raise hop.Malformed(f"{message}; expected version {hop.VERSION}, once")
        else:
            self._hello = message
            log.debug("%s: the replica process %d takes batches", self._owner.name, message.pid)
            self._owner.greeted(self)

    def _answer(self, message: hop.Answered | hop.Separate) -> None:
        batch = self.batches.get(message.id)
        if batch is None:
            raise hop.Malformed(f"an answer to {message.id}, which was not asked")
        answers = batch.answered(message)
        if type(answers) is Some:
            batch.done(answers)
            return
        del self.batches[message.id]
        self.rows -= batch.rows
        batch.done(answers)
        if self._leaving and not self.batches:
            self._close()

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
