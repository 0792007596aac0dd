"""What Google's machine types have, for operators who want containers to have as much, and no more."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trivet.core.containers import Resources

_GIB = 1 << 30
_PER_CPU = {
    "standard": {"n1": 3.75, "g2": 4.0, "c2": 4.0, "a2": 7.08, "a3": 9.0}, "highmem": {"n1": 6.5},
    "highcpu": {"n1": 0.9, "n2": 1.0, "n2d": 1.0, "e2": 1.0}, "highgpu": {"a2": 7.08, "a3": 9.0},
}  # fmt: skip
"""GiB of memory for each CPU, of families that differ from the others of their kind."""

_USUAL = {"standard": 4.0, "highmem": 8.0, "highcpu": 2.0}
_OF_GPU = {"a2": 12, "a3": 26}  # CPUs for each GPU, whose number ends the names of these
_TYPE = re.compile(
    r"(?P<family>[a-z]\d[a-z]?)-(?P<kind>standard|highmem|highcpu|highgpu)-(?P<number>\d{1,3})g?"
)


def resources(machine: Mapping[str, Any], *, limited: bool) -> Resources:
    """Return what a machineSpec gives: GPUs, and CPUs and memory where those are to be `limited`.

    Never more than this machine has: what is made for large ones is to run on a laptop, too. A type that is
    not known limits nothing.
    """
    gpus = min(int(machine.get("acceleratorCount") or 0), _gpus_here())
    cpus, memory = size(str(machine.get("machineType") or "")) if limited else (0, 0)
    return Resources(
        cpus=min(cpus, len(os.sched_getaffinity(0))), memory=min(memory, _memory_here()), gpus=gpus
    )


def size(machine_type: str) -> tuple[int, int]:
    """Return the CPUs and the bytes of memory of a machine type; 0 and 0 where it is not known."""
    match = _TYPE.fullmatch(machine_type)
    if match is None:
        return 0, 0
    family, kind, number = match["family"], match["kind"], int(match["number"])
    cpus = number * _OF_GPU[family] if kind == "highgpu" and family in _OF_GPU else number
    per_cpu = _PER_CPU[kind].get(family) or _USUAL.get(kind, 0.0)
    return cpus, int(cpus * per_cpu * _GIB)


def _memory_here() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _gpus_here() -> int:
    return len(list(Path("/dev").glob("nvidia[0-9]*")))
