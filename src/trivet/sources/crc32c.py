"""The checksum of TFRecord files: CRC-32C, masked.

Google's library computes it, where it is installed, a thousand times as fast as what is here for the rest.
"""

from collections.abc import Callable
from functools import cache
from importlib import import_module

_POLYNOMIAL = 0x82F63B78
_MASK = 0xA282EAD8


def masked(content: bytes) -> int:
    """Return the masked checksum of bytes."""
    value = _function()(content)
    return ((value >> 15 | value << 17) + _MASK) & 0xFFFFFFFF


@cache
def _function() -> Callable[[bytes], int]:
    try:
        value: Callable[[bytes], int] = import_module("google_crc32c").value
    except ImportError:
        return by_table
    return value


def by_table(content: bytes) -> int:
    """Return the checksum of bytes, without a library."""
    table, value = _table(), 0xFFFFFFFF
    for byte in content:
        value = table[(value ^ byte) & 0xFF] ^ value >> 8
    return value ^ 0xFFFFFFFF


@cache
def _table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)  # noqa: PLW2901
        table.append(value)
    return tuple(table)
