"""CSV files with a header, comma-separated, as RFC 4180 has them.

Text that is only numbers is taken whole; the rest cell by cell. Both ways come to the same. A record's
offset is the number of its row after the header; blank lines are no records, but are counted.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from trivet.core.batch import Kind, Shard
from trivet.core.errors import FailedPrecondition
from trivet.sources.base import Inputs, Records
from trivet.sources.csv_cells import column
from trivet.sources.csv_rows import RowEnds, cells_of
from trivet.sources.csv_table import Layout, table
from trivet.sources.jsonl import is_utf8
from trivet.sources.lines import BOM, Block, Details, TextFiles, blocks, numbered, opened
from trivet.storage.inputs import Found


@dataclass(frozen=True, slots=True)
class CsvFiles:
    """The source of CSV files."""

    kind: Kind = field(default="rows", init=False)

    def plan(self, inputs: Inputs) -> Iterator[Shard]:
        """Read the header of each file, and cut it at row ends.

        Raises FailedPrecondition for a header that cannot be one. Where `inputs.strict`, rows become arrays,
        so that files whose columns are not the same, in order, are refused, too.
        """
        text = TextFiles(RowEnds(), inputs)
        found = text.files.find(inputs.uris)
        begun = [_begin(text, file) for file in found]
        if inputs.strict:
            _check_same(found, [details["header"] for details, _ in begun])
        return numbered(
            shard
            for file, (details, start) in zip(found, begun, strict=True)
            for shard in text.shards(file, details, 0 if "compression" in details else start)
        )

    def read(self, shard: Shard, inputs: Inputs) -> Iterator[Records]:
        """Read rows."""
        names = tuple(shard.details["header"])
        layout = Layout(names, strict=inputs.strict)
        offset = shard.first
        for block in TextFiles(RowEnds(), inputs).blocks(shard, shard.details.get("skip", 0)):
            records, offset = table(block, offset, layout)
            yield records


def _begin(text: TextFiles, file: Found) -> tuple[Details, int]:
    """Return what the shards of a file must know, and the byte of its content after the header."""
    details = text.look(file)
    names: Sequence[str] = ()
    with closing(opened(text.files, Shard(0, file.uri, 0, file.size, details=details))) as stream:
        start = len(BOM) if stream.skip(BOM) else 0
        for block in blocks(stream, RowEnds(), _HEAD):
            end, names = _header(file.uri, block)
            start += end
            if names:
                break
    details["header"] = list(names)
    if "compression" in details:
        details["skip"] = start
    return details, start


_HEAD = 64 << 10


def _header(uri: str, block: Block) -> tuple[int, Sequence[str]]:
    """Return the names in the first row of a block that is not blank, and where it ends; none if all are."""
    if block.problem:
        raise FailedPrecondition(f"{uri}: no header can be read: {block.problem}")
    text, at = block.text, 0
    for end in (*RowEnds().ends(text).tolist(), len(text)):
        row = text[at:end].removesuffix(b"\n").removesuffix(b"\r")
        if row:
            return end, _names(uri, row)
        at = end
    return len(text), ()


def _names(uri: str, row: bytes) -> Sequence[str]:
    shown = row[:200].decode("utf-8", "backslashreplace")
    if not is_utf8(row):
        raise FailedPrecondition(f"{uri}: the header is not UTF-8: {shown}")
    cells = cells_of(row)
    if cells is None:
        raise FailedPrecondition(f"{uri}: the quotes of the header do not fit together: {shown}")
    names = [(cell[1:-1].replace(b'""', b'"') if cell.startswith(b'"') else cell).decode() for cell in cells]
    unnamed = [index for index, name in enumerate(names, 1) if not name.strip()]
    if unnamed:
        raise FailedPrecondition(f"{uri}: column {unnamed[0]} of the header has no name: {shown}")
    twice = [name for index, name in enumerate(names) if name in names[:index]]
    if twice:
        raise FailedPrecondition(f"{uri}: the header names a column twice: {', '.join(dict.fromkeys(twice))}")
    if any(b"." in cell for cell in cells) and column(cells, strict=False)[1] is not None:
        raise FailedPrecondition(f"{uri}: has no header: its first row is numbers: {shown}")
    return names


def _check_same(found: Sequence[Found], headers: Sequence[Sequence[str]]) -> None:
    named = [(file.uri, names) for file, names in zip(found, headers, strict=True) if names]
    for uri, names in named[1:]:
        if names != named[0][1]:
            raise FailedPrecondition(
                f"{uri}: its columns are {', '.join(names)[:200]}, and those of {named[0][0]} are "
                f"{', '.join(named[0][1])[:200]}; as rows are sent as arrays, give them to jobs of their own"
            )


SOURCE = CsvFiles()
