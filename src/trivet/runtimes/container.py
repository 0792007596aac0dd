"""Models that are web applications: of a folder with a Dockerfile or Procfile, or of an image.

They keep the container contract of Vertex AI. Each predictor starts one, and is `Listening`: whoever has many
requests asks it directly.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import msgspec

from trivet.containers import answers
from trivet.containers.asking import Asking
from trivet.containers.life import State
from trivet.containers.started import Started
from trivet.core.containers import ContainerSpec
from trivet.core.errors import FailedPrecondition, InvalidArgument, NotFound
from trivet.core.instances import Instances, Predictions, object_column
from trivet.core.predictor import Predictor, Traits
from trivet.core.signature import Parameters, Signature, TensorSpec
from trivet.runtimes.base import Artifact

FILES = ("Dockerfile", "Procfile")
"""What the folder of an application has, either of them, that says how it is started."""

_SIGNATURE = Signature(
    inputs=(TensorSpec("instance", "json", nullable=True),),
    outputs=(TensorSpec("prediction", "json", nullable=True),),
    parameters=None,
)
"""Any JSON: what an instance must be only the application knows."""

_encode = msgspec.json.Encoder().encode


class ContainerPredictor:
    """An application that was started, and is stopped by `close`. See `containers.life.Listening`."""

    signature = _SIGNATURE
    traits = Traits(thread_safe=True, frees_gil=True)

    def __init__(self, started: Started) -> None:
        self.container: ContainerSpec = started.spec
        self.started = started
        self._idle: deque[Asking] = deque()

    def __repr__(self) -> str:
        return f"<ContainerPredictor {self.started!r}>"

    @property
    def state(self) -> State:
        """How the application is now."""
        return self.started.state

    def watch(self, tell: Callable[[State], None]) -> None:
        """Have `tell` called with the state of now, and with each new one."""
        self.started.watch(tell)

    def predict(self, instances: Instances, parameters: Parameters) -> Predictions:
        """Ask it about so many instances at once as its spec says, and start it again where it has ended.

        Raises what the status of its answer means, Internal for an answer that is none, and Unavailable where
        none came.
        """
        values = instances.columns["instance"].tolist()
        asking = self._idle.pop() if self._idle else self.asking()
        found: list[Any] = []
        try:
            for start in range(0, len(values), self.container.rows):
                found += _asked(asking, values[start : start + self.container.rows], parameters)
        finally:
            self._idle.append(asking)
        return Predictions({"prediction": object_column(found)}, len(values))

    def asking(self) -> Asking:
        """Return another connection to it."""
        return Asking(self.started, self.container.timeout)

    def close(self) -> None:
        """Stop the application."""
        while self._idle:
            self._idle.pop().close()
        self.started.close()


class ContainerRuntime:
    """Starts applications, with the operator's permission; each is beside the process that asked for it."""

    own_process: Literal[True] = True
    applications: Literal[True] = True

    def recognises(self, path: Path) -> bool:
        """Look for what says how an application is started; reads nothing of it."""
        return any((path / name).is_file() for name in FILES)

    def load(self, artifact: Artifact) -> Predictor:
        """Build and start the application, and wait until it is well.

        It is what the artifact's `container` says, to which the files are the model's; without that, the
        files are the application. Raises FailedPrecondition with its last lines where it does not start.
        """
        artifact.require_containers()
        spec = artifact.container or ContainerSpec(folder=artifact.path)
        spec = replace(spec, name=spec.name or artifact.name)
        files = None if artifact.path in (Path(), spec.folder) else artifact.path
        for folder in (spec.folder, files):
            if folder is not None and not folder.exists():
                raise NotFound(f"{folder}: there is no such file or folder")
        if bool(spec.image) == (spec.folder is not None):
            raise FailedPrecondition("a container is made of either an image or an application's folder")
        if spec.folder is not None and not self.recognises(spec.folder) and not spec.command:
            raise FailedPrecondition(
                f"{spec.called}: expected a folder with {' or '.join(FILES)}, or a command"
            )
        return ContainerPredictor(Started(spec, files))


def _asked(asking: Asking, values: list[Any], parameters: Parameters) -> list[Any]:
    try:
        body = _encode({"instances": values, **({"parameters": parameters} if parameters else {})})
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidArgument(f"not valid JSON: {error}") from None
    reply = asking.post(body)
    if reply.status != 200:
        raise answers.refusal(reply.status, reply.retry_after, reply.content)
    return answers.predictions(reply.content, len(values))


RUNTIME = ContainerRuntime()
