"""The elements of a JSON array while it is still coming."""

import re
from collections.abc import Iterator

_OUTSIDE = re.compile(rb'["\[\]{},]')
_INSIDE = re.compile(rb'["\\]')
_SPACE = b" \t\r\n"


class Elements:
    """Takes an array in pieces, and gives each element as soon as it is there.

    What is not an array is one element. Nothing is checked but brackets and quotes: the elements are for a
    parser.
    """

    def __init__(self) -> None:
        self._text = bytearray()
        self._looked = 0  # so much of the text has been looked at
        self._depth = 0
        self._in_string = False
        self._base = -1  # the depth of elements: 1 in an array; not known yet

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Take a piece, and yield the elements that it completes."""
        self._text += piece
        if self._base < 0 and (start := self._text.lstrip(_SPACE)):
            self._text, self._base = start, 1 if start.startswith(b"[") else 0
        while self._base >= 0:
            pattern = _INSIDE if self._in_string else _OUTSIDE
            found = pattern.search(self._text, self._looked)
            if found is None:
                self._looked = len(self._text)
                return
            mark, end = found[0], found.end()
            if mark == b"\\":
                if end == len(self._text):
                    self._looked = end - 1  # what is escaped comes later
                    return
                self._looked = end + 1
                continue
            self._looked = end
            yield from self._seen(mark, end)

    def close(self) -> bytes:
        """Return what is left in the end: an element that is not in an array, or nothing."""
        left = bytes(self._text.strip(_SPACE))
        return left if self._base == 0 else b""

    @property
    def is_whole(self) -> bool:
        """Whether the array has ended."""
        return self._depth == 0 and not self._in_string and self._base >= 0

    def _seen(self, mark: bytes, end: int) -> Iterator[bytes]:
        if mark == b'"':
            self._in_string = not self._in_string
        elif mark in b"[{":
            self._depth += 1
            if self._depth == self._base:
                self._cut(end)
        elif mark in b"]}":
            self._depth -= 1
            if self._base == 1 and self._depth == 1:
                yield from self._element(end, end)
            elif self._base == 1 and self._depth == 0:
                yield from self._element(end - 1, end)
        elif self._base == self._depth == 1:
            yield from self._element(end - 1, end)

    def _element(self, until: int, end: int) -> Iterator[bytes]:
        element = bytes(self._text[:until].strip(_SPACE))
        self._cut(end)
        if element:
            yield element

    def _cut(self, end: int) -> None:
        del self._text[:end]
        self._looked = 0
