"""Batch prediction as values: what a job reads and writes, the parts it is done in, and how far it is.

Names are those of Google's aiplatform v1 API (BatchPredictionJob) where it has one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from trivet.core.errors import InvalidArgument
from trivet.core.resources import Document, Failure, Name

State = Literal[
    "QUEUED", "RUNNING", "CANCELLING", "SUCCEEDED", "PARTIALLY_SUCCEEDED", "FAILED", "CANCELLED"
]  # fmt: skip
ENDED: frozenset[State] = frozenset(("SUCCEEDED", "PARTIALLY_SUCCEEDED", "FAILED", "CANCELLED"))

HEARD_WITHIN = 5.0
"""Seconds after which a process that has a job, and was not heard of, is gone; others may run it then."""

Kind = Literal["values", "rows", "blobs"]
"""What the records of a source are: any JSON value, rows of named columns, or bytes."""

InstanceType = Literal["", "object", "array"]


@dataclass(frozen=True, slots=True)
class InstanceConfig:
    """What becomes of a record. `key` is a field that is not sent, and stands for the instance in the output.

    `included` are the only fields sent, in this order; `excluded` are not sent, but shown in the output.
    """

    type: InstanceType = ""
    key: str = ""
    included: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()

    def check(self, source: str, kind: Kind, *, native: bool) -> None:
        """Refuse what cannot be done with the records of a source, named as in the API.

        In the managed service's terms, which hold unless `native`, rows of CSV files are arrays.
        """
        where = "instanceConfig"
        if self.included and self.excluded:
            raise InvalidArgument(f"{where}: includedFields and excludedFields exclude each other; give one")
        if self.type and (kind == "blobs" or (source == "csv" and not native)):
            raise InvalidArgument(
                f"{where}.instanceType: not for {source}, whose instances are "
                f"{'arrays' if kind == 'rows' else 'base64 of bytes'}; expected none"
            )
        if source == "file-list" and (self.key or self.included or self.excluded):
            raise InvalidArgument(
                f"{where}: the files of a file-list have no fields; expected no such config"
            )
        for name, fields in (("includedFields", self.included), ("excludedFields", self.excluded)):
            if len(set(fields)) < len(fields):
                raise InvalidArgument(f"{where}.{name}: a field is named twice")
        if self.key and self.key in self.included:
            raise InvalidArgument(
                f"{where}.includedFields: {self.key!r} is the keyField, which is not sent; take it out"
            )


@dataclass(frozen=True, slots=True)
class Shard:
    """A part of the input that is read, scored and written as one: what is done, or redone, as a whole.

    `start` and `stop` (exclusive) are bytes of a text file and rows of a table, as its source reads them;
    `first` is the offset of its first record within the source, counted from 0, and `size` the bytes or rows
    that will be read, for telling how far it is. `details` is what its source must know besides.
    """

    index: int
    uri: str
    start: int = 0
    stop: int = 0
    first: int = 0
    size: int = 0
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Counts:
    """How many records were read, and what became of them; `read` is the sum of the other two at the end."""

    read: int = 0
    successful: int = 0
    failed: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.read + other.read, self.successful + other.successful, self.failed + other.failed)


@dataclass(frozen=True, slots=True)
class RowFailure:
    """Why a record has no prediction: where it is, the number of a canonical code, and the message."""

    uri: str
    offset: int
    code: int
    message: str


@dataclass(frozen=True, slots=True)
class ShardResult:
    """A shard that is done: its counts, some of its failures, and the bytes of the parts it has written."""

    index: int
    counts: Counts
    failures: tuple[RowFailure, ...] = ()  # the first few
    parts: Mapping[str, int] = field(default_factory=dict)  # by name: bytes


@dataclass(frozen=True, slots=True)
class BatchPredictionJob:
    """A job as the catalog keeps it.

    `model` is the full name with its version; empty for a job that asks an endpoint, or whose model is in no
    catalog: `document` says which. `document` is the resource as its caller gave it: JSON, camelCase, without
    the fields that have an attribute here, but with the `model` as it was named. `output` is `outputInfo`,
    there when the job has ended with results or errors to show. `output_name` was made with the job, from its
    `model_display_name` and the time: it names what is written.
    `progress` is how much has been read of how much there is, in the sizes of shards. `owner` is the process
    that has the job, which has been run `attempt` times in all, and `seen` is when it was last heard of; a
    job that nobody has is anybody's who runs jobs.
    """

    name: Name
    display_name: str
    created: datetime
    updated: datetime
    model: str = ""
    model_display_name: str = ""
    state: State = "QUEUED"
    labels: Mapping[str, str] = field(default_factory=dict)
    document: Document = field(default_factory=dict)
    output_name: str = ""
    started: datetime | None = None
    ended: datetime | None = None
    output: Document = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    progress: tuple[int, int] = (0, 0)
    failures: tuple[RowFailure, ...] = ()
    warnings: tuple[str, ...] = ()
    first: str = ""
    """The first instance as the model got it: JSON text, cut short."""

    prepared: Document = field(default_factory=dict)
    """What else was found out before any row was scored (see `jobs.ledger`); empty until it is planned."""

    failure: Failure | None = None
    owner: str = ""
    attempt: int = 0
    seen: datetime | None = None
    process_seconds: float = 0.0
    """Seconds that processes have worked on it, all together."""

    @property
    def is_ended(self) -> bool:
        """Whether it will not go on by itself; one that FAILED may be resumed."""
        return self.state in ENDED
