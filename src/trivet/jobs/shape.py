"""What becomes of the records of a job: the instances that the model is sent, and what stands for them in the
output. One shape for each kind of source; all follow `instanceConfig`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from trivet.core.batch import InstanceConfig, RowFailure, Shard
from trivet.core.errors import Code
from trivet.core.instances import Instances
from trivet.core.signature import Signature
from trivet.sinks.base import Failed
from trivet.sources.base import Records

_any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode

_SHOWN = 64 << 10
"""Bytes of a record that cannot be read, as errors show them."""


@dataclass(frozen=True, slots=True)
class Ways:
    """How instances are made: as the caller says, or as is usual, natively or in the managed service."""

    config: InstanceConfig
    signature: Signature
    native: bool
    tabular: bool  # whether the sink wants whole records
    arrays_only: bool = False  # whether an instanceType is refused, as of CSV files in the managed service


@dataclass(slots=True)
class Batch:
    """Consecutive records of one source, each with what is sent, shown, and its key: JSON texts.

    `instances` are those sent where they are known as columns already. `failed` are records that could not be
    made instances of; they are in none of the others.
    """

    uri: str
    offsets: Sequence[int]
    sent: Sequence[bytes]
    shown: Sequence[bytes] | None
    keys: Sequence[bytes] | None = None
    instances: Instances | None = None
    failed: list[Failed] = field(default_factory=list)


class Shape(Protocol):
    """Makes batches of records of one kind."""

    def check(self, uri: str, records: Records, shards: Sequence[Shard] = ()) -> list[str]:
        """Look at the first records of a job, and at what is known of all its shards; returns warnings.

        Raises FailedPrecondition where not one of their kind could be an instance of the model, or those
        that could would not mean the same everywhere.
        """
        ...

    def batch(self, uri: str, records: Records) -> Batch:
        """Make instances of records."""
        ...


def unread(uri: str, records: Records) -> list[Failed]:
    """Return what could not be read of records."""
    return [refused(uri, one.offset, one.message, one.text) for one in records.unreadable]


def refused(uri: str, offset: int, message: str, text: bytes, key: bytes | None = None) -> Failed:
    """Return a record that is no instance, and why; `text` is what is there, JSON or not."""
    return Failed(RowFailure(uri, offset, Code.INVALID_ARGUMENT.value, message), as_json(text), key)


def as_json(text: bytes) -> bytes:
    """Return a text if it is JSON, else as a string of JSON, cut short if it is long."""
    try:
        _any(text)
        return text
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _encode(text[:_SHOWN].decode("utf-8", "backslashreplace"))
