"""CSV files: a header, a column for each field of the instances, and the prediction.

Strings are quoted and nothing else is but the JSON texts of arrays and objects, so that the text "5", the
number 5 and null, which is an empty cell, can be told apart. A prediction is its value, or a JSON text.
"""

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from io import TextIOWrapper
from typing import IO, Any, BinaryIO

import msgspec

from trivet.codecs.json_body import prediction_texts
from trivet.sinks.base import Outputs, Results
from trivet.sinks.columns import PREDICTION, RECORD, fields
from trivet.sinks.files import FileSink, Rewrite, text, unicode
from trivet.sinks.jsonl import numbers
from trivet.storage.targets import Upload

_string = msgspec.json.Decoder(str).decode
_CELL = re.compile(rb'((?:"[^"]*")*|[^",]*),')
_ODD = (b"\\", b"[", b"{", b"null")


class Table:
    """Writes the rows of one shard. Where a column turns up late, what is there is written anew with it."""

    def __init__(self, new: Callable[[], Upload], *, native: bool) -> None:
        self._new = new
        self._upload = new()
        self._native = native
        self._answers = (PREDICTION, *RECORD) if native else (PREDICTION,)
        self._names: tuple[str, ...] | None = None  # of the instances; None before there is a header

    def add(self, results: Results) -> None:
        """Write a row for each prediction."""
        count = results.predictions.count
        if not count:
            return
        found = fields(results, b"", native=self._native)
        self._have(tuple(found))
        nothing = [b""] * count
        columns = [cells(found[name]) if name in found else nothing for name in self._names or ()]
        columns.append(cells(prediction_texts(results.predictions)))
        if self._native:
            columns += [cells([text(results.uri)]) * count, numbers(results.offsets)]
        rows = b"\n".join(map(b",".join, zip(*columns, strict=True)))
        self._upload.file.write(rows + b"\n")

    def end(self) -> Upload:
        """Return the file; without rows it has the header, as far as that is known."""
        self._have(())
        return self._upload

    def discard(self) -> None:
        """Give the file up."""
        self._upload.discard()

    def _have(self, names: tuple[str, ...]) -> None:
        """See to it that the file has these columns."""
        if self._names is None:
            self._names = names
            self._upload.file.write(_header((*names, *self._answers)))
        elif more := tuple(name for name in names if name not in self._names):
            self._names += more
            before, self._upload = self._upload, self._new()
            try:
                before.file.seek(0)
                widen(before.file, self._upload.file, (*self._names, *self._answers))
            finally:
                before.discard()


def cells(column: Sequence[Any]) -> list[Any]:
    """Return JSON texts as they stand in a cell; as they are, where that is the same for all of them."""
    whole = b"\n".join(column)
    return [_cell(bytes(one)) for one in column] if any(odd in whole for odd in _ODD) else list(column)


def _cell(value: bytes) -> bytes:
    if value == b"null":
        return b""
    if value[:1] in (b"[", b"{"):
        return _quoted(value)
    if value[:1] == b'"' and b"\\" in value:
        try:
            return _quoted(_string(value).encode())
        except ValueError:  # half a surrogate pair, which only JSON can write
            return _quoted(value)
    return value


def _quoted(value: bytes) -> bytes:
    return b'"%b"' % value.replace(b'"', b'""')


def _header(names: Sequence[str]) -> bytes:
    return b",".join([_quoted(unicode(name).encode()) for name in names]) + b"\n"


def header(file: IO[bytes]) -> tuple[str, ...]:
    """Read the names of a file's columns."""
    reader = TextIOWrapper(file, "utf-8", newline="")
    try:
        return tuple(next(csv.reader(reader)))
    finally:
        reader.detach()


def widen(source: IO[bytes], file: IO[bytes], names: Sequence[str]) -> None:
    """Copy a file that was written here, with more columns than it has; their cells are empty."""
    rows = _rows(source)
    here = [name.decode() for name in (one[1:-1].replace(b'""', b'"') for one in next(rows))]
    places = [here.index(name) if name in here else -1 for name in names]
    file.write(_header(names))
    for row in rows:
        row.append(b"")  # which is at -1
        file.write(b",".join([row[place] for place in places]) + b"\n")


def _rows(file: IO[bytes]) -> Iterator[list[bytes]]:
    """Yield the cells of each row, as they are written."""
    begun: list[bytes] = []
    quotes = 0
    for line in file:
        begun.append(line)
        quotes += line.count(b'"')
        if quotes % 2 == 0:
            yield _CELL.findall(b"".join(begun)[:-1] + b",")
            begun, quotes = [], 0


class Csv:
    """Files have the same columns, in the order in which they turn up first."""

    tabular = True
    suffix = ""

    def check(self) -> None:
        """Need nothing."""

    def begin(self, outputs: Outputs, new: Callable[[], Upload]) -> Table:
        """Begin the rows of a shard."""
        return Table(new, native=outputs.native)

    def agree(self, parts: Sequence[Callable[[], BinaryIO]]) -> Mapping[int, Rewrite]:
        """Give all parts all columns."""
        headers = []
        for read in parts:
            with read() as file:
                headers.append(header(file))
        instances: dict[str, None] = {}
        answers: tuple[str, ...] = ()
        for names in headers:
            cut = names.index(PREDICTION)
            instances.update(dict.fromkeys(names[:cut]))
            answers = names[cut:]
        all_names = (*instances, *answers)
        return {
            index: partial(_widened, read, all_names)
            for index, (read, names) in enumerate(zip(parts, headers, strict=True))
            if names != all_names
        }


def _widened(read: Callable[[], BinaryIO], names: Sequence[str], file: IO[bytes]) -> None:
    with read() as source:
        widen(source, file, names)


SINK = FileSink(Csv())
