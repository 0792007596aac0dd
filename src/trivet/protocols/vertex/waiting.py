"""Waits for what the catalog says, and keeps the threads in which that is asked few."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

AT_ONCE = 16
"""Calls that are in threads at once; each has a thread and a connection of the catalog."""

_PAUSES = (0.01, 1.0)
"""Seconds between two looks, the first and the longest: what other machines do, nobody tells."""


class InThread(Protocol):
    """Runs what may block, and is awaited for what it returns or raises."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]:
        """Run it in a thread."""
        ...


class InFewThreads:
    """Does the same, for so many at once; others wait for their turn."""

    def __init__(self, in_thread: InThread, at_once: int = AT_ONCE) -> None:
        self._in_thread = in_thread
        self._free = asyncio.Semaphore(at_once)

    async def __call__(self, work: Callable[[], T], /) -> T:
        """Run it in a thread, which is in use until the work has ended, though its caller may have gone."""
        await self._free.acquire()
        try:
            running = asyncio.ensure_future(self._in_thread(work))
        except BaseException:
            self._free.release()
            raise
        running.add_done_callback(lambda _: self._free.release())
        return await asyncio.shield(running)


@dataclass(slots=True)
class _Watch:
    """Looks until there is something to see, and how many wait for that."""

    task: "asyncio.Task[Any]"
    waiting: int = 0


class Watches:
    """Looks again whenever something has changed; those who wait for the same share each look.

    `changed` returns when something in the catalog may have changed, or after so many seconds.
    """

    def __init__(self, in_thread: InThread, changed: Callable[[float], Awaitable[None]]) -> None:
        self._in_thread = in_thread
        self._changed = changed
        self._watches: dict[Hashable, _Watch] = {}

    async def until(
        self,
        what: Hashable,
        look: Callable[[], T | None],
        seconds: float,
        longest: float | None = None,
    ) -> T | None:
        """Return what a look finds, as soon as that is not None, or None after these seconds.

        `look` must do the same for all who wait for `what`; there are at most `longest` seconds between two
        looks, where that is given. Raises what it raises.
        """
        watch = self._watches.get(what)
        if watch is None:
            watch = self._watches[what] = _Watch(asyncio.create_task(self._watch(look, longest)))
        watch.waiting += 1
        task: asyncio.Task[T] = watch.task
        try:
            await asyncio.wait([task], timeout=seconds)
            return task.result() if task.done() else None
        finally:
            watch.waiting -= 1
            if task.done() or not watch.waiting:
                task.cancel()
                if self._watches.get(what) is watch:
                    del self._watches[what]

    async def _watch(self, look: Callable[[], T | None], longest: float | None) -> T:
        longest = _PAUSES[1] if longest is None else longest
        pause = min(_PAUSES[0], longest)
        while True:
            # begun before the look, which could otherwise miss a change that comes right after it
            change = asyncio.ensure_future(self._changed(pause))
            pause = min(2 * pause, longest)
            try:
                if (found := await self._in_thread(look)) is not None:
                    return found
                await change
            finally:
                change.cancel()
