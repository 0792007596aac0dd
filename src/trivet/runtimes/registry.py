"""Finds runtimes: modules of this package, and of the packages that plugins name.

A plugin names its package in the entry point group `trivet.runtimes`; a file dropped into that package
is found like a built-in one.
"""

from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import cast

from trivet import runtimes
from trivet.core.errors import FailedPrecondition, InvalidArgument, NotFound
from trivet.core.signature import unknown
from trivet.runtimes.base import Runtime

GROUP = "trivet.runtimes"
_NAME_IT = "name its framework: FRAMEWORK:PATH, --framework or trivet.framework"
NOT_MODELS = ("signature.json", "example.json")


@cache
def _packages() -> tuple[ModuleType, ...]:
    return (runtimes, *(entry.load() for entry in entry_points(group=GROUP)))


def frameworks() -> Iterator[tuple[str, Runtime]]:
    """Yield every framework there is, by name; built-in ones first."""
    for package in _packages():
        for info in iter_modules(package.__path__):
            module = import_module(f"{package.__name__}.{info.name}")
            if hasattr(module, "RUNTIME"):
                yield info.name, module.RUNTIME


def get_runtime(framework: str) -> Runtime:
    """Return the runtime of that name; raises NotFound."""
    if framework.isidentifier():
        for package in _packages():
            name = f"{package.__name__}.{framework}"
            if find_spec(name) and hasattr(module := import_module(name), "RUNTIME"):
                return cast(Runtime, module.RUNTIME)
    known = tuple(name for name, _ in frameworks())
    raise NotFound(f"framework {framework!r}: {unknown(framework, known, 'framework')}")


def detect(path: Path) -> tuple[str, Path]:
    """Find out what a file or folder holds: the framework, and the model file within the folder.

    Raises NotFound where there is no such path or no model in it, InvalidArgument where there are several,
    so that the caller must name one, and FailedPrecondition where it cannot be read.
    """
    if not path.exists():
        raise NotFound(f"{path}: there is no such file or folder")
    try:
        return _detect(path)
    except OSError as error:
        raise FailedPrecondition(f"{path}: cannot be read: {error.strerror or error}") from None


def _detect(path: Path) -> tuple[str, Path]:
    found = [(name, path) for name, runtime in frameworks() if runtime.recognises(path)]
    if not found and path.is_dir():
        files = sorted(file for file in path.iterdir() if file.name not in NOT_MODELS)
        found = [
            (name, file)
            for file in files
            if file.is_file() and not file.name.startswith(".")
            for name, runtime in frameworks()
            if runtime.recognises(file)
        ]
    if len(found) > 1:
        listed = ", ".join(f"{file.name} ({name})" for name, file in found)
        raise InvalidArgument(f"{path}: several models: {listed}; keep one, or {_NAME_IT}")
    if not found:
        known = ", ".join(name for name, _ in frameworks())
        raise NotFound(f"{path}: no model of a known framework ({known}); if it is one of these, {_NAME_IT}")
    return found[0]
