"""The loader of a generation, and those that take its place: what is loaded, and what is forked from it."""

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from trivet.app.children import Child, Ended, Hears, Loader
from trivet.app.messages import Load, Preload
from trivet.app.models import permissions_of
from trivet.app.seats import Seat
from trivet.core.errors import FailedPrecondition, ServingError
from trivet.serving.lifecycle import ModelInfo, ModelSpec
from trivet.settings import Settings

log = logging.getLogger("trivet")


class Loaders:
    """Keeps one loader running, with the models that `specs` names, by their ids in `infos`.

    `watch` is told of every process at its birth, `replaced` when a loader that ended has been replaced.
    """

    def __init__(
        self,
        settings: Settings,
        hears: Hears,
        specs: Callable[[], Sequence[ModelSpec]],
        watch: Callable[[Child], Child],
        replaced: Callable[[Child], None],
    ) -> None:
        self.infos: dict[str, ModelInfo] = {}
        self._settings = settings
        self._hears = hears
        self._specs = specs
        self._watch = watch
        self._replaced = replaced
        self._loader: Loader | None = None
        self._seat: Seat | None = None

    def __repr__(self) -> str:
        return f"<Loaders {len(self.infos)} models, {self._seat!r}>"

    async def begin(self) -> None:
        """Start a loader that loads nothing yet, but from which fronts can be forked."""
        self._loader = await Loader.start(self._hears)
        self._watch(self._loader.child)

    async def open(self) -> None:
        """Load the models for the first time; raises what keeps one from being loaded."""
        self._seat = Seat("loader", self._start, self._replaced)
        await self._seat.open()

    async def succeed(
        self, specs: Sequence[ModelSpec], dropped: Sequence[str], failures: dict[str, ServingError]
    ) -> Seat:
        """Have a fork of the loader load more, and be the loader from now on; returns the old one's seat.

        A model that ends the process that loads it, or takes too long, harms nobody else.
        """
        wanted, tried = list(specs), set[str]()
        while True:
            fork = await (await self._present()).fork_loader(self._hears)
            self._watch(fork.child)
            try:
                infos = await self._load(fork, wanted, dropped)
                break
            except ServingError as error:
                fork.child.kill()
                culprit = fork.child.loading
                if culprit is None:
                    raise
                if isinstance(error, Ended) and culprit.id not in tried:  # it may not have been the model
                    tried.add(culprit.id)
                    continue
                failures[culprit.id] = error
                wanted = [spec for spec in wanted if spec.id != culprit.id]
            except BaseException:
                fork.child.kill()
                raise
        failures |= fork.child.failures
        old, self._loader = self._seat, fork
        assert old is not None
        old.close()
        for id_ in dropped:
            self.infos.pop(id_, None)
        self.infos |= {info.spec.id: info for info in infos}
        self._seat = Seat("loader", self._start, self._replaced)
        await self._seat.take(fork.child)
        return old

    async def fork_front(self, name: str, listening: socket.socket, heir: socket.socket) -> Child:
        """Fork a front, once there is a loader."""
        return self._watch(await (await self._present()).fork_front(name, self._hears, listening, heir))

    async def fork_replica(self, name: str, listening: socket.socket, model: str) -> Child:
        """Fork a replica of a model, once there is a loader."""
        return self._watch(await (await self._present()).fork_replica(name, self._hears, listening, model))

    def preload(self, frameworks: Sequence[str]) -> None:
        """Have libraries imported before a model needs them. A loader that this ends is not told again."""
        if self._loader is not None:
            self._loader.child.channel.send(Preload(list(frameworks)))

    def ask(self, specs: Sequence[ModelSpec], drop: Sequence[str] = ()) -> Load:
        """Return what tells a process to load."""
        settings = self._settings
        grace = settings.server.drain_timeout
        return Load(list(specs), permissions_of(settings), settings.log, grace, list(drop))

    def close(self) -> None:
        """Start none again."""
        if self._seat is not None:
            self._seat.close()

    async def _present(self) -> Loader:
        if self._seat is not None:
            await self._seat.occupant()
        assert self._loader is not None
        return self._loader

    async def _load(
        self, loader: Loader, specs: Sequence[ModelSpec], drop: Sequence[str] = ()
    ) -> list[ModelInfo]:
        within = self._settings.artifacts.load_timeout
        try:
            async with asyncio.timeout(within):
                return await loader.load(self.ask(specs, drop))
        except TimeoutError:
            raise took_too_long(within) from None

    async def _start(self) -> Child:
        """Start the loader, again where it has ended: with all that it had, where it ran."""
        if self._loader is None or self._loader.child.ended.done() or self._loader.child.up.done():
            await self.begin()
        loader = self._loader
        assert loader is not None
        try:
            infos = await self._load(loader, self._specs())
            for failure in loader.child.failures.values():
                if not self.infos:  # for the first time
                    raise failure
                log.error("%s is served no more: %s", ", ".join(failure.__notes__), failure)
        except BaseException:
            loader.child.kill()
            raise
        self.infos = {info.spec.id: _where_it_was(info, self.infos) for info in infos}
        return loader.child


def took_too_long(within: float) -> FailedPrecondition:
    """Say that a model was not loaded in time."""
    return FailedPrecondition(f"it was not loaded within {within:g} s (artifacts.load_timeout)")


def _where_it_was(info: ModelInfo, before: Mapping[str, ModelInfo]) -> ModelInfo:
    """Keep what was decided: another measurement must not leave a model without a place."""
    known = before.get(info.spec.id)
    return info if known is None else replace(info, placement=known.placement)
