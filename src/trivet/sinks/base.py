"""How a sink plugs in: it writes the parts of shards out of sight, and shows them when all are there.

Parts are named by their shard, so that a shard done twice overwrites itself. What is written for a shard
counts once `commit` has returned; `finish` may be called again after a crash, and comes to the same end.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from trivet.core.batch import RowFailure, ShardResult
from trivet.core.instances import Predictions


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where results go. `name` was made when the job was: `prediction-MODEL-TIME`; it is the folder's name.

    `scratch` is a local folder or a URI that lasts as long as the job, for sinks that cannot hide parts
    where they go. Where `native`, rows tell the source and offset of their record. `columns` are the
    source's, where its records are rows; `schema` is what it says of them (BigQuery's own form).
    """

    uri: str
    name: str
    scratch: str = ""
    native: bool = False
    buckets: Mapping[str, str] = field(default_factory=dict)
    folders: tuple[str, ...] | None = None
    columns: tuple[str, ...] = ()
    schema: Sequence[Mapping[str, Any]] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Results:
    """Consecutive records of one source that were answered, and their predictions, in order.

    `shown` has the JSON text of each instance, on one line; None where the output has none (a TFRecord's). It
    is the whole record as an object for a sink that is `tabular` and a source of rows or objects. `keys` has
    the JSON text of each key, too; where there are keys, they stand for the instances.
    """

    uri: str
    offsets: Sequence[int]
    shown: Sequence[bytes] | None
    keys: Sequence[bytes] | None
    predictions: Predictions


@dataclass(slots=True)
class Failed:
    """A record without a prediction. `shown` is the JSON text of the instance, or of what was there as a
    string; `key` that of its key, where that is known."""

    failure: RowFailure
    shown: bytes
    key: bytes | None = None


class Writer(Protocol):
    """Writes the parts of one shard."""

    def write(self, results: Results) -> None:
        """Add rows."""
        ...

    def fail(self, failed: Sequence[Failed]) -> None:
        """Add rows of errors."""
        ...

    def commit(self) -> Mapping[str, int]:
        """Make the parts whole; returns their names and bytes. Nothing is added any more."""
        ...

    def abort(self) -> None:
        """Remove what was begun; does nothing after `commit`."""
        ...


class Sink(Protocol):
    """Writes one format. Everything raises FailedPrecondition where the store fails, or its library is
    missing."""

    tabular: bool
    """Whether it has columns, and so wants whole records."""

    def check(self, outputs: Outputs) -> None:
        """Refuse, before any work, what cannot be written; InvalidArgument names the URI."""
        ...

    def open(self, outputs: Outputs, shard: int) -> Writer:
        """Begin the parts of a shard, over whatever an earlier try has left of them."""
        ...

    def missing(self, outputs: Outputs, results: Sequence[ShardResult]) -> list[int]:
        """Return the shards whose parts are not there, or not of the size they had: they are to be redone."""
        ...

    def finish(self, outputs: Outputs, results: Sequence[ShardResult]) -> dict[str, Any]:
        """Show all parts, in the order of their shards, and remove what was hidden.

        Returns the API's `outputInfo`.
        """
        ...

    def discard(self, outputs: Outputs) -> None:
        """Remove everything of a job that has not been finished."""
        ...
