"""Which files of an application's folder are no part of it, as its `.dockerignore` tells Docker."""

import re
from collections.abc import Iterator

_ALWAYS = ("**/.git", "**/.venv", "**/__pycache__", "**/.pytest_cache", "**/.mypy_cache", "**/.ruff_cache")
"""What is ignored unless a pattern with a `!` says otherwise."""

_KEPT = ("Dockerfile", "Containerfile", "Procfile", ".dockerignore")
"""What an image is built by, which is there even if it is ignored."""

_TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|\[[^\]/]+\]|\\.|.", re.DOTALL)
_MEANING = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


class Ignored:
    """The patterns of a `.dockerignore`: the last one that matches a file, or a folder it is in, decides."""

    def __init__(self, text: str) -> None:
        given = (line.strip() for line in text.splitlines() if not line.startswith("#"))
        lines = [*_ALWAYS, *(line for line in given if line.strip("!/."))]
        self._patterns = [(_compiled(line.removeprefix("!")), not line.startswith("!")) for line in lines]
        self._excepted = any(line.startswith("!") for line in lines)

    def __call__(self, name: str) -> bool:
        """Whether the file of this name, relative to the folder, is ignored."""
        if name in _KEPT:
            return False
        ignored = False
        for pattern, ignores in self._patterns:
            if ignored != ignores and any(pattern.fullmatch(one) for one in _within(name)):
                ignored = ignores
        return ignored

    def is_whole(self, name: str) -> bool:
        """Whether a file, or all in a folder, is ignored, so that one need not look into it."""
        return not self._excepted and self(name)


def _within(name: str) -> Iterator[str]:
    """Yield a name, and those of the folders it is in."""
    while name:
        yield name
        name = name.rpartition("/")[0]


def _compiled(line: str) -> re.Pattern[str]:
    found = _TOKEN.findall(re.sub(r"/+", "/", line.strip()).removeprefix("./").strip("/"))
    try:
        return re.compile("".join(map(_meaning, found)), re.DOTALL)
    except re.error:
        return re.compile(re.escape(line))


def _meaning(token: str) -> str:
    if token in _MEANING:
        return _MEANING[token]
    if token.startswith("[") and len(token) > 2:
        return token.replace("\\", "\\\\") if token[1] != "!" else f"[^{token[2:]}"
    return re.escape(token[-1])
