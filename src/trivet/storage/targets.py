"""Where results are written: folders of the local disk or of an object store.

A file in one is whole or not there: it is written elsewhere, on this machine's disk, and put in its place at
once. What a process has written is there for others when it is killed, whatever becomes of it; nobody waits
for the disk, so that a machine that loses its power may lose what was written last.
"""

import fcntl
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, BinaryIO, Protocol
from urllib.parse import quote
from uuid import uuid4

from trivet.core.errors import FailedPrecondition, InvalidArgument, ServingError
from trivet.storage import remote
from trivet.storage.names import check
from trivet.storage.sources import Buckets, locate


class Upload(Protocol):
    """A file that is being written; nobody sees it yet. `file` is a local one, for writing and reading."""

    file: IO[bytes]

    def commit(self) -> int:
        """Put the file in its place, over what is there, and return its size; done once."""
        ...

    def discard(self) -> None:
        """Give the file up; does nothing after `commit`."""
        ...


class Target(Protocol):
    """A folder, which need not be there yet. Everything raises FailedPrecondition where the store fails."""

    location: str
    """As its user would write it."""

    def at(self, name: str) -> "Target":
        """Return a folder in it; raises InvalidArgument for a name that leads elsewhere."""
        ...

    def probe(self) -> None:
        """Refuse what cannot be written."""
        ...

    def open(self, name: str) -> Upload:
        """Begin a file; the folder is made where there is none."""
        ...

    def read(self, name: str) -> BinaryIO:
        """Open a file that is there, for reading."""
        ...

    def sizes(self) -> dict[str, int]:
        """Return the sizes of the files that are there, by name; none where there is no folder."""
        ...

    def alone(self) -> AbstractContextManager[None]:
        """Wait for others that are in such a context for this folder, if the store can tell."""
        ...

    def remove(self, names: Collection[str] | None = None) -> None:
        """Remove files, or the folder with all there is in it; those that are not there do not matter."""
        ...

    def move_to(self, final: "Target", names: Mapping[str, str]) -> None:
        """Become another folder of the same kind: only these files, each by its name here and its new one.

        On the local disk they appear there all at once; in an object store one by one, the last one last.
        Where it was begun before and not finished, it goes on: a file may have its new name here already.
        """
        ...

    def failures(self) -> AbstractContextManager[None]:
        """Say where it was that something failed, as FailedPrecondition."""
        ...


def target(uri: str, buckets: Buckets | None = None, folders: Collection[str | Path] | None = None) -> Target:
    """Return the folder that a path or a URI of scheme file, gs or s3 means.

    Local paths must be in one of `folders`, links resolved, or may be anywhere where that is None; what
    stands for a bucket must be in the bucket's folder. Raises InvalidArgument for any other scheme or place,
    and FailedPrecondition where the client library is missing.
    """
    path, within = locate(uri, buckets)
    if path is None:
        return RemoteFolder(uri)
    allowed = folders if within is None else [within]
    try:
        inside = allowed is None or any(
            path.resolve().is_relative_to(Path(folder).resolve()) for folder in allowed
        )
    except (OSError, RuntimeError) as error:  # links that go round in a circle
        raise InvalidArgument(f"{uri}: leads nowhere: {error}") from None
    if not inside:
        raise InvalidArgument(
            f"{uri}: not in a folder that results may be written to"
            if within is None
            else f"{uri}: leads out of {within}"
        )
    return LocalFolder(path, uri)


def _named(location: str, name: str) -> str:
    """Return the location of a folder within another."""
    if "/" in name:
        raise InvalidArgument(f"{location}: {name[:200]!r} cannot be the name of a folder: it has a slash")
    check(name, location)
    return f"{location.rstrip('/')}/{quote(name) if location.startswith('file:') else name}"


