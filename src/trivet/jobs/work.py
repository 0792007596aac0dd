"""What a process needs to know to run the shards of a job: it travels to other processes as JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trivet.core.batch import InstanceConfig
from trivet.runtimes.base import Permissions
from trivet.serving.lifecycle import ModelSpec
from trivet.sinks.base import Outputs
from trivet.sources.base import Inputs


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint that is asked instead of a model: its URL up to `:predict`, and how."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 60.0
    concurrency: int = 16
    """Requests in flight at most; fewer where it says that it has enough (429)."""


@dataclass(frozen=True, slots=True)
class Work:
    """A job, as far as its shards are concerned. Exactly one of `model` and `endpoint` is given.

    `batch_size` is how many instances the model is asked about at once; 0 leaves that to its nature.
    """

    job: str
    source: str  # the format
    sink: str
    inputs: Inputs
    outputs: Outputs
    instances: InstanceConfig = field(default_factory=InstanceConfig)
    model: ModelSpec | None = None
    endpoint: Endpoint | None = None
    permissions: Permissions = field(default_factory=Permissions)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int = 0
    native: bool = True


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is found out before any row is scored. `warnings` are for people; `first` is the JSON text of the
    first instance as the model will get it; `columns` and `schema` are for the sink."""

    warnings: tuple[str, ...] = ()
    first: str = ""
    columns: tuple[str, ...] = ()
    schema: tuple[Mapping[str, Any], ...] = ()
    framework: str = ""
