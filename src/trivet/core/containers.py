"""What a custom container is to be run with: the container contract of Vertex AI, as values.

https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements
"""

from dataclasses import dataclass, field
from pathlib import Path

PORT = 8080
"""The port on which a container listens where its model names none."""

ROWS = 64
"""Instances in one request of a batch job or of SQL, as Google's batch prediction has it."""


@dataclass(frozen=True, slots=True)
class Probe:
    """How to find out whether a container is well: GET `path`, else a `command` in it, else a connection.

    `port` 0 is that of predictions. It is asked every `period` seconds, and fails after `timeout`; what
    `failures` in a row mean, and one `success`, is for whoever asks.
    """

    path: str = ""
    command: tuple[str, ...] = ()
    port: int = 0
    period: float = 10.0
    timeout: float = 10.0
    failures: int = 4
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Resources:
    """What a container may use. 0 is without limit; `memory` and `shared_memory` are bytes."""

    cpus: float = 0.0
    memory: int = 0
    shared_memory: int = 0
    gpus: int = 0


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """A container to run for one model version, at one place.

    It is made from the `image` of that name, or from the application in `folder`: exactly one is given.
    `command` and `args` go in place of its own ENTRYPOINT and CMD. `env` is the user's; the variables of the
    contract are added to it.

    `predict_route` and `health_route` are paths from the root; `invoke_prefix`, where it is not empty, stands
    in place of the former: any path below it may be called with any method. `artifact_uri` is where the
    model's files were copied from (`gs://...`), empty where it has none. `engine` is which is to run it, or
    `auto`; what engines keep (environments, by hash) is in `cache`.
    """

    image: str = ""
    folder: Path | None = None
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    ports: tuple[int, ...] = (PORT,)
    predict_route: str = "/predict"
    health_route: str = "/health"
    invoke_prefix: str = ""
    artifact_uri: str = ""
    start_timeout: float = 1800.0  # seconds from its start to its first good health
    startup: Probe | None = None
    health: Probe = field(default_factory=Probe)  # without a path, that of the health route
    liveness: Probe = field(default_factory=Probe)  # a connection
    resources: Resources = field(default_factory=Resources)
    concurrency: int = 64  # requests at once, from each front
    rows: int = ROWS
    timeout: float = 600.0  # seconds for one request that nobody waits for in person
    engine: str = "auto"
    cache: Path = Path()
    about: tuple[tuple[str, str], ...] = ()
    """Further variables of the contract, as AIP_ENDPOINT_ID, by name."""

    name: str = ""
    """The model that it is of, as `fraud@2`; empty for one that has none."""

    @property
    def called(self) -> str:
        """Return what logs and errors call it: by its model, since the folder of a copy says nothing."""
        return self.name or self.image or (self.folder.name if self.folder else "container")
