"""What the supervisor and its processes tell each other, over a unix socket pair each.

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
from msgspec import Struct

from trivet.config import Log, Settings
from trivet.core import resources
from trivet.runtimes.base import Permissions
from trivet.serving.hop import Failure
from trivet.serving.lifecycle import ModelInfo, ModelSpec
from trivet.serving.wish import Address, Wish
from trivet.telemetry import Sample

_LENGTH = 4


class Remote(Struct):
    """A model whose replica processes listen at `paths`."""

    info: ModelInfo
    paths: list[str]


class Load(Struct, tag=True):
    """To the loader or a replica: load these, and keep them; a loader is to `drop` others, by their ids.

    A replica whose supervisor has ended serves the fronts for `grace` seconds more at most.
    """

    specs: list[ModelSpec]
    permissions: Permissions
    log: Log
    grace: float
    drop: list[str] = []


class Loading(Struct, tag=True):
    """From whoever loads: this one comes next."""

    id: str
    model: str


class Loaded(Struct, tag=True):
    """From whoever loads, when all was tried: these are ready."""

    models: list[ModelInfo]


class Failed(Struct, tag=True):
    """From whoever loads: this one could not be."""

    id: str
    model: str
    failure: Failure


class ForkFront(Struct, tag=True):
    """To the loader: fork a front. It gets a control socket, a listening one, and one for its predecessor."""

    id: int


class ForkReplica(Struct, tag=True):
    """To the loader: fork a replica of a model it has loaded, with a control socket and a listening one."""

    id: int
    model: str


class ForkLoader(Struct, tag=True):
    """To the loader: fork one that has the same models, with a control socket, to load others as well.

    What a model does to the process that loads it then happens to no process that serves.
    """

    id: int


class Listen(Struct, tag=True):
    """To a front that is ready: accept connections from now on."""


class Silent(Struct, tag=True):
    """From a front: it accepts no more connections. After `HandOver`: nor begins with any request."""


class Forked(Struct, tag=True):
    """From the loader: what was asked for has this process id."""

    id: int
    pid: int


class Exited(Struct, tag=True):
    """From the loader: a process it forked has ended, with this status of `waitpid`."""

    pid: int
    status: int


class Serving(Struct, tag=True):
    """To a front: serve these, of what it has loaded, and nothing else, from now on. Answered with `Ready`.

    `remote` run in processes of their own; `own` are to be loaded by each front itself; `here`, by their ids,
    were loaded before it was forked. States are numbered by the supervisor.
    """

    state: int
    remote: list[Remote]
    own: list[ModelSpec]
    here: list[str]
    addresses: list[Address]


class Serve(Struct, tag=True):
    """To a front, first of all: its settings and what to serve. Not `ready` is for probes alone.

    `control` is the path at which the control plane listens, or empty.
    """

    settings: Settings
    serving: Serving
    ready: bool
    control: str = ""


class HandOver(Struct, tag=True):
    """To a front: give your connections to the front that listens at this path. Answered with `Silent`."""

    path: str


class Manage(Struct, tag=True):
    """To the control process, first of all: its settings and who it is.

    With a `seed`, which is served already, the catalog lasts as long as the server, and begins with that.
    """

    settings: Settings
    node: str
    data: str
    tls: str = ""  # the `host:port` of the gateway
    seed: Wish | None = None


class Guard(Struct, tag=True):
    """To the gateway process: serve in front of the server at this address, on these sockets, by name."""

    settings: Settings
    data: str
    host: str
    port: int
    sockets: list[str]


class Wished(Struct, tag=True):
    """From the control process: what is to be served, from now on. Answered with `Applied`."""

    wish: Wish


class Applied(Struct, tag=True):
    """To the control process: this revision is served, but for the models that failed, by their ids."""

    revision: int
    failures: dict[str, resources.Failure]


class Ready(Struct, tag=True):
    """From a front, a replica or the control process: it serves, a front what was said in this state."""

    state: int = 0


class Retire(Struct, tag=True):
    """To a front: go in good order. Not ready for `window` seconds, then accept no more connections.

    Connections that are idle end after `idle` seconds more, all others after `timeout`.
    """

    window: float
    idle: float
    timeout: float


class Measure(Struct, tag=True):
    """To anybody: what have you measured?"""

    id: int


class Measured(Struct, tag=True):
    """The answer, and the last word of a process that goes in good order (id 0)."""

    id: int
    samples: list[Sample]


class Gather(Struct, tag=True):
    """From a front: what have all processes measured? Answered with `Measured`."""

    id: int


Message = (
    Load | Loading | Loaded | Failed | ForkFront | ForkReplica | ForkLoader | Forked | Exited
    | Serve | Serving | Ready | Listen | HandOver | Silent | Retire | Measure | Measured | Gather
    | Manage | Wished | Applied | Guard
)  # fmt: skip


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
        self._last_word = False
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
        if self._transport is None:
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
        if self._transport is not None and self._transport.can_write_eof():
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
