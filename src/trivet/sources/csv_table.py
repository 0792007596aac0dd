"""A block of CSV text as a table.

There are three ways, from the fastest: text that is only numbers, taken whole; text whose every row has its
cells, by column; and row by row, which sets aside what cannot be read.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np

from trivet.sources.base import Table, Unreadable
from trivet.sources.csv_cells import Numbers, as_numbers, column, exact
from trivet.sources.csv_rows import RowEnds, cells_of, tidy_quotes
from trivet.sources.jsonl import NOT_UTF8, is_utf8
from trivet.sources.lines import KEPT, LF, Block

_ENDS = RowEnds()
_COMMA, _POINT = ord(","), ord(".")
_NO_NUMBER = b'[]" \t\r'
"""Bytes that JSON may have within an array besides numbers; whatever else may not be there, it refuses."""

_BETWEEN = b"\x03"
_HIDDEN = bytes.maketrans(b",\n", b"\x01\x02")
_SHOWN = bytes.maketrans(b"\x01\x02", b",\n")


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns that every row has, and how their cells are read."""

    names: tuple[str, ...]
    strict: bool


class _Split(Sequence[bytes]):
    """The parts of a text, found when somebody asks."""

    __slots__ = ("_count", "_parts", "_separator", "_text")

    def __init__(self, text: bytes, separator: bytes, count: int) -> None:
        self._text, self._separator, self._count = text, separator, count
        self._parts: list[bytes] | None = None

    def all(self) -> list[bytes]:
        if self._parts is None:
            self._parts = self._text.split(self._separator)
        return self._parts

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.all())

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        return self.all()[index]


class _Columns(Sequence[Sequence[bytes]]):
    """The columns of cells that are all in one text, found when somebody asks."""

    __slots__ = ("_cells", "_names")

    def __init__(self, cells: _Split, names: int) -> None:
        self._cells, self._names = cells, names

    def __len__(self) -> int:
        return self._names

    @overload
    def __getitem__(self, index: int) -> Sequence[bytes]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Sequence[bytes]]: ...
    def __getitem__(self, index: int | slice) -> Sequence[bytes] | Sequence[Sequence[bytes]]:
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(self._names))]
        if not -self._names <= index < self._names:
            raise IndexError(index)
        return self._cells.all()[index % self._names :: self._names]


def table(block: Block, offset: int, layout: Layout) -> tuple[Table, int]:
    """Return the rows of a block, whose first is at an offset, and the offset after them."""
    if block.problem:
        bad = (Unreadable(offset, block.text, block.problem),)
        return Table((), bad, block.size, layout.names, [()] * len(layout.names)), offset + 1
    text = block.text
    if text and not text.endswith(b"\n"):
        text += b"\n"
    as_it_is = text
    if b"\r" in text and b'"' not in text:
        text = text.replace(b"\r\n", b"\n")
    whole = _numbers(text, layout)
    if whole is None:
        columns = _even(text, layout)
        if columns is None:
            return row_by_row(as_it_is, offset, block.size, layout)
        offsets = range(offset, offset + len(columns[0]))
        return by_column(offsets, columns, block.size, layout, lambda: _split_rows(as_it_is)), offsets.stop
    whole.offsets = range(offset, offset + len(whole.offsets))
    whole.size = block.size
    return whole, whole.offsets.stop


def _numbers(text: bytes, layout: Layout) -> Table | None:
    """Return a table of numbers; None where the text is not that of rows of numbers alone."""
    width = len(layout.names)
    content = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero((content == _COMMA) | (content == LF))
    count = len(ends) // width if width else 0
    if not count or content[ends].tobytes() != (b"," * (width - 1) + b"\n") * count:
        return None
    if any(byte in text for byte in _NO_NUMBER):
        return None
    if layout.strict and np.count_nonzero(content == _POINT) != width * count:  # a number has at most one
        return None
    text = text[:-1]
    flat = text.replace(b"\n", b",")
    numbers = as_numbers(flat)
    if numbers is None or len(numbers) != count * width:
        return None
    held = exact(numbers)
    cells = _Columns(_Split(flat, b",", count * width), width)
    return Table(
        range(count),
        (),
        0,
        layout.names,
        cells,
        None if held is None else held.reshape(count, width),
        text,
        ends[:-1],
        None if layout.strict else cells,
    )


