"""JSON lines: a row is `{"instance": ..., "prediction": ...}`, in the order of the records.

Rows are put together from texts that are there already; nothing of an instance is parsed.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import BinaryIO

import msgspec

from trivet.codecs.json_body import prediction_texts
from trivet.sinks.base import Outputs, Results
from trivet.sinks.files import FileSink, Rewrite, text
from trivet.storage.targets import Upload

_encode = msgspec.json.Encoder().encode


class Lines:
    """Writes the lines of one shard."""

    def __init__(self, upload: Upload, *, native: bool) -> None:
        self._upload = upload
        self._native = native
        self._write = upload.file.write

    def add(self, results: Results) -> None:
        """Write a line for each row."""
        if results.predictions.count:
            self._write(lines(results, native=self._native))

    def end(self) -> Upload:
        """Return the file."""
        return self._upload

    def discard(self) -> None:
        """Give the file up."""
        self._upload.discard()


def lines(results: Results, *, native: bool) -> bytes:
    """Return the lines of some rows, of which there is at least one.

    The texts of a row and what stands between them are the entries of one list, joined once: a tenth of the
    time that it takes to format each row.
    """
    answers = prediction_texts(results.predictions)
    count = len(answers)
    before, name = _first(results)
    opening, middle, ending = b"{" + name, b',"prediction":' if name else b'"prediction":', b"}\n"
    values: list[Sequence[bytes]] = [[middle] * count, answers]
    if before is not None:
        values.insert(0, before)
    if native:
        values += [[b',"source":%b,"offset":' % text(results.uri)] * count, numbers(results.offsets)]
    width = len(values) + 1
    parts = [ending + opening] * (width * count + 1)  # what is between rows
    for index, column in enumerate(values, 1):
        parts[index::width] = column
    parts[0], parts[-1] = opening, ending
    return b"".join(parts)


def _first(results: Results) -> tuple[Sequence[bytes] | None, bytes]:
    """Return what stands for the instances, and how it is named."""
    if results.keys is not None:
        return results.keys, b'"key":'
    return results.shown, b"" if results.shown is None else b'"instance":'


def numbers(offsets: Sequence[int]) -> list[bytes]:
    """Return integers as texts."""
    return _encode(list(offsets))[1:-1].split(b",")


class Jsonl:
    """Lines need not agree with each other."""

    tabular = False
    suffix = ""

    def check(self) -> None:
        """Need nothing."""

    def begin(self, outputs: Outputs, new: Callable[[], Upload]) -> Lines:
        """Begin the lines of a shard."""
        return Lines(new(), native=outputs.native)

    def agree(self, parts: Sequence[Callable[[], BinaryIO]]) -> Mapping[int, Rewrite]:
        """Leave all parts as they are."""
        return {}


SINK = FileSink(Jsonl())
