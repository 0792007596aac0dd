"""The supervisor: holds the listening sockets, and keeps the processes that serve on them running.

It answers no request and loads no model, so that nothing a model or a caller does can end it.
"""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from weakref import WeakSet

from trivet.app.children import Child, together
from trivet.app.fronts import LINGERS_IDLE
from trivet.app.gateway import Gate
from trivet.app.generation import Generation
from trivet.app.manager import Manager
from trivet.app.messages import Doors, Expected, Gather, Measure, Measured, Message, Retire, Wished
from trivet.app.models import wish_of
from trivet.app.sql_process import Sql
from trivet.app.strays import reap
from trivet.core.errors import ServingError
from trivet.serving.lifecycle import ModelInfo
from trivet.serving.offload import apart
from trivet.serving.wish import Wish
from trivet.settings import Settings
from trivet.telemetry import Metrics, Sample, add_up

log = logging.getLogger("trivet")


@dataclass(frozen=True, slots=True)
class Beside:
    """What a server has besides fronts, models and a catalog: a gateway, and a process for SQL."""

    gate: Gate
    sql: Sql


Announce = Callable[[str, Sequence[ModelInfo]], None]

_MEASURES_WITHIN = 1.0
_TRIES_AGAIN = 1.0  # seconds
_CONTAINERS_WITHIN = 3.0  # seconds, for which a server that starts keeps everybody waiting for containers
_STARTS_AGAIN = 10.0  # seconds, until a deployed container that could not be started has another try


