"""Names with wildcards, the same for local paths and for objects of a store."""

import fnmatch
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trivet.core.errors import FailedPrecondition, InvalidArgument
from trivet.storage.base import MAX_FILES

_SPECIAL = re.compile(r"[*?\[]")
# what stands first in brackets, even "]", belongs to them: so no way back (`?+`)
_TOKEN = re.compile(r"\*\*?|\?|\[!?+\]?+[^\]]*\]|.", re.DOTALL)
_NOTHING = fnmatch.translate("[z-a]")[:-2]
_DEEPEST = 100


@dataclass(frozen=True, slots=True)
class Pattern:
    """What names below `folder` are meant. `depth` is the number of the parts that have wildcards, or come
    after one that has; `deep` whether there may be any number of folders between."""

    folder: str
    depth: int
    deep: bool
    regex: re.Pattern[str]

    @classmethod
    def of(cls, uri: str) -> "Pattern | None":
        """Return the pattern of a path or URI; None where it has no wildcards."""
        special = _SPECIAL.search(uri)
        if special is None:
            return None
        folder = uri[: uri.rfind("/", 0, special.start()) + 1]
        parts = [part for part in uri[len(folder) :].split("/") if part]
        # "**" as a whole part is any folders, or none
        text = "".join("(?:[^/.][^/]*/)*" if part == "**" else f"{_part(part)}/" for part in parts)
        if _NOTHING in text:
            raise InvalidArgument(f"{uri}: the range in its brackets is empty")
        regex = re.compile(text[:-1] if parts[-1] != "**" else f"{text}[^/.][^/]*", re.DOTALL)
        return cls(folder, len(parts), any("**" in part for part in parts), regex)

    @classmethod
    def all(cls) -> "Pattern":
        """Return the pattern that all names match which are not hidden, nor notes such as `_SUCCESS`."""
        return cls("", 1, True, re.compile("(?:[^/._][^/]*/)*[^/._][^/]*", re.DOTALL))

    def matches(self, name: str) -> bool:
        """Whether a name, relative to the folder, is meant."""
        return self.regex.fullmatch(name) is not None


def walk(folder: Path, pattern: Pattern | None) -> Iterator[str]:
    """Yield the names of the plain files below a folder, links followed, as deep as a pattern goes.

    Hidden ones, and what begins with an underscore, are left out where no pattern is given. A folder that
    contains itself, by a link, is not entered again. Raises FailedPrecondition for too many.
    """
    hidden = pattern is not None
    deepest = _DEEPEST if pattern is None or pattern.deep else pattern.depth
    seen = 0
    todo: list[tuple[Path, str, tuple[tuple[int, int], ...]]] = [(folder, "", ())]
    while todo:
        here, prefix, above = todo.pop()
        if not here.is_dir():
            continue
        about = here.stat()
        itself = about.st_dev, about.st_ino
        if itself in above:
            continue
        with os.scandir(here) as entries:
            for entry in entries:
                seen += 1
                if seen > 10 * MAX_FILES:
                    raise FailedPrecondition(f"{folder}: has more than {10 * MAX_FILES} files and folders")
                if entry.name.startswith((".", "_")) and not hidden:
                    continue
                name = prefix + entry.name
                if entry.is_dir():
                    if len(above) + 1 < deepest:
                        todo.append((here / entry.name, f"{name}/", (*above, itself)))
                elif entry.is_file():
                    yield name


def _part(part: str) -> str:
    """Return the regular expression of one part of a name; what is hidden must be asked for."""
    text = "(?!\\.)" if part[0] in "*?[" else ""
    for token in _TOKEN.findall(part):
        if token == "**":
            text += ".*"
        elif token == "*":
            text += "[^/]*"
        elif token == "?":
            text += "[^/]"
        elif token[0] == "[" and len(token) > 1:
            text += f"(?!/){fnmatch.translate(token)[:-2]}"  # less its "\\Z"
        else:
            text += re.escape(token)
    return text
