"""What the operator of a control plane decides: who it is, and what holds where a caller says nothing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trivet.core.resources import Location
from trivet.serving.batching import BatchLimits
from trivet.serving.placement import Asked


def _unknown(node: str) -> None:
    return None


@dataclass(frozen=True, slots=True)
class OwnContainers:
    """How containers that models bring are run: the settings `containers`, and whether they may be at all."""

    allowed: bool = True
    engine: str = "auto"
    images: Mapping[str, str] = field(default_factory=dict)
    """Folders that stand for images, by the image."""

    cache: Path = Path()
    concurrency: int = 64
    start_timeout: float = 600.0
    timeout: float = 600.0
    limited: bool = False
    """Whether they have only what their machine type has."""


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """The settings of a control plane. `node` names this machine among those that share a catalog."""

    node: str
    project: str = "local"
    location: str = "us-central1"
    all_dedicated: bool = False
    """Whether every public endpoint says that it is a dedicated one, so that SDKs call `dedicated_dns`."""

    dedicated_dns: str = ""
    """The `host:port` of the TLS port that dedicated endpoints give as theirs."""

    limits: BatchLimits = field(default_factory=BatchLimits)
    """How the requests of a deployed model are batched, where neither it nor its model says."""

    placement: Asked = "auto"
    """Where predictors run, where neither the deployed model nor its model says."""

    folders: tuple[str, ...] = ()
    """The local folders that artifacts may come from (`artifacts.folders`); none means any. Whoever makes the
    store gives them to it."""

    containers: OwnContainers = field(default_factory=OwnContainers)

    max_replicas: int = 64
    """The most replicas that a deployed model or a pool may ask to have at once."""

    alive_within: float = 10.0
    """Seconds after which a machine that has not been heard of is not waited for any more."""

    serves: bool = True
    """Whether this machine serves what is wished. A process beside those that do, such as a tool, does not:
    what waits for machines does not wait for it."""

    alive: Callable[[str], bool | None] = _unknown
    """Says whether the process of a `node` that is not heard of, since it does not serve, is there; None
    where that cannot be told from here."""

    @property
    def parent(self) -> Location:
        """The project and location that plain names are in."""
        return Location(self.project, self.location)
