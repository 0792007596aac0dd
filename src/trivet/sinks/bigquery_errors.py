"""Lines of errors, as files have them, as rows of a table: the columns of their instances, and the error."""

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from typing import IO, Any

import msgspec
import numpy as np

from trivet.core.instances import Predictions
from trivet.sinks.base import Outputs, Results
from trivet.sinks.bigquery_rows import ERRORS, Lines
from trivet.sinks.columns import RECORD, fields
from trivet.storage.targets import Target

_ROWS = 4096


class Line(msgspec.Struct, gc=False):
    """One error: its instance, or the key of that."""

    error: msgspec.Raw
    instance: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    key: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    source: msgspec.Raw = msgspec.Raw(b"null")
    offset: msgspec.Raw = msgspec.Raw(b"null")


_read = msgspec.json.Decoder(Line).decode


def write_errors(folder: Target, lines: str, name: str, outputs: Outputs) -> None:
    """Write a file of rows of a file of lines, over what an earlier try has left of it."""
    with ExitStack() as stack, folder.failures():
        file = stack.enter_context(folder.read(lines))
        upload = folder.open(name)
        stack.callback(upload.discard)
        rows = Lines(upload, outputs)
        for some in _runs(file):
            own: dict[str, Any] = {ERRORS: [bytes(one.error) for one in some]}
            if outputs.native:
                own |= {RECORD[0]: [one.source for one in some], RECORD[1]: [one.offset for one in some]}
            rows.add_columns(fields(_results(some), b"null", native=outputs.native), own)
        rows.end().commit()


def _runs(file: IO[bytes]) -> Iterator[list[Line]]:
    """Yield lines that are alike: with keys, or without."""
    while block := [_read(line) for line in islice(file, _ROWS)]:
        start = 0
        for at in range(1, len(block) + 1):
            if at == len(block) or (block[at].key is msgspec.UNSET) != (block[start].key is msgspec.UNSET):
                yield block[start:at]
                start = at


def _results(lines: list[Line]) -> Results:
    nothing = Predictions({"": np.zeros(len(lines))}, len(lines))
    if lines[0].key is msgspec.UNSET:
        shown = [bytes(one.instance) for one in lines]  # type: ignore[arg-type]
        return Results("", range(len(lines)), shown, None, nothing)
    return Results("", range(len(lines)), None, [bytes(one.key) for one in lines], nothing)  # type: ignore[arg-type]
