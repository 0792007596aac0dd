"""Cells of files that have no types, as those of CSV: what a cell is, the model's input says where it can.

Otherwise no column of booleans or of arrays could be given to a model in such a file, and the text 12 would
not be a text.
"""

from collections.abc import Callable, Sequence

import msgspec

from trivet.core.signature import TensorSpec

Fit = Callable[[bytes, bytes], bytes]
"""From the JSON text of a cell, and the cell as it is written, to the JSON text that is sent."""

_BOOLS = {b"true": b"true", b"false": b"false"}

_encode = msgspec.json.Encoder().encode
_text = msgspec.json.Decoder(str).decode
_array = msgspec.json.Decoder(list[msgspec.Raw]).decode


def fit_of(spec: TensorSpec) -> Fit | None:
    """Return what cells are made fit by; None where they are sent as they were read."""
    if spec.shape:
        return _as_array
    return {"bool": _as_bool, "string": _as_string}.get(spec.dtype)


def fitted(fit: Fit, texts: Sequence[bytes], written: Sequence[bytes]) -> Sequence[bytes]:
    """Return the JSON texts of a column's cells as they are sent."""
    return list(map(fit, texts, written))


def _as_bool(text: bytes, cell: bytes) -> bytes:
    return _BOOLS.get(cell.strip().lower(), text)


def _as_string(text: bytes, cell: bytes) -> bytes:
    return text if text[:1] == b'"' or text == b"null" else _encode(cell.decode())


def _as_array(text: bytes, cell: bytes) -> bytes:
    """Read the JSON in a string, which is how an array gets into a cell."""
    try:
        array = _text(text)
        _array(array)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return text  # of which the model's signature will say what is wrong
    return array.encode()
