"""What a place to copy artifacts from has to offer, local or remote."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

MAX_FILES = 100_000
"""Files and folders that one artifact may have."""

Report = Callable[[int], object]
"""Told how many more bytes have been copied."""


def silent(copied: int) -> None:
    """Report to nobody."""


@dataclass(frozen=True, slots=True)
class File:
    """A file of a source, by its name relative to it, and its size in bytes."""

    name: str
    size: int


class Source(Protocol):
    """A file, or a folder of files, that can be copied file by file."""

    def files(self) -> Sequence[File]:
        """List all files, in order of their names.

        Raises NotFound where there is none, InvalidArgument for a name that is refused, and
        FailedPrecondition for what cannot be read or is no plain file.
        """
        ...

    def copy(self, file: File, target: Path, report: Report = silent) -> None:
        """Copy a file to a path where there is none yet; raises FailedPrecondition where it cannot be."""
        ...
