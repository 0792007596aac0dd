"""Libraries that only some formats need: imported when they are used, and named where they are missing."""

from importlib import import_module
from typing import Any

from trivet.core.errors import FailedPrecondition


def need(module: str, extra: str) -> Any:
    """Import a library, or say which command installs it."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name and not f"{module}.".startswith(f"{error.name}."):
            raise
        raise FailedPrecondition(
            f"this needs the library {module}, which is not installed: pip install 'trivet[{extra}]'"
        ) from None
