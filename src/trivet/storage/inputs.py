"""The files that batch prediction reads: found by paths, URIs and wildcards, and opened as they were found.

It takes what `storage.source` takes. A file that is not what it was when it was found is refused, so that
what was planned with one content is never done with another.
"""

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from trivet.core.errors import FailedPrecondition, InvalidArgument, NotFound
from trivet.storage.local import LocalFiles
from trivet.storage.names import check
from trivet.storage.remote import failures, filesystem
from trivet.storage.sources import Buckets, locate
from trivet.storage.wildcards import Pattern, walk

_BLOCK = 4 << 20  # bytes that are asked of a store at once


@dataclass(frozen=True, slots=True)
class Found:
    """A file, its size in bytes, and a text that is another where its content is."""

    uri: str
    size: int
    version: str


class Files:
    """Files at local paths and at URIs of scheme file, gs and s3; keeps what it has open to a store.

    `buckets` are local folders by the buckets they stand for. Local paths must be in one of `folders`, links
    resolved, or may be anywhere where that is None. Everything raises InvalidArgument for another scheme or
    place, NotFound where nothing is there, and FailedPrecondition where the library of a store is missing,
    the store refuses, or a file cannot be read.
    """

    def __init__(self, buckets: Buckets | None = None, folders: Collection[str | Path] | None = None) -> None:
        self._buckets = buckets
        self._folders = None if folders is None else tuple(Path(folder) for folder in folders)
        self._stores: dict[str, Any] = {}

    def find(self, uris: Sequence[str]) -> list[Found]:
        """Return all files meant, in the order of the URIs, and in that of their names within one.

        A URI is that of a file, of a folder, which means all files below it that are not hidden, or has
        wildcards: `*`, `?` and `[a-z]` stand for what is in one name, `**` for any folders between. A file
        whose name is the URI as it stands is taken for itself. What several URIs mean is taken once.
        """
        found: dict[str, Found] = {}
        for uri in uris:
            path, within = locate(uri, self._buckets)
            files = self._remote(uri) if path is None else self._local(uri, path, within)
            if not files:
                raise NotFound(f"{uri}: there is no such file, nor any that it stands for")
            for file in files:
                found.setdefault(file.uri, file)
        return list(found.values())

    def look(self, uri: str) -> Found:
        """Return what one file is now; wildcards are not looked for."""
        path, within = locate(uri, self._buckets)
        if path is not None:
            return self._stat(uri, path, within)
        store, name = self._store(uri)
        with failures(uri):
            try:
                about = store.info(name)
            except FileNotFoundError:
                about = {}
        if about.get("type") != "file":
            raise NotFound(f"{uri}: there is no such file")
        return _found(uri, about)

    def open(self, uri: str, start: int = 0, version: str = "") -> BinaryIO:
        """Open a file at a byte.

        Raises FailedPrecondition if a version is given and it is not the file's. It may still change while
        it is read: whoever has read it all asks `verify`.
        """
        path, within = locate(uri, self._buckets)
        if path is None:
            self.verify(uri, version)
            store, name = self._store(uri)
            with failures(uri):
                file = cast(BinaryIO, store.open(name, "rb", block_size=_BLOCK, cache_type="readahead"))
                file.seek(start)
                return file
        self._check_place(uri, path, within)
        try:
            local = LocalFiles(path, uri, within)
            opened = local.open(local.path.name) if not local.path.is_dir() else None
        except OSError as error:
            raise _unreadable(uri, error) from None
        if opened is None:
            raise FailedPrecondition(f"{uri}: is a folder; expected a file")
        if version and version != (now := _version(os.fstat(opened.fileno()))):
            opened.close()
            raise _changed(uri, version, now)
        opened.seek(start)
        return opened

    def read(self, uri: str, most: int) -> bytes:
        """Return the content of one file; FailedPrecondition if it has more than so many bytes."""
        with self.open(uri) as file:
            try:
                content = file.read(most + 1)
            except Exception as error:
                raise _unreadable(uri, error) from error
        if len(content) > most:
            raise FailedPrecondition(f"{uri}: is larger than {most >> 20} MiB")
        return content

    def verify(self, uri: str, version: str) -> None:
        """Raise FailedPrecondition if a file is not of a version any more."""
        if version and version != (now := self.look(uri).version):
            raise _changed(uri, version, now)

    def _local(self, uri: str, path: Path, within: Path | None) -> list[Found]:
        if "://" in uri and within is None:  # file://
            uri = str(path)
        pattern = Pattern.of(uri)
        try:
            there = path.exists()
        except OSError as error:  # too long for a name
            raise _unreadable(uri, error) from None
        if pattern is not None and not there:
            start = Path(*path.parts[: len(path.parts) - pattern.depth])
            prefix = pattern.folder
        elif path.is_dir():
            pattern, start, prefix = None, path, uri if uri.endswith("/") else f"{uri}/"
        else:
            return [self._stat(uri, path, within)]
        self._check_place(uri, start, within)
        try:
            names = sorted(walk(start, pattern))
        except OSError as error:
            raise _unreadable(uri, error) from None
        return [
            self._stat(prefix + name, start / name, within)
            for name in names
            if pattern is None or pattern.matches(name)
        ]

    def _stat(self, uri: str, path: Path, within: Path | None) -> Found:
        check(path.name, uri)
        self._check_place(uri, path, within)
        try:
            about = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(f"{uri}: there is no such file") from None
        except OSError as error:
            raise _unreadable(uri, error) from None
        return Found(uri, about.st_size, _version(about))

    def _check_place(self, uri: str, path: Path, within: Path | None) -> None:
        allowed = self._folders if within is None else (within,)
        if allowed is None:
            return
        try:
            real = path.resolve()
            inside = any(real.is_relative_to(folder.resolve()) for folder in allowed)
        except (OSError, RuntimeError) as error:
            raise _unreadable(uri, error) from None
        if not inside:
            where = f"leads out of {within}" if within else "not in a folder that inputs may be in"
            raise InvalidArgument(f"{uri}: {where}")

    def _remote(self, uri: str) -> list[Found]:
        store, name = self._store(uri)
        pattern = Pattern.of(uri)
        scheme = uri.partition("://")[0]
        folder = pattern.folder.partition("://")[2] if pattern else name.rstrip("/")
        with failures(uri):
            try:
                listed = store.find(folder.rstrip("/"), detail=True)
            except FileNotFoundError:  # of the bucket
                return []
        if name in listed:
            return [_found(uri, listed[name])]
        start = len(folder) if pattern else len(folder) + 1
        wanted = pattern or Pattern.all()
        return [
            _found(f"{scheme}://{path}", listed[path])
            for path in sorted(listed)
            if not path.endswith("/") and wanted.matches(path[start:])
        ]

    def _store(self, uri: str) -> tuple[Any, str]:
        scheme, _, name = uri.partition("://")
        if scheme not in self._stores:
            with failures(uri):
                self._stores[scheme] = filesystem(scheme)
        return self._stores[scheme], name


