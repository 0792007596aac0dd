"""Where the rows and cells of CSV text are: RFC 4180, as the standard library's module has it.

A quote opens a cell only where the cell begins, so that one in the middle of a cell (`5" pipe`) costs nothing
beyond it. Ordinary text is judged as a whole; text in which quotes are elsewhere is walked through.
"""

import re

import numpy as np
from numpy.typing import NDArray

from trivet.sources.lines import LF, line_ends

_LARGE = 4 << 20
"""Quotes and line ends that are looked at all at once: where each is takes eight bytes."""

_QUOTE, _COMMA, _CR = b'",\r'
_QUOTES = re.compile(rb'"+')
_NEXT = re.compile(rb',"|\n')  # what matters after the beginning of a cell


class RowEnds:
    """Records are rows: lines, but for those that end within quotes."""

    telltale = b'"'

    def first(self, text: bytes) -> int:
        """Return where the first row ends."""
        return _row_end(text, 0)[0]

    def last(self, text: bytes) -> int:
        """Return where the last whole row ends."""
        if b'"' not in text:
            return text.rfind(b"\n") + 1
        ends = self.ends(text)
        return int(ends[-1]) if len(ends) else 0

    def ends(self, text: bytes) -> NDArray[np.intp]:
        """Return where each row ends that does; blank lines are counted, too."""
        many = len(text) > _LARGE and text.count(b'"') + line_ends(text) > _LARGE
        quotes = None if many else tidy_quotes(text)
        if quotes is not None:
            ends = np.flatnonzero(np.frombuffer(text, np.uint8) == LF) + 1
            within = np.searchsorted(quotes, ends) % 2 == 1
            return np.delete(ends, np.flatnonzero(within))
        found = []
        end, _ = _row_end(text, 0)
        while end:
            found.append(end)
            end, _ = _row_end(text, end)
        return np.array(found, np.intp)

    def count(self, text: bytes) -> int:
        """Return how many rows end."""
        return line_ends(text) if b'"' not in text else len(self.ends(text))

    def collapse(self, text: bytes) -> bytes:
        """Return a short text for the beginning of a row, that goes on in the same way."""
        _, opened = _row_end(text, 0)
        if not opened:
            return b"x," if text.endswith(b",") else b"x"
        run = len(text) - max(len(text.rstrip(b'"')), opened)  # the last of them may close the cell, or not
        return b'"x' + b'"' * (2 - run % 2 if run else 0)


def tidy_quotes(text: bytes) -> NDArray[np.intp] | None:
    """Return where the quotes are, in text that begins with a row, if they are all where they ought to be.

    They open a cell where it begins, and close it where it ends, or are doubled; then every other one closes.
    """
    content = np.frombuffer(text, np.uint8)
    quotes = np.flatnonzero(content == _QUOTE)
    opens, closes = quotes[::2], quotes[1::2]
    before = content[opens[opens > 0] - 1]
    if not ((before == _COMMA) | (before == LF) | (before == _QUOTE)).all():
        return None
    closes = closes[closes < len(text) - 1]
    after = content[closes + 1]
    returns = closes[(after == _CR) & (closes < len(text) - 2)]
    if (content[returns + 2] != LF).any():
        return None
    if not ((after == _COMMA) | (after == LF) | (after == _QUOTE) | (after == _CR)).all():
        return None
    return quotes


def cells_of(row: bytes) -> list[bytes] | None:
    """Return the cells of a row without its line end, as they are written; None for one that no cell can be.

    A cell that begins with a quote ends with one; text after that is an error.
    """
    if b'"' not in row:
        return row.split(b",")
    cells = []
    at = 0
    row += b","  # every cell ends with one
    while at < len(row):
        end = row.find(b",", at)
        if row.startswith(b'"', at):
            end = _closing(row, at + 1)
            if row[end : end + 1] != b",":
                return None
        cells.append(row[at:end])
        at = end + 1
    return cells


def _row_end(text: bytes, at: int) -> tuple[int, int]:
    """Return where the row ends that begins at a place; or 0, and, if it is within quotes there, the place
    after the quote that opened them."""
    within = text.startswith(b'"', at)
    at += within
    while True:
        if within:
            closed = _closing(text, at)
            if not closed:
                return 0, at
            at = closed
        found = _NEXT.search(text, at)
        if found is None:
            return 0, 0
        at = found.end()
        if found[0] == b"\n":
            return at, 0
        within = True


def _closing(text: bytes, at: int) -> int:
    """Return the place after the quote that closes a cell; 0 where none is known to."""
    for run in _QUOTES.finditer(text, at):
        if (run.end() - run.start()) % 2:
            return run.end() if run.end() < len(text) else 0
    return 0