def _even(text: bytes, layout: Layout) -> list[list[bytes]] | None:
    """Return the cells of rows that all are as they should be, by column; None where one may not be."""
    width = len(layout.names)
    if not text or not is_utf8(text):
        return None
    hidden = b'"' in text
    if hidden:
        if tidy_quotes(text) is None or any(byte in text for byte in (b"\x01", b"\x02", _BETWEEN)):
            return None
        text = _hide(text).replace(b"\r\n", b"\n")
    content = np.frombuffer(text, np.uint8)
    separators = content[(content == _COMMA) | (content == LF)]
    if len(separators) % width or separators.tobytes() != (b"," * (width - 1) + b"\n") * (
        len(separators) // width
    ):
        return None
    if text.startswith(b"\n") or b"\n\n" in text or not text.endswith(b"\n"):
        return None
    cells = text[:-1].replace(b"\n", b",").split(b",")
    columns = [cells[index::width] for index in range(width)]
    return [_show(column) for column in columns] if hidden else columns


def _hide(text: bytes) -> bytes:
    """Replace the commas and line ends within quotes, which are tidy, by bytes that are nowhere in it."""
    content = np.frombuffer(text, np.uint8)
    within = (np.cumsum(content == ord('"'), dtype=np.uint8) & 1).astype(bool)
    lookup = np.frombuffer(_HIDDEN, np.uint8)
    return np.where(within, lookup[content], content).tobytes()


def _show(cells: list[bytes]) -> list[bytes]:
    joined = _BETWEEN.join(cells)
    if b"\x01" in joined or b"\x02" in joined:
        return joined.translate(_SHOWN).split(_BETWEEN)
    return cells


def row_by_row(text: bytes, offset: int, size: int, layout: Layout) -> tuple[Table, int]:
    """Return the rows of a text, and the offset after them; what cannot be read is set aside."""
    offsets: list[int] = []
    cells: list[bytes] = []
    good: list[bytes] = []
    bad: list[Unreadable] = []
    at = 0
    ends = _ENDS.ends(text).tolist()
    for index, end in enumerate(ends, offset):
        row = text[at:end].removesuffix(b"\n").removesuffix(b"\r")
        at = end
        if not row:
            continue
        found = cells_of(row)
        if wrong := _wrong(row, found, layout):
            bad.append(Unreadable(index, row[:KEPT], wrong))
            continue
        offsets.append(index)
        cells += found or ()
        good.append(row)
    after = offset + len(ends)
    if at < len(text):
        rest = text[at:].removesuffix(b"\n")
        bad.append(Unreadable(after, rest[:KEPT], "a quote that is never closed"))
        after += 1
    whole = _numbers(b"\n".join(good) + b"\n", layout) if good else None
    if whole is None:
        width = len(layout.names)
        columns = [cells[index::width] for index in range(width)]
        whole = by_column(offsets, columns, size, layout, lambda: good)
    else:
        whole.offsets, whole.size = offsets, size
    whole.unreadable = sorted((*whole.unreadable, *bad), key=lambda one: one.offset)
    return whole, after


def _wrong(row: bytes, cells: list[bytes] | None, layout: Layout) -> str:
    if not is_utf8(row):
        return NOT_UTF8
    if cells is None:
        return "text after a closing quote"
    if len(cells) != len(layout.names):
        names = ", ".join(layout.names[:8]) + (", ..." if len(layout.names) > 8 else "")
        return f"expected {len(layout.names)} cells ({names}); got {len(cells)}"
    return ""


def by_column(
    offsets: Sequence[int],
    written: Sequence[Sequence[bytes]],
    size: int,
    layout: Layout,
    rows: Callable[[], Sequence[bytes]],
) -> Table:
    """Read the cells of rows that have all of them; `rows` gives the text of each, should it be needed."""
    if not offsets:
        return Table((), (), size, layout.names, [()] * len(layout.names))
    refused: dict[int, str] = {}
    columns: list[list[bytes]] = []
    numbers: list[Numbers] = []
    for name, cells in zip(layout.names, written, strict=True):
        texts, values, wrong = column(cells, strict=layout.strict)
        columns.append(texts)
        if values is not None:
            numbers.append(values)
        for row, why in wrong.items():
            shown = cells[row][:100].decode("utf-8", "backslashreplace")
            refused.setdefault(row, f"column {name}: {why}: {shown}")
    if refused:
        told = rows()
        bad = [Unreadable(offsets[row], told[row][:KEPT], refused[row]) for row in sorted(refused)]
        kept = [row for row in range(len(offsets)) if row not in refused]
        good = [[texts[row] for row in kept] for texts in columns]
        return Table([offsets[row] for row in kept], bad, size, layout.names, good)
    whole = np.column_stack(numbers) if len(numbers) == len(columns) else None
    native = None if layout.strict else written
    return Table(offsets, (), size, layout.names, columns, whole, written=native)


def _split_rows(text: bytes) -> list[bytes]:
    ends = _ENDS.ends(text).tolist()
    begins = [0, *ends[:-1]]
    return [
        text[begin:end].removesuffix(b"\n").removesuffix(b"\r")
        for begin, end in zip(begins, ends, strict=True)
    ]
