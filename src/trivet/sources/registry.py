"""Finds sources: modules of this package, and of the packages that plugins name (`trivet.sources`).

The name of a format is that of its module, with hyphens for underscores.
"""

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pkgutil import iter_modules
from types import ModuleType
from typing import cast

from trivet import sources
from trivet.core.errors import InvalidArgument
from trivet.core.signature import unknown
from trivet.sources.base import Source

GROUP = "trivet.sources"


@cache
def _packages() -> tuple[ModuleType, ...]:
    return (sources, *(entry.load() for entry in entry_points(group=GROUP)))


def formats() -> tuple[str, ...]:
    """Return the names of all formats there are; none of their libraries is imported."""
    found = (info.name for package in _packages() for info in iter_modules(package.__path__))
    return tuple(dict.fromkeys(name.replace("_", "-") for name in found if _module(name) is not None))


def get_source(name: str) -> Source:
    """Return the source of a format; raises InvalidArgument where there is none."""
    module = _module(name.replace("-", "_")) if "_" not in name else None
    if module is None:
        raise InvalidArgument(f"format {name!r}: {unknown(name, formats(), 'format')}")
    return cast(Source, module.SOURCE)


def _module(name: str) -> ModuleType | None:
    if name.isidentifier():
        for package in _packages():
            full = f"{package.__name__}.{name}"
            if find_spec(full) and hasattr(module := import_module(full), "SOURCE"):
                return module
    return None
