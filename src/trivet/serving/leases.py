"""Models that are lent for a call: loaded when somebody first asks, and once, however many ask at once.

Those that nobody has used for longest are given up when there are more than may be kept. Where the code of
a model's author would run, or the operator says so, the model lives in a process of its own (`isolated`), so
that nothing it does ends this one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from trivet.runtimes.base import Permissions
from trivet.serving.lifecycle import LoadedModel, ModelInfo, ModelSpec

Isolation = Literal["auto", "always", "never"]
"""Which models get a process of their own: those that run their author's code, all, or none."""

KEPT = 8
"""Models that are kept loaded though nobody uses them."""


class Leases:
    """Lends loaded models to any number of threads; never more than one copy of a model.

    `predict` of what is lent may be called by several threads at once, whatever the model's traits are: where
    it is not thread-safe, one call waits for the other.
    """

    def __init__(self, permissions: Permissions, *, isolate: Isolation = "auto", keep: int = KEPT) -> None:
        self._permissions = permissions
        self._isolate = isolate
        self._keep = keep

    @contextmanager
    def lease(self, spec: ModelSpec) -> Iterator[LoadedModel]:
        """Lend a model for as long as the block runs; it is loaded where it is not.

        Raises what `lifecycle.load` raises. Other threads that ask for the same model wait for it.
        """
        raise NotImplementedError

    def info(self, spec: ModelSpec) -> ModelInfo:
        """Return what there is to know of a model, which is loaded for it."""
        with self.lease(spec) as model:
            return model.info

    def interrupt(self, spec: ModelSpec) -> None:
        """Break off what runs in this model's own process, which ends it: its callers get Cancelled."""
        raise NotImplementedError

    def close(self) -> None:
        """Give up all models; nothing is lent any more."""
        raise NotImplementedError
