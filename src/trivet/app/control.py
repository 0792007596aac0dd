"""The control process: it has the catalog, answers the calls of the control plane, and says what to serve."""

import asyncio
import gc
import logging
import os
import re
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec
import uvloop

from trivet.app import logs, owners
from trivet.app.calls import answer_calls
from trivet.app.channel import Channel
from trivet.app.messages import (
    Applied,
    Expected,
    Failed,
    Manage,
    Message,
    Ready,
    RunJob,
    Wished,
)
from trivet.app.models import containers_of
from trivet.app.starter import Starter, discards
from trivet.catalog import Catalog
from trivet.control.artifacts import ArtifactStore
from trivet.control.plane import ControlPlane, ControlSettings
from trivet.control.seed import seed
from trivet.core.errors import model_error
from trivet.core.resources import Location, Name
from trivet.protocols.base import Call, Reply
from trivet.protocols.vertex.api import Api
from trivet.serving import hop
from trivet.serving.offload import apart
from trivet.settings import Catalog as CatalogSettings

log = logging.getLogger("trivet")

_SHARED, _ALONE = 1.0, 30.0
"""Seconds after which the catalog is looked at, and told that this machine lives, though nothing has changed
here: where other machines have it, too, and where none has."""

_TRIES_AGAIN = 1.0

_PARENT = re.compile(r"/projects/[^/]+/locations/[^/:]+")

T = TypeVar("T")


def run(control: socket.socket, listening: socket.socket) -> None:
    """Answer calls until the supervisor ends the conversation."""
    uvloop.run(_Process().serve(control, listening))


def open_plane(asked: Manage, nudge: Callable[[], None]) -> ControlPlane:
    """Open the catalog and the store; raises FailedPrecondition where one cannot be."""
    settings = asked.settings
    url, root = _kept_at(asked)
    catalog = Catalog(url)
    store = ArtifactStore(root, settings.storage.folders, folders=settings.artifacts.folders or None)
    store.clean()
    about = ControlSettings(
        node=asked.node,
        project=settings.catalog.project,
        location=settings.catalog.location,
        all_dedicated=settings.catalog.all_dedicated,
        dedicated_dns=asked.tls,
        limits=settings.batching,
        containers=containers_of(settings),
        alive_within=10 * (_SHARED if settings.catalog.url else _ALONE),
        alive=owners.alive,
    )
    if asked.seed is not None:
        seed(catalog, store, about, asked.seed)
    plane = ControlPlane(catalog, store, about, nudge, discards(settings, asked.data, catalog, store))
    plane.recover()
    return plane


def _kept_at(asked: Manage) -> tuple[str, str]:
    """Return the URL of the catalog, and the place of the store."""
    lasting = asked.settings.catalog if asked.seed is None else CatalogSettings()
    data = Path(asked.data).absolute()
    return lasting.url or f"sqlite:///{data / 'catalog.db'}", lasting.store or str(data / "artifacts")


class Changes:
    """Tells everybody who waits that something may have changed."""

    def __init__(self) -> None:
        self._next: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def tell(self) -> None:
        """Let those who wait look."""
        self._next.set_result(None)
        self._next = asyncio.get_running_loop().create_future()

    async def wait(self, seconds: float) -> None:
        """Return at the next change, or after so many seconds."""
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._next), seconds)


