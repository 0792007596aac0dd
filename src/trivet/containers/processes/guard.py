"""A guard: starts one command, and leaves nothing of it behind, however its own parent ends.

It runs as a script, `python -I -S guard.py CONTROL LOCK MEMORY CPUS FOLDER COMMAND...`, and imports the
standard library alone. CONTROL is the descriptor of a socket to the parent, over which it writes `started
PID` or `failed WHY`, later perhaps `memory BYTES`, and at last `ended STATUS` (negative: a signal), and
reads `stop SECONDS`. LOCK, unless -1, is a descriptor that only it keeps open. What the command has started
is ended once the command is; all of it is ended where it uses more than MEMORY bytes, unless 0. FOLDER,
unless empty, is removed at the end. CPUS, unless empty, are those that the command may use.

On Linux it adopts what the command leaves behind as well, processes that have made themselves independent
among them; elsewhere it ends the command's process group.
"""

import contextlib
import ctypes
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time

_DEATH_SIGNAL, _SUBREAPER = 1, 36  # of sys/prctl.h
_ORPHANED_GRACE = 2.0
"""Seconds in which a command has to end whose guard's parent is gone."""

_LOOKS_EVERY = 0.2
"""Seconds between two looks at how much memory is used."""

_KILLS_FOR = 10.0
"""Seconds after which processes that cannot be killed (they wait for a disk) are left to the kernel."""


def children(pid: int) -> list[int]:
    """Return the processes whose parent is `pid`, those that have ended unnoticed among them; Linux alone."""
    found: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", "rb") as file:
                found += map(int, file.read().split())
    except OSError:
        if os.path.exists(f"/proc/{pid}/stat"):  # of a kernel that does not list them
            return _searched(pid)
    return found


def _searched(parent: int) -> list[int]:
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
            if int(file.read().rpartition(b")")[2].split()[1]) == parent:
                found.append(int(name))
    return found


def descendants(pid: int) -> list[int]:
    """Return the children of a process, and theirs."""
    found: list[int] = []
    todo = [pid]
    while todo:
        new = children(todo.pop())
        found += new
        todo += new
    return found


def used(pids: list[int], limit: int) -> int:
    """Return the bytes of memory that processes have; what they share counts once where it would matter."""
    pages = 0
    for pid in pids:
        with contextlib.suppress(OSError, ValueError, IndexError), open(f"/proc/{pid}/statm", "rb") as file:
            pages += int(file.read().split()[1])
    resident = pages * os.sysconf("SC_PAGE_SIZE")
    return min(resident, _proportional(pids)) if resident > limit else resident


def _proportional(pids: list[int]) -> int:
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            total += next((1024 * int(line.split()[1]) for line in file if line.startswith(b"Pss:")), 0)
    return total


