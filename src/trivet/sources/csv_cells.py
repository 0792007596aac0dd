"""The cells of CSV text as JSON, column by column.

Where `strict`, cells are as the managed service has them: unquoted ones are floats. Else unquoted numbers are
what they are written as, what is empty or NaN is null, and the rest are strings. Quoted cells are strings.
"""

import re
from collections.abc import Sequence
from typing import cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from trivet.codecs.json_numbers import simd_parser

NUMERIC = b"0123456789.-+eE"
"""The bytes of numbers."""

_JSON = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_NUMBER = re.compile(rb"[ \t]*([+-]?)([0-9]*)(?:(\.)([0-9]*))?([eE][+-]?[0-9]+)?[ \t]*")
_CONTROL = re.compile(rb"[\x00-\x1f]")
_SPECIAL = re.compile(rb'[\x00-\x1f"\\]')
_encode = msgspec.json.Encoder().encode
_floats = msgspec.json.Decoder(list[float])

Numbers = NDArray[np.float64]


class Refused(ValueError):
    """A cell that cannot be what its column asks for."""


def column(cells: Sequence[bytes], *, strict: bool) -> tuple[list[bytes], Numbers | None, dict[int, str]]:
    """Return the JSON texts of cells; their numbers, where all are and a float64 holds them; and why some
    are refused, by their index, whose texts are then of no use."""
    joined = b",".join(cells)
    if joined.translate(None, NUMERIC) == b"," * (len(cells) - 1):
        numbers = as_numbers(joined)
        if numbers is not None and len(numbers) == len(cells):  # not of nothing at all
            held = exact(numbers)
            if strict and joined.count(b".") < len(cells):
                return _as_floats(cells, joined, short=held is not None), held, {}
            return list(cells), held, {}
    if joined[:1] == b'"' and _are_json(cells, joined):
        return list(cells), None, {}
    known: dict[bytes, bytes | Refused] = {}
    for cell in cells:
        if cell not in known:
            try:
                known[cell] = _strict(cell) if strict else _native(cell)
            except Refused as error:
                known[cell] = error
    values = [known[cell] for cell in cells]
    refused = {index: str(value) for index, value in enumerate(values) if isinstance(value, Refused)}
    return cast(list[bytes], values), None, refused


def as_numbers(joined: bytes) -> Numbers | None:
    """Read numbers with commas between them, as JSON has them; None where they are not, or too large."""
    text = b"[" + joined + b"]"
    parser = simd_parser("csv")
    try:
        if parser is None:
            return np.array(_floats.decode(text), np.float64)
        return np.frombuffer(parser.parse(text).as_buffer(of_type="d"), np.float64)
    except (ValueError, TypeError, RuntimeError, msgspec.MsgspecError):  # as each library has it
        return None


def exact(numbers: Numbers) -> Numbers | None:
    """Return numbers if none of them may have been an integer that a float64 does not hold."""
    if len(numbers) and (numbers.max() >= 2.0**53 or numbers.min() <= -(2.0**53)):
        return None
    return numbers


def _as_floats(cells: Sequence[bytes], joined: bytes, *, short: bool) -> list[bytes]:
    """Write those of numbers as floats that are integers; `short` ones are all the same number then."""
    if short and joined.translate(None, b".eE") == joined:
        return (joined.replace(b",", b".0,") + b".0").split(b",")
    return [cell if _is_float(cell) else _as_float(cell) for cell in cells]


def _are_json(cells: Sequence[bytes], joined: bytes) -> bool:
    """Whether quoted cells are strings of JSON as they stand."""
    return (
        joined.count(b'"') == 2 * len(cells)
        and b"\\" not in joined
        and _CONTROL.search(joined) is None
        and all(cell[:1] == b'"' and cell[-1:] == b'"' for cell in cells)
    )


def _native(cell: bytes) -> bytes:
    if cell[:1] == b'"':
        return _unquoted(cell)
    if _JSON.fullmatch(cell):
        return cell
    if not cell or cell.strip(b" \t").lower() == b"nan":
        return b"null"
    return _number(cell, zeros=False) or _string(cell)


def _strict(cell: bytes) -> bytes:
    if cell[:1] == b'"':
        return _unquoted(cell)
    number = _number(cell, zeros=True)
    if number is None:
        raise Refused("an unquoted cell that is no number")
    if not _is_float(number):
        return _as_float(number)
    if float(number) in (float("inf"), float("-inf")):
        raise Refused("a number that a float64 does not hold")
    return number


def _number(cell: bytes, *, zeros: bool) -> bytes | None:
    """Write a number as JSON has it, or None for what is none; zeros may lead where that is said."""
    found = _NUMBER.fullmatch(cell)
    if found is None or not (found[2] or found[4]):
        return None
    sign, whole, point, fraction, exponent = found.groups(b"")
    if len(whole) > 1 and whole.startswith(b"0"):
        if not zeros:
            return None
        whole = whole.lstrip(b"0")
    return sign.replace(b"+", b"") + (whole or b"0") + (point and point + (fraction or b"0")) + exponent


def _is_float(number: bytes) -> bool:
    return b"." in number or b"e" in number or b"E" in number


def _as_float(number: bytes) -> bytes:
    """Write an integer as a float, if that is the same number."""
    if len(number) > 15:
        value = float(number)
        if abs(value) == float("inf") or int(value) != int(number):
            return number
    return number + b".0"


def _unquoted(cell: bytes) -> bytes:
    return _string(cell[1:-1].replace(b'""', b'"'))


def _string(text: bytes) -> bytes:
    return b'"' + text + b'"' if _SPECIAL.search(text) is None else _encode(text.decode())
