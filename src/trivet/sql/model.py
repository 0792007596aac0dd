"""Models as SQL knows them: a name in a dataset, columns in and out, and what answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from trivet.sql.names import ObjectName
from trivet.sql.types import Field

REMOTE = "REMOTE"
TRIVET = "TRIVET"
"""The type of a name for a model that was registered otherwise."""

STATUS = "remote_model_status"
"""The column that a remote model adds: NULL, or why a row has no answer."""


@dataclass(frozen=True, slots=True)
class Remote:
    """An endpoint that answers. `rows` is how many instances are sent in one request."""

    endpoint: str
    connection: str = ""
    rows: int = 128
    retries: bool = True


@dataclass(frozen=True, slots=True)
class SqlModel:
    """What `CREATE MODEL` makes: immutable, as is the model version that it stands for.

    `type` is MODEL_TYPE, or REMOTE, or TRIVET; `model` the full name of a version,
    `projects/P/locations/L/models/M@3`, or empty for a remote one. `owned` says that the versions of that
    model were made by this name, and go with it. `inputs` are the columns that are looked for by name,
    `outputs` those that a prediction has. `options` are those of the statement, in lower case, and
    `parameters` what the predictor is told with each batch.
    """

    name: ObjectName
    type: str
    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]
    model: str = ""
    owned: bool = True
    remote: Remote | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    description: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    created: datetime | None = None
    modified: datetime | None = None
    expires: datetime | None = None
    etag: str = ""

    @property
    def key(self) -> str:
        """What changes whenever the answers may: the version, or where a remote one is asked."""
        return self.model or f"{self.name} {self.etag}"
