"""The gateway: TLS and gRPC in front of the plain HTTP port, and the proxy that leads there.

One TLS port serves REST and gRPC, told apart by what the client offers in its handshake (ALPN).
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from trivet.core.errors import ServingError
from trivet.gateway.authority import Authority, prepare
from trivet.gateway.connections import Connections
from trivet.gateway.contexts import Contexts
from trivet.gateway.entrance import Entrance
from trivet.gateway.proxy import Proxy
from trivet.gateway.rpc import Rpc
from trivet.protocols.vertex import grpc

log = logging.getLogger("trivet")

_RENEWS_EVERY = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Options:
    """What a gateway may do, and how much of it."""

    tunnel: bool = True
    """Let the proxy reach hosts that are not Google's. A proxy that others than this machine can reach
    should not: it would reach for them whatever this machine can."""

    names: tuple[str, ...] = ()
    """Names and addresses of this server, besides localhost, that its certificate must have."""

    project: str = "local"
    """Project of the account that is kept for Google's SDKs: theirs, where they are told none."""

    max_connections: int = 4096
    """Connections to both ports; more are closed at once."""

    max_message_bytes: int = 32 * 1024 * 1024
    """Bytes of a message that a gRPC client sends."""

    max_held_bytes: int = 256 * 1024 * 1024
    """Bytes of such messages that calls under way hold together; one more is refused (RESOURCE_EXHAUSTED).
    A single message may always be as large as `max_message_bytes`."""

    handshake_timeout: float = 10.0
    """Seconds in which a client must have agreed on TLS."""

    drain_timeout: float = 30.0
    """Seconds that requests have to finish when the gateway stops."""

    scratch: Path | None = None
    """A folder with a short path that only this user can enter, for a socket; else one is made."""


async def serve(
    tls: socket.socket | None,
    proxy: socket.socket | None,
    upstream: tuple[str, int],
    folder: Path,
    stop: asyncio.Event,
    *,
    tunnel: bool = True,
) -> None:
    """Be a gateway on these sockets until told to stop; they are closed in the end.

    `upstream` is the plain HTTP port, `folder` the data folder, where certificates are kept. Raises
    FailedPrecondition where there can be no certificate.
    """
    await Gateway(upstream, folder, Options(tunnel=tunnel)).run(tls, proxy, stop)


class Gateway:
    """Stands in front of one server.

    gRPC is served where its libraries are; else the log says what to install.
    """

    def __init__(self, upstream: tuple[str, int], data: Path, options: Options) -> None:
        self._upstream, self._data, self._options = upstream, data, options

    def __repr__(self) -> str:
        return f"<Gateway of {self._upstream[0]}:{self._upstream[1]}>"

    async def run(self, tls: socket.socket | None, proxy: socket.socket | None, stop: asyncio.Event) -> None:
        """Serve until told to stop, then let requests finish; raises FailedPrecondition."""
        options, connections = self._options, Connections(self._options.max_connections)
        async with AsyncExitStack() as stack:
            for listening in filter(None, (tls, proxy)):
                stack.callback(listening.close)
            contexts = Contexts(await asyncio.to_thread(self._prepare), self._protocols())
            stack.push_async_callback(connections.abort)
            stack.callback(connections.stop_listening)
            await stack.enter_async_context(self._renewed(contexts))
            rpc = Rpc(
                self._upstream,
                max_message_bytes=options.max_message_bytes,
                max_held_bytes=options.max_held_bytes,
                scratch=options.scratch,
            )
            stack.push_async_callback(rpc.stop, 0)
            entrance = Entrance(contexts, connections, self._upstream, rpc, options.handshake_timeout)
            if tls is not None:
                connections.listen(tls, entrance.answer)
            if proxy is not None:
                doors = Proxy(connections, entrance.answer, tunnel=options.tunnel)
                connections.listen(proxy, doors.answer)
            await stop.wait()
            connections.stop_listening()
            async with asyncio.TaskGroup() as ending:
                ending.create_task(connections.drain(options.drain_timeout))
                ending.create_task(rpc.stop(options.drain_timeout))

    def _prepare(self) -> Authority:
        host, port = self._upstream
        http = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        return prepare(self._data, http, self._options.names, project=self._options.project)

    def _protocols(self) -> list[str]:
        """Return what is offered, best first: who offers both, as curl and browsers do, is not for gRPC."""
        lacks = grpc.missing()
        if lacks:
            log.warning("gRPC is not served, for want of %s: `pip install 'trivet[google]'`", lacks)
        return ["http/1.1"] if lacks else ["http/1.1", "h2"]

    @asynccontextmanager
    async def _renewed(self, contexts: Contexts) -> AsyncIterator[None]:
        """Look once a day whether the certificate must be renewed."""

        async def renew() -> None:
            while True:
                await asyncio.sleep(_RENEWS_EVERY)
                try:
                    contexts.renew(await asyncio.to_thread(self._prepare))
                except (ServingError, OSError) as error:
                    log.error("the certificate could not be renewed: %s", error)

        renewing = asyncio.create_task(renew())
        try:
            yield
        finally:
            renewing.cancel()
