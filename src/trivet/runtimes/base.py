"""How a model framework plugs in: a Runtime recognises an artifact and loads it into a Predictor."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from trivet.core.containers import ContainerSpec
from trivet.core.errors import FailedPrecondition, PermissionDenied
from trivet.core.predictor import AsyncPredictor, Predictor
from trivet.core.signature import Signature
from trivet.storage import libraries


@dataclass(frozen=True, slots=True)
class Permissions:
    """What the operator allows artifacts to do; an artifact can never grant it to itself."""

    pickle: bool = False
    """Load pickle and joblib files. They run any code they contain, with the server's rights."""

    python: bool = True
    """Run `predictor.py` files."""

    trusted_types: tuple[str, ...] = ()
    """Types that a skops file may contain besides those that skops itself trusts."""

    containers: bool = True
    """Run containers, and applications as processes."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """The files of a model on the local disk.

    `path` is the model file, or the folder for a framework that takes a folder; `declared` is what
    `signature.json` beside it says. `container` is what the model says of its own, where it has one. The log
    calls the model by `name`.
    """

    path: Path
    declared: Signature | None = None
    permissions: Permissions = field(default_factory=Permissions)
    container: ContainerSpec | None = None
    name: str = ""

    def require_pickle(self) -> None:
        """Ask the operator's permission to unpickle; every runtime that would must call this first."""
        if not self.permissions.pickle:
            raise PermissionDenied(
                f"{self.path.name} is a pickle: loading it runs whatever code its author put in, with "
                "your rights. Save the model in a format that is data (skops, ONNX, or the library's "
                "own), or, if you trust where it comes from, allow it with --allow-pickle or "
                "artifacts.allow_pickle = true"
            )

    def require_python(self) -> None:
        """Ask the operator's permission to run the artifact's own Python code."""
        if not self.permissions.python:
            raise PermissionDenied(
                f"{self.path.name} is a Python predictor, and running such code is not allowed here; "
                "allow it with --allow-python or artifacts.allow_python = true"
            )

    def require_containers(self) -> None:
        """Ask the operator's permission to run a container."""
        if not self.permissions.containers:
            raise PermissionDenied(
                "the model is a container, and running such is not allowed here; allow it with "
                "--allow-containers or artifacts.allow_containers = true"
            )


class Runtime(Protocol):
    """A model framework. A module of `trivet.runtimes` or of a plugin package has one as `RUNTIME`."""

    def recognises(self, path: Path) -> bool:
        """Judge by its content whether this file or folder is a model of this framework.

        Must not import the framework, and must not raise for a file that is something else.
        """
        ...

    def load(self, artifact: Artifact) -> Predictor | AsyncPredictor:
        """Load the model.

        Raises FailedPrecondition where the library is missing or the file is not one it can read, and
        PermissionDenied where loading would run code that the operator has not allowed.
        """
        ...


@runtime_checkable
class WithoutArtifact(Protocol):
    """A runtime whose models are in no file: it is named with nothing behind the colon, as in `echo:`."""

    without_artifact: Literal[True]


@runtime_checkable
class Imports(Protocol):
    """A runtime whose libraries take a while to import: `libraries` are modules that loading needs.

    Where a model of the framework was uploaded, they are imported before it is deployed.
    """

    libraries: tuple[str, ...]


@runtime_checkable
class OwnProcess(Protocol):
    """A runtime whose models are not loaded in a process that is forked later.

    They run their author's code, or have threads, which a fork would not have.
    """

    own_process: Literal[True]


@runtime_checkable
class Applications(Protocol):
    """A runtime whose models are applications, each beside the process that started it, wherever that is.

    A model of it need not have files: its path is `Path()` then.
    """

    applications: Literal[True]


@runtime_checkable
class Answered(Protocol):
    """A predictor of a framework whose models one of several libraries answers: `library` is which."""

    library: str


def head(path: Path, size: int = 4096) -> bytes:
    """Return the first bytes of a file; nothing for a folder."""
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(size)


def need(module: str, extra: str) -> Any:
    """Import a framework's library, or say which command installs it."""
    return libraries.need(module, extra, "this model")


def unreadable(path: Path, framework: str, error: Exception) -> FailedPrecondition:
    """Say that the framework's library refused a file, and why."""
    reason = str(error).strip().splitlines() or [type(error).__name__]
    return FailedPrecondition(f"{path.name} cannot be read as {framework} model: {reason[0][:400]}")
