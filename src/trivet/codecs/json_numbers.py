"""Bodies of many rows of numbers, read by a SIMD parser straight into one array, where there is one.

It takes only what is `{"instances": [[...], ...]}` with as many numbers in each row as there must be, and
refuses all else, which `json_body` then reads in its other ways. The two agree on every body that both accept
(a property test holds them together).
"""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from trivet.core.instances import Instances, Layout

SHORTEST = 2048
"""Bytes from which on a body is read faster than by `json_types`."""

BEGINNINGS = b'{"instances":[[', b'{"instances": [['
"""How bodies begin that are worth a try: as most clients write them."""

_LONGEST = 1 << 20  # the parser keeps ten times as much, for its next document

UNREADABLE = (ValueError, TypeError, KeyError, ArithmeticError, RuntimeError)
"""What reading raises for a body that it does not take, or while another thread has the parser."""


def number_reader(layout: Layout, max_instances: int) -> Callable[[bytes], Instances] | None:
    """Return what reads bodies for instances of a layout, or raises; None where nothing can."""
    parser, size, dtype = simd_parser("bodies"), layout.size, layout.dtype
    if parser is None or dtype.kind != "f":
        return None
    parse = parser.parse

    def read(body: bytes) -> Instances:
        if len(body) > _LONGEST:
            raise ValueError("too long")
        document = parse(body)
        rows = document["instances"]
        count = len(rows)
        # with one bracket for each row and one around them, no number is nested more deeply
        if len(document) != 1 or not 0 < count <= max_instances or body.count(b"[") != count + 1:
            raise ValueError("not rows of numbers alone")
        numbers = np.frombuffer(rows.as_buffer(of_type="d"))
        if set(map(len, rows)) != {size}:
            raise ValueError("rows of other lengths")
        with np.errstate(over="raise"):
            packed = numbers.astype(dtype)
        return Instances(None, count, layout, packed)

    return read


@cache
def simd_parser(use: str) -> Any:
    """Return a SIMD parser, ten times as fast as others for numbers; None where it is not installed.

    There is one for each use: it keeps the memory it needed, and holds one document at a time.
    """
    try:
        return import_module("simdjson").Parser()
    except ImportError:
        return None
