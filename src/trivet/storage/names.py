"""Names of files within an artifact: what is refused, before any of them is joined to a path."""

import unicodedata

from trivet.core.errors import InvalidArgument


def check(name: str, location: str) -> str:
    """Return the name of a file, relative to its folder, with "/" between parts.

    Raises InvalidArgument for one that would lead elsewhere, or that not every file system can keep.
    """
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise InvalidArgument(f"{location}: the name {name[:200]!r} leads out of its folder, or to nothing")
    if "\\" in name or any(unicodedata.category(one) in ("Cc", "Cs") for one in name):
        raise InvalidArgument(
            f"{location}: the name {name[:200]!r} has a backslash, a control character, or is not UTF-8; "
            "rename the file"
        )
    if any(len(part.encode()) > 255 for part in parts):
        raise InvalidArgument(f"{location}: the name {name[:80]!r}... has a part of more than 255 bytes")
    return name
