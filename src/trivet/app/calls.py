"""How fronts pass calls on to the processes that answer them: frames over a unix socket, many at once.

A frame is its length (four bytes, little-endian) and MessagePack: a number and a `Call`, or the same number
and the `Reply`. Replies come in any order.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from itertools import count
from typing import TypeVar

import msgspec

from trivet.core.errors import Internal, Unavailable
from trivet.protocols.base import Call, Reply, Unanswered, error_reply

log = logging.getLogger("trivet")

_LENGTH = 4
_GREETING = b"\x01"
"""What such a process sends first: the supervisor listens for it, and connecting says nothing of it."""

_CONNECTS_WITHIN = 10.0
_PAUSE = 0.05

T = TypeVar("T")
_encode = msgspec.msgpack.Encoder().encode


def _frame(content: tuple[int, Call | Reply]) -> bytes:
    data = _encode(content)
    return len(data).to_bytes(_LENGTH, "little") + data


async def _frames(reader: asyncio.StreamReader, kind: type[T], heard: Callable[[int, T], object]) -> None:
    """Hear every frame until the other side has ended."""
    decoder = msgspec.msgpack.Decoder(tuple[int, kind])  # type: ignore[valid-type]
    while True:
        try:
            length = int.from_bytes(await reader.readexactly(_LENGTH), "little")
            heard(*decoder.decode(await reader.readexactly(length)))
        except (asyncio.IncompleteReadError, ConnectionError):
            return


class ControlClient:
    """Asks the process that listens at `path`; connects when it is first asked, and again.

    `what` it is, errors say.
    """

    def __init__(self, path: str, what: str = "the control plane") -> None:
        self.path = path
        self._what = what
        self._ids = count(1)
        self._asked: dict[int, asyncio.Future[Reply]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._connecting = asyncio.Lock()
        self._reading: asyncio.Task[None] | None = None

    async def ask(self, call: Call) -> Reply:
        """Return the answer to a call; raises Unavailable where the process is gone.

        A call that it may have begun is not asked again: Unanswered.
        """
        writer = await self._connected()
        number = next(self._ids)
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        try:
            writer.write(_frame((number, call)))
            return await answer
        finally:
            self._asked.pop(number, None)

    async def _connected(self) -> asyncio.StreamWriter:
        async with self._connecting:
            if self._writer is not None and not self._writer.is_closing():
                return self._writer
            try:
                async with asyncio.timeout(_CONNECTS_WITHIN):
                    return await self._connect()
            except TimeoutError:
                raise Unavailable(f"{self._what} does not answer; try again in a moment") from None

    async def _connect(self) -> asyncio.StreamWriter:
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(self.path)
            except OSError:  # it is being started, again perhaps
                await asyncio.sleep(_PAUSE)
                continue
            if await reader.read(1) != _GREETING:
                writer.close()
                await asyncio.sleep(_PAUSE)
                continue
            self._writer = writer
            self._reading = asyncio.create_task(self._read(reader, writer))
            return writer

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _frames(reader, Reply, self._heard)
        writer.close()
        if self._writer is writer:
            self._writer = None
        for answer in self._asked.values():
            if not answer.done():
                gone = Unanswered(f"{self._what} ended before it answered; what was asked may be done")
                answer.set_exception(gone)

    def _heard(self, number: int, reply: Reply) -> None:
        if number in self._asked and not self._asked[number].done():
            self._asked[number].set_result(reply)


async def answer_calls(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Callable[[Call], Awaitable[Reply]]
) -> None:
    """Answer what one front asks, each call in a task of its own, until the front has ended."""
    tasks: set[asyncio.Task[None]] = set()

    async def one(number: int, call: Call) -> None:
        try:
            reply = await answer(call)
        except Exception:  # a defect of ours, and the caller is not to wait for ever
            log.exception("%s %s failed", call.method, call.path)
            error = Internal("the server failed; its log says more")
            reply = Reply(500, error_reply(error)[2])
        if not writer.is_closing():
            writer.write(_frame((number, reply)))

    def heard(number: int, call: Call) -> None:
        task = asyncio.get_running_loop().create_task(one(number, call))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    try:
        writer.write(_GREETING)
        await _frames(reader, Call, heard)
    finally:
        for task in tasks:
            task.cancel()
        writer.close()
