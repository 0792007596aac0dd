"""What an application's folder contains, as a digest: folders of equal content are built once."""

import hashlib
import os
import stat
from pathlib import Path

_CHUNK = 1 << 20
_LEFT_OUT = frozenset({".git", "__pycache__", ".venv"})


def digest(folder: Path) -> str:
    """Return 64 hexadecimal digits for the names, contents and permissions of what is in a folder.

    What running it leaves there (`__pycache__`) does not count, as no `.git` does. Links count as such.
    """
    whole = hashlib.sha256()
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(set(folders) - _LEFT_OUT)
        links = [name for name in folders if Path(parent, name).is_symlink()]
        for name in sorted([*files, *links]):
            path = Path(parent, name)
            whole.update(f"{path.relative_to(folder)}\0".encode("utf-8", "surrogateescape"))
            whole.update(_of(path))
    return whole.hexdigest()


def _of(path: Path) -> bytes:
    about = path.lstat()
    if stat.S_ISLNK(about.st_mode):
        return b"link" + hashlib.sha256(os.fsencode(path.readlink())).digest()
    if not stat.S_ISREG(about.st_mode):
        return b"none"  # a socket or a pipe, which no image can have
    one = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            one.update(chunk)
    return (b"runs" if about.st_mode & stat.S_IXUSR else b"file") + one.digest()
