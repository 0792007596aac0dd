"""What the catalog holds: models and their versions, endpoints and their deployments, pools, operations.

Values only; the rules are in `control`, the storage in `catalog`. Field names are those of Google's
aiplatform v1 API where it has one. A `document` holds the fields of a resource that Trivet keeps as the
caller gave them: JSON, camelCase, enums by name, without the fields that have an attribute here.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Literal, Self, TypeVar

from trivet.core.errors import InvalidArgument

T = TypeVar("T")

Document = Mapping[str, Any]

_ID = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?"
_PARENT = (
    r"projects/(?P<project>[A-Za-z0-9][A-Za-z0-9.:_-]{0,127})/locations/(?P<location>[a-z0-9][a-z0-9-]{0,62})"
)
_LOCATION = re.compile(_PARENT)
_NAME = re.compile(rf"{_PARENT}/(?P<collection>[A-Za-z]+)/(?P<id>{_ID})(?:@(?P<version>{_ID}))?")


@dataclass(frozen=True, slots=True, order=True)
class Location:
    """The parent of most resources: `projects/P/locations/L`."""

    project: str
    location: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the full form; raises InvalidArgument."""
        match = _LOCATION.fullmatch(text)
        if match is None:
            raise InvalidArgument(f"parent {text!r}: expected projects/PROJECT/locations/LOCATION")
        return cls(match["project"], match["location"])

    def __str__(self) -> str:
        return f"projects/{self.project}/locations/{self.location}"

    def child(self, collection: str, id_: str) -> "Name":
        """Return the name of a resource here."""
        return Name(self.project, self.location, collection, id_)


@dataclass(frozen=True, slots=True, order=True)
class Name:
    """The full name of a resource: `projects/P/locations/L/models/M`, with `@V` where a version is meant.

    `version` is a version's number or an alias, or empty.
    """

    project: str
    location: str
    collection: str
    id: str
    version: str = ""

    @classmethod
    def parse(cls, text: str, collection: str = "") -> Self:
        """Read the full form, of this collection if one is given; raises InvalidArgument."""
        match = _NAME.fullmatch(text)
        if match is None or (collection and match["collection"] != collection):
            kind = collection or "COLLECTION"
            raise InvalidArgument(f"name {text!r}: expected projects/PROJECT/locations/LOCATION/{kind}/ID")
        return cls(
            match["project"], match["location"], match["collection"], match["id"], match["version"] or ""
        )

    def __str__(self) -> str:
        base = f"projects/{self.project}/locations/{self.location}/{self.collection}/{self.id}"
        return f"{base}@{self.version}" if self.version else base

    @property
    def parent(self) -> Location:
        """Where it is."""
        return Location(self.project, self.location)

    def at(self, version: str) -> "Name":
        """Return the name of a version, or of the whole where that is empty."""
        return Name(self.project, self.location, self.collection, self.id, version)


@dataclass(frozen=True, slots=True)
class Artifact:
    """An immutable copy of a model's files: the folder `key` of the store, and what it holds.

    `source` is where it was copied from; `digest` is the SHA-256 over the names and contents of all files;
    `size` in bytes. Where `linked`, `key` is the path of the files themselves, which were not copied.
    """

    key: str
    source: str
    digest: str
    size: int
    linked: bool = False


@dataclass(frozen=True, slots=True)
class Image:
    """What a version's own container is made from, as it was at its upload.

    That is a copy of the `folder` of an application, or the image that an engine calls `id` for ever.
    """

    folder: Artifact | None = None
    id: str = ""


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version of a model. `name` is the model's, without version; `version` a number from 1 on."""

    name: Name
    version: str
    display_name: str
    created: datetime  # of this version
    updated: datetime
    model_created: datetime  # of the first version
    labels: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    """Names that move between versions; `default` is on exactly one."""

    document: Document = field(default_factory=dict)
    artifact: Artifact | None = None
    framework: str = ""  # the runtime; "" finds it by the artifact's content
    etag: str = ""
    image: Image | None = None  # of a version that has a container of its own

    @property
    def copies(self) -> tuple[Artifact, ...]:
        """What the store keeps for this version."""
        folder = self.image.folder if self.image else None
        return tuple(one for one in (self.artifact, folder) if one)


DeployedState = Literal["PENDING", "READY"]


@dataclass(frozen=True, slots=True)
class DeployedModel:
    """A model version at an endpoint. While PENDING it is being loaded, and callers do not see it yet."""

    id: str
    model: Name  # without version
    version: str
    display_name: str
    created: datetime
    document: Document = field(
        default_factory=dict
    )  # dedicatedResources, automaticResources, serviceAccount...
    pool: str = ""  # full name of a deployment resource pool, if it is in one
    state: DeployedState = "PENDING"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address with a traffic split over its deployed models, in percent by their ids."""

    name: Name
    display_name: str
    created: datetime
    updated: datetime
    labels: Mapping[str, str] = field(default_factory=dict)
    document: Document = field(default_factory=dict)
    traffic: Mapping[str, int] = field(default_factory=dict)
    deployed: tuple[DeployedModel, ...] = ()
    etag: str = ""


@dataclass(frozen=True, slots=True)
class Pool:
    """A deployment resource pool: processes that several deployed models share."""

    name: Name
    created: datetime
    document: Document = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DatasetModel:
    """The name that a model has in a dataset of SQL, `project.dataset.id`.

    `model` is the version that it stands for, by its number, or None for one that is asked elsewhere; after
    `expires` there is no such name. What else `document` says is `sql`'s to know.
    """

    project: str
    dataset: str
    id: str
    created: datetime
    updated: datetime
    model: Name | None = None
    expires: datetime | None = None
    document: Document = field(default_factory=dict)
    etag: str = ""

    def __str__(self) -> str:
        return f"{self.project}:{self.dataset}.{self.id}"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an operation did not succeed: the number of a canonical code, and the message."""

    code: int
    message: str


STARTING = Failure(0, "it is being started")
"""What a node says of a deployed model that it has not failed to load, and has not loaded yet."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A long-running call. `kind` is the method (`deployModel`), `target` the full name of its resource.

    `api` is the version of the API that it was called through, and that its answer must be written in.
    `request` is what is needed to carry it out, also after a crash. `owner` is the node that does.
    It waits for every node to have applied `revision`, where that is not 0.
    """

    name: Name
    kind: str
    target: str
    created: datetime
    updated: datetime
    api: str = "v1"
    request: Document = field(default_factory=dict)
    owner: str = ""
    revision: int = 0
    done: bool = False
    response: Document | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """A machine that serves what the catalog says: how far it is, and what it could not load."""

    id: str
    applied: int
    seen: datetime
    failures: Mapping[str, Failure] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Query:
    """What to list: as AIP-132 has it. A page size of 0 means the default."""

    filter: str = ""
    order_by: str = ""
    page_size: int = 0
    page_token: str = ""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list, and the token for the next part; empty at the end."""

    items: Sequence[T]
    next_page_token: str = ""
