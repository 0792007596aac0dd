"""Which files of an application's folder are no part of it, as its `.dockerignore` tells Docker."""

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

_ALWAYS = ("**/.git", "**/.venv", "**/__pycache__", "**/.pytest_cache", "**/.mypy_cache", "**/.ruff_cache")
"""What is ignored unless a pattern with a `!` says otherwise."""

_KEPT = ("Dockerfile", "Procfile", ".dockerignore")
"""What an image is built by, which is there even if it is ignored."""


class Ignored:
    """The patterns of a `.dockerignore`: the last one that matches a file, or a folder it is in, decides."""

    def __init__(self, text: str) -> None:
        given = (line.strip() for line in text.splitlines() if not line.startswith("#"))
        lines = [*_ALWAYS, *(line for line in given if line.strip("!/."))]
        self._patterns = [(_parts(line.removeprefix("!")), not line.startswith("!")) for line in lines]
        self._excepted = any(line.startswith("!") for line in lines)

    def __call__(self, name: str) -> bool:
        """Whether the file of this name, relative to the folder, is ignored."""
        if name in _KEPT:
            return False
        ignored = False
        for pattern, ignores in self._patterns:
            if ignored != ignores and any(_matches(pattern, one) for one in _within(name)):
                ignored = ignores
        return ignored

    def is_whole(self, name: str) -> bool:
        """Whether a file, or all in a folder, is ignored, so that one need not look into it."""
        return not self._excepted and self(name)


def _within(name: str) -> Iterator[Sequence[str]]:
    """Yield the parts of a name, and those of each folder it is in."""
    parts = name.split("/")
    for size in range(len(parts), 0, -1):
        yield parts[:size]


def _parts(line: str) -> Sequence[str]:
    """Return a pattern's parts between slashes, written as `fnmatch` has it."""
    plain = re.sub(r"\\(.)", r"[\1]", line.strip()).replace("[^", "[!")
    return [part for part in plain.split("/") if part not in ("", ".")]


def _matches(pattern: Sequence[str], name: Sequence[str]) -> bool:
    """Whether a pattern matches the whole name. To go back to the last `**` alone is enough."""
    at = stars = back = done = 0
    while done < len(name):
        part = pattern[at] if at < len(pattern) else ""
        if part == "**":
            at, stars, back = at + 1, at + 1, done
        elif part and fnmatchcase(name[done], part):
            at, done = at + 1, done + 1
        elif stars:
            back += 1
            at, done = stars, back
        else:
            return False
    return all(part == "**" for part in pattern[at:])
