"""How the supervisor and its processes speak with each other: messages over a unix socket pair each.

A message is its length (four bytes, little-endian) and JSON. A socket that ends is a process that ended:
nobody watches anybody otherwise.
"""

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self, cast

import msgspec

from trivet.app.messages import Message

_LENGTH = 4


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} is nothing to tell another process")


def _restore(kind: type, value: Any) -> Any:
    return Path(value) if kind is Path else value


_encoder = msgspec.json.Encoder(enc_hook=_plain)
_decoder = msgspec.json.Decoder(Message, dec_hook=_restore)


def encode(message: Message) -> bytes:
    """Return the bytes of a message."""
    content = _encoder.encode(message)
    return len(content).to_bytes(_LENGTH, "little") + content


class Messages:
    """Puts messages together from what comes."""

    def __init__(self) -> None:
        self._data = b""

    def feed(self, data: bytes) -> Iterator[Message]:
        """Yield those that are complete."""
        self._data += data
        while len(self._data) >= _LENGTH:
            end = _LENGTH + int.from_bytes(self._data[:_LENGTH], "little")
            if len(self._data) < end:
                return
            content, self._data = self._data[_LENGTH:end], self._data[end:]
            yield _decoder.decode(content)


class Channel(asyncio.Protocol):
    """One end, in an event loop."""

    def __init__(self, received: Callable[[Message], None], ended: Callable[[], object]) -> None:
        self._received = received
        self._ended = ended
        self._messages = Messages()
        self._last_word = self._finished = False
        self._transport: asyncio.Transport | None = None
        self._socket: socket.socket

    @classmethod
    async def open(
        cls,
        own: socket.socket,
        received: Callable[[Message], None],
        ended: Callable[[], object],
        *,
        last_word: bool = False,
    ) -> Self:
        """Speak over a connected socket; `received` and `ended` are called from now on.

        With `last_word`, something may still be said when the other side has finished, until `close`.
        """
        channel = cls(received, ended)
        channel._last_word = last_word
        own.setblocking(False)
        channel._socket = own.dup()  # sockets can be sent over this one
        await asyncio.get_running_loop().create_unix_connection(lambda: channel, sock=own)
        return channel

    def send(self, message: Message, sockets: Sequence[socket.socket] = ()) -> None:
        """Tell the other side, which may have ended: then nobody hears it."""
        if self._transport is None or self._finished:
            return
        if not sockets:
            self._transport.write(encode(message))
            return
        if self._transport.get_write_buffer_size():
            raise RuntimeError("sockets cannot be sent past messages that still wait")
        try:
            socket.send_fds(self._socket, [encode(message)], [one.fileno() for one in sockets])
        except (BrokenPipeError, ConnectionResetError):
            return  # it has just ended, and `ended` is about to be called

    def finish(self) -> None:
        """Say no more, which tells the other side to end; listen until it has."""
        if self._transport is not None and self._transport.can_write_eof() and not self._finished:
            self._finished = True
            self._transport.write_eof()

    def close(self) -> None:
        """End the conversation."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Pass on what is complete."""
        for message in self._messages.feed(data):
            self._received(message)

    def eof_received(self) -> bool:
        """The other side says no more."""
        if self._last_word:
            self._ended()
        return self._last_word

    def connection_lost(self, error: Exception | None) -> None:
        """The other side has ended."""
        self._transport = None
        self._socket.close()
        self._ended()


class BlockingChannel:
    """One end, where there is no event loop."""

    def __init__(self, own: socket.socket) -> None:
        self._socket = own
        self._messages = Messages()
        self._waiting: deque[Message] = deque()
        self.descriptors: deque[int] = deque()
        """Sockets that came with messages, in order."""

    def send(self, message: Message) -> None:
        """Tell the other side."""
        self._socket.sendall(encode(message))

    def receive(self) -> Message | None:
        """Wait for a message; None at the end of the conversation."""
        while not self._waiting:
            try:
                data, descriptors, _, _ = socket.recv_fds(self._socket, 65536, 16)
            except ConnectionResetError:
                return None
            self.descriptors += descriptors
            if not data:
                return None
            self._waiting += self._messages.feed(data)
        return self._waiting.popleft()

    def close(self) -> None:
        """End the conversation, and what came with messages that were not read yet."""
        self._socket.close()
        while self.descriptors:
            os.close(self.descriptors.popleft())