class LocalFolder:
    """A folder of the local disk."""

    def __init__(self, path: Path, location: str) -> None:
        self.path = path
        self.location = location

    def at(self, name: str) -> "LocalFolder":
        """Return a folder in it, which is no link."""
        folder = LocalFolder(self.path / name, _named(self.location, name))
        if folder.path.is_symlink():
            raise InvalidArgument(f"{folder.location}: is a link; expected a folder, or nothing yet")
        return folder

    def probe(self) -> None:
        """Refuse what is no folder, or one that this process may not write to; makes nothing."""
        with self.failures():
            there = next(path for path in (self.path, *self.path.absolute().parents) if path.exists())
            if not there.is_dir():
                raise InvalidArgument(f"{self.location}: {there} is a file; expected a folder")
            if not os.access(there, os.W_OK | os.X_OK):
                raise InvalidArgument(f"{self.location}: {there} may not be written to")

    def open(self, name: str) -> Upload:
        """Begin a file in the folder itself, so that it can be renamed."""
        with self.failures():
            self.path.mkdir(parents=True, exist_ok=True)
            temporary = self.path / f".{name}.{uuid4().hex}"
            return _Renamed(temporary.open("x+b"), temporary, self.path / name, self)

    def read(self, name: str) -> BinaryIO:
        """Open a file."""
        with self.failures():
            return (self.path / name).open("rb")

    def sizes(self) -> dict[str, int]:
        """Return the sizes of all files but those that are being written."""
        sizes = {}
        with self.failures(), suppress(FileNotFoundError), os.scandir(self.path) as entries:
            for entry in entries:
                if not entry.name.startswith(".") and entry.is_file(follow_symlinks=False):
                    with suppress(FileNotFoundError):
                        sizes[entry.name] = entry.stat().st_size
        return sizes

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait for the folder's lock, where its file system has such."""
        try:
            folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            yield
            return
        try:
            with suppress(OSError):
                fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def remove(self, names: Collection[str] | None = None) -> None:
        """Remove the folder, also where a process that is not ended yet still writes to it."""
        with self.failures():
            for name in names or ():
                (self.path / name).unlink(missing_ok=True)
            if names is None:
                for _ in range(3):
                    shutil.rmtree(self.path, ignore_errors=True)
                with suppress(FileNotFoundError, NotADirectoryError):
                    shutil.rmtree(self.path)

    def move_to(self, final: Target, names: Mapping[str, str]) -> None:
        """Rename the files, then the folder."""
        assert isinstance(final, LocalFolder)
        new = set(names.values())
        with self.failures():
            for before, after in names.items():
                if before != after:
                    with suppress(FileNotFoundError):
                        os.replace(self.path / before, self.path / after)
            for entry in os.listdir(self.path):
                if entry not in new:
                    (self.path / entry).unlink(missing_ok=True)
            if lost := new - self.sizes().keys():
                raise FailedPrecondition(f"{self.location}: {min(lost)} is gone")
            self.path.rename(final.path)

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Say where it was that the disk failed."""
        try:
            yield
        except OSError as error:
            raise FailedPrecondition(f"{self.location}: {error.strerror or error}") from None


class _Renamed:
    """A file with a name of its own, which gets the right one at the end."""

    def __init__(self, file: IO[bytes], temporary: Path, path: Path, folder: LocalFolder) -> None:
        self.file = file
        self._temporary: Path | None = temporary
        self._path = path
        self._folder = folder

    def commit(self) -> int:
        assert self._temporary is not None
        with self._folder.failures():
            self.file.seek(0, os.SEEK_END)
            size = self.file.tell()
            self.file.close()
            os.replace(self._temporary, self._path)
        self._temporary = None
        return size

    def discard(self) -> None:
        with suppress(OSError):  # what is left of it is removed with its folder
            self.file.close()
        if self._temporary is not None:
            with suppress(OSError):
                self._temporary.unlink()


class RemoteFolder:
    """The objects below a prefix, by fsspec; there are no folders within it."""

    def __init__(self, location: str, filesystem: Any = None) -> None:
        self.location = location
        scheme, _, path = location.partition("://")
        self._root = path.rstrip("/")
        with self.failures():
            self._filesystem = filesystem or remote.filesystem(scheme)

    def at(self, name: str) -> "RemoteFolder":
        """Return a folder in it."""
        return RemoteFolder(_named(self.location, name), self._filesystem)

    def probe(self) -> None:
        """Write an object and delete it: what else would tell whether that is allowed."""
        try:
            upload = self.open("check")
            try:
                upload.commit()
            finally:
                upload.discard()
            self.remove(["check"])
        except ServingError as error:
            raise InvalidArgument(f"it cannot be written to: {error}") from None

    def open(self, name: str) -> Upload:
        """Begin a file, which is uploaded when it is whole."""
        with self.failures():
            return _Uploaded(TemporaryFile(), f"{self._root}/{name}", self)

    def put(self, file: IO[bytes], path: str) -> None:
        """Upload a local file."""
        with self.failures():
            file.seek(0)
            # the clients take a path, and this file has none, so that nothing is left of it if we are killed
            self._filesystem.put_file(f"/dev/fd/{file.fileno()}", path)

    def read(self, name: str) -> BinaryIO:
        """Open an object; what is read is fetched when it is."""
        with self.failures():
            opened: BinaryIO = self._filesystem.open(f"{self._root}/{name}", "rb")
            return opened

    def sizes(self) -> dict[str, int]:
        """Return the sizes of all objects."""
        with self.failures():
            try:
                found = self._filesystem.find(self._root, detail=True)
            except FileNotFoundError:  # of the bucket
                return {}
        start = len(self._root) + 1
        return {path[start:]: int(about["size"] or 0) for path, about in found.items() if path[start:]}

    def alone(self) -> AbstractContextManager[None]:
        """Wait for nobody: an object store cannot tell, and what two do at once is the same there."""
        return nullcontext()

    def remove(self, names: Collection[str] | None = None) -> None:
        """Delete objects."""
        paths = [f"{self._root}/{name}" for name in (self.sizes() if names is None else names)]
        with self.failures():
            if any(set(path) & set("*?[") for path in paths):  # which the client would take for wildcards
                for path in paths:
                    with suppress(FileNotFoundError):
                        self._filesystem.rm_file(path)
            elif paths:
                with suppress(FileNotFoundError):
                    self._filesystem.rm(paths)

    def move_to(self, final: Target, names: Mapping[str, str]) -> None:
        """Copy all objects, then the last one, then delete them here. The copying is done by the store."""
        assert isinstance(final, RemoteFolder)
        pairs = [(f"{self._root}/{old}", f"{final._root}/{new}") for old, new in names.items()]
        with self.failures():
            for some in (pairs[:-1], pairs[-1:]):
                if some:
                    self._filesystem.copy([old for old, _ in some], [new for _, new in some])
        self.remove()

    def failures(self) -> AbstractContextManager[None]:
        """Say where it was that the store, or its library, failed."""
        return remote.failures(self.location)


class _Uploaded:
    """A local file without a name, which is uploaded at the end."""

    def __init__(self, file: IO[bytes], path: str, folder: RemoteFolder) -> None:
        self.file = file
        self._path = path
        self._folder = folder

    def commit(self) -> int:
        with self._folder.failures():
            self.file.flush()
            self.file.seek(0, os.SEEK_END)
            size = self.file.tell()
            self._folder.put(self.file, self._path)
            self.file.close()
        return size

    def discard(self) -> None:
        with suppress(OSError):
            self.file.close()
