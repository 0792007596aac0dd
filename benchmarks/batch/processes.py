"""Run a command from a cold start, and see what it and all that it starts use until it ends."""

import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.online.processes import ONE_THREAD

EVERY = 0.1  # seconds between looks at its memory; more where a look takes long
_PARENT_DEATH = 1  # of prctl(2)
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Used:
    """What a command used: `failed` has its last words, if it did not end well.

    `pss_mb` is the most that its processes had together, memory that they share counted once; `rss_mb` the
    most that one of them had.
    """

    seconds: float
    cpu_s: float
    pss_mb: float
    rss_mb: float
    processes: int
    failed: str = ""


@dataclass
class _Seen:
    """The most that was seen; `ticks` is the CPU time of each process, for those whose parent keeps none."""

    pss: int = 0
    rss: int = 0
    processes: int = 0
    ticks: dict[int, int] = field(default_factory=dict)

    def look(self, pids: set[int]) -> None:
        together = 0
        for pid in pids:
            with contextlib.suppress(OSError):
                together += _sizes(f"/proc/{pid}/smaps_rollup").get("Pss", 0)
                self.rss = max(self.rss, _sizes(f"/proc/{pid}/status").get("VmHWM", 0))
            if fields := _stat(pid):
                self.ticks[pid] = sum(int(ticks) for ticks in fields[11:13])
        self.pss = max(self.pss, together)
        self.processes = max(self.processes, len(pids))


def run(command: Sequence[str], variables: Mapping[str, str], log: Path, limit: float) -> Used:
    """Run a command to its end, or for so many seconds; nothing of it is left when this returns."""
    strangers, before = _family(), _cpu()
    seen, ended = _Seen(), threading.Event()

    def watch() -> None:
        pause = 0.0
        while not ended.wait(pause):
            began = time.perf_counter()
            seen.look(_family() - strangers)
            pause = max(EVERY, 20 * (time.perf_counter() - began))

    watcher = threading.Thread(target=watch)
    with log.open("wb") as out:
        began = time.perf_counter()
        process = subprocess.Popen(
            command,
            env={**os.environ, **ONE_THREAD, **variables},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - no other thread runs when it is started
            start_new_session=True,
            cwd=log.parent,
        )
        watcher.start()
        try:
            code: int | None = process.wait(limit)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            seconds = time.perf_counter() - began
            ended.set()
            watcher.join()
            _end(process, strangers)
    cpu = max(_cpu() - before, sum(seen.ticks.values()) / _TICKS)
    failed = ""
    if code != 0:
        words = log.read_text(errors="replace").strip().splitlines()[-3:]
        failed = f"ended with {code}: " if code is not None else f"not done in {limit:g} s: "
        failed += " | ".join(words)
    return Used(seconds, cpu, seen.pss / 1024, seen.rss / 1024, seen.processes, failed)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PARENT_DEATH, signal.SIGKILL, 0, 0, 0)


def _end(process: "subprocess.Popen[bytes]", strangers: set[int]) -> None:
    """End and reap whatever is left: those that lost their parents are this process' children."""
    while left := _family() - strangers:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.poll()
        for pid in left - {process.pid}:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        time.sleep(0.01)
    process.wait()


def _cpu() -> float:
    """User and system time of all descendants that have ended and were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _family() -> set[int]:
    """All descendants of this process, ended ones that wait to be reaped included."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := _stat(int(entry))):
            children.setdefault(int(fields[1]), []).append(int(entry))
    found: set[int] = set()
    todo = [os.getpid()]
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


def _sizes(file: str) -> dict[str, int]:
    """Read the sizes, in KiB, of a file with a line for each."""
    lines = Path(file).read_text().splitlines()
    return {line.split(":")[0]: int(line.split()[-2]) for line in lines if line.endswith(" kB")}
