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
_PAUSES = 1.0  # seconds without a connection more, where there is no room for one

Answer = Callable[[PlainStream], Awaitable[None]]


class Connections:
    """Accepts them, answers each in a task, and knows which may be ended without losing an answer."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._loop = asyncio.get_running_loop()
        self._open: dict[asyncio.Task[None], Pipe | None] = {}
        self._listening: list[socket.socket] = []
        self._told = False

    def __repr__(self) -> str:
        return f"<Connections {len(self._open)} open>"

    def listen(self, listening: socket.socket, answer: Answer) -> None:
        """Accept connections from now on. An OSError that answering raises ends that connection only."""
        listening.setblocking(False)
        listening.listen(_BACKLOG)
        self._listening.append(listening)
        self._loop.add_reader(listening, self._accept, listening, answer)

    async def join(self, client: Stream, server: Stream, *, in_turns: bool) -> None:
        """Pass bytes between the two until both have ended; closes the second, raises OSError."""
        task = asyncio.current_task()
        assert task is not None
        pipe = self._open[task] = Pipe(client, server, in_turns=in_turns)
        try:
            await pipe.run()
        finally:
            await server.close(_CLOSES_WITHIN)

    def stop_listening(self) -> None:
        """Accept no more, and close the ports; connections there are go on."""
        for listening in self._listening:
            self._loop.remove_reader(listening)
            listening.close()
        self._listening.clear()

    async def drain(self, within: float) -> None:
        """End each connection once it is idle, those that have asked nothing yet, and all in the end."""
        await asyncio.sleep(0)  # what was accepted just now must have begun, to be closed
        until = monotonic() + within
        while self._open and monotonic() < until:
            for task, pipe in list(self._open.items()):
                if pipe is None or pipe.is_idle(_IDLE_AFTER):
                    task.cancel()
            await asyncio.wait(self._open, timeout=min(_LOOKS_EVERY, within))
        await self.abort()

    async def abort(self) -> None:
        """End all connections at once."""
        await asyncio.sleep(0)
        left = list(self._open)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _accept(self, listening: socket.socket, answer: Answer) -> None:
        """Accept what waits: without asyncio's server, which loses what comes just when it is closed."""
        for _ in range(_BACKLOG):
            try:
                given, _ = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.error("no connection can be accepted: %s", error)
                self._loop.remove_reader(listening)
                self._loop.call_later(_PAUSES, self._accept_again, listening, answer)
                return
            if len(self._open) >= self._most:
                self._tell_of_limit()
                given.close()
                continue
            task = asyncio.create_task(self._run(given, answer))
            self._open[task] = None
            task.add_done_callback(self._open.pop)

    def _accept_again(self, listening: socket.socket, answer: Answer) -> None:
        if listening in self._listening:
            self._loop.add_reader(listening, self._accept, listening, answer)

    async def _run(self, given: socket.socket, answer: Answer) -> None:
        given.setblocking(False)
        try:
            reader, writer = await asyncio.open_connection(sock=given, limit=CHUNK)
        except OSError:  # it has left already
            given.close()
            return
        client = PlainStream(reader, writer)
        try:
            tune(writer)
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
