"""A connection's bytes both ways, plain or under TLS, where one way may end before the other.

asyncio's own TLS ends both at once, which loses the answer to a client that has said all it had to say.
"""

import asyncio
import ssl
from contextlib import suppress
from typing import Protocol

CHUNK = 64 * 1024


class Stream(Protocol):
    """What can be joined to another. All may raise OSError."""

    async def read(self) -> bytes:
        """Return what has come, at least a byte; none at the end."""
        ...

    async def write(self, data: bytes) -> None:
        """Send, and wait while too much has not been taken yet."""
        ...

    async def end(self) -> None:
        """Say that nothing more will be written."""
        ...

    async def close(self, within: float) -> None:
        """Send what has not been taken yet if that is possible within these seconds, and be gone."""
        ...


class PlainStream:
    """A TCP or unix connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        """Return what has come."""
        return await self.reader.read(CHUNK)

    async def write(self, data: bytes) -> None:
        """Send."""
        self._writer.write(data)
        await self._writer.drain()

    async def end(self) -> None:
        """Half-close."""
        if self._writer.can_write_eof():
            self._writer.write_eof()

    async def discard(self, within: float) -> None:
        """Read on to the end, for some seconds: closing on unread bytes would take the answer away."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                while await self.read():
                    pass

    def abort(self) -> None:
        """Close at once."""
        self._writer.transport.abort()

    async def close(self, within: float) -> None:
        """Close, or abort after a while."""
        self._writer.close()
        try:
            async with asyncio.timeout(within):
                await self._writer.wait_closed()
        except (OSError, TimeoutError):
            pass
        finally:
            self.abort()


class TlsStream:
    """The server's side of TLS over another stream."""

    def __init__(self, context: ssl.SSLContext, below: Stream) -> None:
        self._below = below
        self._coming, self._going = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._coming, self._going, server_side=True)

    async def handshake(self) -> str:
        """Agree with the client; returns the protocol chosen, or nothing. Raises OSError."""
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self._flush()
                if not await self._fill():
                    raise ConnectionResetError("the client left during the handshake") from None
            except ssl.SSLError:
                with suppress(OSError):
                    await self._flush()  # the alert that says why
                raise
        await self._flush()
        return self._tls.selected_alpn_protocol() or ""

    async def read(self) -> bytes:
        """Return what has come and been decrypted."""
        found: list[bytes] = []
        size = 0
        while size < CHUNK:
            try:
                part = self._tls.read(CHUNK)
            except ssl.SSLWantReadError:
                if found:
                    break
                await self._flush()  # a record may ask for an answer
                if await self._fill():
                    continue
                part = b""
            except ssl.SSLZeroReturnError:
                part = b""
            if not part:
                break
            found.append(part)
            size += len(part)
        return b"".join(found)

    async def write(self, data: bytes) -> None:
        """Encrypt and send."""
        left = memoryview(data)
        while left:
            left = left[self._tls.write(left) :]
        await self._flush()

    async def end(self) -> None:
        """Send close_notify, and half-close below."""
        with suppress(ssl.SSLError):  # which says that the client has not done the same yet
            self._tls.unwrap()
        await self._flush()
        await self._below.end()

    async def close(self, within: float) -> None:
        """Close what is below."""
        await self._below.close(within)

    async def _flush(self) -> None:
        if self._going.pending:
            await self._below.write(self._going.read())

    async def _fill(self) -> bool:
        data = await self._below.read()
        self._coming.write(data)
        return data != b""
