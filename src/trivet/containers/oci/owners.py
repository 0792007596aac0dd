"""Which process a container belongs to, so that none outlives its own whatever ends that.

A container has a guard that removes it when its process ends (`application`). Where the guard was killed
as well, as with a whole service, the next process that starts a container removes it.
"""

import os
from functools import cache
from pathlib import Path

from trivet.containers.oci.tool import Tool

LABEL = "trivet.owner"


def me() -> str:
    """Return the name of this process: no other has it, nor had, on this machine or elsewhere."""
    return f"{_place()}/{os.getpid()}/{_began(os.getpid())}"


def is_gone(owner: str) -> bool:
    """Whether a process has ended; never so for one that cannot be seen from here."""
    place, _, process = owner.rpartition("/")[0].rpartition("/")
    if not place or place != _place() or not process.isdigit():
        return False
    return _began(int(process)) != owner.rpartition("/")[2]


def sweep(tool: Tool, label_of: str) -> None:
    """Remove the containers of processes that have ended."""
    listed = tool.run("ps", "--all", f"--filter=label={LABEL}", f"--format={{{{.ID}}}} {label_of}")
    pairs = (line.split(maxsplit=1) for line in listed.stdout.splitlines() if " " in line.strip())
    left = [container for container, owner in pairs if is_gone(owner.strip())]
    if left:
        tool.remove(*left)


@cache
def _place() -> str:
    """Return what makes a process id mean one process: the boot, and the namespace of such ids.

    It is empty where the system does not tell; then nothing is known of other processes.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return ""


def _began(process: int) -> str:
    """Return when a process began, in ticks since the boot; empty where there is none."""
    try:
        about = Path(f"/proc/{process}/stat").read_text(errors="replace")
    except OSError:
        return ""
    # after the name in parentheses, which may hold anything; a dead one that nobody waits for has ended, too
    fields = about.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]
