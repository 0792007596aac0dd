"""The control process as the supervisor sees it: what it wishes, and what it is told."""

import asyncio
import logging
import socket
from collections.abc import Collection, Mapping
from dataclasses import replace
from importlib.util import find_spec
from itertools import count
from pathlib import Path

from trivet.app.children import Child, Ended, Hears, spawn
from trivet.app.messages import (
    Applied,
    Manage,
)
from trivet.app.seats import Seat
from trivet.core.errors import ServingError
from trivet.core.resources import STARTING, Failure
from trivet.serving.wish import Address, Wish
from trivet.settings import Settings

log = logging.getLogger("trivet")

_ENDS_WITHIN = 3.0  # seconds
_STARTS = 3
"""How often the process is started before it is said that it cannot be: somebody may have killed it."""


def has_catalog() -> bool:
    """Whether the library of the catalog is installed, which is an extra."""
    return find_spec("sqlalchemy") is not None


class Manager:
    """The process that has the catalog. It listens for the fronts' calls at `path`, a unix socket's.

    `data` is where the catalog is kept; None for one that lasts as long as the server, and begins with what
    is served. Without the library there is none, and `path` is empty.
    `node` names this machine, `tls` is the `host:port` of its gateway.
    """

    def __init__(self, folder: Path, data: Path | None = None, node: str = "here", tls: str = "") -> None:
        self.path = str(folder / "control.sock") if has_catalog() else ""
        self.lasting = data is not None
        self._folder = folder
        self._data = data
        self._node = node
        self._tls = tls
        self._seed: Wish | None = None
        self._numbers = count(1)
        self._listening = socket.socket(socket.AF_UNIX)
        if self.path:
            self._listening.bind(self.path)
            self._listening.listen(256)
        self._seat: Seat | None = None
        self._wish: Wish | None = None
        self._changed = asyncio.Event()
        self._stale = False
        self._opening = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<Manager {self._wish.revision if self._wish else 'without a wish'}>"

    async def open(self, settings: Settings, hears: Hears, seed: Wish | None = None) -> None:
        """Start the process, another one if there is one, and wait until it answers.

        Raises what keeps it from that.
        """
        async with self._opening:
            await self._open(settings, hears, seed)

    async def _open(self, settings: Settings, hears: Hears, seed: Wish | None) -> None:
        data, self._seed = self._data or self._folder / f"catalog-{next(self._numbers)}", seed
        if self._seat is not None:
            self._wish = None
            await self._end(self._seat)

        async def start() -> Child:
            child = await spawn("control", "control", hears, self._listening)
            child.channel.send(Manage(settings, self._node, str(data), self._tls, seed))
            return child

        data.mkdir(parents=True, exist_ok=True)
        seat = self._seat = Seat("control", start, lambda child: None)
        for left in reversed(range(_STARTS)):
            try:
                return await seat.open()
            except Ended as error:
                if seat.closing or not left or (seat.child is not None and seat.child.told_to_end):
                    raise
                log.warning("%s; another takes its place", error)

    def wished(self, child: Child, wish: Wish) -> None:
        """Take note of what the process says."""
        if self._seat is None or child is not self._seat.child:
            return  # the one before
        self._wish = wish if self._seed is None else _as_served(wish, self._seed)
        self._stale = True
        self._changed.set()

    async def wish(self) -> Wish:
        """Return what is wished now, as soon as that is known."""
        while self._wish is None:
            self._changed.clear()
            await self._changed.wait()
        self._stale = False
        return self._wish

    async def next_wish(self) -> Wish:
        """Wait until something is wished that was not returned before."""
        while not self._stale:
            self._changed.clear()
            await self._changed.wait()
        return await self.wish()

    def again(self) -> None:
        """Return the newest wish once more: it could not be applied."""
        self._stale = True
        self._changed.set()

    def applied(self, revision: int, failures: Mapping[str, ServingError], starting: Collection[str]) -> None:
        """Tell the process what is served now, and what will be, once it has been started."""
        told = {id_: Failure(error.code.value, str(error)) for id_, error in failures.items()}
        told |= dict.fromkeys(starting, STARTING)
        if self._seat is not None and self._seat.child is not None:
            self._seat.child.channel.send(Applied(revision, told))

    async def close(self) -> None:
        """Let the process end."""
        self._listening.close()
        if self._seat is not None:
            await self._end(self._seat)

    def kill(self) -> None:
        """End the process at once."""
        if self._seat is not None:
            self._seat.close()
            if self._seat.child is not None:
                self._seat.child.kill()

    async def _end(self, seat: Seat) -> None:
        seat.close()
        if seat.child is not None:
            seat.child.channel.finish()
            await asyncio.wait([seat.child.ended], timeout=_ENDS_WITHIN)
            seat.child.kill()


def _as_served(wish: Wish, seed: Wish) -> Wish:
    """Return a wish in which what was there at first is as the settings say it, to the last detail."""
    specs = {spec.id: spec for spec in seed.models}
    versions = {address.names[0]: address.versions for address in seed.addresses}

    def address(one: Address) -> Address:
        served = {spec.id for spec in wish.models}
        own = {version: id_ for version, id_ in versions.get(one.names[-1], {}).items() if id_ in served}
        later = {version: id_ for version, id_ in one.versions.items() if id_ not in own.values()}
        return replace(one, versions={**later, **own}, anywhere=True)  # as the control plane has it

    models = tuple(specs.get(spec.id, spec) for spec in wish.models)
    return Wish(wish.revision, models, tuple(address(one) for one in wish.addresses))
