"""A container that runs: what it prints, how it ended, and the guard that ends it with this process."""

import os
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property

from trivet.containers.oci.tool import Tool, last_line
from trivet.containers.output import Output

_KILLED = 137
_SHORTLY = 5.0
"""Seconds in which the tool notices what has happened already."""

_GUARD = """
read -r over && exit
container=$1
shift
"$@" kill "$container"
"$@" rm --force --volumes "$container"
"""
"""Waits for the end of this process, or its word that nothing is left to do; else does as `Tool.remove`."""


class OciApplication:
    """Starts the container of that id, which was made before; for `base.Application`."""

    def __init__(
        self, tool: Tool, container: str, port: int, memory: int, says: Callable[[str], None]
    ) -> None:
        self.port = port
        self._tool = tool
        self._container = container
        self._memory = memory
        self._removed = False
        self._probe: subprocess.Popen[bytes] | None = None
        self._guard = subprocess.Popen(
            ["sh", "-c", _GUARD, "trivet-guard", container, *tool.words],
            env=tool.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # what ends this process' group must leave it
        )
        reads, writes = os.pipe()
        try:
            self._attached = tool.begin(("start", "--attach", container), writes)
        finally:
            os.close(writes)
        self._output = Output(reads, says)

    def __repr__(self) -> str:
        return f"<OciApplication {self._container[:12]} on port {self.port}{self.ended and ', '}{self.ended}>"

    @property
    def ended(self) -> str:
        """How it ended; empty while it runs."""
        return "" if self._attached.poll() is None else self._end

    def tail(self, lines: int = 20) -> Sequence[str]:
        """Return the last lines that it printed."""
        return self._output.tail(lines)

    def run(self, command: Sequence[str], timeout: float) -> bool:
        """Run a command in it; there is one at a time, since nothing ends one that takes too long."""
        if self._probe is not None and self._probe.poll() is None:
            return False
        self._probe = self._tool.begin(("exec", self._container, *command), subprocess.DEVNULL)
        try:
            return self._probe.wait(timeout) == 0
        except subprocess.TimeoutExpired:
            return False

    def stop(self, grace: float) -> None:
        """Ask it to end, make it end after `grace` seconds, and remove it."""
        if self._removed:
            return
        self._removed = True
        if self._attached.poll() is None:
            self._tool.run("stop", f"--time={max(0, round(grace))}", self._container, timeout=grace + 30.0)
            with suppress(subprocess.TimeoutExpired):
                self._attached.wait(_SHORTLY)
        _ = self.ended  # which can be told only before it is removed
        removed = self._tool.remove(self._container)
        self._guard.communicate(b"over\n" if removed else b"")  # which tries once more where that was in vain
        self._attached.wait()
        self._output.wait(_SHORTLY)
        if self._probe is not None:
            self._probe.wait()

    @cached_property
    def _end(self) -> str:
        self._output.wait(_SHORTLY)
        template = "{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}}"
        found = self._tool.run("inspect", f"--format={template}", self._container)
        if found.returncode:
            return f"was removed by somebody ({last_line(found.stderr)})"
        state, status, short = found.stdout.split()
        if state not in ("exited", "stopped", "dead"):
            return f"could not be started: {last_line(chr(10).join(self.tail()))}"
        told = f"ended with {status}"
        if short == "true" or int(status) == _KILLED:
            sure = "" if short == "true" else "perhaps "
            limit = f", of which it may use {self._memory >> 20} MiB" if self._memory else ""
            told += f": killed, {sure}for lack of memory{limit}"
        return told
