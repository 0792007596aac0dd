"""Reads the text of a Dockerfile: its instructions, and the words and variables in them.

What the instructions mean is for `recipe`. https://docs.docker.com/reference/dockerfile/
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from trivet.core.errors import FailedPrecondition

NAME = "Dockerfile"

NAMES = frozenset(
    {
        "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL",
        "MAINTAINER", "ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
    }
)  # fmt: skip
_LONGEST = 1 << 20
_DIRECTIVE = re.compile(r"#\s*(\w+)\s*=\s*(.*?)\s*$")
_HERE = re.compile(r"<<(-?)(['\"]?)(\w+)\2")
_PIECE = re.compile(
    r"""(?P<space>\s+)|(?P<single>'[^']*')|(?P<double>"(?:\\.|[^"\\])*")|(?P<escaped>\\.)"""
    r"""|(?P<plain>(?:\$\{[^}]*\}|[^\s'"\\])+)|(?P<open>.)"""
)
_REFERENCE = re.compile(r"\$(?:(\w+)|\{(\w+)(?:(:?[-+])([^}]*))?\})")


@dataclass(frozen=True, slots=True)
class Instruction:
    """An instruction: the line where it begins, its name in capitals, and what follows, on one line.

    `flags` are its `--name=value`; `documents` are its here-documents, the whole text of each.
    """

    line: int
    name: str
    text: str
    flags: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()

    def wrong(self, told: str) -> FailedPrecondition:
        """Say what is wrong here."""
        return FailedPrecondition(f"{NAME}, line {self.line}: {told}")

    @property
    def list(self) -> tuple[str, ...] | None:
        """The words of the form `["a", "b"]`; None where it has another."""
        if not self.text.startswith("["):
            return None
        try:
            words = json.loads(self.text)
        except ValueError:
            return None
        return tuple(words) if all(isinstance(word, str) for word in words) else None

    def words(self, variables: Mapping[str, str]) -> tuple[str, ...]:
        """The words in either form, with variables replaced as in ENV and COPY, and quotes removed."""
        if self.list is not None:
            return tuple(replaced(word, variables) for word in self.list)
        try:
            return tuple(_words(self.text, variables))
        except ValueError as error:
            raise self.wrong(f"{self.name}: {error}") from None


def read(text: str) -> list[Instruction]:
    """Return the instructions; raises FailedPrecondition that names the line of one that is none."""
    if len(text) > _LONGEST:
        raise FailedPrecondition(f"{NAME}: expected at most {_LONGEST} characters, got {len(text)}")
    lines = text.removeprefix("\ufeff").splitlines()
    escape, start = _directives(lines)
    found, number = [], start
    while number < len(lines):
        if _is_nothing(lines[number]):
            number += 1
            continue
        begins = number + 1
        whole, number = _joined(lines, number, escape)
        name, _, rest = whole.partition(" ")
        name, rest = name.upper(), rest.strip()
        if name not in NAMES:
            raise FailedPrecondition(
                f"{NAME}, line {begins}: expected an instruction, as FROM or COPY, got {name[:40]!r}"
            )
        documents: list[str] = []
        if name in ("RUN", "COPY", "ADD"):
            for here in _HERE.finditer(rest):
                document, number = _document(lines, number, begins, here)
                documents.append(document)
        flags = []
        while rest.startswith("--"):
            flag, _, rest = rest.partition(" ")
            flags.append(flag)
            rest = rest.strip()
        found.append(Instruction(begins, name, rest, tuple(flags), tuple(documents)))
    return found


def replaced(text: str, variables: Mapping[str, str]) -> str:
    """Put values in place of `$NAME`, `${NAME}`, `${NAME:-word}` and `${NAME:+word}`; `\\$` is a `$`."""

    def value(found: re.Match[str]) -> str:
        name, how, word = found[1] or found[2], found[3] or "", found[4] or ""
        known = variables.get(name)
        given = known is not None and not (":" in how and known == "")
        if how.endswith("-"):
            return known or "" if given else replaced(word, variables)
        if how.endswith("+"):
            return replaced(word, variables) if given else ""
        return known or ""

    return "$".join(_REFERENCE.sub(value, part) for part in text.split("\\$"))


def _is_nothing(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith("#")


def _directives(lines: list[str]) -> tuple[str, int]:
    """Return the character that joins lines, and the first line that is no directive."""
    escape, number = "\\", 0
    while number < len(lines) and (found := _DIRECTIVE.match(lines[number].strip())):
        if found[1].lower() == "escape" and found[2] in ("\\", "`"):
            escape = found[2]
        number += 1
    return escape, number


def _joined(lines: list[str], number: int, escape: str) -> tuple[str, int]:
    """Return an instruction on one line, without comments in it, and the number of the line after it."""
    parts: list[str] = []
    while number < len(lines):
        line = lines[number].rstrip()
        number += 1
        if parts and _is_nothing(line):
            continue
        if not line.endswith(escape):
            parts.append(line)
            break
        parts.append(line[:-1])
    return re.sub(r"^(\w+)\s+", r"\1 ", "".join(parts).strip()), number


def _document(lines: list[str], number: int, begins: int, here: re.Match[str]) -> tuple[str, int]:
    found: list[str] = []
    while number < len(lines):
        line = lines[number].lstrip("\t") if here[1] else lines[number]
        number += 1
        if line == here[3]:
            return "\n".join(found), number
        found.append(line)
    raise FailedPrecondition(f"{NAME}, line {begins}: its here-document has no end {here[3]!r}")


def _words(text: str, variables: Mapping[str, str]) -> Iterator[str]:
    """Yield words between spaces; in those in single quotes, variables stay as they are."""
    word: str | None = None
    for found in _PIECE.finditer(text):
        kind, piece = found.lastgroup, found[0]
        if kind == "space":
            if word is not None:
                yield word
            word = None
            continue
        if kind == "open":
            raise ValueError(f"a quote {piece} has no end")
        if kind == "single":
            piece = piece[1:-1]
        elif kind == "escaped":
            piece = piece[1:]
        elif kind == "double":
            piece = re.sub(r'\\(["\\])', r"\1", replaced(piece[1:-1], variables))
        else:
            piece = replaced(piece, variables)
        word = (word or "") + piece
    if word is not None:
        yield word
