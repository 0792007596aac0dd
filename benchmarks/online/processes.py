"""Start a server on one core, see what all its processes use, and end them.

A server may be one process or a dozen. All that descend from this process while the server runs are its own:
this process makes itself the reaper of orphans, so that daemons stay in the family, and so do processes
that have ended, whose time the kernel keeps for the parent. Nothing is found by name.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_SET_PARENT_DEATH_SIGNAL, _SET_CHILD_SUBREAPER = 1, 36  # of prctl(2)
_TICKS = os.sysconf("SC_CLK_TCK")
ONE_THREAD = {
    name: "1"
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
}


@dataclass(frozen=True)
class Memory:
    """Of all processes together, in MiB; `rss` counts shared pages once for each process, `pss` once."""

    rss: float
    pss: float
    processes: int


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends."""
    ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def pin(cores: set[int] | None) -> None:
    """Keep this process, and those it starts, to some cores."""
    if cores:
        os.sched_setaffinity(0, cores)


class Server:
    """A running server. What it prints goes to a file, since a pipe that nobody reads stalls it."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], log: Path, cores: set[int] | None
    ) -> None:
        self._strangers = _family(os.getpid())

        def before_exec() -> None:
            pin(cores)
            ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)

        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log
        with log.open("wb") as out:
            self.started = time.perf_counter()
            self._root = subprocess.Popen(
                command,
                env={**os.environ, **ONE_THREAD, **environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                preexec_fn=before_exec,  # noqa: PLW1509 - this process has one thread when it starts servers
                start_new_session=True,
                cwd=log.parent,
            )

    @property
    def ended(self) -> str | None:
        """Why it has ended, with the last lines it printed; None while it runs."""
        code = self._root.poll()
        if code is None:
            return None
        lines = self._log.read_text(errors="replace").strip().splitlines()[-3:]
        return f"ended with {code}: {' | '.join(lines)}"

    def cpu_seconds(self) -> float:
        """User and system time of all its processes, those included that ended and were waited for."""
        return sum(_cpu_ticks(pid) for pid in self._members()) / _TICKS

    def memory(self) -> Memory:
        found = [rollup for pid in self._members() if (rollup := _rollup(pid))]
        return Memory(sum(rss for rss, _ in found) / 1024, sum(pss for _, pss in found) / 1024, len(found))

    def stop(self, grace: float = 10.0) -> None:
        """Ask the server to end, and end what is left of it after a while."""
        with contextlib.suppress(ProcessLookupError):
            self._root.terminate()
        until = time.perf_counter() + grace
        while self._alive() and time.perf_counter() < until:
            time.sleep(0.05)
        while left := self._members():
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._root.wait()
            for pid in left - {self._root.pid}:  # orphans, which only this process can wait for
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
            time.sleep(0.01)
        self._root.wait()

    def _members(self) -> set[int]:
        return _family(os.getpid()) - self._strangers

    def _alive(self) -> set[int]:
        self._root.poll()
        return {pid for pid in self._members() if _stat(pid)[:1] not in ([], ["Z"])}


def _family(ancestor: int) -> set[int]:
    """All descendants of a process, ended ones that wait to be reaped included."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := _stat(int(entry))):
            children.setdefault(int(fields[1]), []).append(int(entry))
    found: set[int] = set()
    todo = [ancestor]
    while todo:
        for child in children.get(todo.pop(), ()):
            found.add(child)
            todo.append(child)
    return found


def _stat(pid: int) -> list[str]:
    """Read the fields of /proc/PID/stat from the state on; empty if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _cpu_ticks(pid: int) -> int:
    return sum(int(ticks) for ticks in _stat(pid)[11:15])  # utime, stime, cutime, cstime


def _rollup(pid: int) -> tuple[int, int] | None:
    """Read resident and proportional memory in KiB; None for a process that has ended."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return None
    sizes = {line.split(":")[0]: int(line.split()[1]) for line in text.splitlines() if line.endswith("kB")}
    return (sizes["Rss"], sizes["Pss"]) if "Pss" in sizes else None
