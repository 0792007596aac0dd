"""A batch that a replica has: how long it is to take, who in it has left or is late; what is measured."""

from collections.abc import Sequence
from dataclasses import dataclass

from trivet.serving.batching import Elsewhere, Pending, Unwanted, gone, late
from trivet.telemetry import Histogram


@dataclass(frozen=True, slots=True)
class BatchMetrics:
    """What is measured of every batch."""

    queue_seconds: Histogram
    predict_seconds: Histogram
    rows: Histogram


class Running:
    """A batch that a replica has; `unwanted` is None where it has certainly begun to predict it.

    It is foreseen to take `cost` seconds from when it `began`: as far as can be told, since no other was
    before it, or that was answered.
    """

    __slots__ = ("began", "cost", "requests", "rows", "since", "unwanted")

    def __init__(self, requests: Sequence[Pending], since: float, rows: int, cost: float) -> None:
        self.requests = requests
        self.since = since
        self.rows = rows
        self.cost = cost
        self.began: float | None = since
        self.unwanted: Unwanted | None = None

    @property
    def where(self) -> str:
        """Say where its requests are."""
        if isinstance(self.unwanted, Elsewhere):
            return self.unwanted.where
        return "in the model" if self.unwanted is None else "with the replica process"

    def remains(self, now: float) -> float:
        """Return the seconds that it is foreseen to take yet."""
        return self.cost if self.began is None else max(0.0, self.cost - (now - self.began))

    def left(self, pending: Pending) -> None:
        """Tell the replica that one of them has nobody waiting for it, if it may not have begun."""
        if self.unwanted is None:
            pending.answer(gone())
        else:
            self.unwanted((self.requests.index(pending),))

    def expire(self, now: float) -> float:
        """Answer those whose time is over, and return when the next one's will be; infinity for never."""
        following, over = float("inf"), []
        for index, pending in enumerate(self.requests):
            if pending.answered:
                continue
            if pending.deadline <= now:
                pending.answer(late(pending, now))
                over.append(index)
            elif pending.deadline < following:
                following = pending.deadline
        if over and self.unwanted is not None:
            self.unwanted(over)
        return following
