"""Two streams joined: what one says, the other hears."""

import asyncio
from contextlib import suppress
from time import monotonic

from trivet.gateway.streams import Stream

LINGERS = 5.0
"""Seconds for which a client may go on sending after its answer has ended, so that it can read that."""


class Pipe:
    """A client joined to what answers it."""

    def __init__(self, client: Stream, server: Stream) -> None:
        self._client, self._server = client, server
        self._answered = False
        self._since = monotonic()

    def __repr__(self) -> str:
        return f"<Pipe {'answered' if self._answered else 'asking'}>"

    def is_idle(self, seconds: float) -> bool:
        """Whether the last bytes were the server's, so long ago that they ended an answer."""
        return self._answered and monotonic() - self._since >= seconds

    async def run(self) -> None:
        """Pass bytes on, as fast as they are taken, until both ways have ended; raises OSError.

        A client that ends its way still gets the answer. When the server ends its own, the client has some
        seconds left, in which nobody listens any more.
        """
        up = asyncio.create_task(self._pass(self._client, self._server, answered=False))
        down = asyncio.create_task(self._pass(self._server, self._client, answered=True))
        try:
            await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
            if up.done():
                up.result()
                await down
            else:
                down.result()
                await self._linger(up)
        finally:
            up.cancel()
            down.cancel()
            await asyncio.gather(up, down, return_exceptions=True)

    async def _linger(self, up: asyncio.Task[None]) -> None:
        """Read what the client still sends: closing on it would take the answer's end away from it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGERS):
                with suppress(OSError):
                    await up
                while await self._client.read():
                    pass

    async def _pass(self, source: Stream, sink: Stream, *, answered: bool) -> None:
        while data := await source.read():
            self._answered, self._since = answered, monotonic()
            await sink.write(data)
        await sink.end()
