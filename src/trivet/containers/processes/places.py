"""Paths, addresses and ports of an image, as they are where its application runs as a process."""

import re
from collections.abc import Sequence
from pathlib import Path
from posixpath import normpath

LOOPBACK = "127.0.0.1"

_PATH = re.compile(r"(?<![\w./@+~-])/(?!/)[\w./@+~-]+")
_EVERYWHERE = re.compile(r"(?<![\d.])0\.0\.0\.0(?![\d.])")
_BIND = re.compile(r"((?:^|\s)(?:--bind[ =]|-b ?)['\"]?):(?=[\d$])")


class Places:
    """An image's files are below `root`, its programs in a virtual environment.

    A path is changed where there is such a file below the root, or a folder in which to make it: that of
    `/usr/bin/env` stays.
    """

    def __init__(self, root: Path, environment: Path) -> None:
        self._root = root
        self._programs = environment / "bin"

    def at(self, path: str) -> Path:
        """Return where an absolute path of the image is."""
        inside = normpath(path).lstrip("/")
        return self._root / inside if inside not in ("", ".") else self._root

    def in_text(self, text: str) -> str:
        """Change all paths in a text, as a shell command or the value of PYTHONPATH."""
        return _PATH.sub(lambda found: self._changed(found[0]), text)

    def _changed(self, path: str) -> str:
        here = self.at(path)
        could_be = here.parent.is_dir() and here.parent != self._root and not Path(path).exists()
        if here.exists() or could_be:
            return str(here)
        folder, _, name = path.rpartition("/")
        if folder in ("/usr/local/bin", "/opt/venv/bin") and (self._programs / name).exists():
            return str(self._programs / name)
        return path


def on_loopback(words: Sequence[str]) -> tuple[str, ...]:
    """Have a command listen on this machine alone, where it says that it listens on all addresses."""
    changed: list[str] = []
    for word in words:
        if changed and changed[-1] in ("--bind", "-b") and word.startswith(":"):
            changed.append(f"{LOOPBACK}{word}")
        else:
            changed.append(_BIND.sub(rf"\g<1>{LOOPBACK}:", _EVERYWHERE.sub(LOOPBACK, word)))
    return tuple(changed)


def on_port(words: Sequence[str], named: int, port: int) -> tuple[str, ...]:
    """Put the port that there is in place of the one that a command names."""
    number = re.compile(rf"(?<![\w.]){named}(?![\w.])")
    return tuple(number.sub(str(port), word) for word in words)
