"""The life of one application: started, waited for, asked how it is, and ended."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from trivet.core.containers import ContainerSpec


@dataclass(frozen=True, slots=True)
class State:
    """How an application is. Requests go to `port` while it is `well`; `reason` says why it is not."""

    port: int
    well: bool
    over: bool = False
    reason: str = ""


@runtime_checkable
class Listening(Protocol):
    """A predictor that is an application which listens: whoever is near asks it directly."""

    container: ContainerSpec

    @property
    def state(self) -> State:
        """How the application is now."""
        ...

    def watch(self, tell: Callable[[State], None]) -> None:
        """Have `tell` called with each new state, the one that is `over` last; from a thread of its own."""
        ...
