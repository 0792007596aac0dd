"""Lists of files, one path or URI a line: each record is the bytes of one, shown by what its line says.

A path that is relative is so to the list. What is missing, or cannot be read, costs only itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from trivet.core.batch import Kind, Shard
from trivet.core.errors import ServingError
from trivet.sources.base import Blobs, Inputs, Records, Unreadable
from trivet.sources.jsonl import lines
from trivet.sources.lines import BLOCK, KEPT, LONGEST, LineEnds, TextFiles, numbered

_LIST_BYTES = 64 << 10
"""How finely lists are cut: the files are far larger."""

_MOST = 256  # files in a batch

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class FileLists:
    """The source of file lists."""

    kind: Kind = field(default="blobs", init=False)

    def plan(self, inputs: Inputs) -> Iterator[Shard]:
        """Cut lists at line ends."""
        text = TextFiles(LineEnds(), inputs, min(inputs.shard_bytes, _LIST_BYTES))
        found = text.files.find(inputs.uris)
        return numbered(shard for file in found for shard in text.shards(file, text.look(file)))

    def read(self, shard: Shard, inputs: Inputs) -> Iterator[Records]:
        """Read the files."""
        text = TextFiles(LineEnds(), inputs)
        offset = shard.first
        for block in text.blocks(shard):
            listed, offset = lines(block, offset)
            batch = _Batch(list(listed.unreadable))
            for at, line in zip(listed.offsets, listed.texts, strict=True):
                if batch.size >= BLOCK or len(batch.offsets) + len(batch.bad) >= _MOST:
                    yield batch.records(0)
                    batch = _Batch()
                named = line.decode().strip()
                try:
                    content = text.files.read(_resolve(shard.uri, named), LONGEST)
                except ServingError as error:
                    batch.bad.append(Unreadable(at, line[:KEPT], str(error)))
                else:
                    batch.add(at, content, named)
            yield batch.records(block.size)


@dataclass(slots=True)
class _Batch:
    bad: list[Unreadable] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    blobs: list[bytes] = field(default_factory=list)
    labels: list[bytes] = field(default_factory=list)
    size: int = 0

    def add(self, offset: int, content: bytes, named: str) -> None:
        self.offsets.append(offset)
        self.blobs.append(content)
        self.labels.append(_encode(named))
        self.size += len(content)

    def records(self, size: int) -> Blobs:
        return Blobs(self.offsets, self.bad, size, self.blobs, self.labels)


def _resolve(listing: str, named: str) -> str:
    if "://" in named or named.startswith("/"):
        return named
    if "://" in listing:
        return listing[: listing.rfind("/") + 1] + named
    return str(Path(listing).parent / named)


SOURCE = FileLists()
