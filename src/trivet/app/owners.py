"""What a process that runs jobs is called, so that another on the same machine can tell that it is gone.

Others wait until it has not been heard of for a while.
"""

import os
import socket
from pathlib import Path

_PROC = Path("/proc")


def own() -> str:
    """Return the name of this process among all that there are, were and will be."""
    return f"{_machine()}/{os.getpid()}/{_started(os.getpid())}"


def is_gone(owner: str) -> bool:
    """Whether an owner is known to have ended: a process of this machine that is not there any more."""
    return alive(owner) is False


def alive(owner: str) -> bool | None:
    """Whether an owner is a process that is there; None where it is none of this machine's."""
    machine, _, rest = owner.rpartition("/")[0].rpartition("/")
    started = owner.rpartition("/")[2]
    if not started or machine != _machine() or not rest.isdigit():
        return None
    return _started(int(rest)) == started


def _machine() -> str:
    """Return where process ids mean something: containers have ids of their own."""
    try:
        return f"{socket.gethostname()}/{(_PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


def _started(pid: int) -> str:
    """Return when a process was started, in the system's ticks; "" where it is not there, or no one tells."""
    try:
        told = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return ""
    state, *fields = told.rpartition(")")[2].split()  # its name may contain anything
    return "" if state in "ZX" else fields[18]
