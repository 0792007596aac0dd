"""A command under a guard (`guard.py`), seen from the process that wants it to run."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from trivet.containers.output import Output
from trivet.containers.processes import guard
from trivet.containers.processes.scratch import Scratch
from trivet.core.errors import FailedPrecondition

_STARTS_WITHIN = 30.0
_ENDS_WITHIN = 15.0
"""Seconds beyond its grace in which a guard has to end a command, killing it in the end."""

_READS_WITHIN = 2.0
_KILLED = 128 + signal.SIGKILL


@dataclass(frozen=True, slots=True)
class Limits:
    """What a command and all it starts may use: memory in bytes, 0 without limit, and CPUs, all if empty."""

    memory: int = 0
    cpus: Collection[int] = ()


class Guarded:
    """A command that has started, and is gone with all that it started when this process is.

    `env` is its whole environment. What it prints, to either stream, `says` is told line by line, by
    another thread. Where it has a `scratch` folder, that is removed when it has ended. Raises
    FailedPrecondition where it cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        folder: Path,
        says: Callable[[str], None],
        limits: Limits = Limits(),
        scratch: Scratch | None = None,
    ) -> None:
        self._control, its = socket.socketpair()
        self._lock = threading.Lock()
        self._said = b""
        self._ended = ""
        self._status = 0
        self._scratch = scratch
        self._limits = limits
        self._stopped = False
        self._kills_before = _kills()
        lock = -1 if scratch is None else scratch.lock
        told = [str(its.fileno()), str(lock), str(limits.memory), ",".join(map(str, sorted(limits.cpus)))]
        reads, writes = os.pipe()
        try:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-I", "-S", guard.__file__, *told),
                    *("" if scratch is None else str(scratch.folder), *command),
                ],
                env=dict(env),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=writes,
                stderr=writes,
                pass_fds=[its.fileno(), *([lock] if scratch else ())],
                process_group=0,  # a terminal's Ctrl-C is not for it
            )
        except (OSError, ValueError) as error:
            os.close(reads)
            self._control.close()
            raise FailedPrecondition(f"{command[0]} cannot be started: {error}") from None
        finally:
            its.close()
            os.close(writes)
        self.output = Output(reads, says)
        self.pid = self._started()

    def __repr__(self) -> str:
        return f"<Guarded {self.pid} {self._ended or 'runs'}>"

    @property
    def ended(self) -> str:
        """How it ended, as `ended with 1`; empty while it runs."""
        with self._lock:
            if not self._ended:
                self._listen()
            return self._ended

    @property
    def status(self) -> int:
        """The status with which it ended, as a shell has it: 128 more than the signal that ended it."""
        return self._status

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended, and return its status; raises subprocess.TimeoutExpired."""
        self._process.wait(timeout)
        assert self.ended
        return self._status

    def stop(self, grace: float) -> None:
        """Send it SIGTERM, kill it after `grace` seconds with all that is left, and wait until that is so."""
        self._stopped = True
        with suppress(OSError):
            self._control.sendall(b"stop %f\n" % max(0.0, grace))
        try:
            self._process.wait(max(0.0, grace) + _ENDS_WITHIN)
        except subprocess.TimeoutExpired:  # the guard itself is stopped, or waits for a disk
            self._process.kill()
            self._process.wait()
        assert self.ended
        if self._scratch is not None:
            self._scratch.remove()

    def _started(self) -> int:
        """Wait for the first word of the guard, and return the process that it has started."""
        self._control.settimeout(_STARTS_WITHIN)
        try:
            while b"\n" not in self._said and (more := self._control.recv(4096)):
                self._said += more
        except OSError as error:
            self._said = f"failed {error}\n".encode()
            self._process.kill()
        self._control.setblocking(False)
        first, _, self._said = self._said.partition(b"\n")
        if not first.startswith(b"started "):
            self._process.wait()
            self._control.close()
            why = first.decode(errors="replace").removeprefix("failed ") or "its guard ended"
            raise FailedPrecondition(f"the application cannot be started: {why}")
        return int(first.split()[1])

    def _listen(self) -> None:
        """Hear what the guard has said, and note it if that is the end; called with the lock held."""
        gone = False
        try:
            while more := self._control.recv(4096):
                self._said += more
            gone = True
        except BlockingIOError:
            pass
        except OSError:
            gone = True
        status = re.search(rb"^ended (-?\d+)$", self._said, re.MULTILINE)
        if status:
            self._conclude(int(status[1]))
        elif gone:
            with suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)
            self._conclude(-signal.SIGKILL, "its guard was killed")

    def _conclude(self, code: int, why: str = "") -> None:
        self._control.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_ENDS_WITHIN)  # all that it still does is to remove a folder
        self.output.wait(_READS_WITHIN)  # its last lines say more
        self._status = 128 - code if code < 0 else code
        if over := re.search(rb"^memory (\d+)$", self._said, re.MULTILINE):
            why = (
                f"it used {int(over[1]) / 2**20:.0f} MiB of memory, and may use "
                f"{self._limits.memory / 2**20:.0f}"
            )
        elif self._status == _KILLED and not (why or self._stopped):
            why = (
                "the machine has run out of memory"
                if _kills() > self._kills_before
                else "killed, perhaps for lack of memory"
            )
        elif code < 0 and not why:
            why = _name(-code)
        self._ended = f"ended with {self._status}" + (f": {why}" if why else "")


def _name(number: int) -> str:
    with suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"


def _kills() -> int:
    """Return how many processes the kernel has killed for lack of memory, as far as it tells."""
    with suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
