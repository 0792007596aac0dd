"""A small HTTP/1.1 client of the plain HTTP port, on asyncio: what the gRPC server asks.

It speaks to Trivet's own listener alone, over loopback, so it needs no more than this: `httpx` and `aiohttp`
would bring a dependency and several times the latency.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass

from trivet.core.errors import Internal, Unavailable
from trivet.protocols.vertex.grpc_rest import Request

_CHUNK = 64 * 1024
_MAX_BODY = 1 << 29  # bytes of an answer that is held whole
_KEPT = 64  # idle connections
_CONNECTS_WITHIN = 10.0  # seconds


@dataclass(slots=True)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def is_over(self) -> bool:
        unsent = self.writer.transport.get_write_buffer_size()
        return unsent > 0 or self.reader.at_eof() or self.writer.is_closing()

    async def exchange(self, written: bytes) -> "Answer":
        """Send, and read the head of the answer; where that fails the connection is closed."""
        self.writer.write(written)
        try:
            status = 100
            while status < 200:
                head = (await self.reader.readuntil(b"\r\n\r\n"))[:-4].decode("latin-1")
                first, *lines = head.split("\r\n")
                status = int(first.partition(" ")[2][:3])
        except BaseException:
            self.close()
            raise
        fields = (line.partition(":") for line in lines)
        return Answer(status, {name.lower(): value.strip() for name, _, value in fields}, self.reader)

    def close(self) -> None:
        self.writer.transport.abort()


class Answer:
    """A status, headers by lower-case name, and a body that is still coming."""

    def __init__(self, status: int, headers: Mapping[str, str], reader: asyncio.StreamReader) -> None:
        self.status, self.headers = status, headers
        self._reader = reader
        self._is_whole = False

    @property
    def leaves_open(self) -> bool:
        """Whether the connection can be asked again."""
        return self._is_whole and self.headers.get("connection", "").lower() != "close"

    async def read(self) -> bytes:
        """Return the whole body; raises Unavailable, and Internal where it has no end."""
        parts, size = [], 0
        async for part in self.parts():
            parts.append(part)
            if (size := size + len(part)) > _MAX_BODY:
                raise Internal(f"the answer is longer than {_MAX_BODY:,} bytes")
        return b"".join(parts)

    async def parts(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes; raises Unavailable where it breaks off."""
        if "chunked" in self.headers.get("transfer-encoding", "").lower():
            parts = self._chunks()
        elif self.status in (204, 304):  # has no body, whatever is said of one
            parts = self._so_many("0")
        elif "content-length" in self.headers:
            parts = self._so_many(self.headers["content-length"])
        else:
            parts = self._all()
        with _or_unavailable("the answer broke off"):
            async for part in parts:
                yield part
        self._is_whole = True

    async def _all(self) -> AsyncIterator[bytes]:
        while part := await self._reader.read(_CHUNK):
            yield part

    async def _so_many(self, size: str, base: int = 10) -> AsyncIterator[bytes]:
        left = int(size, base)
        while left:
            part = await self._reader.read(min(left, _CHUNK))
            if not part:
                raise EOFError("the connection ended")
            left -= len(part)
            yield part

    async def _chunks(self) -> AsyncIterator[bytes]:
        while size := (await self._line()).partition(b";")[0].decode("latin-1").lstrip("0"):
            async for part in self._so_many(size, 16):
                yield part
            await self._line()
        while await self._line():
            pass  # trailers

    async def _line(self) -> bytes:
        return (await self._reader.readuntil(b"\r\n"))[:-2]


class Upstream:
    """Asks one server, over connections that are kept for what may be asked twice."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._idle: deque[_Connection] = deque()

    def __repr__(self) -> str:
        return f"<Upstream {self._authority} {len(self._idle)} idle>"

    def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            self._idle.pop().close()

    @asynccontextmanager
    async def ask(self, request: Request, headers: Mapping[str, str]) -> AsyncIterator[Answer]:
        """Send a request; the context is left when the answer has been read.

        Leaving it earlier tells the server that nobody waits. Raises Unavailable where no answer comes.
        """
        written = self._written(request, headers)
        connection, answer = await self._asked(written, request.is_repeatable)
        try:
            yield answer
        finally:
            self._give_back(connection, answer)

    async def _asked(self, written: bytes, is_repeatable: bool) -> tuple[_Connection, Answer]:
        """Ask on a connection that is idle, but on a new one what must not be done twice.

        A server may end an idle connection just when it is used again, and what came of the request is then
        not known.
        """
        with _or_unavailable(f"no answer from {self._authority}"):
            if is_repeatable and (kept := self._kept()) is not None:
                with suppress(OSError, EOFError):
                    return kept, await kept.exchange(written)
            async with asyncio.timeout(_CONNECTS_WITHIN):
                new = _Connection(*await asyncio.open_connection(self._host, self._port, limit=_CHUNK))
            return new, await new.exchange(written)

    def _kept(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.popleft()  # in turns: each leads to one of the server's processes
            if not connection.is_over:
                return connection
            connection.close()
        return None

    def _give_back(self, connection: _Connection, answer: Answer) -> None:
        if answer.leaves_open and not connection.is_over and len(self._idle) < _KEPT:
            self._idle.append(connection)
        else:
            connection.close()

    def _written(self, request: Request, headers: Mapping[str, str]) -> bytes:
        lines = [f"{request.verb} {request.target} HTTP/1.1", f"host: {self._authority}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if request.media_type:
            lines.append(f"content-type: {request.media_type}")
        if request.body or request.verb != "GET":
            lines.append(f"content-length: {len(request.body)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + request.body


@contextmanager
def _or_unavailable(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
        raise Unavailable(f"{what}: {error or type(error).__name__}") from error
