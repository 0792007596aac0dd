"""What the processes of a server hold, as the system counts it (Linux)."""

import os
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")


def family(pid):
    """Return a process and all below it."""
    found = [pid]
    for one in found:
        try:
            threads = list(Path(f"/proc/{one}/task").iterdir())
            found += [int(child) for thread in threads for child in (thread / "children").read_text().split()]
        except OSError:
            continue  # it has just ended
    return found


def descriptors(pid):
    """Return how many files and sockets each process of a server has open."""
    return {one: len(list(Path(f"/proc/{one}/fd").iterdir())) for one in family(pid)}


def resident(pid):
    """Return the bytes of memory of all processes of a server; pages that they share count for each."""
    return sum(int(Path(f"/proc/{one}/statm").read_text().split()[1]) * _PAGE for one in family(pid))
