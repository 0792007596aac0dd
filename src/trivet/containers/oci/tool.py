"""A command line tool that runs containers, and how it has to be called on this machine."""

import os
import re
import subprocess
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from trivet.containers.base import Says

_ITS_OWN = re.compile(
    r"(?!(PATH|HOME|TMPDIR|USER|NOTIFY_SOCKET|(LISTEN|DBUS|LD|XDG|PODMAN|DOCKER|BUILDAH|REGISTRY)_\w+"
    r"|\w*CONTAINERS?_\w+|STORAGE_(DRIVER|OPTS|CONF)|GO(DEBUG|GC|MAXPROCS|MEMLIMIT|TRACEBACK))$)[A-Za-z_]\w*"
)
"""What a variable must match for the tool to do as ever while its own environment has it."""

_LAST_LINES = 20


@dataclass(frozen=True, slots=True)
class Tool:
    """`words` begin every command; `variables` are added to the environment that it inherits.

    Folders in commands must be absolute.
    """

    words: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)

    def run(
        self, *args: str, timeout: float | None = 60.0, variables: Mapping[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end; one that takes longer, or cannot be run, ends with 125 and says so."""
        try:
            return subprocess.run(
                self.command(*args),
                env=self.environment(variables),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            told = f"{' '.join(args[:2])} took longer than {timeout:g} s"
        except OSError as error:
            told = str(error)
        return subprocess.CompletedProcess(args, 125, "", told)

    def remove(self, *containers: str) -> bool:
        """End containers and remove them; whether they are gone.

        They are killed first: podman 4 forgets, and lets run, one that is removed by force while another
        command waits for it to stop.
        """
        self.run("kill", *containers)
        return not self.run("rm", "--force", "--volumes", *containers).returncode

    def follow(self, args: Sequence[str], says: Says) -> tuple[int, Sequence[str]]:
        """Run a command, tell each line as it comes, and return its status with its last lines."""
        last: deque[str] = deque(maxlen=_LAST_LINES)
        with self.begin(args, subprocess.PIPE) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    if text := line.decode("utf-8", "replace").rstrip():
                        last.append(text)
                        says(text)
            except BaseException:  # nobody wants it any more
                process.terminate()
                raise
        return process.returncode, list(last)

    def begin(self, args: Sequence[str], output: int) -> "subprocess.Popen[bytes]":
        """Start a command whose stdout and stderr go the same way, out of reach of a terminal's Ctrl-C."""
        return subprocess.Popen(
            self.command(*args),
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def command(self, *args: str) -> Sequence[str]:
        """Return the words of a command."""
        return [*self.words, *args]

    def environment(self, variables: Mapping[str, str] | None = None) -> Mapping[str, str]:
        """Return the environment of a command."""
        return {**os.environ, **self.variables, **(variables or {})}


def passed(env: Mapping[str, str]) -> tuple[Sequence[str], Mapping[str, str]]:
    """Return the options that give a container this environment, and what the tool's own must have for it.

    Values may be secret, and everybody sees the words of a command; those that would change what the tool
    itself does go there all the same.
    """
    words: list[str] = []
    variables = {}
    for name, value in env.items():
        if _ITS_OWN.fullmatch(name):
            words += ["--env", name]
            variables[name] = value
        else:
            words += ["--env", f"{name}={value}"]
    return words, variables


def last_line(text: str, empty: str = "it says nothing") -> str:
    """Return the last line that says something, which is where these tools say what is wrong."""
    lines: Iterable[str] = (line.strip() for line in reversed(text.splitlines()))
    return next(filter(None, lines), empty).removeprefix("Error: ")
