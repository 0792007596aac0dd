"""The gateway process: TLS, gRPC and the proxy. What it does is `trivet.gateway`'s; this runs it."""

import asyncio
import logging
import os
import socket
from pathlib import Path

import uvloop

from trivet.app import logs
from trivet.app.channel import Channel
from trivet.app.children import Child, Hears, spawn
from trivet.app.messages import (
    Guard,
    Message,
    Ready,
)
from trivet.app.seats import Seat
from trivet.core.errors import FailedPrecondition, ServingError
from trivet.settings import Settings

log = logging.getLogger("trivet")

_ENDS_WITHIN = 3.0  # seconds


class Gate:
    """The process as the supervisor sees it. `data` is for its certificates, `scratch` for a socket.

    It listens on the ports that the settings name; raises FailedPrecondition where one is taken.
    """

    def __init__(self, settings: Settings, data: Path, scratch: Path) -> None:
        gateway = settings.gateway
        # its callers look to the fronts as if they were on this machine
        everywhere = settings.server.host if settings.catalog.remote else ""
        hosts = {"tls": everywhere or "127.0.0.1", "proxy": "127.0.0.1"}
        self._name = gateway.names[0] if gateway.names else "localhost"
        self._data = data
        self._scratch = scratch
        self._seat: Seat | None = None
        self._sockets: dict[str, socket.socket] = {}
        for name, port in (("tls", gateway.tls_port), ("proxy", gateway.proxy_port)):
            if port >= 0 and (name == "tls" or self._sockets):  # the proxy leads to the TLS port
                self._sockets[name] = _listen(hosts[name], port, f"--{name}-port")

    def __repr__(self) -> str:
        return f"<Gate {self.addresses()}>"

    def addresses(self) -> dict[str, str]:
        """Return where it is: `tls` as host:port for SDKs, `proxy` as a URL."""
        found = {}
        if "tls" in self._sockets:
            found["tls"] = f"{self._name}:{self._sockets['tls'].getsockname()[1]}"
        if "proxy" in self._sockets:
            host, port = self._sockets["proxy"].getsockname()[:2]
            found["proxy"] = f"http://{host}:{port}"
        return found

    async def open(self, settings: Settings, address: tuple[str, int], hears: Hears) -> None:
        """Start the process in front of the server at this address, and wait until it listens."""
        if not self._sockets:
            return

        async def start() -> Child:
            child = await spawn("gateway", "gateway", hears, *self._sockets.values())
            host, port = address
            named = list(self._sockets)
            child.channel.send(Guard(settings, str(self._data), str(self._scratch), host, port, named))
            return child

        self._seat = Seat("gateway", start, lambda child: None)
        await self._seat.open()

    def finish(self) -> None:
        """Have the process accept nothing more, and end when its callers have their answers."""
        for one in self._sockets.values():
            one.close()
        if self._seat is not None:
            self._seat.close()
            if self._seat.child is not None:
                self._seat.child.channel.finish()

    async def close(self) -> None:
        """Let the process end, soon."""
        self.finish()
        if self._seat is not None and (child := self._seat.child) is not None:
            await asyncio.wait([child.ended], timeout=_ENDS_WITHIN)
            child.kill()


def run(control: socket.socket, *sockets: socket.socket) -> None:
    """Be that process, until the supervisor ends the conversation."""
    uvloop.run(_serve(control, sockets))


async def _serve(control: socket.socket, sockets: tuple[socket.socket, ...]) -> None:
    told: asyncio.Queue[Guard | None] = asyncio.Queue()
    stop = asyncio.Event()

    def received(message: Message) -> None:
        if isinstance(message, Guard):
            told.put_nowait(message)

    def alone() -> None:
        told.put_nowait(None)
        stop.set()

    channel = await Channel.open(control, received, alone, last_word=True)
    asked = await told.get()
    if asked is None:
        return
    logs.configure(asked.settings.log)
    from trivet.gateway.server import Gateway, Options

    named = dict(zip(asked.sockets, sockets, strict=True))
    options = Options(
        tunnel=asked.settings.gateway.tunnel,
        names=asked.settings.gateway.names,
        project=asked.settings.catalog.project,
        max_message_bytes=asked.settings.limits.max_body_bytes,
        drain_timeout=asked.settings.server.drain_timeout,
        scratch=Path(asked.scratch),
    )
    channel.send(Ready())  # callers may connect, since the sockets listen already
    try:
        gateway = Gateway((asked.host, asked.port), Path(asked.data), options)
        await gateway.run(named.get("tls"), named.get("proxy"), stop)
    except ServingError as error:  # plain HTTP is served all the same
        log.error("neither TLS nor the proxy is served: %s", error)
        for one in sockets:
            one.close()
        await stop.wait()
    os._exit(0)  # gRPC has threads


def _listen(host: str, port: int, option: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise FailedPrecondition(
            f"cannot listen on {host}:{port}: {error.strerror or error}; choose another with {option}, "
            "0 for any free one, -1 for none"
        ) from None
