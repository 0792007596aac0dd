"""What `/metrics` says of deployed models: counts at a moment, and rates and latencies between two."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_SAMPLE = re.compile(r"(?P<name>\w+)\{(?P<labels>.*)\} (?P<value>\S+)")
_LABEL = re.compile(r'(?P<name>\w+)="(?P<value>(?:[^"\\]|\\.)*)"')
_ESCAPED = {r"\\": "\\", r"\"": '"', r"\n": "\n"}

_BUCKET = "trivet_request_duration_seconds_bucket"


@dataclass
class Counts:
    """What has been counted of one deployed model: `below` are requests answered within so many seconds."""

    requests: float = 0
    errors: float = 0
    queue: float = 0
    below: dict[float, float] = field(default_factory=dict)
    well: float = 0
    """Applications of its container that take requests now."""

    def since(self, before: "Counts") -> "Counts":
        """Return what came to it; all of it where it has begun anew meanwhile."""
        if self.requests < before.requests:
            return self
        return Counts(
            self.requests - before.requests,
            self.errors - before.errors,
            self.queue,
            {bound: count - before.below.get(bound, 0) for bound, count in self.below.items()},
            self.well,
        )

    def quantile(self, share: float) -> float | None:
        """Return the seconds within which this share of the requests was answered; None without any.

        Within a bucket they are taken to be spread evenly; more than all bounds is infinite.
        """
        bounds = sorted(self.below)
        total = self.below[bounds[-1]] if bounds else 0
        if not total:
            return None
        wanted, lower, passed = total * share, 0.0, 0.0
        for bound in bounds:
            count = self.below[bound]
            if count >= wanted:
                if math.isinf(bound):
                    return bound
                return lower + (bound - lower) * (wanted - passed) / (count - passed)
            lower, passed = bound, count
        return math.inf


def read(exposition: str) -> dict[str, Counts]:
    """Return what is counted of each deployed model, by its id, or by `NAME@VERSION` where it has none."""
    found: dict[str, Counts] = {}
    for line in exposition.splitlines():
        match = _SAMPLE.fullmatch(line)
        if match is None:
            continue
        labels = {one["name"]: _unescaped(one["value"]) for one in _LABEL.finditer(match["labels"])}
        if "model" not in labels:
            continue
        id_ = labels.get("deployed_model") or f"{labels['model']}@{labels.get('version', '')}"
        _add(found.setdefault(id_, Counts()), match["name"], labels, float(match["value"]))
    return found


def _add(counts: Counts, name: str, labels: Mapping[str, str], value: float) -> None:
    if name == "trivet_requests_total":
        counts.requests += value
        if labels.get("code") != "OK":
            counts.errors += value
    elif name == "trivet_queue_rows":
        counts.queue += value
    elif name == "trivet_containers_well":
        counts.well += value
    elif name == _BUCKET:
        bound = float(labels["le"])
        counts.below[bound] = counts.below.get(bound, 0) + value


def _unescaped(text: str) -> str:
    return re.sub(r"\\.", lambda match: _ESCAPED.get(match[0], match[0]), text)


@dataclass(frozen=True, slots=True)
class Moment:
    """All counts at one time, in seconds of any clock that does not go back."""

    time: float
    counts: Mapping[str, Counts]


@dataclass(frozen=True, slots=True)
class Pace:
    """How one deployed model does: rates in the last seconds, latencies of those or else since it began."""

    rate: float
    errors: int
    queue: int
    p50: float | None
    p99: float | None
    well: int


def pace(moments: Iterable[Moment], id_: str) -> Pace:
    """Return how a deployed model did between the first and the last of these moments."""
    first, *_, last = *moments, *moments
    now = last.counts.get(id_, Counts())
    recent = now.since(first.counts.get(id_, Counts()))
    seconds = last.time - first.time
    timed = recent if recent.quantile(0.5) is not None else now
    return Pace(
        rate=recent.requests / seconds if seconds > 0 else 0.0,
        errors=int(now.errors),
        queue=int(now.queue),
        p50=timed.quantile(0.5),
        p99=timed.quantile(0.99),
        well=int(now.well),
    )
