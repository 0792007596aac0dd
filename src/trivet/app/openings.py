"""How groups of replicas are opened, also beside what is served: a container may have to be built first."""

import asyncio
import socket
from collections.abc import Callable, Collection, Coroutine
from pathlib import Path
from typing import Any

from trivet.app.children import Child, Ended, Hears, spawn
from trivet.app.loaders import Loaders, took_too_long
from trivet.app.replicas import Group
from trivet.core.errors import ResourceExhausted
from trivet.serving.lifecycle import ModelInfo, ModelSpec
from trivet.settings import Settings


class Opener:
    """Opens groups, with sockets in `folder`. `watch` is told of every process at its birth."""

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        loaders: Loaders,
        hears: Hears,
        watch: Callable[[Child], Child],
        replaced: Callable[[Child], None],
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._loaders = loaders
        self._hears = hears
        self._watch = watch
        self._replaced = replaced

    async def once(self, spec: ModelSpec, info: ModelInfo | None = None) -> Group:
        """Start the replicas of a model: forks of the loader if it has the model, else on their own."""

        async def start(name: str, listening: socket.socket) -> Child:
            if info is not None:
                return await self._loaders.fork_replica(name, listening, spec.id)
            child = self._watch(await spawn("replica", name, self._hears, listening))
            child.channel.send(self._loaders.ask([spec]))
            return child

        group, within = Group(spec, info), self._settings.artifacts.load_timeout
        if spec.container is not None:  # it may have to be built before it is started
            within += spec.container.start_timeout
        try:
            async with asyncio.timeout(within):
                await group.open(self._folder, start, self._replaced)
        except BaseException as error:
            for child in group.close():
                child.kill()
            if isinstance(error, TimeoutError):
                raise took_too_long(within) from None
            raise
        return group

    async def opened(self, spec: ModelSpec, info: ModelInfo | None = None) -> Group:
        """Do so, again where a process ended; what the system refuses is a ServingError, too."""
        try:
            try:
                return await self.once(spec, info)
            except Ended:  # it may not have been the model
                return await self.once(spec, info)
        except OSError as error:  # too many files or processes
            raise ResourceExhausted(f"{spec.ref} cannot be given its processes: {error}") from None


class Openings:
    """The groups that are being opened, at most one for each deployed model, by its id."""

    def __init__(self, opened: Callable[[ModelSpec], Coroutine[Any, Any, Group]]) -> None:
        """`opened` opens a group; where that is cancelled it leaves nothing behind."""
        self._opened = opened
        self._tasks: dict[str, tuple[ModelSpec, asyncio.Task[Group]]] = {}

    def __repr__(self) -> str:
        return f"<Openings {sorted(self._tasks)}>"

    @property
    def ids(self) -> Collection[str]:
        """The deployed models whose groups are still to be taken."""
        return self._tasks.keys()

    def take(self, spec: ModelSpec, again: Callable[[], None]) -> Group | None:
        """Return a group once it is open; until then None, and `again` is called when it is worth asking.

        Raises what kept it from being opened, once; the next call tries anew.
        """
        begun, task = self._tasks.get(spec.id, (None, None))
        if task is None or begun != spec:
            self.drop(spec.id)
            task = asyncio.create_task(self._opened(spec))
            task.add_done_callback(lambda done: None if done.cancelled() else again())
            self._tasks[spec.id] = spec, task
        if not task.done():
            return None
        del self._tasks[spec.id]
        return task.result()

    async def done(self, within: float) -> None:
        """Wait until all can be taken, or have failed, or for so many seconds."""
        if self._tasks:
            await asyncio.wait([task for _, task in self._tasks.values()], timeout=within)

    def keep(self, ids: Collection[str]) -> None:
        """Drop all others."""
        for id_ in [id_ for id_ in self._tasks if id_ not in ids]:
            self.drop(id_)

    def drop(self, id_: str) -> None:
        """End what is being opened, or is open and was not taken."""
        _, task = self._tasks.pop(id_, (None, None))
        if task is not None and not task.cancel() and not task.cancelled() and task.exception() is None:
            for child in task.result().close():
                child.channel.finish()
