"""The one verb: a loaded model answers a batch of instances."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from trivet.core.instances import Column, Instances, Predictions
from trivet.core.signature import Parameters, Signature


@dataclass(frozen=True, slots=True)
class Traits:
    """What decides where a predictor may run.

    `native`: what runs is a library of the framework, not Python code that came with the model.
    `thread_safe`: several threads may call `predict` at once.
    `frees_gil`: other Python threads run while it computes.
    `idempotent`: to predict the same instances twice does no harm, so that a batch whose process died may
    be given to another.
    """

    native: bool = False
    thread_safe: bool = False
    frees_gil: bool = False
    idempotent: bool = True


class Predictor(Protocol):
    """A loaded model; it cannot exist half loaded.

    Called by one thread at a time unless its traits say that it is thread-safe.
    """

    @property
    def signature(self) -> Signature:
        """What it takes and gives."""
        ...

    @property
    def traits(self) -> Traits:
        """What it is made of."""
        ...

    def predict(self, instances: Instances, parameters: Parameters) -> Predictions:
        """Answer every instance, in order. The instances fit the signature; `parameters` are resolved.

        Raises InvalidArgument for values the model cannot take; any other exception is a fault of it.
        """
        ...


@runtime_checkable
class AsyncPredictor(Protocol):
    """A predictor whose answer is awaited; several of its batches may be in flight at once."""

    @property
    def signature(self) -> Signature:
        """What it takes and gives."""
        ...

    @property
    def traits(self) -> Traits:
        """What it is made of."""
        ...

    async def start(self) -> None:
        """Get ready, in the event loop in which it will predict; awaited once, before the first batch."""
        ...

    async def predict_async(self, instances: Instances, parameters: Parameters) -> Predictions:
        """Answer every instance, in order."""
        ...


@runtime_checkable
class Closing(Protocol):
    """A predictor that holds what does not end with its process, such as files that it unpacked."""

    def close(self) -> None:
        """Give it up; nothing is asked of the predictor any more."""
        ...


@runtime_checkable
class Weighing(Protocol):
    """A predictor that knows how much each feature counts for in the model as a whole.

    What a feature adds to one prediction is a form of answer instead: `signature.EXPLANATIONS`.
    """

    def importances(self) -> Mapping[str, Column]:
        """Return float64 measures by name, one entry for each of `Signature.features`.

        `weight` counts the splits by a feature, `gain` and `cover` are means over these; `importance` is a
        measure of the library's own. Raises Unimplemented where this model has none.
        """
        ...


@runtime_checkable
class Linear(Protocol):
    """A predictor whose answer is a weighted sum, perhaps behind a link function."""

    def coefficients(self) -> tuple[Column, Column]:
        """Return float64 weights (rows, features) and intercepts (rows,).

        There is a row for each class of more than two, otherwise one. Raises Unimplemented where the model
        turns out to be none of these.
        """
        ...