class _Guard:
    def __init__(self, control: socket.socket, memory: int) -> None:
        self._control = control
        self._memory = memory
        self._leader = 0
        self._status: int | None = None
        self._childless = False
        self._until: float | None = None  # when what still runs is killed

    def run(self, command: list[str], cpus: set[int]) -> None:
        """Start the command, and return when nothing of it is left."""
        reads, writes = os.pipe()
        os.set_blocking(writes, False)
        signal.set_wakeup_fd(writes, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _nothing)  # unlike SIG_IGN, not passed on to the command
        poll = select.poll()
        for descriptor in (reads, self._control.fileno(), *_parent()):
            poll.register(descriptor, select.POLLIN)
        try:
            started = subprocess.Popen(command, process_group=0, preexec_fn=lambda: _prepare(cpus))  # noqa: PLW1509 - it has one thread
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            self._say(f"failed {command[0]}: {getattr(error, 'strerror', None) or error}")
            return
        started.returncode = 0  # it is waited for here, with all others
        self._leader = started.pid
        self._say(f"started {self._leader}")
        while not self._over():
            for descriptor, _ in poll.poll(self._pause()):
                if descriptor == reads:
                    os.read(reads, 4096)
                elif descriptor != self._control.fileno():
                    poll.unregister(descriptor)
                    self._end_within(_ORPHANED_GRACE)
                elif not self._obey():
                    poll.unregister(descriptor)
        self._kill()
        self._say(f"ended {-signal.SIGKILL if self._status is None else self._status}")

    def _over(self) -> bool:
        """Whether to kill what is left. The end of the command is enough, unless it was asked to end."""
        self._reap()
        if self._memory and (bytes_ := used(descendants(os.getpid()), self._memory)) > self._memory:
            self._say(f"memory {bytes_}")
            return True
        if self._until is None:
            return self._status is not None
        return self._childless or time.monotonic() >= self._until

    def _pause(self) -> float | None:
        """Return the milliseconds after which to look again, though nothing has happened."""
        left = [] if self._until is None else [max(0.0, self._until - time.monotonic())]
        if self._memory:
            left.append(_LOOKS_EVERY)
        return 1000 * min(left) + 1 if left else None

    def _obey(self) -> bool:
        """Do what the parent says; False where it says nothing any more."""
        try:
            said = self._control.recv(4096)
        except OSError:
            said = b""
        if not said:
            self._end_within(_ORPHANED_GRACE)
        elif said.startswith(b"stop "):
            self._end_within(float(said.split()[1]))
        return bool(said)

    def _end_within(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        if self._until is None:
            self._signal(signal.SIGTERM)
        self._until = until if self._until is None else min(until, self._until)

    def _signal(self, number: signal.Signals) -> None:
        others = [pid for pid in descendants(os.getpid()) if not _in_group(pid, self._leader)]
        with contextlib.suppress(OSError):
            os.killpg(self._leader, number)
        for pid in others:
            with contextlib.suppress(OSError):
                os.kill(pid, number)

    def _kill(self) -> None:
        until = time.monotonic() + _KILLS_FOR
        self._signal(signal.SIGKILL)
        self._reap()
        while not self._childless and time.monotonic() < until:
            select.select([], [], [], 0.01)
            self._signal(signal.SIGKILL)
            self._reap()

    def _reap(self) -> None:
        """Take notice of what has ended."""
        for pid in children(os.getpid()):
            if pid != self._leader:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
        if self._status is None:
            self._status = _status(self._leader)
        self._childless = self._status is not None and set(children(os.getpid())) <= {self._leader}

    def _say(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self._control.sendall(" ".join(text.split()).encode() + b"\n")


def _status(pid: int) -> int | None:
    """Return how a child has ended, None while it runs.

    It is kept as it is, ended unnoticed: its number, which is the group's, must not become another's.
    """
    if hasattr(os, "waitid"):
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is None:
            return None
        return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
    found, status = os.waitpid(pid, os.WNOHANG)  # macOS
    return os.waitstatus_to_exitcode(status) if found else None


def _in_group(pid: int, group: int) -> bool:
    with contextlib.suppress(OSError):
        return os.getpgid(pid) == group
    return True


def _nothing(*_: object) -> None:
    """Wake up."""


def _prctl(option: int, value: int) -> None:
    with contextlib.suppress(OSError, AttributeError):  # not Linux
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _prepare(cpus: set[int]) -> None:
    """Set up the command's process, where it still is this program."""
    _prctl(_DEATH_SIGNAL, signal.SIGKILL)  # should the guard itself be killed
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in signal.valid_signals():
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    if cpus and hasattr(os, "sched_setaffinity"):
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, cpus)


def _parent() -> list[int]:
    """Return a descriptor that is readable once the parent has ended, whoever else may hold its sockets."""
    with contextlib.suppress(OSError, AttributeError):
        return [os.pidfd_open(os.getppid())]
    return []


def main() -> None:
    """Guard what the arguments say."""
    control, lock, memory, cpus, folder, *command = sys.argv[1:]
    _prctl(_SUBREAPER, 1)
    own = socket.socket(fileno=int(control))
    own.set_inheritable(False)
    if int(lock) >= 0:
        os.set_inheritable(int(lock), False)
    try:
        _Guard(own, int(memory)).run(command, {int(cpu) for cpu in cpus.split(",") if cpu})
    finally:
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
