"""What the embedded engine and its worker processes tell each other, over a unix socket pair each.

A message is its length (four bytes, little-endian) and JSON. A socket that ends is a process that ended.
"""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from trivet.core.batch import Shard, ShardResult
from trivet.jobs.engine import Reading
from trivet.jobs.work import Prepared, Work
from trivet.serving.hop import Failure

_LENGTH = 4


class Load(Struct, tag=True):
    """To a worker: load the model. Answered with `Loaded` or `Failed`."""

    work: Work


class Prepare(Struct, tag=True):
    """To a worker: load the model, and plan. Answered with `Planned` or `Failed`."""

    work: Work


class Do(Struct, tag=True):
    """To a worker: do this shard. Answered with `Done` or `Failed`, and any number of `Further` before."""

    work: Work
    shard: Shard


class Loaded(Struct, tag=True):
    """From a worker: the model is there."""


class Planned(Struct, tag=True):
    """From a worker: what was found out, and the shards."""

    prepared: Prepared
    shards: list[Shard]


class Further(Struct, tag=True):
    """From a worker: how far its shard is."""

    reading: Reading


class Done(Struct, tag=True):
    """From a worker: its shard is done and committed."""

    result: ShardResult


class Failed(Struct, tag=True):
    """From a worker: this is why it cannot do what it was asked."""

    failure: Failure


Message = Load | Prepare | Do | Loaded | Planned | Further | Done | Failed


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} is nothing to tell another process")


def _restore(kind: type, value: Any) -> Any:
    return Path(value) if kind is Path else value


_encoder = msgspec.json.Encoder(enc_hook=_plain)
_decoder = msgspec.json.Decoder(Message, dec_hook=_restore)


def encode(message: Message) -> bytes:
    """Return a message as JSON."""
    return _encoder.encode(message)


def decode(content: bytes) -> Message:
    """Return the message that JSON is; raises msgspec's errors for what is none."""
    message: Message = _decoder.decode(content)
    return message


def send(own: socket.socket, message: Message) -> None:
    """Tell the other side; raises OSError where that has ended."""
    content = encode(message)
    own.sendall(len(content).to_bytes(_LENGTH, "little") + content)


class Messages:
    """Puts messages together from what comes."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """Yield those that are complete."""
        self._data += data
        while len(self._data) >= _LENGTH:
            end = _LENGTH + int.from_bytes(self._data[:_LENGTH], "little")
            if len(self._data) < end:
                return
            content = bytes(self._data[_LENGTH:end])
            del self._data[:end]
            yield decode(content)
