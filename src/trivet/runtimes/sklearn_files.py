"""skops archives, in which scikit-learn models are kept as data and named types.

They and pickles are told apart by content, and one is never read as the other.
"""

import zipfile
import zlib
from pathlib import Path
from typing import Any

from trivet.core.errors import PermissionDenied
from trivet.runtimes.base import Artifact, head, need, unreadable
from trivet.runtimes.pickles import missing, quietly

_SKOPS = "schema.json"
_HARMLESS = frozenset(("numpy.dtype",))  # in every SimpleImputer; skops does not know that it is data


def is_skops(path: Path) -> bool:
    """Whether this is a zip archive with the schema of a skops file."""
    if head(path, 4) != b"PK\x03\x04":
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            if _SKOPS not in archive.namelist():
                return False
            with archive.open(_SKOPS) as schema:
                return b'"__class__"' in schema.read(256)
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError, NotImplementedError, zlib.error, EOFError):
        return False


def load_skops(artifact: Artifact) -> Any:
    """Read a skops file; raises PermissionDenied that names the types nobody trusts."""
    skops = need("skops.io", "sklearn")
    path, trusted = artifact.path, {*artifact.permissions.trusted_types, *_HARMLESS}
    try:
        found = set(skops.get_untrusted_types(file=path))
    except ModuleNotFoundError as error:
        raise missing(path, error) from None
    except Exception as error:  # noqa: BLE001 - a broken archive may raise anything
        raise unreadable(path, "a skops", error) from None
    if unknown := sorted(found - trusted):
        raise PermissionDenied(
            f"{path.name} contains types that are not trusted: {', '.join(unknown)}. If you trust where it "
            "comes from, allow each with --trust-type, or in artifacts.trusted_types"
        )
    return quietly(path, "a scikit-learn", lambda: skops.load(path, trusted=sorted(found)))
