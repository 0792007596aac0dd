"""What text formats share: files cut where records begin, and read in blocks of whole records.

How long a record is depends on its text alone, never on where a file is cut; so any cut gives the same
records and offsets. Memory is bounded by the longest record that is taken.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trivet.core.batch import Shard
from trivet.sources.base import Inputs
from trivet.storage.inputs import Files, Found
from trivet.storage.streams import Corrupt, Inflating, Stream, compression

BLOCK = 1 << 20
"""Bytes that are read at once, and so about the size of a batch."""

LONGEST = 64 << 20
"""Bytes that a record may have; what is longer is Unreadable."""

MOST = 16_384
"""Records that are in one batch."""

LF = ord("\n")
BOM = b"\xef\xbb\xbf"

KEPT = 2000
"""Bytes of a record that cannot be read that are shown."""


class Splitter(Protocol):
    """Says where records end, in text that begins with one.

    Records are lines unless there is a `telltale` among them; where that is empty, they always are.
    """

    telltale: bytes

    def first(self, text: bytes) -> int:
        """Return where the first record ends, its line end included; 0 where it does not."""
        ...

    def last(self, text: bytes) -> int:
        """Return where the last whole record ends, its line end included; 0 where none does."""
        ...

    def ends(self, text: bytes) -> NDArray[np.intp]:
        """Return where each record ends that does; blank lines are counted, too."""
        ...

    def count(self, text: bytes) -> int:
        """Return how many records end in a text: the length of `ends`."""
        ...

    def collapse(self, text: bytes) -> bytes:
        """Return a short text for a long one in which no record ends, that goes on in the same way."""
        ...


class LineEnds:
    """Records are lines."""

    telltale = b""

    def first(self, text: bytes) -> int:
        """Return where the first line ends."""
        return text.find(b"\n") + 1

    def last(self, text: bytes) -> int:
        """Return where the last whole line ends."""
        return text.rfind(b"\n") + 1

    def ends(self, text: bytes) -> NDArray[np.intp]:
        """Return where each line ends."""
        return np.flatnonzero(np.frombuffer(text, np.uint8) == LF) + 1

    def count(self, text: bytes) -> int:
        """Return how many lines end."""
        return line_ends(text)

    def collapse(self, text: bytes) -> bytes:
        """Return any text: nothing but its end matters of a line."""
        return b"x"


def line_ends(text: bytes) -> int:
    """Return how many line ends there are in a text."""
    return int(np.count_nonzero(np.frombuffer(text, np.uint8) == LF))


@dataclass(slots=True)
class Block:
    """Whole records, the last of a file perhaps without its line end.

    With a `problem`, it is the beginning of one that cannot be read. `end` is where it ends in what is read,
    and `size` how much of the file was read for it.
    """

    text: bytes
    end: int
    size: int
    problem: str = ""


def blocks(stream: Stream, splitter: Splitter, size: int = BLOCK) -> Iterator[Block]:
    """Read whole records, about so many bytes at once; nothing is left out."""
    rest = head = b""  # what has not been told; and of a record that is too long, what is shown
    got = told = 0
    while True:
        wanted = BLOCK if head else max(1, min(max(size, len(rest)), LONGEST + 1 - len(rest)))
        try:
            piece = stream.read(wanted)
        except Corrupt as error:
            yield Block((head or rest)[:KEPT], got, stream.taken - told, str(error))
            return
        if not piece:
            break
        got += len(piece)
        text = rest + piece if rest else piece
        if head:
            end = splitter.first(text)
            if not end:
                rest = splitter.collapse(text)
                continue
            text = text[end:]
            yield Block(head, got - len(text), stream.taken - told, _too_long())
            told, head = stream.taken, b""
        end = splitter.last(text)
        rest = text[end:]
        if end:
            yield Block(text[:end], got - len(rest), stream.taken - told)
            told = stream.taken
        elif len(rest) > LONGEST:
            head, rest = rest[:KEPT], splitter.collapse(rest)
    if head:
        yield Block(head, got, stream.taken - told, _too_long())
    elif rest or stream.taken > told:
        yield Block(rest, got, stream.taken - told)


def _too_long() -> str:
    return f"longer than {LONGEST >> 20} MiB"


Details = dict[str, Any]
"""What the shards of a file must know, as JSON."""


class TextFiles:
    """The files of one text format: plans their shards, and reads the blocks of each."""

    def __init__(self, splitter: Splitter, inputs: Inputs, shard_bytes: int = 0) -> None:
        self.files = files_of(inputs)
        self._splitter = splitter
        self._shard_bytes = max(1, shard_bytes or inputs.shard_bytes)

    def look(self, file: Found) -> Details:
        """Return what all shards of a file must know, after a look at its first bytes."""
        with self.files.open(file.uri, 0, file.version) as opened:
            kind = compression(file.uri, opened.read(4))
        return {"version": file.version} | ({"compression": kind} if kind else {})

    def shards(self, file: Found, details: Details, start: int = 0) -> Iterator[Shard]:
        """Cut a file whose records begin at a byte; the shards are not numbered yet.

        A compressed file is not cut, and one that is large is read once, to know how many records come
        before each cut.
        """
        first, begin = 0, start
        if "compression" not in details and file.size - start > self._shard_bytes:
            for stop, count in self._cuts(file, details, start):
                yield Shard(0, file.uri, begin, stop, first, stop - begin, details)
                first, begin = first + count, stop
        if begin < file.size or begin == start:
            yield Shard(0, file.uri, begin, file.size, first, file.size - begin, details)

    def blocks(self, shard: Shard, skip: int = 0) -> Iterator[Block]:
        """Read a shard, without a byte order mark; `skip` bytes of the content come before its records."""
        with closing(opened(self.files, shard)) as stream:
            if skip:
                stream.read(skip)
            elif not shard.start:
                stream.skip(BOM)
            for block in blocks(stream, self._splitter):
                yield from self._parts(block)
        self.files.verify(shard.uri, shard.details.get("version", ""))

    def _parts(self, block: Block) -> Iterator[Block]:
        """Cut a block of very short records."""
        text = block.text
        if block.problem or line_ends(text) <= MOST:
            yield block
            return
        begin = 0
        for end in self._splitter.ends(text)[MOST - 1 :: MOST].tolist():
            if end < len(text):
                yield Block(text[begin:end], block.end - len(text) + end, 0)
                begin = end
        yield Block(text[begin:], block.end, block.size)

    def _cuts(self, file: Found, details: Details, start: int) -> Iterable[tuple[int, int]]:
        """Return where shards end, but for the last, and how many records each has."""
        cuts = self._where_lines_end(file, details, start)
        return self._where_records_end(file, details, start) if cuts is None else cuts

    def _where_lines_end(self, file: Found, details: Details, start: int) -> list[tuple[int, int]] | None:
        """Cut without a look at what lines are; None where a line may not be a record, which a byte tells."""
        size = min(BLOCK, self._shard_bytes)  # so that there is one cut at most in what is read at once
        buffer, is_end = bytearray(size), np.empty(size, np.bool_)
        content, cuts = np.frombuffer(buffer, np.uint8), []
        at = begin = count = 0
        with closing(opened(self.files, Shard(0, file.uri, start, file.size, details=details))) as stream:
            while got := stream.read_into(buffer):
                if self._splitter.telltale and buffer.find(self._splitter.telltale, 0, got) >= 0:
                    return None
                np.equal(content[:got], LF, out=is_end[:got])
                wanted = begin + self._shard_bytes - 1 - at  # where the cut may be, at the earliest
                end = buffer.find(b"\n", max(wanted, 0), got) + 1 if wanted < got else 0
                if end:
                    cuts.append((start + at + end, count + int(np.count_nonzero(is_end[:end]))))
                    begin, count = at + end, 0
                count += int(np.count_nonzero(is_end[end:got]))
                at += got
        return cuts

    def _where_records_end(self, file: Found, details: Details, start: int) -> Iterator[tuple[int, int]]:
        """Cut with an eye on every record."""
        begin = count = 0
        with closing(opened(self.files, Shard(0, file.uri, start, file.size, details=details))) as stream:
            for block in blocks(stream, self._splitter, min(BLOCK, self._shard_bytes)):
                count += 1 if block.problem else self._splitter.count(block.text)
                if block.end - begin >= self._shard_bytes:
                    yield start + block.end, count
                    begin, count = block.end, 0


_kept: list[tuple[Inputs, int, Files]] = []


def files_of(inputs: Inputs) -> Files:
    """Return the files of an input: the same for all shards that are read one after the other.

    Connecting to a store takes longer than reading a shard. A fork has no connections.
    """
    for kept, process, files in _kept:
        if kept is inputs and process == os.getpid():
            return files
    files = Files(inputs.buckets, inputs.folders)
    _kept[:] = [(inputs, os.getpid(), files)]
    return files


def opened(files: Files, shard: Shard) -> Stream:
    """Open what a shard is to read; raises FailedPrecondition if it is not what it was."""
    file = files.open(shard.uri, shard.start, shard.details.get("version", ""))
    kind, size = shard.details.get("compression", ""), shard.stop - shard.start
    return Inflating(file, shard.uri, size, kind) if kind else Stream(file, shard.uri, size)


def numbered(shards: Iterable[Shard]) -> Iterator[Shard]:
    """Number shards from 0 on."""
    for index, shard in enumerate(shards):
        yield replace(shard, index=index)
