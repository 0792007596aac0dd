"""Which other files an ONNX model may read: plain files in its own folder, and nothing else.

ONNX Runtime follows the locations that a model names for its tensors. Three published fixes of that were
incomplete (CVE-2022-25882, CVE-2024-27318, CVE-2026-27489), so the locations are judged here, before it
sees the model.
"""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from stat import S_ISREG

from trivet.core.errors import FailedPrecondition


def check(model: Path, locations: Iterable[str]) -> None:
    """Raise FailedPrecondition unless each location is a plain file of its own in the model's folder."""
    for location in locations:
        if reason := _refused(model.parent, location):
            raise FailedPrecondition(
                f"{model.name} stores tensors in the file {location!r}, which is refused: {reason}"
            )


def _refused(folder: Path, location: str) -> str:
    path = PurePosixPath(location.replace("\\", "/"))
    if not location or "\0" in location or path.is_absolute() or ".." in path.parts or ":" in location:
        return "expected a relative path within the model's folder"
    if "*" in location:
        return "ONNX Runtime reads '*/_ORT_MEM_ADDR_/*' as an address in its own memory"
    file = folder
    for part in path.parts:
        file = file / part
        if file.is_symlink():
            return "it is reached by a symbolic link"
    if not file.exists():
        return "it is missing"
    status = file.stat()
    if not S_ISREG(status.st_mode):
        return "it is not a plain file"
    return "it is a hard link to a file elsewhere" if status.st_nlink > 1 else ""
