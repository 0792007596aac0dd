"""The supervisor: holds the listening sockets, and keeps the processes that serve on them running.

It answers no request and loads no model, so that nothing a model or a caller does can end it.
"""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from weakref import WeakSet

from trivet.app.children import Child
from trivet.app.generation import LINGERS_IDLE, Generation
from trivet.app.messages import Gather, Measure, Measured, Message, Retire
from trivet.config import Settings
from trivet.serving.lifecycle import ModelInfo
from trivet.telemetry import Metrics, Sample, add_up

log = logging.getLogger("trivet")

Announce = Callable[[str, Sequence[ModelInfo]], None]

_MEASURES_WITHIN = 1.0


class Supervisor:
    """One run of a server.

    `reread` gives the settings anew; `sockets` are one for each front, and `folder` is for its files.
    """

    def __init__(
        self,
        reread: Callable[[], Settings],
        sockets: Sequence[socket.socket],
        folder: Path,
        announce: Announce,
    ) -> None:
        self._reread = reread
        self._sockets = sockets
        self._folder = folder
        self._announce = announce
        self._metrics = Metrics()
        self._generations: list[Generation] = []
        self._numbers = count(1)
        self._signals: asyncio.Queue[signal.Signals] = asyncio.Queue()
        self._measuring: dict[int, tuple[asyncio.Future[None], set[Child]]] = {}
        self._told: dict[Child, list[Sample]] = {}  # what each process said last
        self._gone: list[Sample] = []  # what those that ended had counted
        self._buried: WeakSet[Child] = WeakSet()
        self._serving: Generation
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, settings: Settings, address: str) -> int:
        """Serve until told to stop; returns the exit status. Raises what keeps the models from loading."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._signals.put_nowait, number)
        starting = asyncio.create_task(self._start(settings))
        try:
            if await self._or_signal(starting) is None:
                self._announce(address, self._serving.models)
                await self._obey()
            else:
                self._kill()
        except BaseException:
            self._kill()
            raise
        finally:
            for generation in list(self._generations):
                await generation.close()
        return 0

    async def _or_signal(self, work: asyncio.Task[None]) -> signal.Signals | None:
        """Wait for work to be done; where a signal said to stop before, end the work and return that."""
        again = False
        while True:
            told = asyncio.create_task(self._signals.get())
            await asyncio.wait([work, told], return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                told.cancel()
                if told.done() and not told.cancelled():
                    self._signals.put_nowait(told.result())
                if again:  # after what has just been read, something was changed
                    self._signals.put_nowait(signal.SIGHUP)
                work.result()
                return None
            if told.result() != signal.SIGHUP:
                work.cancel()
                await asyncio.wait([work])
                return told.result()
            again = True

    async def _start(self, settings: Settings) -> None:
        self._sockets[0].listen(2048)
        generation = self._next(settings)
        await generation.load(self._sockets[0])
        for listening in self._sockets:
            listening.listen(2048)
        await generation.open_fronts(self._sockets)
        self._serving = generation

    def _next(self, settings: Settings) -> Generation:
        folder = self._folder / str(next(self._numbers))
        generation = Generation(settings, folder, self._hear, self._metrics)
        self._generations.append(generation)
        return generation

    async def _obey(self) -> None:
        """Do what signals say until one of them says to stop, and has been done."""
        while (number := await self._signals.get()) == signal.SIGHUP:
            if stopped := await self._or_signal(asyncio.create_task(self._reload())):
                number = stopped  # which both generations obey, however far they are
                break
        server = self._serving.settings.server
        window = server.drain_window if number == signal.SIGTERM else 0.0
        if window:
            log.info("draining: /readyz says no; requests are accepted for %g s more", window)
        going = asyncio.create_task(self._drain(window, server.drain_timeout))
        while True:
            told = asyncio.create_task(self._signals.get())
            await asyncio.wait([going, told], return_when=asyncio.FIRST_COMPLETED)
            if going.done():
                told.cancel()
                return
            if told.result() != signal.SIGHUP:  # a second signal: at once
                going.cancel()
                self._kill()
                return

    async def _reload(self) -> None:
        """Replace every process by those of a new reading of settings and models.

        The old fronts go when all new ones serve: until then, a failure changes nothing.
        """
        old = self._serving
        new = None
        try:
            new = self._next(self._reread())
            await new.load()
            await new.open_fronts(self._sockets)
        except Exception as error:  # noqa: BLE001 - whatever it is, what serves goes on serving
            about = ", ".join(getattr(error, "__notes__", ()))
            log.error("nothing reloaded: %s%s", f"{about}: " if about else "", error)
            if new is not None:
                self._generations.remove(new)
                new.kill()
                await new.close()
            return
        self._serving = new
        for slot in range(len(self._sockets)):
            old.retire_front(slot, Retire(0, LINGERS_IDLE, old.settings.server.drain_timeout))
        log.info("reloaded: %s", ", ".join(str(info.spec.ref) for info in new.models))
        closing = asyncio.create_task(self._close(old))
        self._tasks.add(closing)
        closing.add_done_callback(self._tasks.discard)

    async def _close(self, generation: Generation) -> None:
        await generation.fronts_ended(LINGERS_IDLE + generation.settings.server.drain_timeout + 5)
        await generation.close()
        self._generations.remove(generation)

    async def _drain(self, window: float, within: float) -> None:
        asked = Retire(window, 0, within)
        for generation in self._generations:
            for slot in range(len(self._sockets)):
                generation.retire_front(slot, asked)
        for listening in self._sockets:
            listening.close()  # the fronts have theirs until they accept no more
        for generation in list(self._generations):
            await generation.fronts_ended(window + within + 5)

    def _kill(self) -> None:
        for generation in self._generations:
            generation.kill()

    # What the processes say.

    def _hear(self, child: Child, message: Message) -> None:
        match message:
            case Measured(id=number, samples=samples) if child not in self._buried:
                if child not in self._told:
                    child.ended.add_done_callback(lambda _: self._bury(child))
                self._told[child] = samples
                if number in self._measuring:
                    done, missing = self._measuring[number]
                    missing.discard(child)
                    if not missing and not done.done():
                        done.set_result(None)
            case Gather(id=number):
                gathering = asyncio.create_task(self._gather(child, number))
                self._tasks.add(gathering)
                gathering.add_done_callback(self._tasks.discard)

    def _bury(self, child: Child) -> None:
        """Keep what a process that ended had counted: a sum must not fall."""
        self._buried.add(child)
        last = [sample for sample in self._told.pop(child) if sample.kind != "gauge"]
        self._gone = add_up([*self._gone, *last])

    async def _gather(self, asker: Child, number: int) -> None:
        """Tell a front what all processes have measured."""
        everybody = {
            child
            for generation in self._generations
            for child in generation.children()
            if child.up.done() and child.name != "loader"
        }
        own = next(self._numbers)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._measuring[own] = done, set(everybody)
        for child in everybody:
            child.channel.send(Measure(own))
        with suppress(TimeoutError):  # what a busy process said last must do
            await asyncio.wait_for(done, _MEASURES_WITHIN)
        del self._measuring[own]
        told = [sample for samples in self._told.values() for sample in samples]
        asker.channel.send(Measured(number, add_up([*self._gone, *told, *self._metrics.samples()])))
