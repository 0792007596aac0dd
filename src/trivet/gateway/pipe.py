"""Two streams joined: what one says, the other hears."""

import asyncio
from time import monotonic

from trivet.gateway.streams import Stream

LINGERS = 5.0
"""Seconds for which a client may go on sending after its answer has ended."""


class Pipe:
    """A client joined to what answers it.

    `in_turns` says that one speaks, then the other, so that after the server's turn the pipe is idle.
    """

    def __init__(self, client: Stream, server: Stream, *, in_turns: bool = True) -> None:
        self._client, self._server, self._in_turns = client, server, in_turns
        self._answered = False
        self._since = monotonic()

    def __repr__(self) -> str:
        return f"<Pipe {'answered' if self._answered else 'asking'}>"

    def is_idle(self, seconds: float) -> bool:
        """Whether the last bytes were the server's, so long ago that they ended an answer."""
        return self._in_turns and self._answered and monotonic() - self._since >= seconds

    async def run(self) -> None:
        """Pass bytes on, as fast as they are taken, until both ways have ended; raises OSError.

        A client that ends its way still gets the answer. When the server ends its own, the client has some
        seconds left: closing on what it still sends would take the answer's end away from it.
        """
        asking, answering = asyncio.create_task(self._ask()), asyncio.create_task(self._answer())
        try:
            await asyncio.wait((asking, answering), return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                asking.result()
            await answering
            await asyncio.wait((asking,), timeout=LINGERS)
        finally:
            asking.cancel()
            answering.cancel()
            await asyncio.gather(asking, answering, return_exceptions=True)

    async def _ask(self) -> None:
        hears = True
        while data := await self._client.read():
            self._answered, self._since = False, monotonic()
            if hears:
                try:
                    await self._server.write(data)
                except OSError:  # it may have answered before, and that is still to be passed on
                    hears = False
        if hears:
            await self._server.end()

    async def _answer(self) -> None:
        while data := await self._server.read():
            self._answered, self._since = True, monotonic()
            await self._client.write(data)
        await self._client.end()
