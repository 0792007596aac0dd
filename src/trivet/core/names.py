"""Names of models and versions: what is allowed in them, and the forms in which they are written."""

import re
from dataclasses import dataclass

from trivet.core.errors import InvalidArgument

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


def check_name(name: str, what: str = "model name") -> str:
    """Return the name; raises InvalidArgument unless it is safe in a URL, a path and a label."""
    if not _NAME.fullmatch(name):
        raise InvalidArgument(
            f"{what} {name!r}: expected 1 to 63 of A-Z a-z 0-9 . _ -, with a letter or digit at both ends"
        )
    return name


def name_from(stem: str) -> str:
    """Make a valid name of a file's stem."""
    cleaned = re.sub(r"[^A-Za-z0-9._-]+", "-", stem)[:63].strip("._-")
    return cleaned or "model"


@dataclass(frozen=True, slots=True, order=True)
class ModelRef:
    """A model and one of its versions, written `fraud@2`."""

    name: str
    version: str = "1"

    @classmethod
    def parse(cls, text: str) -> "ModelRef":
        """Read `fraud` or `fraud@2`."""
        name, at, version = text.partition("@")
        return cls(check_name(name), check_name(version, "version") if at else "1")

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"
