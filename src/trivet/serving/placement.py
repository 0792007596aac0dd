"""Where a predictor runs, decided once, when it is loaded."""

from dataclasses import dataclass
from typing import Literal

from trivet.core.predictor import Traits

Where = Literal["inline", "thread"]
Asked = Literal["auto", "inline", "thread"]

INLINE_BATCH_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a predictor runs, and why."""

    where: Where
    reason: str


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

    In the event loop where a full batch takes well under a millisecond, since a hop to a thread costs
    more than such a model does; else on a thread, so that the loop stays free for other requests.
    """
    if asked != "auto":
        return Placement(asked, "set by the user")
    if not traits.native:
        return Placement("thread", "it runs the user's own Python code")
    if warm_up is None:
        return Placement("thread", "its speed could not be measured")
    if warm_up.batch <= INLINE_BATCH_SECONDS:
        return Placement("inline", f"a full batch is short ({warm_up})")
    return Placement("thread", f"a full batch would hold up the event loop ({warm_up})")
