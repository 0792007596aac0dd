"""Where a predictor runs, decided once, when it is loaded."""

from dataclasses import dataclass
from typing import Literal

from trivet.core.predictor import Traits

Where = Literal["inline", "thread", "process", "container"]
Asked = Literal["auto", "inline", "thread", "process"]

INLINE_BATCH_SECONDS = 0.001
THREAD_BATCH_SECONDS = 0.02
"""A thread beside a busy event loop gets the GIL back only every 5 ms: shorter batches would crawl."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a predictor runs, and why."""

    where: Where
    reason: str


CONTAINER = Placement("container", "it is an application of its own, which is asked over HTTP")
"""Where all models are that are custom containers, whatever the user asks for."""


@dataclass(frozen=True, slots=True)
class WarmUp:
    """How long a loaded, warmed-up predictor took: one row, and a batch of `rows`, in seconds."""

    one_row: float
    batch: float
    rows: int

    def __str__(self) -> str:
        one, batch = self.one_row * 1e6, self.batch * 1e6
        return f"{one:,.0f} µs for 1 row, {batch:,.0f} µs for {self.rows}"


def place(asked: Asked, traits: Traits, warm_up: WarmUp | None) -> Placement:
    """Choose where a predictor runs.

    In the event loop where a full batch takes well under a millisecond, since any hop costs more than such
    a model does. On a thread where batches are long and leave the GIL to others meanwhile. Else in a process
    of its own, which is also where the user's own code runs.
    """
    if asked != "auto":
        return Placement(asked, "set by the user")
    if not traits.native:
        return Placement("process", "it runs the user's own Python code")
    if warm_up is None:
        return Placement("process", "its speed could not be measured")
    if warm_up.batch <= INLINE_BATCH_SECONDS:
        return Placement("inline", f"a full batch is short ({warm_up})")
    if traits.frees_gil and warm_up.batch >= THREAD_BATCH_SECONDS:
        return Placement("thread", f"a full batch is long, and leaves the GIL to others ({warm_up})")
    return Placement("process", f"a full batch would hold up the event loop ({warm_up})")
