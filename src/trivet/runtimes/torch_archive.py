"""TorchServe's model archives (.mar): unpacked, and their manifest read.

An archive is unpacked into a folder of its own below the system's temporary one, which goes when the model
does. The process may be killed, and then nothing is left to tidy up; so each folder is locked by the process
that uses it, and whoever unpacks the next archive removes those that nobody locks.
"""

import fcntl
import json
import os
import shutil
import stat
import tempfile
import weakref
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from trivet.core.errors import FailedPrecondition
from trivet.runtimes.base import unreadable
from trivet.runtimes.torch_files import BROKEN, MANIFEST

_PREFIX = "trivet-mar-"
_LOCK = "lock"
_MAX_FILES = 20_000
_CHUNK = 1 << 20
_FREE_BYTES, _MAX_RATIO = 1 << 28, 20
_FILES = ("serializedFile", "modelFile", "requirementsFile", "configFile", "config")


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Unpacked:
    """The files of an archive: where they are, for as long as this lives, and what the manifest says."""

    folder: Path
    manifest: Mapping[str, Any]
    remove: Callable[[], object] = lambda: None
    """Removes the files now, if they were unpacked; called again, it does nothing."""

    def file(self, key: str) -> Path | None:
        """Return a file that the manifest names; None if it names none."""
        name = self.manifest["model"].get(key)
        return self.folder / name if name else None


def unpack(path: Path) -> Unpacked:
    """Unpack an archive; a folder is used as it is.

    Raises FailedPrecondition where it holds anything but ordinary files below itself, too much, or a
    manifest that names no handler.
    """
    if path.is_dir():
        return Unpacked(path, _manifest(path, path.name))
    folder, remove = _folder()
    try:
        files = folder / "model"
        with zipfile.ZipFile(path) as archive:
            _extract(archive, files, path)
        manifest = _manifest(files, path.name)
    except BROKEN as error:
        remove()
        told = error.strerror if isinstance(error, OSError) else None
        raise unreadable(path, "a TorchServe", ValueError(told or error)) from None
    except BaseException:
        remove()
        raise
    made = Unpacked(files, manifest, remove)
    weakref.finalize(made, remove)
    return made


def _extract(archive: zipfile.ZipFile, folder: Path, path: Path) -> None:
    found = archive.infolist()
    left = _FREE_BYTES + _MAX_RATIO * path.stat().st_size
    if len(found) > _MAX_FILES or sum(info.file_size for info in found) > left:
        raise FailedPrecondition(
            f"{path.name}: it would unpack to more than {left >> 20} MiB or 20,000 files"
        )
    for info in found:
        target = folder / _relative(info, path)
        if info.is_dir():
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(info) as source, target.open("xb") as file:
            while chunk := source.read(_CHUNK):
                left -= len(chunk)
                if left < 0:
                    raise FailedPrecondition(f"{path.name}: {info.filename} is larger than it says")
                file.write(chunk)


def _relative(info: zipfile.ZipInfo, path: Path) -> PurePosixPath:
    """Return where a member goes; whatever is no ordinary file below the archive is refused."""
    name = info.filename
    relative = PurePosixPath(MANIFEST if name.upper() == MANIFEST.upper() else name)
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFDIR if info.is_dir() else stat.S_IFREG):
        raise FailedPrecondition(f"{path.name}: {name!r} is a link or a device; expected files")
    if relative.is_absolute() or ".." in relative.parts or "\\" in name or not relative.parts:
        raise FailedPrecondition(f"{path.name}: {name!r} leads out of the archive")
    return relative


def _manifest(folder: Path, archive: str) -> Mapping[str, Any]:
    """Read the manifest, and see that it names a handler, and only files that are there."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        model = manifest["model"]
        handler = model["handler"]
        if not isinstance(handler, str) or not handler:
            raise TypeError
    except (ValueError, KeyError, TypeError, RecursionError, OSError):
        raise FailedPrecondition(
            f"{archive}: {MANIFEST} is not JSON with a handler in model.handler; make the archive with "
            "torch-model-archiver"
        ) from None
    for key in _FILES:
        name = model.get(key)
        if name and not (isinstance(name, str) and _is_within(folder, name)):
            raise FailedPrecondition(f"{archive}: {MANIFEST}: model.{key}: there is no file {name!r} in it")
    return manifest  # type: ignore[no-any-return]


def _is_within(folder: Path, name: str) -> bool:
    file = (folder / name).resolve()
    return file.is_relative_to(folder.resolve()) and file.is_file()


def _folder() -> tuple[Path, Callable[[], None]]:
    """Make a folder, and return what removes it."""
    _sweep(Path(tempfile.gettempdir()))
    folder, owner = Path(tempfile.mkdtemp(prefix=_PREFIX)), os.getpid()
    descriptor, locked = tempfile.mkstemp(dir=folder)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    Path(locked).rename(folder / _LOCK)  # under this name it was always locked

    held = [descriptor]

    def remove() -> None:
        if held and os.getpid() == owner:  # a fork of it may end earlier
            shutil.rmtree(folder, ignore_errors=True)
            os.close(held.pop())

    return folder, remove


def _sweep(root: Path) -> None:
    """Remove the folders of processes that were killed."""
    for folder in root.glob(f"{_PREFIX}*"):
        try:
            known = folder.lstat()
            if known.st_uid != os.getuid() or not stat.S_ISDIR(known.st_mode):
                continue
            descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            pass  # somebody uses it
        finally:
            os.close(descriptor)