class Supervisor:
    """One run of a server.

    `reread` gives the settings anew; `sockets` are one for each front, and `folder` is for its files. What is
    served is what `manager` wishes; where its catalog does not last, the models of the settings at first.
    Others may be `beside` them.
    """

    def __init__(
        self,
        reread: Callable[[], Settings],
        sockets: Sequence[socket.socket],
        folder: Path,
        announce: Announce,
        manager: Manager,
        beside: Beside | None = None,
    ) -> None:
        self._reread = reread
        self._sockets = sockets
        self._folder = folder
        self._announce = announce
        self._manager = manager
        self._gate = beside.gate if beside else None
        self._sql = beside.sql if beside else None
        self._changing = asyncio.Lock()
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
        self._do(reap())
        starting = asyncio.create_task(self._start(settings))
        try:
            if await self._or_signal(starting) is None:
                self._announce(address, self._serving.models)
                await self._obey(asyncio.create_task(self._follow()))
            else:
                self._kill()
        except BaseException:
            self._kill()
            raise
        finally:
            for generation in list(self._generations):
                await generation.close()
            await self._manager.close()
            if self._gate is not None:
                await self._gate.close()
            if self._sql is not None:
                await self._sql.close()
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
        waiting = generation.wait(self._sockets[0])
        await together(
            [waiting, self._manager.open(settings, self._hear)] if self._manager.lasting else [waiting]
        )
        seed = await self._bring_up(generation, self._manager.again)
        self._serving = generation
        host, port = self._sockets[0].getsockname()[:2]
        if self._sql is not None:
            self._sql.open(settings, self._hear)
        if self._gate is not None:
            await self._gate.open(settings, (host, port), self._hear)
        self._do(self._manage(settings, seed))

    async def _manage(self, settings: Settings, seed: Wish | None) -> None:
        """Start a catalog of what is served already, which is no condition for serving it."""
        if seed is not None and self._manager.path:
            try:
                await self._manager.open(settings, self._hear, seed)
            except ServingError as error:
                log.error("models and endpoints cannot be managed: %s", error)

    def _next(self, settings: Settings) -> Generation:
        folder = self._folder / str(next(self._numbers))
        doors = Doors(self._manager.path, self._sql.path if self._sql else "")
        generation = Generation(settings, folder, self._hear, self._metrics, doors)
        self._generations.append(generation)
        return generation

    async def _bring_up(self, generation: Generation, again: Callable[[], None] | None = None) -> Wish | None:
        """Serve what is wished. Models of settings are returned; what keeps one from being loaded, raised.

        With `again`, containers of a catalog are not waited for long, and it is called when they are there.
        """
        if not self._manager.lasting:
            settings, scratch = generation.settings, self._folder / f"fetched-{next(self._numbers)}"
            wish = await apart(lambda: wish_of(settings, scratch), "fetch")
            await generation.load(wish)
            self._listen()
            await generation.open_fronts(self._sockets)
            return wish
        # what is still to be deployed must not keep the rest from being served
        await generation.load(Wish(0))
        ready = (await self._manager.wish()).of_addresses()
        await generation.apply(ready, again=again)
        await generation.openings.done(_CONTAINERS_WITHIN)
        self._listen()
        await generation.apply(ready, self._sockets, again)
        self._manager.again()
        return None

    def _listen(self) -> None:
        """Let callers connect to all sockets: there are about to be fronts."""
        for listening in self._sockets:
            listening.listen(2048)

    async def _follow(self) -> None:
        """Serve what is wished, whenever that changes."""
        manager = self._manager
        while True:
            await manager.next_wish()
            try:
                async with self._changing:
                    wish = await manager.wish()  # another generation may have come meanwhile, and its catalog
                    failures = await self._serving.apply(wish, again=manager.again)
                    manager.applied(wish.revision, failures, self._serving.openings.ids)
            except Exception as error:
                log.exception("what is wished is not served: %s", error)
                await asyncio.sleep(_TRIES_AGAIN)
                manager.again()
                continue
            names = {spec.id: f"{spec.ref} (deployed model {spec.id})" for spec in wish.models}
            for id_, failure in failures.items():
                log.error("%s cannot be served: %s", names.get(id_, id_), failure)
            deployed = wish.of_addresses().models  # others are deployed no more once their failure is known
            if any(spec.container is not None and spec.id in failures for spec in deployed):
                asyncio.get_running_loop().call_later(_STARTS_AGAIN, manager.again)

    async def _obey(self, following: asyncio.Task[None]) -> None:
        """Do what signals say until one of them says to stop, and has been done."""
        while (number := await self._signals.get()) == signal.SIGHUP:
            if stopped := await self._or_signal(asyncio.create_task(self._reload_alone())):
                number = stopped  # which both generations obey, however far they are
                break
        following.cancel()  # nothing is begun with any more
        await asyncio.wait([following])
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

    async def _reload_alone(self) -> None:
        async with self._changing:
            await self._reload()

    async def _reload(self) -> None:
        """Replace every process by those of a new reading of settings and models.

        The old fronts go when all new ones serve: until then, a failure changes nothing.
        """
        old = self._serving
        new = None
        try:
            new = self._next(self._reread())
            seed = await self._bring_up(new)
        except Exception as error:  # noqa: BLE001 - whatever it is, what serves goes on serving
            about = ", ".join(getattr(error, "__notes__", ()))
            log.error("nothing reloaded: %s%s", f"{about}: " if about else "", error)
            if new is not None:
                self._generations.remove(new)
                new.kill()
                await new.close()
            return
        self._serving = new
        if self._sql is not None:
            self._sql.settings = new.settings
        await old.fronts.give_way(new.fronts, old.settings.server.drain_timeout)
        log.info("reloaded: %s", ", ".join(str(info.spec.ref) for info in new.models))
        self._do(self._manage(new.settings, seed))
        self._do(self._close(old))

    async def _close(self, generation: Generation) -> None:
        await generation.fronts_ended(LINGERS_IDLE + generation.settings.server.drain_timeout + 5)
        await generation.close()
        self._generations.remove(generation)

    async def _drain(self, window: float, within: float) -> None:
        asked = Retire(window, 0, within)
        if self._gate is not None:
            asyncio.get_running_loop().call_later(window, self._gate.finish)
        for generation in self._generations:
            generation.fronts.retire(asked)
        for listening in self._sockets:
            listening.close()  # the fronts have theirs until they accept no more
        for generation in list(self._generations):
            await generation.fronts_ended(window + within + 5)

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _kill(self) -> None:
        self._manager.kill()
        if self._sql is not None:
            self._sql.kill()
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
                self._do(self._gather(child, number))
            case Expected(frameworks=frameworks):
                for generation in self._generations:
                    generation.expect(frameworks)
            case Wished(wish=wish):
                self._manager.wished(child, wish)

    def _bury(self, child: Child) -> None:
        """Keep what a process that ended had counted: a sum must not fall."""
        self._buried.add(child)
        last = [sample for sample in self._told.pop(child) if sample.kind != "gauge"]
        served = {id_ for generation in self._generations for id_ in generation.ids}
        last = [one for one in last if one.labels.get("deployed_model", "") in {"", *served}]
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
