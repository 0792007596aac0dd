"""Whether a model can fit in memory at all: better said before it is loaded than by the system's killer."""

from collections.abc import Sequence
from pathlib import Path

from trivet.app.models import Where, where
from trivet.core.errors import ResourceExhausted, ServingError
from trivet.serving.lifecycle import ModelSpec, size_of

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def available() -> int | None:
    """Return how many bytes this machine, or its container's limit, has left; None where that is unknown."""
    left = [one for one in (_of_machine(), _of_container()) if one is not None]
    return min(left) if left else None


def check(spec: ModelSpec, copies: int = 1) -> None:
    """Raise ResourceExhausted where a model's files alone are larger than what memory is left.

    What a model needs beyond its files cannot be told before it is loaded.
    """
    if spec.path == Path():  # it has no files
        return
    left = available()
    needed = size_of(spec.path) * copies
    if left is not None and needed > left:
        raise ResourceExhausted(
            f"{spec.ref} cannot be loaded: its files are {needed / 2**20:,.0f} MiB"
            f"{f' in {copies} processes' if copies > 1 else ''}, and {left / 2**20:,.0f} MiB are left"
        )


def places(specs: Sequence[ModelSpec], failures: dict[str, ServingError]) -> dict[str, Where]:
    """Say who loads each model, by its id; what cannot be loaded at all is among the failures."""
    found: dict[str, Where] = {}
    for spec in specs:
        try:
            place = where(spec)
            check(spec, spec.replicas if place == "apart" else 1)
            found[spec.id] = place
        except ServingError as error:
            failures[spec.id] = error
    return found


def _of_machine() -> int | None:
    try:
        lines = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None


def _of_container() -> int | None:
    """Return what the container's limit (cgroup v2) leaves; files it has read are given up where needed."""
    try:
        limit = int((_CGROUP / "memory.max").read_text())
        used = int((_CGROUP / "memory.current").read_text())
        stat = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
        return limit - used + int(stat.get("inactive_file", 0))
    except (OSError, ValueError):  # no limit is written "max"
        return None
