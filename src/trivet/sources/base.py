"""How a source of records plugs in: it plans shards, and reads each as batches of records.

A source knows nothing of models. It gives a record as JSON text, since that is what instances are and what
most output shows, and besides as numbers where it has them at no cost. Whatever it cannot read is a record,
too: `Unreadable`, with what was there and why, so that no row vanishes.

Shards are planned once and kept; reading one again, whole, gives the same batches in the same sizes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trivet.core.batch import Kind, Shard


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is to be read, and how finely it is cut.

    `buckets` are local folders by the buckets they stand for, `folders` those that local files may be in
    (anywhere where None). `scratch` is a folder or URI that lasts as long as the job, for what a source must
    keep. Where `strict`, values are as the managed service has them: the numbers of CSV files are floats.
    """

    uris: tuple[str, ...]
    buckets: Mapping[str, str] = field(default_factory=dict)
    folders: tuple[str, ...] | None = None
    scratch: str = ""
    strict: bool = False
    shard_bytes: int = 16 << 20
    shard_rows: int = 200_000
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record that could not be read: `text` is what is there, cut short where it is long."""

    offset: int
    text: bytes
    message: str


@dataclass(slots=True)
class Records:
    """Consecutive records of one shard. `offsets` are those of the readable ones within the source.

    `size` is how much of the shard's size was read for them.
    """

    offsets: Sequence[int]
    unreadable: Sequence[Unreadable]
    size: int


@dataclass(slots=True)
class Values(Records):
    """Each is a JSON value: one line of text each, not necessarily valid JSON."""

    texts: Sequence[bytes]


@dataclass(slots=True)
class Table(Records):
    """Each is a row. `cells` has the JSON text of each cell, by column; `numbers` are the same as float64,
    rows x columns, or None where not all of them are numbers that a float64 holds exactly as read."""

    names: tuple[str, ...]
    cells: Sequence[Sequence[bytes]]
    numbers: NDArray[np.float64] | None = None
    text: bytes | None = None
    """All cells as they are in `cells`, with commas between those of a row and line ends between rows, where
    the source has that at no cost; ASCII, and no cell has either in it."""

    between: NDArray[np.intp] | None = None
    """Where in `text` these commas and line ends are, if the source knows."""

    written: Sequence[Sequence[bytes]] | None = None
    """The cells as they are in the file, by column, where that says nothing certain of their types."""


@dataclass(slots=True)
class Blobs(Records):
    """Each is bytes. `labels` is the JSON text that stands for each in the output; None: nothing does."""

    blobs: Sequence[bytes]
    labels: Sequence[bytes] | None = None


class Source(Protocol):
    """Reads one format."""

    kind: Kind

    def plan(self, inputs: Inputs) -> Iterator[Shard]:
        """Find what there is and cut it; `index` is counted from 0, in the order of the URIs given.

        Files that a wildcard finds are in the order of their names. A source without records has a shard,
        too. Raises InvalidArgument for a URI it does not take, NotFound where nothing is there, and
        FailedPrecondition for what cannot be read at all (a CSV file without a header).
        """
        ...

    def read(self, shard: Shard, inputs: Inputs) -> Iterator[Records]:
        """Read a shard in batches of a few thousand records, about a megabyte each.

        Raises FailedPrecondition where the input is not what it was when the shard was planned, or its
        store fails.
        """
        ...
