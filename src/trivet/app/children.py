"""Processes as the supervisor sees them: started, told things, watched, started again."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any, Self, TypeVar

from trivet.app.channel import Channel
from trivet.app.messages import (
    Exited,
    Failed,
    Forked,
    ForkFront,
    ForkLoader,
    ForkReplica,
    Load,
    Loaded,
    Loading,
    Message,
    Ready,
    Silent,
)
from trivet.core.errors import FailedPrecondition, ServingError
from trivet.serving import hop
from trivet.serving.lifecycle import ModelInfo

log = logging.getLogger("trivet")

_TOLD_WITHIN = 0.1  # seconds
_OBEYS_WITHIN = 20.0
"""Seconds in which a front does what it is told: it hands over within 10, and its models may hold it up."""

LOADER = "loader"

SPAWNED: set[int] = set()
"""Processes that the event loop waits for."""

T = TypeVar("T")
Hears = Callable[["Child", Message], None]


class Ended(FailedPrecondition):
    """A process ended where it should not have: for its own reasons, or somebody's."""


class Child:
    """One process. `up` is done when it serves, `loaded` when it has its models, `ended` when it is gone.

    `loading` is the model that it is loading now, `failures` are those that it could not load: a process that
    serves is not `up` then. `state` is what a front serves. It was `told_to_end` where a signal that asks
    for that ended it, which terminals and systemd send to all. Messages about anything else go to `hears`.
    """

    def __init__(self, name: str, hears: Hears) -> None:
        loop = asyncio.get_running_loop()
        self.name = name
        self.pid = 0
        self.loading: Loading | None = None
        self.failures: dict[str, ServingError] = {}
        self.state = 0
        self.told_to_end = False
        self.up: asyncio.Future[None] = loop.create_future()
        self.silent: asyncio.Future[None] = loop.create_future()
        self.loaded: asyncio.Future[list[ModelInfo]] = loop.create_future()
        self.ended: asyncio.Future[str] = loop.create_future()
        self.channel: Channel
        self._hears = hears
        self._how = "ended"
        self._moved: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        state = "ended" if self.ended.done() else "up" if self.up.done() else "starting"
        return f"<Child {self.name}, {self.pid}, {state}>"

    async def connect(self, own: socket.socket) -> Self:
        """Speak with the process over this socket, whose other end it has."""
        loop = asyncio.get_running_loop()
        # how it ended is about to be told by whose child it is, unless that has ended, too
        silent = partial(loop.call_later, _TOLD_WITHIN, self._over)
        self.channel = await Channel.open(own, self._received, silent)
        return self

    async def wait_until(self, state: "asyncio.Future[None] | asyncio.Future[list[ModelInfo]]") -> None:
        """Wait for `up` or `loaded`; raises what the process failed with, or that it ended."""
        await asyncio.wait([state, self.ended], return_when=asyncio.FIRST_COMPLETED)
        if state.done():
            state.result()
            return
        doing = f" while it loaded {self.loading.model}" if self.loading else " while it started"
        error = Ended(
            f"the process {self.name} {self.ended.result()}{doing}; its own last words are above, if any"
        )
        if self.loading:
            error.add_note(self.loading.model)
        raise error

    async def is_silent(self) -> None:
        """Wait until a front accepts nothing more, or has ended; one that goes on for long is ended."""
        over: list[asyncio.Future[Any]] = [self.silent, self.ended]
        done, _ = await asyncio.wait(over, timeout=_OBEYS_WITHIN, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            log.error("%s (process %d) does not do as it is told, and is ended", self.name, self.pid)
            self.kill()

    async def reach(self, state: int) -> None:
        """Wait until a front serves what it was told with this number, or has ended.

        One that does not do so within a time is ended.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_OBEYS_WITHIN):
                await self._reach(state)
        if self.state < state:
            log.error("%s (process %d) does not do as it is told, and is ended", self.name, self.pid)
            self.kill()

    async def _reach(self, state: int) -> None:
        while self.state < state and not self.ended.done():
            self._moved = asyncio.get_running_loop().create_future()
            over: list[asyncio.Future[Any]] = [self._moved, self.ended]
            await asyncio.wait(over, return_when=asyncio.FIRST_COMPLETED)

    def died(self, status: int) -> None:
        """Know how it ended: the negative number of a signal, or its exit status."""
        self.told_to_end = status in (-signal.SIGTERM, -signal.SIGINT)
        self._how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with {status}"
        self._over()

    def kill(self) -> None:
        """End it at once; one whose number is not known yet ends when nobody speaks with it any more."""
        if self.pid and not self.ended.done():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        self.channel.close()

    def _received(self, message: Message) -> None:
        match message:
            case Ready(state=state):
                self.state = max(state, self.state)
                settle(self.up, None)
                if self._moved is not None:
                    settle(self._moved, None)
            case Silent():
                settle(self.silent, None)
            case Loading():
                self.loading = message
            case Loaded(models=models):
                self.loading = None
                settle(self.loaded, models)
            case Failed(id=id_, model=name, failure=failure):
                error = hop.error_of(failure)
                error.add_note(name)
                self.failures[id_] = error
                self.loading = None
                if self.name != LOADER:
                    for future in (self.loaded, self.up):
                        if not future.done():
                            future.set_exception(error)
                            future.exception()  # somebody may have waited for the other one only
            case _:
                self._hears(self, message)

    def _over(self) -> None:
        settle(self.ended, self._how)


def settle(future: "asyncio.Future[T]", result: T) -> None:
    """Give a future its result, unless it has one."""
    if not future.done():
        future.set_result(result)


async def together(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do several things at once; if one fails, let none of the others go on, and raise why."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def spawn(kind: str, name: str, hears: Hears, *listening: socket.socket) -> Child:
    """Start a process of its own: a loader, or another kind with the sockets on which it listens."""
    own, its = socket.socketpair()
    sockets = (its, *listening)
    child = Child(name, hears)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-P", "-m", "trivet.app.child", kind),
        *(str(one.fileno()) for one in sockets),
        pass_fds=[one.fileno() for one in sockets],
        stdin=asyncio.subprocess.DEVNULL,
    )
    its.close()
    child.pid = process.pid
    SPAWNED.add(process.pid)
    waiting = asyncio.ensure_future(process.wait())
    waiting.add_done_callback(lambda done: None if done.cancelled() else child.died(done.result()))
    waiting.add_done_callback(lambda _: SPAWNED.discard(process.pid))
    return await child.connect(own)


class Loader:
    """The loader process, and what it forks."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self._forked: dict[int, Child] = {}
        self._last = 0

    @classmethod
    async def start(cls, hears: Hears) -> Self:
        """Start one; it has loaded nothing yet."""
        made: list[Self] = []
        child = await spawn(LOADER, LOADER, lambda child, message: made[0].hear(message, hears))
        made.append(cls(child))
        return made[0]

    async def load(self, asked: Load) -> list[ModelInfo]:
        """Have it load models, once; returns those that could be, the others are in its `failures`.

        Raises FailedPrecondition if it ends.
        """
        self.child.channel.send(asked)
        await self.child.wait_until(self.child.loaded)
        settle(self.child.up, None)
        return self.child.loaded.result()

    async def fork_loader(self, hears: Hears) -> "Loader":
        """Have it fork another loader, with the same models, that is to load others."""
        made: list[Loader] = []
        child = Child(LOADER, lambda child, message: made[0].hear(message, hears))
        made.append(Loader(child))
        await self._fork(child, ForkLoader(self._next()))
        return made[0]

    async def fork_front(
        self, name: str, hears: Hears, listening: socket.socket, heir: socket.socket
    ) -> Child:
        """Have it fork a front that listens on a socket, and on another for its predecessor."""
        child = Child(name, hears)
        await self._fork(child, ForkFront(self._next()), listening, heir)
        return child

    async def fork_replica(self, name: str, hears: Hears, listening: socket.socket, model: str) -> Child:
        """Have it fork a replica of a model, by its id, that listens on a socket."""
        child = Child(name, hears)
        await self._fork(child, ForkReplica(self._next(), model), listening)
        return child

    def _next(self) -> int:
        self._last += 1
        return self._last

    async def _fork(
        self, child: Child, asked: ForkFront | ForkReplica | ForkLoader, *sockets: socket.socket
    ) -> None:
        own, its = socket.socketpair()
        await child.connect(own)
        self._forked[asked.id] = child
        self.child.channel.send(asked, [its, *sockets])
        its.close()

    def hear(self, message: Message, hears: Hears) -> None:
        """Take what the loader says of its forks."""
        match message:
            case Forked(id=number, pid=pid):
                self._forked[number].pid = pid
            case Exited(pid=pid, status=status):
                for number, child in list(self._forked.items()):
                    if child.pid == pid:
                        child.died(os.waitstatus_to_exitcode(status))
                        del self._forked[number]
            case _:
                hears(self.child, message)
