"""Files that scikit-learn models are kept in: skops archives, and pickles as joblib or pickle write them.

They are told apart by content, and one is never read as the other: skops files hold data and named types,
pickles run whatever their author wants.
"""

import bz2
import logging
import lzma
import re
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trivet.core.errors import FailedPrecondition, PermissionDenied
from trivet.runtimes.base import Artifact, head, need, unreadable

log = logging.getLogger("trivet")

_SKOPS = "schema.json"
_HARMLESS = frozenset(("numpy.dtype",))  # in every SimpleImputer; skops does not know that it is data
_HEAD = 1 << 20  # bzip2 gives its first byte only after a block, which is 900 kB at most
_MAX_MEMORY = 1 << 28  # an LZMA header may ask for 4 GiB
_COMPRESSED: dict[bytes, Callable[[], Any]] = {
    b"\x1f\x8b": lambda: zlib.decompressobj(31),
    b"\x78": zlib.decompressobj,
    b"BZh": bz2.BZ2Decompressor,
    b"\xfd7zXZ": lambda: lzma.LZMADecompressor(memlimit=_MAX_MEMORY),
    b"\x5d\x00": lambda: lzma.LZMADecompressor(memlimit=_MAX_MEMORY),
}
_OLD_PICKLE = re.compile(rb"c[A-Za-z_][\w.]*\n[A-Za-z_]\w*\n")  # protocols 0 and 1 begin with a class


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


def is_pickle(path: Path) -> bool:
    """Whether this is a pickle, plain or compressed in one of the ways that joblib knows."""
    start = head(path, 64)
    for magic, decompressor in _COMPRESSED.items():
        if start.startswith(magic):
            try:
                start = decompressor().decompress(head(path, _HEAD), 64)
            except (zlib.error, lzma.LZMAError, OSError, ValueError, EOFError, MemoryError):
                return False
            break
    if len(start) > 2 and start[0] == 0x80:
        return 2 <= start[1] <= 5
    return _OLD_PICKLE.match(start) is not None


def load_skops(artifact: Artifact) -> Any:
    """Read a skops file; raises PermissionDenied that names the types nobody trusts."""
    skops = need("skops.io", "sklearn")
    path, trusted = artifact.path, {*artifact.permissions.trusted_types, *_HARMLESS}
    try:
        found = set(skops.get_untrusted_types(file=path))
    except ModuleNotFoundError as error:
        raise _missing(path, error) from None
    except Exception as error:  # noqa: BLE001 - a broken archive may raise anything
        raise unreadable(path, "a skops", error) from None
    if unknown := sorted(found - trusted):
        raise PermissionDenied(
            f"{path.name} contains types that are not trusted: {', '.join(unknown)}. If you trust where it "
            "comes from, allow each with --trust-type, or in artifacts.trusted_types"
        )
    return _quietly(path, lambda: skops.load(path, trusted=sorted(found)))


def load_pickle(artifact: Artifact) -> Any:
    """Run a pickle, if the operator allows it; raises PermissionDenied before anything looks at it."""
    artifact.require_pickle()
    need("sklearn", "sklearn")
    load = need("joblib", "sklearn").load
    return _quietly(artifact.path, lambda: load(artifact.path))


def _quietly(path: Path, load: Callable[[], Any]) -> Any:
    """Load, and turn warnings into lines of the log: one for all parts that another version saved."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model = load()
        except ModuleNotFoundError as error:
            raise _missing(path, error) from None
        except Exception as error:  # noqa: BLE001 - a broken file may raise anything
            raise unreadable(path, "a scikit-learn", error) from None
    for text in dict.fromkeys(_text(one.message) for one in caught):
        log.warning("%s %s", path.name, text)
    return model


def _text(warning: Warning | str) -> str:
    saved = getattr(warning, "original_sklearn_version", None)
    if saved is None:
        return f"warns: {warning}"
    installed = getattr(warning, "current_sklearn_version", "another version")
    return f"was saved by scikit-learn {saved}; {installed} is installed, and may predict differently"


def _missing(path: Path, error: ModuleNotFoundError) -> FailedPrecondition:
    return FailedPrecondition(f"{path.name} needs the Python module {error.name}, which is not installed")
