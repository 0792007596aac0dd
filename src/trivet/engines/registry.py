"""Finds engines: modules of this package, and of the packages that plugins name (`trivet.engines`)."""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pkgutil import iter_modules
from types import ModuleType
from typing import cast

from trivet import engines
from trivet.core.errors import InvalidArgument
from trivet.core.signature import unknown
from trivet.jobs.engine import Engine

GROUP = "trivet.engines"
DEFAULT = "embedded"

Opens = Callable[[int], Engine]
"""What a module has as `ENGINE`: given how many processes there may be, 0 leaves that to it, it returns an
engine for one job. Raises FailedPrecondition where its library is missing."""


@cache
def _packages() -> tuple[ModuleType, ...]:
    return (engines, *(entry.load() for entry in entry_points(group=GROUP)))


def names() -> tuple[str, ...]:
    """Return the names of all engines there are; none of their libraries is imported."""
    found = (info.name for package in _packages() for info in iter_modules(package.__path__))
    return tuple(name for name in found if _has_engine(name))


def open_engine(name: str, workers: int = 0) -> Engine:
    """Return an engine by its name, for so many processes; raises InvalidArgument where there is none."""
    module = _module(name)
    if module is None:
        raise InvalidArgument(f"engine {name!r}: {unknown(name, names(), 'engine')}")
    return cast(Opens, module.ENGINE)(workers)


def _has_engine(name: str) -> bool:
    return _module(name) is not None


def _module(name: str) -> ModuleType | None:
    if name.isidentifier():
        for package in _packages():
            full = f"{package.__name__}.{name}"
            if find_spec(full) and hasattr(module := import_module(full), "ENGINE"):
                return module
    return None
