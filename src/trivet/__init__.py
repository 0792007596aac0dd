"""Trivet serves one trained model three ways: online, in batch and in SQL."""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from trivet import sql as sql
    from trivet.connect import connect as connect
    from trivet.core.errors import FailedPrecondition as FailedPrecondition
    from trivet.core.errors import InvalidArgument as InvalidArgument
    from trivet.core.errors import NotFound as NotFound
    from trivet.core.errors import ServingError as ServingError
    from trivet.core.errors import Unavailable as Unavailable

__all__ = [
    "FailedPrecondition",
    "InvalidArgument",
    "NotFound",
    "ServingError",
    "Unavailable",
    "__version__",
    "connect",
    "sql",
]


def __getattr__(name: str) -> object:
    """Import on first use, so that `import trivet` costs nothing."""
    if name not in __all__:
        raise AttributeError(f"module 'trivet' has no attribute {name!r}")
    if name == "sql":
        return import_module("trivet.sql")
    home = import_module("trivet.connect" if name == "connect" else "trivet.core.errors")
    found: object = getattr(home, name)
    globals()[name] = found  # importing trivet.connect has put the module there
    return found
