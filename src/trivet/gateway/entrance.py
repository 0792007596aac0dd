"""The TLS port: agrees with each client on TLS and a protocol, and joins it to who speaks that."""

import asyncio
import logging
import ssl
from dataclasses import dataclass

from trivet.gateway.connections import Connections, tune
from trivet.gateway.contexts import Contexts
from trivet.gateway.rpc import Rpc
from trivet.gateway.streams import CHUNK, PlainStream, TlsStream

log = logging.getLogger("trivet")

_REACHED_WITHIN = 10.0  # seconds
_LINGERS = 1.0  # seconds for a client to say the rest
_PLAIN = b"this port speaks TLS: use https://\n"


@dataclass(frozen=True, slots=True)
class Entrance:
    """Answers the connections of one port."""

    contexts: Contexts
    connections: Connections
    upstream: tuple[str, int]
    grpc: Rpc
    handshake_timeout: float

    async def answer(self, client: PlainStream) -> None:
        """Serve a client; raises OSError."""
        tls = TlsStream(self.contexts.main, client)
        try:
            async with asyncio.timeout(self.handshake_timeout):
                protocol = await tls.handshake()
        except ssl.SSLError as error:
            log.info("a client of the TLS port failed: %s", error.reason or error)
            if error.reason == "HTTP_REQUEST":
                await client.write(_response(400, "Bad Request", _PLAIN))
                await client.end()
                await client.discard(_LINGERS)
            return
        if protocol == "h2":
            await self.connections.join(tls, await self.grpc.connect(), in_turns=False)
            return
        try:
            async with asyncio.timeout(_REACHED_WITHIN):
                reader, writer = await asyncio.open_connection(*self.upstream, limit=CHUNK)
        except OSError as error:
            log.error("the HTTP port %s:%d does not answer: %s", *self.upstream, error)
            await tls.write(_response(503, "Service Unavailable", b"the server is not ready; try again\n"))
            await tls.end()
            await client.discard(_LINGERS)
            return
        try:
            await self.connections.join(tls, PlainStream(reader, tune(writer)), in_turns=True)
        except ssl.SSLError as error:
            # since TLS 1.3 this is how the server hears that a client does not trust its certificate
            log.info("a client of the TLS port failed: %s", error.reason or error)


def _response(status: int, phrase: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status} {phrase}\r\ncontent-type: text/plain\r\ncontent-length: {len(body)}\r\n"
    return head.encode() + b"connection: close\r\n\r\n" + body
