"""How fast a model drains its queue, learned from its batches, and who would therefore come too late.

Nothing here waits, runs or reads a clock. A batch is taken to cost a fixed time and a time for each row: of
one that costs the same for 1 row and for 64, a queue of 500 is 8 batches; of one that costs 5 ms a row, it
is 2.5 s. A mere number of rows a second, measured while batches were small, would be wrong for one of them.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from math import ceil, inf

from trivet.serving.placement import WarmUp

_CREDIBLE = 4.0
"""How many times longer than expected a batch is believed to take: one that met a hiccup of the machine says
little about the next."""

_HICCUPS = 8
"""After how many such batches in a row it is no hiccup, but what the model takes now."""

_NOISE = 0.2
"""How far off a batch may be, as a share of what it takes, though nothing has changed."""

_DRIFT = 0.03
"""How much what is known is trusted less after each batch, as a share of what a full one takes."""


class Pace:
    """What is known of a model's speed, when `lanes` of its batches are predicted at once.

    `fixed` and `per_row` are seconds; they are 0 until something is known, so that nobody is refused. `fill`
    is how many rows a batch has while more are waiting than it takes, and `spread` by what share of its time
    a batch is off what was expected.

    What is known is a Kalman filter's estimate of the fixed part and of the rows' part of a full batch: each
    batch changes whichever is less certain. Batches that are all of one size teach nothing about others,
    and what was known of those stays.
    """

    __slots__ = (
        "_covariance",
        "_hiccups",
        "_known",
        "_slope",
        "fill",
        "fixed",
        "lanes",
        "max_rows",
        "spread",
    )

    def __init__(self, lanes: int, max_rows: int, warm_up: WarmUp | None = None) -> None:
        self.lanes = lanes
        self.max_rows = max_rows
        self.fill = float(max_rows)
        self.spread = 0.0
        self.fixed = self._slope = 0.0
        self._hiccups = 0
        self._covariance = 0.0, 0.0, 0.0  # of the fixed part, of both, of the rows' part
        self._known = warm_up is not None and warm_up.batch > 0
        if warm_up is not None and warm_up.batch > 0:
            one, batch, rows = warm_up.one_row, warm_up.batch, warm_up.rows
            per_row = max(0.0, batch - one) / (rows - 1) if rows > 1 else 0.0
            self.fixed = max(0.0, batch - rows * per_row)
            self._slope = per_row * max_rows
            variance = (_NOISE * batch) ** 2
            self._covariance = variance, 0.0, variance

    def __repr__(self) -> str:
        fixed, row = self.fixed * 1e6, self.per_row * 1e6
        return f"<Pace {fixed:,.0f} µs and {row:,.1f} µs a row, {self.lanes} at once>"

    @property
    def per_row(self) -> float:
        """Seconds for each row."""
        return self._slope / self.max_rows

    def batch(self, rows: int) -> float:
        """Return the seconds that a batch takes."""
        return self.fixed + self._slope * rows / self.max_rows

    def surely(self, rows: int, last: int) -> float:
        """Return the seconds within which rows that wait, and a last batch, are nearly always predicted.

        Of many batches some are quicker than expected, of one it cannot be told.
        """
        return self.drain(rows) * (1 + self.spread) + self.batch(last) * (1 + 2 * self.spread)

    def drain(self, rows: int) -> float:
        """Return the seconds until so many rows that wait have all been predicted."""
        return (self.fixed * ceil(rows / self.fill) + self._slope * rows / self.max_rows) / self.lanes

    def learn(self, rows: int, seconds: float) -> None:
        """Know how long a batch took."""
        if not rows:
            return
        x = rows / self.max_rows
        fixed, slope = self.fixed, self._slope
        expected = fixed + slope * x
        error = seconds - expected
        credible = _CREDIBLE * expected
        self._hiccups = self._hiccups + 1 if error > credible else 0
        if not self._known or self._hiccups > _HICCUPS:
            self._known, self._hiccups = True, 0
            self.fixed, self._slope = seconds / (1 + x * x), seconds * x / (1 + x * x)
            self._covariance = (_NOISE * seconds) ** 2, 0.0, (seconds / x) ** 2
            return
        if error > credible:
            error = max(credible, 1e-6)
        share = abs(error) / (expected + 1e-9)
        self.spread += 0.1 * ((share if share < 1 else 1.0) - self.spread)
        p, q, r = self._covariance
        drift, noise = _DRIFT * (fixed + slope), _NOISE * (expected + error if error > 0 else expected) + 1e-9
        p, r = p + drift * drift, r + drift * drift  # which is much quicker than to raise to a power
        u, v = p + q * x, q + r * x
        whole = u + v * x + noise * noise
        fixed, slope = fixed + u / whole * error, slope + v / whole * error
        if fixed < 0:  # what one part cannot take the other must: of this size the sum is what was found
            fixed, slope = 0.0, slope + fixed / x
        elif slope < 0:
            fixed, slope = fixed + slope * x, 0.0
        self.fixed, self._slope = max(0.0, fixed), max(0.0, slope)
        self._covariance = p - u * u / whole, q - u * v / whole, r - v * v / whole

    def filled(self, rows: int) -> None:
        """Know how many rows a batch took, of more that were waiting."""
        self.fill += 0.25 * (rows - self.fill)


@dataclass(slots=True)
class LastBatch:
    """The last of the batches that the requests waiting will form: its rows, earliest deadline and group."""

    rows: int = 0
    deadline: float = inf
    group: Hashable = None

    def close(self) -> None:
        """Let the next request begin another batch."""
        self.rows, self.deadline = 0, inf


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a request may expect: to be answered `at` a time, in the last batch or in one `behind` it."""

    at: float
    behind: bool


def outlook(pace: Pace, queued: int, last: LastBatch, rows: int, begins: float, deadline: float) -> Outlook:
    """Foresee when a request that joins `queued` rows, the last batch included, will be answered.

    The first of the queue is predicted at `begins`. A request that joins the last batch prolongs it for all
    that are in it. One that would make them late counts as behind them, with time for a batch as large as
    theirs: without that, an overloaded queue fills until every batch has a request that it makes late, or
    must be cut small for its sake.
    """
    if last.rows + rows <= pace.max_rows:
        at = begins + pace.surely(queued - last.rows, last.rows + rows)
        if at <= last.deadline or at > deadline:
            return Outlook(at, behind=False)
    return Outlook(begins + pace.surely(queued, max(rows, last.rows)), behind=True)
