"""Pickles, plain or compressed in one of the ways that joblib knows: told by their content, and loaded.

Loading one runs whatever its author wants, so the operator is asked first; looking at one runs nothing.
"""

import bz2
import logging
import lzma
import re
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trivet.core.errors import FailedPrecondition
from trivet.runtimes.base import Artifact, head, need, unreadable

log = logging.getLogger("trivet")

_HEAD = 1 << 20  # bzip2 gives its first byte only after a block, which is 900 kB at most
_MAX_MEMORY = 1 << 28  # an LZMA header may ask for 4 GiB
_COMPRESSED: dict[bytes, Callable[[], Any]] = {
    b"\x1f\x8b": lambda: zlib.decompressobj(31),
    b"\x78": zlib.decompressobj,
    b"BZh": bz2.BZ2Decompressor,
    b"\xfd7zXZ": lambda: lzma.LZMADecompressor(memlimit=_MAX_MEMORY),
    b"\x5d\x00": lambda: lzma.LZMADecompressor(memlimit=_MAX_MEMORY),
}
_OLD = re.compile(rb"c[A-Za-z_][\w.]*\n[A-Za-z_]\w*\n")  # protocols 0 and 1 begin with a class
_BOOSTER = re.compile(rb"xgboost\.core(?:\n|\x94\x8c\x07)Booster")


def is_pickle(path: Path) -> bool:
    """Whether this is a pickle."""
    start = _start(path)
    if len(start) > 2 and start[0] == 0x80:
        return 2 <= start[1] <= 5
    return _OLD.match(start) is not None


def is_booster(path: Path) -> bool:
    """Whether this is the pickle of an XGBoost Booster, which takes other matrices than scikit-learn's."""
    return is_pickle(path) and _BOOSTER.search(_start(path)) is not None


def load(artifact: Artifact, framework: str) -> Any:
    """Run a pickle, if the operator allows it; raises PermissionDenied before anything looks at it."""
    artifact.require_pickle()
    joblib = need("joblib", "sklearn")
    return quietly(artifact.path, framework, lambda: joblib.load(artifact.path))


def quietly(path: Path, framework: str, load: Callable[[], Any]) -> Any:
    """Load, and turn warnings into lines of the log: one for all parts that another version saved."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model = load()
        except ModuleNotFoundError as error:
            raise missing(path, error) from None
        except Exception as error:  # noqa: BLE001 - a broken file may raise anything
            raise unreadable(path, framework, error) from None
    for text in dict.fromkeys(_text(one.message) for one in caught):
        log.warning("%s %s", path.name, text)
    return model


def missing(path: Path, error: ModuleNotFoundError) -> FailedPrecondition:
    """Say which module a file needs."""
    return FailedPrecondition(f"{path.name} needs the Python module {error.name}, which is not installed")


def _start(path: Path) -> bytes:
    """Return the first bytes of what is in a file, decompressed; nothing where that fails."""
    start = head(path, 128)
    for magic, decompressor in _COMPRESSED.items():
        if start.startswith(magic):
            try:
                return bytes(decompressor().decompress(head(path, _HEAD), 128))
            except (zlib.error, lzma.LZMAError, OSError, ValueError, EOFError, MemoryError):
                return b""
    return start


def _text(warning: Warning | str) -> str:
    saved = getattr(warning, "original_sklearn_version", None)
    if saved is None:
        return f"warns: {warning}"
    installed = getattr(warning, "current_sklearn_version", "another version")
    return f"was saved by scikit-learn {saved}; {installed} is installed, and may predict differently"
