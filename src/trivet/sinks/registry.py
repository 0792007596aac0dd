"""Finds sinks: modules of this package, and of the packages that plugins name.

A plugin names its package in the entry point group `trivet.sinks`; a file dropped into that package is found
like a built-in one. The name of a format in the API is that of its file, with hyphens for underscores.
"""

from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pkgutil import iter_modules
from types import ModuleType
from typing import cast

from trivet import sinks
from trivet.core.errors import NotFound
from trivet.core.signature import unknown
from trivet.sinks.base import Sink

GROUP = "trivet.sinks"


@cache
def _packages() -> tuple[ModuleType, ...]:
    return (sinks, *(entry.load() for entry in entry_points(group=GROUP)))


def formats() -> Iterator[str]:
    """Yield the name of every format there is, built-in ones first."""
    for package in _packages():
        for info in iter_modules(package.__path__):
            if hasattr(import_module(f"{package.__name__}.{info.name}"), "SINK"):
                yield info.name.replace("_", "-")


def get_sink(format: str) -> Sink:
    """Return the sink that writes a format; raises NotFound."""
    module = format.replace("-", "_")
    if module.isidentifier() and "_" not in format:
        for package in _packages():
            name = f"{package.__name__}.{module}"
            if find_spec(name) and hasattr(found := import_module(name), "SINK"):
                return cast(Sink, found.SINK)
    raise NotFound(f"output format {format!r}: {unknown(format, tuple(formats()), 'format')}")
