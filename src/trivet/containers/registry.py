"""Finds container engines: modules of this package that have an `ENGINE`, the preferred ones first."""

from collections.abc import Mapping
from functools import cache
from importlib import import_module

from trivet.containers.base import Engine
from trivet.core.containers import ContainerSpec
from trivet.core.errors import FailedPrecondition

ORDER = ("podman", "docker", "process")
"""In which engines are preferred."""


@cache
def engines() -> Mapping[str, Engine]:
    """Return every engine by its name, in the order of preference."""
    return {name: import_module(f"{__package__}.{name}").ENGINE for name in ORDER}


def choose(spec: ContainerSpec) -> Engine:
    """Return the engine that runs a spec: the one it names, else the first that there is.

    Processes run folders alone. Raises FailedPrecondition that says what each lacks.
    """
    names = ORDER if spec.engine == "auto" else (spec.engine,)
    lacks = {}
    for name in names:
        if name not in engines():
            raise FailedPrecondition(
                f"containers.engine {name!r}: expected auto, {', '.join(ORDER[:-1])} or {ORDER[-1]}"
            )
        lacking = engines()[name].lacks()
        if not lacking and name == "process" and spec.folder is None:
            lacking = f"as a process, only the folder of an application can be run, not {spec.image}"
        if not lacking:
            return engines()[name]
        lacks[name] = lacking
    told = "; ".join(lacks.values())
    raise FailedPrecondition(
        f"no engine can run this container: {told}. Install podman (apt-get install podman), or give the "
        "application's folder as image"
    )
