"""TFRecord files: records of bytes, each with its length and the checksums of both. No TensorFlow is needed.

A record whose checksum is wrong costs only itself. Where a length is damaged, or the file ends within a
record, the rest of the file is one that cannot be read, since nothing says where another begins.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from struct import Struct

from trivet.core.batch import Kind, Shard
from trivet.sources.base import Blobs, Inputs, Records, Unreadable
from trivet.sources.crc32c import masked
from trivet.sources.lines import BLOCK, KEPT, LONGEST, Details, files_of, numbered, opened
from trivet.storage.inputs import Files, Found
from trivet.storage.streams import Corrupt, Stream, compression

_MOST = 4096  # records in a batch
_HEAD = Struct("<QI")
_CHECK = Struct("<I")


@dataclass(frozen=True, slots=True)
class TFRecords:
    """The source of TFRecord files, compressed or not."""

    kind: Kind = field(default="blobs", init=False)

    def plan(self, inputs: Inputs) -> Iterator[Shard]:
        """Cut files between records."""
        files = files_of(inputs)
        found = files.find(inputs.uris)
        return numbered(shard for file in found for shard in _shards(files, file, inputs.shard_bytes))

    def read(self, shard: Shard, inputs: Inputs) -> Iterator[Records]:
        """Read records; nothing stands for them in the output."""
        files = files_of(inputs)
        batch, told = _Batch(), 0
        with closing(opened(files, shard)) as stream:
            for offset, frame in enumerate(_Frames(stream).all(), shard.first):
                batch.add(offset, frame)
                if batch.full:
                    yield batch.records(stream.taken - told)
                    batch, told = _Batch(), stream.taken
        if not batch.empty or told < shard.size:  # the rest was not read where a length was damaged
            yield batch.records(shard.size - told)
        files.verify(shard.uri, shard.details.get("version", ""))


@dataclass(slots=True)
class _Frame:
    """A record, or why it is none, and where it ends."""

    content: bytes
    end: int
    problem: str = ""


class _Batch:
    def __init__(self) -> None:
        self._offsets: list[int] = []
        self._blobs: list[bytes] = []
        self._bad: list[Unreadable] = []
        self._size = 0

    @property
    def full(self) -> bool:
        return self._size >= BLOCK or len(self._blobs) + len(self._bad) >= _MOST

    @property
    def empty(self) -> bool:
        return not self._blobs and not self._bad

    def add(self, offset: int, frame: _Frame) -> None:
        if frame.problem:
            self._bad.append(Unreadable(offset, frame.content[:KEPT], frame.problem))
            return
        self._offsets.append(offset)
        self._blobs.append(frame.content)
        self._size += len(frame.content)

    def records(self, size: int) -> Blobs:
        return Blobs(self._offsets, self._bad, size, self._blobs)


class _Frames:
    """Reads records; where `checked`, their checksums too."""

    def __init__(self, stream: Stream, *, checked: bool = True) -> None:
        self._stream, self._checked = stream, checked
        self._text = b""
        self._at = 0
        self._end = 0  # what has been taken of all that is read

    def all(self) -> Iterator[_Frame]:
        """Yield all records; one that has a problem may be what is left of the file."""
        try:
            while head := self._take(_HEAD.size):
                frame = self._frame(head)
                yield frame or _Frame(head, self._end, "the file ends within a record")
                if frame is None:
                    return
        except _Lost as lost:
            yield _Frame(lost.content, self._end, str(lost))
        except Corrupt as error:
            yield _Frame(self._text[self._at : self._at + KEPT], self._end, str(error))

    def _frame(self, head: bytes) -> _Frame | None:
        """Read what comes after a length; None where the file ends before."""
        if len(head) < _HEAD.size:
            return None
        length, check = _HEAD.unpack(head)
        if masked(head[:8]) != check:
            rest = head + self._take(KEPT)
            raise _Lost("the length of a record is damaged, so that no other can be found", rest)
        if length > LONGEST:
            return self._skip(length)
        content = self._take(length + _CHECK.size)
        if len(content) < length + _CHECK.size:
            return None
        (check,) = _CHECK.unpack(content[length:])
        content = content[:length]
        wrong = self._checked and masked(content) != check
        return _Frame(content, self._end, "its checksum is wrong: it is damaged" if wrong else "")

    def _skip(self, length: int) -> _Frame | None:
        begun, left = b"", length + _CHECK.size
        while left:
            piece = self._take(min(left, BLOCK))
            if not piece:
                return None
            begun, left = begun or piece[:KEPT], left - len(piece)
        return _Frame(begun, self._end, f"longer than {LONGEST >> 20} MiB")

    def _take(self, size: int) -> bytes:
        """Return so many bytes, fewer only at the end."""
        while len(self._text) - self._at < size:
            wanted = max(BLOCK, size - (len(self._text) - self._at))
            piece = self._stream.read(wanted)
            if not piece:
                break
            self._text, self._at = self._text[self._at :] + piece, 0
        content = self._text[self._at : self._at + size]
        self._at += len(content)
        self._end += len(content)
        return content


class _Lost(ValueError):
    """Where records begin is not known any more."""

    def __init__(self, message: str, content: bytes) -> None:
        super().__init__(message)
        self.content = content


def _shards(files: Files, file: Found, shard_bytes: int) -> Iterator[Shard]:
    details = _look(files, file)
    begin = first = count = 0
    whole = Shard(0, file.uri, 0, file.size, size=file.size, details=details)
    if file.size > shard_bytes and "compression" not in details:
        with closing(opened(files, whole)) as stream:
            for frame in _Frames(stream, checked=False).all():
                count += 1
                if frame.end - begin >= shard_bytes and frame.end < file.size and not frame.problem:
                    size = frame.end - begin
                    yield Shard(0, file.uri, begin, frame.end, first, size, details)
                    begin, first = frame.end, count
    yield Shard(0, file.uri, begin, file.size, first, file.size - begin, details)


def _look(files: Files, file: Found) -> Details:
    """Find out whether a file is compressed: not if it begins with a length and its checksum."""
    with files.open(file.uri, 0, file.version) as begun:
        head = begun.read(_HEAD.size)
    plain = len(head) == _HEAD.size and masked(head[:8]) == _HEAD.unpack(head)[1]
    kind = "" if plain else compression(file.uri, head)
    return {"version": file.version} | ({"compression": kind} if kind else {})


SOURCE = TFRecords()
