"""How many requests another server can take at once, learned from what it answers.

Nothing here waits, sends or reads a clock. It is what TCP does with packets: one more for each answer until
the server first has enough, then one more for each round of answers, and half as many whenever it says that
it is too many. Requests that were under way when the number fell say nothing about the number it is now.
"""

SHORTEST, LONGEST = 0.1, 5.0
"""Seconds between two tries of a server that does not answer: the first pause, and the longest."""

_FIRST = 2
"""Requests at once before anything is known."""


class Throttle:
    """What one server takes: `limit` requests at once, at most `most`, and none before the time `pause`.

    Whoever sends a request notes the `age` of the limit, and gives it back with what became of it. `answers`
    and `refusals` count; `since` is the time of the first of those refusals, answers that did not come
    included, that no answer has followed yet.
    """

    __slots__ = ("_quick", "_silent", "age", "answers", "limit", "most", "pause", "refusals", "since")

    def __init__(self, most: int) -> None:
        self.most = max(1, most)
        self.limit = float(min(_FIRST, self.most))
        self.pause = 0.0
        self.age = self.answers = self.refusals = 0
        self.since: float | None = None
        self._quick = True
        self._silent = 0

    def __repr__(self) -> str:
        return (
            f"<Throttle {int(self.limit)} of {self.most} at once, "
            f"{self.answers} answers, {self.refusals} refusals>"
        )

    def room(self, under_way: int) -> bool:
        """Whether one more may be sent, as far as their number goes."""
        return under_way < int(self.limit)

    def answered(self) -> None:
        """Know that the server had the time for a request."""
        self.answers += 1
        self.since, self._silent = None, 0
        self.limit = min(self.most, self.limit + (1.0 if self._quick else 1.0 / self.limit))

    def full(self, now: float, age: int, retry_after: float | None = None) -> float:
        """Know that the server had too much to do; returns when that request may be sent again.

        Where even one request was too much, none is sent before.
        """
        alone = self.limit < 2
        self._refused(now, age)
        at = now + (retry_after if retry_after is not None else self._backoff())
        if alone:
            self.pause = max(self.pause, at)
        return at

    def missed(self, now: float, age: int) -> float:
        """Know that there was no answer; returns when to look again, and nothing is sent before."""
        self._refused(now, age)
        self.pause = max(self.pause, now + self._backoff())
        return self.pause

    def _refused(self, now: float, age: int) -> None:
        self.refusals += 1
        if self.since is None:
            self.since = now
        if age == self.age:
            self.age += 1
            self._silent += 1
            self._quick = False
            self.limit = max(1.0, self.limit / 2)

    def _backoff(self) -> float:
        return float(min(LONGEST, SHORTEST * 2 ** min(max(0, self._silent - 1), 20)))
