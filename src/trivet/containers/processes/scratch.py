"""Folders that belong to one run, and are removed after it, however it ended."""

import fcntl
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

_PREFIX, _LOCK, _USES = "run-", ".lock", ".uses"


@dataclass(frozen=True, slots=True)
class Scratch:
    """A folder of this user alone. It stays while any process has `lock` open."""

    folder: Path
    lock: int

    def uses(self, other: Path) -> None:
        """Say that this run needs a folder, as long as it lasts."""
        (self.folder / _USES).symlink_to(other)

    def remove(self) -> None:
        """Remove what is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def let_go(self) -> None:
        """Leave it to another process that has the lock open, which must remove it at its end."""
        os.close(self.lock)


def make(where: Path) -> Scratch:
    """Make one in a folder, which is made as well, and remove those whose processes were all killed."""
    where.mkdir(parents=True, exist_ok=True)
    _sweep(where)
    lock, name = tempfile.mkstemp(dir=where, prefix=".new-")
    fcntl.flock(lock, fcntl.LOCK_EX)
    folder = Path(tempfile.mkdtemp(dir=where, prefix=_PREFIX))
    Path(name).rename(folder / _LOCK)  # under this name it was always locked
    return Scratch(folder, lock)


def used(where: Path) -> set[Path]:
    """Return the folders that the runs of now need."""
    _sweep(where)
    return {one.resolve() for one in where.glob(f"{_PREFIX}*/{_USES}")}


def _sweep(where: Path) -> None:
    for folder in where.glob(f"{_PREFIX}*"):
        try:
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:
            continue  # it is being made, or is nobody's
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            pass  # somebody uses it
        else:
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)
