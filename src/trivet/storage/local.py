"""Files of a local folder, opened so that no link, made before or during the copy, leads out of it."""

import os
import stat
from collections.abc import Collection, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import BinaryIO

from trivet.core.errors import FailedPrecondition, InvalidArgument, NotFound
from trivet.storage.base import MAX_FILES, File, Report, silent
from trivet.storage.ignored import Ignored
from trivet.storage.names import check

SKIPPED = "__pycache__"
"""A folder that Python makes and remakes beside code; no part of an artifact."""

_CHUNK = 1 << 20


class LocalFiles:
    """A file or folder of the local disk. `within` is a folder that it must be in, after resolving links.

    Where it is a single file, those named in `beside` belong to it if they are in the same folder. A file
    `ignores` in a folder says which of the others do not belong to it.
    """

    def __init__(
        self,
        path: Path,
        location: str = "",
        within: Path | None = None,
        beside: Collection[str] = (),
        ignores: str = "",
    ) -> None:
        self._location = location or str(path)
        self._beside = beside
        self._ignores = ignores
        self.path = path
        try:
            real = path.resolve(strict=True)
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(f"{self._location}: there is no such file or folder") from None
        except (OSError, RuntimeError) as error:  # RuntimeError: links that go round in a circle
            raise self._unreadable("", error) from None
        if within is not None and not real.is_relative_to(within.resolve()):
            raise InvalidArgument(f"{self._location}: leads out of {within}")
        self._folder = real.is_dir()
        self._root = real if self._folder else real.parent
        self._real = {} if self._folder else {path.name: real.name}  # a link keeps its own name

    def files(self) -> Sequence[File]:
        """List all files, links within the folder followed."""
        try:
            if self._folder:
                self._ignored = self._read_ignored()
                found = list(self._walk(self._root, "", (), count()))
            else:
                names = [*self._real, *(one for one in self._beside if (self._root / one).is_file())]
                found = [self._file(check(name, self._location)) for name in dict.fromkeys(names)]
        except OSError as error:
            raise self._unreadable("", error) from None
        if not found:
            raise NotFound(f"{self._location}: the folder is empty")
        return sorted(found, key=lambda one: one.name)

    def copy(self, file: File, target: Path, report: Report = silent) -> None:
        """Copy a file; FailedPrecondition where it is not as it was listed, since somebody is writing it."""
        copied = 0
        try:
            with self.open(file.name) as original, target.open("xb") as copy:
                while chunk := original.read(_CHUNK):
                    copied += copy.write(chunk)
                    report(len(chunk))
        except OSError as error:
            raise self._unreadable(file.name, error) from error
        if copied != file.size:
            raise FailedPrecondition(f"{self._location}: {file.name} changed while it was copied; try again")

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading, going down folder by folder and following no link on the way.

        Raises OSError, or FailedPrecondition for what is no plain file.
        """
        *folders, last = self._inside(name).relative_to(self._root).parts
        here = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for folder in folders:
                below = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
                os.close(here)
                here = below
            file = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=here)
        finally:
            os.close(here)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise self._odd(name)
        return os.fdopen(file, "rb")

    def changed(self, name: str) -> int:
        """Return when a file was changed, in nanoseconds."""
        try:
            return self._inside(name).stat().st_mtime_ns
        except OSError as error:
            raise self._unreadable(name, error) from None

    def _walk(
        self, folder: Path, prefix: str, above: tuple[Path, ...], seen: Iterator[int]
    ) -> Iterator[File]:
        """Yield the files below a folder; `above` are the folders it is in, to notice circles."""
        if folder in above or len(above) > 100:
            raise FailedPrecondition(f"{self._location}: {prefix} contains itself, by a link")
        with os.scandir(folder) as entries:
            for entry in entries:
                if next(seen) >= MAX_FILES:
                    raise FailedPrecondition(
                        f"{self._location}: holds more than {MAX_FILES} files and folders"
                    )
                if entry.name == SKIPPED:
                    continue
                name = check(prefix + entry.name, self._location)
                if self._ignored is not None and self._ignored.is_whole(name):
                    continue
                real = self._inside(name) if entry.is_symlink() else Path(entry.path)
                if real.is_dir():
                    yield from self._walk(real, f"{name}/", (*above, folder), seen)
                elif self._ignored is None or not self._ignored(name):
                    yield self._file(name)

    def _read_ignored(self) -> Ignored | None:
        if not self._ignores:
            return None
        try:
            with self.open(self._ignores) as file:
                return Ignored(file.read(_CHUNK).decode(errors="replace"))
        except FileNotFoundError:
            return Ignored("")

    def _file(self, name: str) -> File:
        found = self._inside(name).stat()
        if not stat.S_ISREG(found.st_mode):
            raise self._odd(name)
        return File(name, found.st_size)

    def _inside(self, name: str) -> Path:
        """Return where a name leads, which must be within the folder."""
        try:
            real = (self._root / self._real.get(name, name)).resolve(strict=True)
        except RuntimeError as error:
            raise self._unreadable(name, error) from None
        if not real.is_relative_to(self._root):
            raise FailedPrecondition(
                f"{self._location}: {name} is a link that leads out of the folder; copy the folder with its "
                "links resolved (cp -rL) and give the copy"
            )
        return real

    def _odd(self, name: str) -> FailedPrecondition:
        return FailedPrecondition(f"{self._location}: {name} is neither a file nor a folder")

    def _unreadable(self, name: str, error: Exception) -> FailedPrecondition:
        reason = getattr(error, "strerror", None) or error
        return FailedPrecondition(f"{self._location}: {name or 'it'} cannot be copied: {reason}")
