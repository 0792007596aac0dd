"""Libraries that only some formats need: imported when they are used, and named where they are missing."""

from importlib import import_module
from typing import Any

from trivet.core.errors import FailedPrecondition


def need(module: str, extra: str, what: str = "this") -> Any:
    """Import a library of one of Trivet's extras, or say which command installs it, and `what` needs it."""
    return found(module, f"'trivet[{extra}]'", what)


def found(module: str, install: str, what: str) -> Any:
    """Import a library that pip installs by this; raises FailedPrecondition where it is not there."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name and not f"{module}.".startswith(f"{error.name}."):
            raise  # it is there, and misses another
        raise FailedPrecondition(
            f"{what} needs the library {module}, which is not installed: pip install {install}"
        ) from None
