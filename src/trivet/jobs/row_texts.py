"""Rows as JSON texts, objects or arrays, from the texts of their cells."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import msgspec
import numpy as np
from numpy.typing import NDArray

from trivet.sources.base import Table

_COMMA, _LF = ord(","), ord("\n")

_MARKS = 0x80
"""The first of the bytes that stand for the names of columns for a while: ASCII has none of these."""

_MOST_MARKS = 24
"""Columns up to which it is faster to go over the text once for each than to take it apart."""

_PIECE = 1024
"""Rows that are made objects at once: they and what becomes of them are in the cache then."""

_encode = msgspec.json.Encoder().encode


def texts(table: Table, which: Sequence[int], *, as_object: bool) -> Sequence[bytes]:
    """Return some columns of each row as JSON."""
    if table.text is not None and tuple(which) == tuple(range(len(table.names))):
        if not as_object:
            return _arrays(table.text)
        if len(which) <= _MOST_MARKS and all(
            map(str.isascii, table.names)
        ):  # names must have no marks, either
            return _objects(table.text, table.between, table.names)
    count = len(table.offsets)
    if not which:
        return [b"{}" if as_object else b"[]"] * count
    if as_object:
        named = [_encode(table.names[index]).replace(b"%", b"%%") + b":%b" for index in which]
        template = b"{" + b",".join(named) + b"}"
    else:
        template = b"[" + b",".join([b"%b"] * len(which)) + b"]"
    return list(map(template.__mod__, zip(*[table.cells[index] for index in which], strict=True)))


def _arrays(text: bytes) -> list[bytes]:
    return (b"[" + text.replace(b"\n", b"]\n[") + b"]").split(b"\n")


def _objects(text: bytes, between: NDArray[np.intp] | None, names: tuple[str, ...]) -> list[bytes]:
    """Put the names of columns before their cells.

    Every comma becomes a byte that says which column it is before, and then all of these at once the name:
    twice as fast as a template for each row.
    """
    first, labels, marks = _labels(names)
    marked = np.frombuffer(text, np.uint8).copy()
    at = np.flatnonzero((marked == _COMMA) | (marked == _LF)) if between is None else between
    marked[at] = np.tile(marks, len(at) // len(marks) + 1)[: len(at)]
    next_row = b"}\n" + first
    found: list[bytes] = []
    pieces = at[len(marks) * _PIECE - 1 :: len(marks) * _PIECE].tolist()  # the line ends after each
    for before, end in pairwise([-1, *pieces, len(text)]):
        piece = marked[before + 1 : end].tobytes()
        for mark, label in labels:
            piece = piece.replace(mark, label)
        found += (first + piece.replace(b"\n", next_row) + b"}").split(b"\n")
    return found


@lru_cache(64)
def _labels(
    names: tuple[str, ...],
) -> tuple[bytes, list[tuple[bytes, bytes]], "np.ndarray[tuple[int], np.dtype[np.uint8]]"]:
    """Return what a row begins with, the name for each mark, and the bytes that end the cells of a row."""
    first, *others = [_encode(name) + b":" for name in names]
    numbers = range(_MARKS, _MARKS + len(others))
    labels = [(bytes([number]), b"," + label) for number, label in zip(numbers, others, strict=True)]
    return b"{" + first, labels, np.array([*numbers, _LF], np.uint8)
