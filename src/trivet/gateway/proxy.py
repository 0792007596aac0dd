"""The CONNECT proxy: leads Google's hosts to the TLS port, and all others to where they really are."""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from trivet.gateway import hosts
from trivet.gateway.connections import Connections, tune
from trivet.gateway.streams import CHUNK, PlainStream

_HEAD_WITHIN = 10.0  # seconds
_REACHED_WITHIN = 30.0  # seconds
_LINGERS = 1.0  # seconds for a client that is refused to say the rest
_ESTABLISHED = b"HTTP/1.1 200 OK\r\n\r\n"


class Proxy:
    """Answers the connections of one port; `secure` takes over those that ask for a host of Google's."""

    def __init__(
        self,
        connections: Connections,
        secure: Callable[[PlainStream], Awaitable[None]],
        *,
        tunnel: bool,
    ) -> None:
        self._connections = connections
        self._secure = secure
        self._tunnel = tunnel

    async def answer(self, client: PlainStream) -> None:
        """Do what a client asks for; raises OSError."""
        try:
            host, port = await _asked(client)
            if hosts.is_googles(host):
                await client.write(_ESTABLISHED)
                await self._secure(client)
                return
            if not self._tunnel:
                raise _Refusal(403, f"{host}: no host of Google's, and this proxy may reach no others")
            server = await _reached(host, port)
        except _Refusal as refusal:
            await client.write(refusal.answer)
            await client.end()
            await client.discard(_LINGERS)
            return
        await client.write(_ESTABLISHED)
        await self._connections.join(client, server, in_turns=True)


class _Refusal(Exception):
    """What a client is told instead."""

    def __init__(self, status: int, text: str, headers: str = "") -> None:
        super().__init__(status, text)
        body = f"{text}\n".encode()
        self.answer = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: text/plain; charset=utf-8\r\n"
            f"{headers}content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        ).encode() + body


async def _asked(client: PlainStream) -> tuple[str, int]:
    """Return the host and port that a client wants; raises _Refusal, or OSError if it leaves."""
    try:
        async with asyncio.timeout(_HEAD_WITHIN):
            head = await client.reader.readuntil(b"\r\n\r\n")
    except TimeoutError:
        raise _Refusal(408, f"the request's head did not come within {_HEAD_WITHIN:g} s") from None
    except asyncio.LimitOverrunError:
        raise _Refusal(431, "the request's head is longer than is allowed") from None
    except asyncio.IncompleteReadError:
        raise ConnectionResetError("the client left") from None
    method, _, rest = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
    target, _, version = rest.partition(" ")
    if method != "CONNECT":
        text = "expected CONNECT: this proxy is for https:// alone, so set https_proxy but not http_proxy"
        raise _Refusal(405, text, "allow: CONNECT\r\n")
    address = hosts.parse(target)
    if address is None or not version.startswith("HTTP/1."):
        raise _Refusal(400, "expected CONNECT host:port HTTP/1.1")
    return address


async def _reached(host: str, port: int) -> PlainStream:
    try:
        async with asyncio.timeout(_REACHED_WITHIN):
            reader, writer = await asyncio.open_connection(host, port, limit=CHUNK)
    except TimeoutError:
        raise _Refusal(504, f"{host}:{port}: no connection within {_REACHED_WITHIN:g} s") from None
    except (OSError, UnicodeError) as error:
        raise _Refusal(502, f"{host}:{port}: {error}") from None
    return PlainStream(reader, tune(writer))
