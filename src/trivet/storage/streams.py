"""The bytes of a file in order, with gzip and zstd undone."""

import zlib
from importlib import import_module
from typing import Any, BinaryIO, Literal

from trivet.core.errors import FailedPrecondition

Compression = Literal["", "gzip", "zstd"]

SUFFIXES: dict[str, Compression] = {".gz": "gzip", ".gzip": "gzip", ".zst": "zstd", ".zstd": "zstd"}
_MAGIC: dict[bytes, Compression] = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}

_CHUNK = {"gzip": 64 << 10, "zstd": 2 << 10}
"""Compressed bytes that are undone at once: zstd can make up to 128 KiB of 4, and does so unasked."""


class Corrupt(ValueError):
    """What is compressed is damaged, or ends before its end."""


def compression(uri: str, head: bytes) -> Compression:
    """Judge by the first bytes of a file how it is compressed, or by its name where they do not say.

    A file that is named so but begins otherwise is damaged, unless it is empty.
    """
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    named = (kind for suffix, kind in SUFFIXES.items() if uri.lower().endswith(suffix))
    return next(named, "") if head else ""


class Stream:
    """So many bytes of a file from where it stands. `taken` is how many of them have been read."""

    def __init__(self, file: BinaryIO, uri: str, size: int) -> None:
        self._file, self._uri, self._size = file, uri, size
        self._back = b""
        self.taken = 0

    def read(self, size: int) -> bytes:
        """Return so many bytes, fewer only at the end.

        Raises FailedPrecondition where the file cannot be read, or has become shorter.
        """
        if not self._back:
            return self._next(size)
        back, self._back = self._back[:size], self._back[size:]
        try:
            return back + self._next(size - len(back))
        except Corrupt:  # as the next call will say
            return back

    def read_into(self, buffer: bytearray) -> int:
        """Read as `read` does, as much as a buffer holds; returns how much that is, less only at the end.

        Not to be mixed with `skip`, nor for what is compressed.
        """
        wanted = min(len(buffer), self._size - self.taken)
        got = 0
        try:
            with memoryview(buffer) as view:
                while got < wanted and (more := self._file.readinto(view[got:wanted])):  # type: ignore[attr-defined]
                    got += more
        except Exception as error:
            raise self._unreadable(error) from error
        if got < wanted:
            raise self._shorter()
        self.taken += got
        return got

    def skip(self, prefix: bytes) -> bool:
        """Leave out what the content begins with, if it does; returns whether it did."""
        try:
            begun = self._next(len(prefix))
        except Corrupt:
            return False
        self._back = b"" if begun == prefix else begun
        return begun == prefix

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _next(self, size: int) -> bytes:
        return self._take(size)

    def _take(self, size: int) -> bytes:
        wanted = min(size, self._size - self.taken)
        try:
            content = self._file.read(wanted) if wanted else b""
        except Exception as error:
            raise self._unreadable(error) from error
        if len(content) < wanted:
            raise self._shorter()
        self.taken += wanted
        return content

    def _unreadable(self, error: Exception) -> FailedPrecondition:
        reason = str(error).strip() or type(error).__name__
        return FailedPrecondition(f"{self._uri}: cannot be read: {reason[:400]}")

    def _shorter(self) -> FailedPrecondition:
        return FailedPrecondition(f"{self._uri}: has become shorter while it was read")


class Inflating(Stream):
    """The content of a compressed file, which `read` raises Corrupt after where it is damaged.

    `taken` counts compressed bytes.
    """

    def __init__(self, file: BinaryIO, uri: str, size: int, kind: Compression) -> None:
        super().__init__(file, uri, size)
        self._kind = kind
        self._engine: Any = None
        self._pending = b""  # of the file
        self._ready = bytearray()  # of the content
        self._ended = False
        self._corrupt: Corrupt | None = None
        if kind == "zstd":
            _zstandard()

    def _next(self, size: int) -> bytes:
        """Return what is next; raises Corrupt once all that comes before the damage was returned."""
        while len(self._ready) < size and not self._ended:
            try:
                self._ended = not self._step()
            except Corrupt as error:
                self._corrupt, self._ended = error, True
                self.taken = self._size  # nothing is to be had from the rest
        if not self._ready and self._corrupt is not None:
            raise self._corrupt
        content = bytes(self._ready[:size])
        del self._ready[:size]
        return content

    def _step(self) -> bool:
        """Undo a little more; returns whether there may be more still."""
        if not self._pending:
            first = not self.taken
            self._pending = self._take(_CHUNK[self._kind])
            if not self._pending:
                return self._engine is not None and self._drain()
        else:
            first = False
        if self._engine is None:
            if not first:  # some pad files with zeros
                self._pending = self._pending.lstrip(b"\0")
            if not self._pending:
                return True
            self._engine = _gunzip() if self._kind == "gzip" else _Unzstd()
        self._undo(self._pending)
        return True

    def _drain(self) -> bool:
        """Get what may be left of a member whose bytes have all been read."""
        had = len(self._ready)
        self._undo(b"")
        if self._engine is not None and len(self._ready) == had:
            raise Corrupt(f"the {self._kind} file ends early")
        return True

    def _undo(self, content: bytes) -> None:
        engine = self._engine
        try:
            self._ready += engine.decompress(content, 1 << 20)
        except zlib.error as error:
            raise Corrupt(f"the {self._kind} file is damaged: {error}") from None
        self._pending = engine.unused_data if engine.eof else engine.unconsumed_tail
        if engine.eof:
            self._engine = None


def _gunzip() -> Any:
    return zlib.decompressobj(31)


class _Unzstd:
    """A frame of zstd, undone as `zlib.decompressobj` does, but without a limit."""

    unconsumed_tail = b""

    def __init__(self) -> None:
        self._object = _zstandard().ZstdDecompressor(max_window_size=1 << 27).decompressobj()
        self.eof = False
        self.unused_data = b""

    def decompress(self, content: bytes, _: int) -> bytes:
        """Return all there is; raises zlib.error for what is damaged."""
        if not content:
            return b""
        try:
            made: bytes = self._object.decompress(content)
        except _zstandard().ZstdError as error:
            raise zlib.error(str(error)) from None
        self.eof, self.unused_data = self._object.eof, self._object.unused_data
        return made


def _zstandard() -> Any:
    try:
        return import_module("zstandard")
    except ImportError:
        raise FailedPrecondition(
            "zstd files need the library zstandard, which is not installed: pip install 'trivet[batch]'"
        ) from None
