"""Finds the packages that a Dockerfile installs, in the shell commands of its RUN instructions."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from trivet.containers.recipes.dockerfile import replaced

_PIP = re.compile(r"(.*/)?pip[0-9.]*")
_PYTHON = re.compile(r"(.*/)?python[0-9.]*")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_SEPARATORS = re.compile(r"[;&|()]+")

_LEFT_OUT = frozenset(
    {
        "--no-cache-dir", "--no-cache", "--user", "--system", "--break-system-packages", "--quiet", "-q",
        "-qq", "--verbose", "-v", "--disable-pip-version-check", "--no-warn-script-location", "--no-input",
        "--compile", "--no-compile", "--compile-bytecode", "--ignore-installed", "--force-reinstall",
    }
)  # fmt: skip
_LEFT_OUT_WITH_VALUE = frozenset(
    {
        "--target", "-t", "--prefix", "--root", "--root-user-action", "--progress-bar", "--cache-dir",
        "--python", "-p", "--log",
    }
)  # fmt: skip
_TOOLS = frozenset({"pip", "uv", "wheel", "virtualenv", "pip-tools", "pipenv", "poetry"})


@dataclass(frozen=True, slots=True)
class Script:
    """What a RUN does: the arguments of each `pip install`, and the other commands, as they are written."""

    installs: tuple[tuple[str, ...], ...] = ()
    others: tuple[str, ...] = ()


def read(script: str, variables: Mapping[str, str]) -> Script:
    """Read a shell script as far as it is a row of simple commands; raises ValueError where a quote is open.

    What it is told of where to install, or how much to print, is left out. To install `pip` itself is
    nothing.
    """
    installs, others = [], []
    for line in script.splitlines():
        for command in _commands(line):
            words = [replaced(word, variables) for word in command]
            while words and _ASSIGNMENT.match(words[0]):
                del words[0]
            arguments = _pip_install(words)
            if arguments is None:
                if words and words[0] not in ("set", "cd", "true", ":"):
                    others.append(shlex.join(words))
            elif kept := _arguments(arguments):
                installs.append(kept)
    return Script(tuple(installs), tuple(others))


def _commands(line: str) -> list[list[str]]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|()")
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    for token in lexer:
        if _SEPARATORS.fullmatch(token):
            found.append([])
        else:
            found[-1].append(token)
    return [command for command in found if command]


def _pip_install(words: list[str]) -> list[str] | None:
    """Return what follows `install`, for the ways in which pip is called; None for any other command."""
    if words and words[0].rpartition("/")[2] == "uv":
        words = words[1:]
    elif len(words) > 2 and _PYTHON.fullmatch(words[0]) and words[1] == "-m":
        words = words[2:]
    if not words or not _PIP.fullmatch(words[0]):
        return None
    rest = words[1:]
    while rest and rest[0].startswith("-"):  # options of pip itself
        del rest[0]
    return rest[1:] if rest and rest[0] == "install" else None


def _arguments(words: list[str]) -> tuple[str, ...]:
    kept: list[str] = []
    names = False
    number = 0
    while number < len(words):
        word = words[number]
        number += 1
        option, equals, _ = word.partition("=")
        if word in _LEFT_OUT:
            continue
        if option in _LEFT_OUT_WITH_VALUE and option.startswith("-"):
            number += not equals
            continue
        if word in ("-e", "--editable"):  # the folder in which it is built is not that in which it runs
            continue
        if word.startswith("-"):
            names = names or option in ("-r", "--requirement") or word.startswith("-r")
        else:
            names = names or re.split(r"[<>=!~\[ ]", word, maxsplit=1)[0] not in _TOOLS
        kept.append(word)
    return tuple(kept) if names else ()
