"""Lays out an application's files as its image would have them, below a folder of its own."""

import os
import shutil
import stat
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from trivet.containers.recipes.recipe import Copied
from trivet.core.errors import FailedPrecondition
from trivet.storage.ignored import Ignored

IGNORED = ".dockerignore"

_LINKED = 16 << 20
"""Bytes from which a file is linked to, not copied: weights of models, which nobody writes to."""


def lay_out(folder: Path, copies: Sequence[Copied], root: Path) -> None:
    """Copy files of `folder` to where they belong below `root`.

    Links stay links, and what is neither file, folder nor link is left out; so are virtual environments,
    which work nowhere else. Raises FailedPrecondition that names the line of one that there is not, or that
    is not in the folder.
    """
    ignored = _Ignored(folder)
    for one, sources in found(folder, copies):
        target = root / one.target.strip("/")
        into = one.target.endswith("/") or len(sources) > 1 or target.is_dir()
        for source in sources:
            if source.is_dir():
                _copy_folder(source, target, ignored, root)
            else:
                _copy_file(source, target / source.name if into else target)


def found(folder: Path, copies: Sequence[Copied]) -> list[tuple[Copied, list[Path]]]:
    """Return the files and folders that are to be copied; raises as `lay_out` does."""
    ignored = _Ignored(folder)
    return [
        (one, [path for pattern in one.sources for path in _matches(folder, pattern, one, ignored)])
        for one in copies
    ]


class _Ignored:
    """What the .dockerignore of a folder leaves out, by whole paths."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        file = folder / IGNORED
        self._names = Ignored(file.read_text("utf-8", "replace") if file.is_file() else "")

    def __call__(self, path: Path) -> bool:
        return self._names(path.relative_to(self._folder).as_posix())

    def whole(self, path: Path) -> bool:
        """Whether all that is in a folder is left out."""
        return (path / "pyvenv.cfg").is_file() or self._names.is_whole(
            path.relative_to(self._folder).as_posix()
        )


def _matches(folder: Path, pattern: str, one: Copied, ignored: _Ignored) -> Iterable[Path]:
    parts = [part for part in PurePosixPath(pattern.lstrip("/")).parts if part != "."]
    where = f"Dockerfile, line {one.line}" if one.line else "the application"
    if ".." in parts:
        raise FailedPrecondition(f"{where}: {pattern} is outside the folder of the application")
    found = [folder]
    for part in parts:
        if any(char in part for char in "*?["):
            within = [path for at in found if at.is_dir() for path in sorted(at.iterdir())]
            found = [path for path in within if fnmatchcase(path.name, part)]
        else:
            found = [at / part for at in found if os.path.lexists(at / part)]
    found = [path for path in found if path.is_dir() or not ignored(path)]
    if not found:
        raise FailedPrecondition(f"{where}: there is no {pattern} in the folder of the application")
    return found


def _copy_folder(source: Path, target: Path, ignored: _Ignored, root: Path) -> None:
    """Copy what is in a folder; not what has `root` in it, which would have no end."""
    target.mkdir(parents=True, exist_ok=True)
    for at, folders, files in os.walk(source):
        here, there = Path(at), target / Path(at).relative_to(source)
        links = [name for name in folders if (here / name).is_symlink()]
        real = [name for name in folders if name not in links and not root.is_relative_to(here / name)]
        folders[:] = [name for name in real if not ignored.whole(here / name)]
        for name in folders:
            if not ignored(here / name):
                (there / name).mkdir(parents=True, exist_ok=True)
        for name in (*files, *links):
            if not ignored(here / name):
                _copy_file(here / name, there / name)


def _copy_file(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if os.path.lexists(target):
        target.unlink()
    if source.is_symlink():
        target.symlink_to(os.readlink(source))
    elif source.is_file():
        if source.stat().st_size >= _LINKED:
            target.symlink_to(source.resolve())
        else:
            shutil.copy(source, target)
            target.chmod(target.stat().st_mode | stat.S_IWUSR)  # it is the application's own
