"""The files of the artifact store: copied into a temporary folder, digested, made read-only, renamed.

Nothing is visible under its key before all of it is on the disk. A temporary folder is locked while it is
being filled, so that it can be told from one that a crash left.
"""

import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from trivet import storage
from trivet.core.errors import FailedPrecondition, ServingError

Progress = Callable[[int, int], object]
"""Told the bytes that have been copied, and how many there are."""

TEMPORARY = ".incoming-"
SPARE = 64 << 20
"""Bytes that are left free on the disk."""

_KEY = re.compile("[0-9a-f]{64}")
_CHUNK = 1 << 20


def is_key(text: str) -> bool:
    """Whether this may be the name of a folder in the store."""
    return _KEY.fullmatch(text) is not None


def make(root: Path) -> None:
    """Make the store's folder; raises FailedPrecondition where that cannot be."""
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise FailedPrecondition(f"artifact store {root}: {error.strerror or error}") from None


@contextmanager
def incoming(root: Path) -> Iterator[Path]:
    """Give a temporary folder that is locked meanwhile; what is left of it at the end is removed."""
    try:
        folder, lock = _locked(root)
    except OSError as error:
        raise FailedPrecondition(f"artifact store {root}: {error.strerror or error}") from None
    try:
        yield folder
    finally:
        discard(folder)
        os.close(lock)


def _locked(root: Path) -> tuple[Path, int]:
    while True:
        folder = Path(mkdtemp(prefix=TEMPORARY, dir=root))
        with suppress(FileNotFoundError):  # `clean` has come in between
            lock = os.open(folder, os.O_RDONLY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return folder, lock
            os.close(lock)


def copy(found: storage.Source, folder: Path, location: str, progress: Progress | None = None) -> int:
    """Copy all files of a source into a folder, durably, and return their size."""
    files = found.files()
    size = sum(file.size for file in files)
    _require_space(folder, size, location)
    copied = 0

    def report(more: int) -> None:
        nonlocal copied
        copied += more
        if progress:
            progress(copied, size)

    for file in files:
        target = folder / file.name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            found.copy(file, target, report)
            _sync(target)
        except OSError as error:
            reason = error.strerror or error
            raise FailedPrecondition(f"{location}: {file.name} cannot be stored: {reason}") from None
    return size


def digest(files: storage.LocalFiles) -> str:
    """Return the SHA-256 over all names and contents, each preceded by its length, in order of names."""
    made = sha256()
    try:
        for file in files.files():
            _frame(made, file.name, file.size)
            with files.open(file.name) as content:
                while chunk := content.read(_CHUNK):
                    made.update(chunk)
    except OSError as error:
        raise FailedPrecondition(f"{files.path}: cannot be read: {error.strerror or error}") from None
    return made.hexdigest()


def outline(files: storage.LocalFiles) -> tuple[str, int]:
    """Return a digest of names, sizes and times of change, and the size of all."""
    made, size = sha256(), 0
    for file in files.files():
        _frame(made, file.name, file.size)
        made.update(files.changed(file.name).to_bytes(8, "big", signed=True))
        size += file.size
    return made.hexdigest(), size


def settle(folder: Path, target: Path) -> None:
    """Make a finished folder read-only and give it its digest as name, unless its equal is there already.

    Programs may be executed, whether or not they could be where they are from: stores like S3 do not tell.
    """
    try:
        for path, _, names in os.walk(folder, topdown=False):
            for name in names:
                file = Path(path, name)
                file.chmod(0o555 if is_program(file) else 0o444)
            os.chmod(path, 0o555)
            _sync(Path(path))
        if target.is_dir():
            if is_whole(target):
                return
            discard(target)  # it is not what it was
        folder.rename(target)
        _sync(target.parent)
    except OSError as error:
        if not is_whole(target):  # else another has stored the same meanwhile
            raise FailedPrecondition(f"{target}: cannot be stored: {error.strerror or error}") from None


def is_program(file: Path) -> bool:
    """Whether a file is a script with a `#!` or a Linux program."""
    with file.open("rb") as content:
        head = content.read(4)
    return head.startswith(b"#!") or head == b"\x7fELF"


def discard(folder: Path) -> None:
    """Delete a folder, which is gone under its name at once."""
    if not folder.name.startswith(TEMPORARY):
        doomed = Path(mkdtemp(prefix=TEMPORARY, dir=folder.parent))
        with suppress(FileNotFoundError):
            folder.rename(doomed)
        folder = doomed
    for path, _, _ in os.walk(folder):
        os.chmod(path, 0o700)
    shutil.rmtree(folder, ignore_errors=True)


def clean(root: Path) -> None:
    """Delete the temporary folders that nobody has locked."""
    for folder in root.glob(f"{TEMPORARY}*"):
        with suppress(OSError):  # BlockingIOError where it is in use, FileNotFoundError where it is gone
            lock = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                discard(folder)
            finally:
                os.close(lock)


def is_whole(folder: Path) -> bool:
    """Whether a folder holds what its name, a digest, says. Reads all of it."""
    try:
        return folder.is_dir() and digest(storage.LocalFiles(folder)) == folder.name
    except ServingError:
        return False


def _require_space(folder: Path, size: int, location: str) -> None:
    free = shutil.disk_usage(folder).free
    if size + SPARE > free:
        raise FailedPrecondition(
            f"{location}: has {size >> 20} MiB, but only {free >> 20} MiB are free on the disk of "
            f"{folder.parent}; make room, or move the store (catalog.store)"
        )


def _frame(made: Any, name: str, size: int) -> None:
    encoded = name.encode()
    made.update(len(encoded).to_bytes(8, "big") + encoded + size.to_bytes(8, "big"))


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
