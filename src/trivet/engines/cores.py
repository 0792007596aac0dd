"""How many processes this machine can have at work at once."""

import os
from pathlib import Path

_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


def cores() -> int:
    """Return how many cores this process may use, by its affinity and its container's quota."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _CPU_MAX.read_text().split()
        return max(1, min(usable, round(int(quota) / int(period))))
    except (OSError, ValueError):  # no such file, or no quota ("max")
        return usable