def find(
    uris: Sequence[str], buckets: Buckets | None = None, folders: Collection[str | Path] | None = None
) -> list[Found]:
    """Return all files that URIs mean: `Files.find`."""
    return Files(buckets, folders).find(uris)


def open_at(
    uri: str,
    start: int = 0,
    buckets: Buckets | None = None,
    folders: Collection[str | Path] | None = None,
    version: str = "",
) -> BinaryIO:
    """Open a file at a byte: `Files.open`."""
    return Files(buckets, folders).open(uri, start, version)


def _found(uri: str, about: dict[str, Any]) -> Found:
    """Return an object by what its store says of it; each has another word for its versions."""
    keys = ("generation", "ETag", "etag", "size")
    version = next((str(about[key]) for key in keys if about.get(key)), "")
    return Found(uri, int(about.get("size") or 0), version)


def _version(about: os.stat_result) -> str:
    return f"{about.st_size}-{about.st_mtime_ns}"


def _changed(uri: str, was: str, now: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"{uri}: has changed since the job was planned (it was {was}, and is {now}); put it back, or make a "
        "new job"
    )


def _unreadable(uri: str, error: Exception) -> FailedPrecondition:
    return FailedPrecondition(f"{uri}: cannot be read: {getattr(error, 'strerror', None) or error}")
