"""Reads a Procfile: `web: COMMAND` starts the application. https://devcenter.heroku.com/articles/procfile"""

import re
from pathlib import Path

from trivet.core.errors import FailedPrecondition

NAME = "Procfile"

_LINE = re.compile(r"([A-Za-z0-9_-]+):\s*(.*\S)\s*")


def web(folder: Path) -> str:
    """Return the command of `web` in a folder's Procfile, for a shell; empty where it has no such file.

    Raises FailedPrecondition where there is one that has no such line, or cannot be read.
    """
    try:
        return read((folder / NAME).read_text("utf-8"))
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise FailedPrecondition(f"{NAME}: cannot be read: {error}") from None


def read(text: str) -> str:
    """Return the command of `web` in the text of a Procfile."""
    commands: dict[str, str] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            raise FailedPrecondition(f"{NAME}, line {number}: expected NAME: COMMAND, got {line[:60]!r}")
        commands.setdefault(found[1], found[2])
    if "web" not in commands:
        had = ", ".join(commands) or "nothing"
        raise FailedPrecondition(f"{NAME}: expected a line `web: COMMAND`; it has {had}")
    return commands["web"]
