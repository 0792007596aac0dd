"""Seats: places that always have a process."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from trivet.app.children import Child
from trivet.core.errors import ServingError
from trivet.serving.backoff import STABLE_SECONDS, pause

log = logging.getLogger("trivet")


async def _untold(error: Exception) -> None:
    """Tell nobody but the log."""


class Seat:
    """A place that always has a process: when it ends, another takes its place."""

    def __init__(
        self,
        name: str,
        start: Callable[[], Awaitable[Child]],
        ended: Callable[[Child], None],
        failed: Callable[[Exception], Awaitable[None]] = _untold,
    ) -> None:
        """`failed` is told why another process could not be started, each time."""
        self.name = name
        self.child: Child | None = None
        self.closing = False
        self._start = start
        self._ended = ended
        self._failed = failed
        self._keeps: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Seat {self.name}: {self.child!r}>"

    async def open(self) -> None:
        """Start the first process and wait until it serves; raises what keeps it from that."""
        self.child = await self._start()
        await self.child.wait_until(self.child.up)
        if not self.closing:
            self._keeps = asyncio.create_task(self._keep(self.child))

    async def take(self, child: Child) -> None:
        """Have a process that was started elsewhere; raises what keeps it from serving."""
        self.child = child
        await child.wait_until(child.up)
        self._keeps = asyncio.create_task(self._keep(child))

    async def occupant(self) -> Child:
        """Wait for a process that serves."""
        while True:
            if self.child is not None and not self.child.ended.done():
                with contextlib.suppress(ServingError):
                    await self.child.wait_until(self.child.up)
                    return self.child
            await asyncio.sleep(0.01)

    def close(self) -> None:
        """Let the process that is there be the last one."""
        self.closing = True
        if self._keeps is not None:
            self._keeps.cancel()

    async def _keep(self, child: Child) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            since = loop.time()
            how = await asyncio.shield(child.ended)  # whoever stops watching ends nothing
            self._ended(child)
            failures = 1 if loop.time() - since >= STABLE_SECONDS else failures + 1
            log.warning("%s (process %d) %s; another takes its place", self.name, child.pid, how)
            child, failures = await self._start_again(failures)

    async def _start_again(self, failures: int) -> tuple[Child, int]:
        while True:
            await asyncio.sleep(pause(failures))
            try:
                self.child = await self._start()
                await self.child.wait_until(self.child.up)
            except Exception as error:  # noqa: BLE001 - a seat is given up for nothing
                failures += 1
                if self.child is not None:
                    self.child.kill()
                log.error("%s cannot be started: %s; next try in %g s", self.name, error, pause(failures))
                await self._failed(error)
            else:
                return self.child, failures
