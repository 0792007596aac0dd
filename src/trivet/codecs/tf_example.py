"""`tf.train.Example` as bytes: its fields are read, and left out, without TensorFlow or protobuf.

It is `Features features = 1` of `map<string, Feature> feature = 1`; a Feature is one of lists of bytes (1),
floats (2) and int64 (3), in the wire format of protocol buffers.
"""

import base64
from collections.abc import Collection, Iterator

import msgspec
import numpy as np

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_BYTES_LIST, _FLOAT_LIST, _INT64_LIST = 1, 2, 3

_encode = msgspec.json.Encoder().encode

_Field = tuple[int, int, int | memoryview, int, int]
"""Number, wire type, value, and where it begins and ends."""


def fields(blob: bytes) -> dict[str, bytes]:
    """Return the JSON text of each field: of its value if it has one, else of an array.

    Bytes are strings if they are UTF-8, else `{"b64": ...}`; floats are the shortest that are the same
    float32, NaN and infinities null. Raises ValueError for what is no Example.
    """
    found: dict[str, bytes] = {}
    for features in _features(blob):
        for entry in _messages(features):
            name, feature = _entry(entry)
            values = _values(feature)
            found[name] = _encode(values[0] if len(values) == 1 else values)
    return found


def without(blob: bytes, names: Collection[str]) -> bytes:
    """Return an Example without some of its fields; everything else is as it was, byte for byte.

    Raises ValueError for what is no Example.
    """
    parts: list[bytes] = []
    for number, wire, value, begin, end in _wire(memoryview(blob)):
        if number != 1 or wire != _BYTES or isinstance(value, int):
            parts.append(blob[begin:end])
            continue
        kept = b"".join(
            bytes(value[at:until])
            for number, _, entry, at, until in _wire(value)
            if number != 1 or isinstance(entry, int) or _entry(entry)[0] not in names
        )
        parts.append(b"\x0a" + _varint(len(kept)) + kept)
    return b"".join(parts)


def _features(blob: bytes) -> Iterator[memoryview]:
    yield from _messages(memoryview(blob))


def _messages(content: memoryview) -> Iterator[memoryview]:
    """Yield the messages that are field 1."""
    for number, wire, value, _, _ in _wire(content):
        if number == 1:
            if wire != _BYTES or isinstance(value, int):
                raise ValueError("no tf.train.Example: a message was expected")
            yield value


def _entry(content: memoryview) -> tuple[str, memoryview]:
    name, feature = "", memoryview(b"")
    for number, _, value, _, _ in _wire(content):
        if number in (1, 2) and isinstance(value, int):
            raise ValueError("no tf.train.Example: a field has no name or no values")
        if number == 1 and not isinstance(value, int):
            name = str(value, "utf-8")
        elif number == 2 and not isinstance(value, int):
            feature = value
    return name, feature


def _values(feature: memoryview) -> list[object]:
    values: list[object] = []
    for number, wire, value, _, _ in _wire(feature):
        if number not in (_BYTES_LIST, _FLOAT_LIST, _INT64_LIST):
            continue
        if wire != _BYTES or isinstance(value, int):
            raise ValueError("no tf.train.Example: a list of values was expected")
        read = {_BYTES_LIST: _of_bytes, _FLOAT_LIST: _of_floats, _INT64_LIST: _of_integers}[number]
        values = [one for item in _wire(value) if item[0] == 1 for one in read(item)]
    return values


def _of_bytes(item: _Field) -> list[object]:
    if isinstance(item[2], int):
        raise ValueError("no tf.train.Example: bytes were expected")
    content = bytes(item[2])
    try:
        return [content.decode()]
    except UnicodeDecodeError:
        return [{"b64": base64.b64encode(content).decode()}]


def _of_floats(item: _Field) -> list[object]:
    _, wire, value, _, _ = item
    if wire == _FIXED32 and isinstance(value, int):
        values = np.array([value], "<u4").view("<f4")
    elif not isinstance(value, int) and wire == _BYTES and len(value) % 4 == 0:
        values = np.frombuffer(value, "<f4")
    else:
        raise ValueError("no tf.train.Example: floats were expected")
    return [float(str(one)) if np.isfinite(one) else None for one in values]


def _of_integers(item: _Field) -> list[object]:
    _, wire, value, _, _ = item
    if isinstance(value, int):
        if wire != _VARINT:
            raise ValueError("no tf.train.Example: integers were expected")
        return [_signed(value)]
    values: list[object] = []
    at = 0
    while at < len(value):
        one, at = _read_varint(value, at)
        values.append(_signed(one))
    return values


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _wire(content: memoryview) -> Iterator[_Field]:
    """Yield the fields of a message; raises ValueError where it is none."""
    at = 0
    while at < len(content):
        begin = at
        key, at = _read_varint(content, at)
        number, wire = key >> 3, key & 7
        value: int | memoryview
        if not number:
            raise ValueError("no tf.train.Example: a field has the number 0")
        if wire == _VARINT:
            value, at = _read_varint(content, at)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
            value, at = int.from_bytes(content[at : at + size], "little"), at + size
        elif wire == _BYTES:
            size, at = _read_varint(content, at)
            value, at = content[at : at + size], at + size
        else:
            raise ValueError(f"no tf.train.Example: it has a field of wire type {wire}")
        if at > len(content):
            raise ValueError("no tf.train.Example: it ends within a field")
        yield number, wire, value, begin, at


def _read_varint(content: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(content) and shift < 70:
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
    raise ValueError("no tf.train.Example: it ends within a number")


def _varint(value: int) -> bytes:
    content = bytearray()
    while value >= 0x80:
        content.append(value & 0x7F | 0x80)
        value >>= 7
    content.append(value)
    return bytes(content)
