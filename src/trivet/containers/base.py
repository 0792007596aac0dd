"""How a container engine plugs in: it makes an image of what a spec names, and runs applications from it.

Engines are found by the names of their modules here: `podman`, `docker` and `process`, each with an `ENGINE`.
Everything blocks; whoever calls is a process that runs one application, or a command.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from trivet.core.containers import ContainerSpec

Says = Callable[[str], None]
"""Is told each line that a build prints, as it comes."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What applications are started from: the engine's own name for an image (its id), or a folder.

    `environment` is the folder of the virtual environment, for an engine that has such.
    """

    image: str = ""
    folder: Path | None = None
    environment: Path | None = None


@dataclass(frozen=True, slots=True)
class Near:
    """Where a server of this machine must listen for applications to reach it, and the host they call.

    `listen` may be an address that does not exist before the first application runs.
    """

    listen: str = "127.0.0.1"
    called: str = "127.0.0.1"


class Application(Protocol):
    """An application that was started. It listens on `port` of 127.0.0.1 once it is ready."""

    port: int

    @property
    def ended(self) -> str:
        """How it ended, as `ended with 137: killed, perhaps for lack of memory`; empty while it runs."""
        ...

    def tail(self, lines: int = 20) -> Sequence[str]:
        """Return the last lines that it printed, stdout and stderr together, the oldest first."""
        ...

    def run(self, command: Sequence[str], timeout: float) -> bool:
        """Run a command beside it (an `exec` probe); False where it fails or takes too long."""
        ...

    def stop(self, grace: float) -> None:
        """Ask it to end (SIGTERM), make it end after `grace` seconds with all it started, and clean up.

        Afterwards `ended` and `tail` say what they would have said without the cleaning; a second call does
        nothing.
        """
        ...


@dataclass(frozen=True, slots=True)
class Kept:
    """What an engine made and keeps for the next time, as it is called in `trivet container prune`.

    It was `used` last at that time (seconds since 1970), and has so many bytes; shared ones count for each.
    `running` says whether an application runs from it: then it cannot be removed.
    """

    name: str
    used: float
    size: int
    running: bool
    remove: Callable[[], bool]
    """Removes it, and returns whether that was done: somebody may have begun to use it."""


class Engine(Protocol):
    """Runs applications."""

    name: str

    def lacks(self) -> str:
        """Return why it cannot be used here, as `podman is not installed`; empty where it can."""
        ...

    def prepare(self, spec: ContainerSpec, says: Says) -> Prepared:
        """Build the folder of a spec, or fetch its image, unless that was done before.

        Several processes may ask for the same at once; it is done once. Raises FailedPrecondition with the
        last lines of what failed, NotFound for an image that there is not.
        """
        ...

    def near(self) -> Near:
        """Return how applications reach what listens here; asked after `prepare`."""
        ...

    def start(
        self, spec: ContainerSpec, prepared: Prepared, env: Mapping[str, str], port: int, files: Path | None
    ) -> Application:
        """Start an application that is to listen on `port`, and return at once.

        `env` is its whole environment but for what the image sets itself. `files` are the model's, which the
        application may read; an engine adds TRIVET_MODEL_DIR, the path at which it sees them. Each line that
        it prints goes to the log as well. Raises FailedPrecondition where it cannot be started.
        """
        ...

    def kept(self, cache: Path) -> Sequence[Kept]:
        """Return what it has made of folders; `cache` is that of the specs for which it did."""
        ...
