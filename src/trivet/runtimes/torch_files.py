"""What PyTorch's files are, by their content, and whether they may be read.

All are zip archives: programs of `torch.export`, TorchScript, what `torch.save` pickled, and TorchServe's
model archives. PyTorch reads its own with a reader of its own, so an archive that two readers could
understand differently is refused: what was judged must be what is loaded.
"""

import io
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from trivet.core.errors import FailedPrecondition, PermissionDenied
from trivet.runtimes.base import Artifact, head, unreadable

Kind = Literal["", "export", "old export", "script", "pickle", "archive"]

MANIFEST = "MAR-INF/MANIFEST.json"
BROKEN = (zipfile.BadZipFile, zlib.error, OSError, ValueError, RuntimeError, NotImplementedError, EOFError)
_END = 22  # bytes of the last record of a zip archive that has no comment
_ENCRYPTED = 0x1
_MAX_TEXT = 1 << 28


def kind(path: Path) -> Kind:
    """Say which of PyTorch's files this is, or that it is none ("")."""
    if path.is_dir():
        return "archive" if (path / MANIFEST).is_file() else ""
    if head(path, 4) != b"PK\x03\x04":
        return ""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except BROKEN:
        return ""
    return _kind(names)


def _kind(names: list[str]) -> Kind:
    if any(name.upper() == MANIFEST.upper() for name in names):
        return "archive"
    if "serialized_exported_program.json" in names:
        return "old export"
    inner = {name.partition("/")[2] for name in names}
    if "archive_format" in inner:
        return "export"
    if "data.pkl" not in inner:
        return ""
    scripted = "constants.pkl" in inner and any(name.startswith("code/") for name in inner)
    return "script" if scripted else "pickle"


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive; what is wrong with it raises FailedPrecondition."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except BROKEN as error:
        raise unreadable(path, "a PyTorch", error) from None


def members(path: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return what an archive of PyTorch holds, by its name below the one folder that all is in.

    Raises FailedPrecondition where two readers could find different things in it.
    """
    found = archive.infolist()
    tops = {info.filename.partition("/")[0] for info in found}
    repeated = [n for n, times in Counter(info.filename.lower() for info in found).items() if times > 1]
    with path.open("rb") as file:
        file.seek(-min(_END, path.stat().st_size), io.SEEK_END)
        tail = file.read()
    problem = (
        "its files are not in one folder" * (len(tops) != 1)
        or (f"{repeated[0]} is in it twice" if repeated else "")
        or "a file in it is encrypted" * any(info.flag_bits & _ENCRYPTED for info in found)
        or "there is something behind its end" * (not tail.startswith(b"PK\x05\x06"))
    )
    if problem:
        raise FailedPrecondition(f"{path.name}: {problem}; save the model again")
    return {info.filename.partition("/")[2]: info for info in found}


def text(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Read a member that is a text, and so is not large; raises ValueError where it is."""
    if info.file_size > _MAX_TEXT:
        raise ValueError(f"{info.filename} has {info.file_size} bytes")
    return archive.read(info)


def require_permission(artifact: Artifact, what: str) -> None:
    """Ask the operator's permission for a file that could do more than compute.

    Raises PermissionDenied; `what` says why.
    """
    if not artifact.permissions.pickle:
        raise PermissionDenied(
            f"{artifact.path.name}: {what}. Such a file can run whatever its author wants, with your rights; "
            "if you trust where it comes from, allow it with --allow-pickle"
        )
