"""The connections of the gateway's ports: so many at most, and all ended together."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from time import monotonic

from trivet.gateway.pipe import Pipe
from trivet.gateway.streams import CHUNK, PlainStream, Stream

log = logging.getLogger("trivet")

_BACKLOG = 512
_CLOSES_WITHIN = 5.0  # seconds for a peer to take what is left
_IDLE_AFTER = 1.0  # seconds after an answer
_LOOKS_EVERY = 0.1


class Connections:
    """Accepts them, answers each in a task, and knows which may be ended without losing an answer."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: dict[asyncio.Task[None], Pipe | None] = {}
        self._servers: list[asyncio.Server] = []
        self._told = False

    def __repr__(self) -> str:
        return f"<Connections {len(self._open)} open>"

    async def listen(
        self, listening: socket.socket, answer: Callable[[PlainStream], Awaitable[None]]
    ) -> None:
        """Accept connections from now on. An OSError that answering raises ends that connection only."""

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            client = PlainStream(reader, tune(writer))
            if len(self._open) >= self._most:
                self._tell_of_limit()
                client.abort()
                return
            task = asyncio.create_task(self._run(client, answer))
            self._open[task] = None
            task.add_done_callback(self._open.pop)

        server = await asyncio.start_server(connected, sock=listening, limit=CHUNK, backlog=_BACKLOG)
        self._servers.append(server)

    async def join(self, client: Stream, server: Stream, *, in_turns: bool) -> None:
        """Pass bytes between the two until both have ended; closes the second, raises OSError.

        `in_turns` says that a client speaks, then its server: after the server's turn the connection is
        idle.
        """
        task, pipe = asyncio.current_task(), Pipe(client, server)
        if in_turns and task in self._open:
            self._open[task] = pipe
        try:
            await pipe.run()
        finally:
            await server.close(_CLOSES_WITHIN)

    def stop_listening(self) -> None:
        """Accept no more; connections there are go on."""
        for server in self._servers:
            server.close()
        self._servers.clear()

    async def drain(self, within: float) -> None:
        """End each connection once it is idle, and all after these seconds."""
        until = monotonic() + within
        while self._open and monotonic() < until:
            for task, pipe in list(self._open.items()):
                if pipe is not None and pipe.is_idle(_IDLE_AFTER):
                    task.cancel()
            await asyncio.wait(self._open, timeout=min(_LOOKS_EVERY, within))
        await self.abort()

    async def abort(self) -> None:
        """End all connections at once."""
        left = list(self._open)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _run(self, client: PlainStream, answer: Callable[[PlainStream], Awaitable[None]]) -> None:
        try:
            await answer(client)
        except OSError as error:
            log.debug("a connection ended: %s", error)
        finally:
            await client.close(_CLOSES_WITHIN)

    def _tell_of_limit(self) -> None:
        if not self._told:
            self._told = True
            log.warning("more than %d connections to the TLS and proxy ports; refusing more", self._most)


def tune(writer: asyncio.StreamWriter) -> asyncio.StreamWriter:
    """Let the system send what is written at once, and find out that a silent peer is gone."""
    given = writer.get_extra_info("socket")
    if given is not None and given.family != socket.AF_UNIX:
        given.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio forgets some
        given.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return writer