class _Process:
    """The process, from its first message to its last answer."""

    def __init__(self) -> None:
        self._told: asyncio.Queue[Manage | None] = asyncio.Queue()
        self._over = asyncio.Event()
        self._further = asyncio.Event()
        self._expected: Sequence[str] = ()
        self._applied: Applied | None = None
        self._running: set[str] = set()
        self._tasks: set[asyncio.Future[None]] = set()

    async def serve(self, control: socket.socket, listening: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._changes = Changes()
        self._channel = await Channel.open(control, self._received, self._alone, last_word=True)
        asked = await self._told.get()
        if asked is None:
            return
        logs.configure(asked.settings.log)
        self._every = _SHARED if asked.settings.catalog.url else _ALONE
        try:
            self._plane = await apart(lambda: open_plane(asked, self._nudge), "catalog")
        except Exception as error:  # noqa: BLE001 - the supervisor is told, whatever it is
            self._channel.send(Failed("", "the catalog", hop.failure(model_error(error))))
            self._channel.close()
            return
        home = Location(asked.settings.catalog.project, asked.settings.catalog.location)
        api = Api(self._plane, _in_thread, self._changes.wait, home, asked.tls)
        answer = api.answer
        if asked.seed is not None:  # the caller's project is as good as any
            here = f"/{home}"

            async def answer(call: Call) -> Reply:
                return await api.answer(msgspec.structs.replace(call, path=_PARENT.sub(here, call.path, 1)))

        listening.setblocking(False)
        server = await asyncio.start_unix_server(
            lambda reader, writer: answer_calls(reader, writer, answer), sock=listening
        )
        gc.collect()
        gc.freeze()  # to look at all that was imported takes 25 ms, in which nobody is answered
        self._channel.send(Ready())
        doing = self._wish(), self._operate(), self._live(), self._run_jobs(asked)
        working = [asyncio.create_task(one) for one in doing]
        await self._over.wait()
        for task in working:
            task.cancel()
        server.close()
        os._exit(0)  # whatever threads still do: the catalog bears a sudden end

    def _received(self, message: Message) -> None:
        match message:
            case Manage():
                self._told.put_nowait(message)
            case Applied():
                self._applied = message
                self._further.set()

    def _alone(self) -> None:
        self._told.put_nowait(None)
        self._over.set()

    def _nudge(self) -> None:
        """Look at the catalog: it has changed. May be called by any thread."""
        self._loop.call_soon_threadsafe(self._changes.tell)

    async def _wish(self) -> None:
        """Tell the supervisor what to serve, whenever that changes."""
        sent = -1
        while True:
            changed = asyncio.create_task(self._changes.wait(self._every))
            try:
                if await _in_thread(self._plane.revision) != sent:
                    wish = await _in_thread(self._plane.wish)
                    sent = wish.revision
                    self._channel.send(Wished(wish))
                if (expected := await _in_thread(self._plane.frameworks)) != self._expected:
                    self._expected = expected
                    self._channel.send(Expected(list(expected)))
            except Exception:  # the database may be away for a while
                log.exception("the catalog cannot be read")
            await changed

    async def _live(self) -> None:
        """Tell the catalog how far this machine is, when it has got further and now and then."""
        while True:
            applied = self._applied
            if applied is not None:
                try:
                    await _in_thread(partial(self._plane.applied, applied.revision, applied.failures))
                    self._changes.tell()
                except Exception:
                    log.exception("the catalog cannot be written")
            while self._applied is applied:
                self._further.clear()
                try:
                    await asyncio.wait_for(self._further.wait(), self._every)
                except TimeoutError:
                    break

    async def _operate(self) -> None:
        """Carry out operations that have work to do here, each on a thread of its own."""
        while True:
            changed = asyncio.create_task(self._changes.wait(self._every))
            try:
                for name in await _in_thread(self._plane.pending):
                    if str(name) not in self._running:
                        self._running.add(str(name))
                        task = asyncio.ensure_future(self._operation(name))
                        self._tasks.add(task)
                        task.add_done_callback(self._tasks.discard)
            except Exception:
                log.exception("operations cannot be read")
            await changed

    async def _run_jobs(self, asked: Manage) -> None:
        """Have batch prediction jobs run that nobody runs, each by a process of its own."""
        url, store = _kept_at(asked)
        starter = Starter(
            asked.settings.batch.jobs,
            lambda: _in_thread(self._plane.waiting_batch_jobs),
            lambda name: RunJob(asked.settings, asked.data, url, store, str(name)),
            self._changes.tell,
        )
        while True:
            changed = asyncio.create_task(self._changes.wait(_SHARED))
            try:
                await starter.look()
            except Exception:
                log.exception("batch prediction jobs cannot be read")
            await changed

    async def _operation(self, name: Name) -> None:
        try:
            await apart(lambda: self._plane.run(name), f"operation {name.id}")
        except Exception:
            log.exception("operation %s: tried again in a moment", name.id)
            await asyncio.sleep(_TRIES_AGAIN)
        finally:
            self._running.discard(str(name))


def _in_thread(call: Callable[[], T]) -> "asyncio.Future[T]":
    return apart(call, "catalog")
