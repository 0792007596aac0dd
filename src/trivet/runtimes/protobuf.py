"""The wire format of protobuf: the fields of a message, one after the other, payloads left where they are.

For model files, which are not trusted: whatever the bytes are, the only exception is ValueError.
"""

from collections.abc import Iterator
from mmap import mmap

Data = bytes | mmap
Field = tuple[int, int, int, int]
"""Number, wire type, and where in the data the payload starts and ends."""

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def field_at(data: Data, start: int, end: int) -> Field:
    """Return the field at `start`, in a message that ends at `end`. The next begins where it stops."""
    tag, start = varint(data, start, end)
    number, wire = tag >> 3, tag & 7
    if not 0 < number < 1 << 29:
        raise ValueError(f"there is no field {number}")
    if wire == VARINT:
        stop = varint(data, start, end)[1]
    elif wire == BYTES:
        size, start = varint(data, start, end)
        stop = start + size
    elif wire in (FIXED32, FIXED64):
        stop = start + (4 if wire == FIXED32 else 8)
    else:
        raise ValueError(f"field {number} has wire type {wire}")
    if stop > end:
        raise ValueError("it is cut off")
    return number, wire, start, stop


def fields(data: Data, start: int, end: int) -> Iterator[Field]:
    """Yield the fields of the message between `start` and `end`."""
    while start < end:
        found = field_at(data, start, end)
        yield found
        start = found[3]


def varint(data: Data, at: int, end: int) -> tuple[int, int]:
    """Return an unsigned number of up to 64 bits, and where it ends."""
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
        shift += 7
    raise ValueError("it is cut off" if at >= end else "a number is too long")


def signed(value: int) -> int:
    """Return what a varint means where it may be negative."""
    return value - (1 << 64) if value >> 63 else value
