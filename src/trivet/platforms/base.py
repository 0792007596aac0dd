"""How a platform plugs in: it makes a bundle of files of what is to run there.

Platforms are found by the names of their modules here, each with a `PLATFORM`; `cloud_run` is `cloud-run`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from trivet.core.containers import PORT, ContainerSpec
from trivet.core.errors import InvalidArgument

Json = dict[str, Any]

BESIDE = ("signature.json",)
"""What belongs to a model file where it is in the same folder."""

_NOT_IN_LABELS = re.compile(r"[^a-z0-9-]+")
CPUS, MEMORY, MOST = 2.0, 4096, 5
"""CPUs and MiB of one replica, and how many there are at most, where nobody says."""

_LONGEST = 40  # of the 63 characters of a label, so that versions and digests fit behind it


@dataclass(frozen=True, slots=True)
class Version:
    """A model version to run elsewhere, with its share of the traffic in percent.

    `files` are the model's: a file or a folder; None where it has none. It is answered by its own
    `container`, or by Trivet's image, for which `framework` and `output` say what its files do not.
    """

    name: str
    version: str = "1"
    share: int = 100
    files: Path | None = None
    framework: str = ""
    output: str = ""
    named: bool = False
    """Whether the framework was said, and is not to be found by the files."""

    container: ContainerSpec | None = None

    @property
    def label(self) -> str:
        """What it is called where names are labels: `fraud-2`."""
        return fitting(f"{label(self.name)}-{label(self.version)}", _LONGEST)

    @property
    def contract(self) -> ContainerSpec:
        """How to talk to it: routes and ports, probes and variables."""
        return self.container or ContainerSpec()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is wanted of a platform. Sizes are of one replica: CPUs, MiB of memory, GPUs.

    Images are called `image`:VERSION; the models' files are in them or, where it is given, below `storage`
    (`gs://bucket/folder`). Of `public` services anyone may ask, as far as the platform is concerned.
    """

    name: str
    versions: tuple[Version, ...]
    image: str
    project: str = ""
    region: str = "us-central1"
    namespace: str = "default"
    storage: str = ""
    service_account: str = ""
    cpus: float = CPUS
    memory: int = MEMORY
    gpus: int = 0
    gpu_type: str = "nvidia-l4"
    machine_type: str = ""
    least: int = 1
    most: int = MOST
    concurrency: int = 80
    cpu_target: int = 60
    timeout: int = 300
    public: bool = False
    env: tuple[tuple[str, str], ...] = ()
    allow_pickle: bool = False
    base_image: str = ""
    install: str = ""

    @property
    def serving(self) -> tuple[Version, ...]:
        """The versions that have traffic, the one with most of it first."""
        return tuple(sorted((one for one in self.versions if one.share), key=lambda one: -one.share))


@dataclass(frozen=True, slots=True)
class Bundle:
    """Files by their path in the bundle: texts, YAML or JSON of documents, and copies of local files.

    `programs` are the texts that are run.
    """

    texts: Mapping[str, str] = field(default_factory=dict)
    documents: Mapping[str, Sequence[Json]] = field(default_factory=dict)
    copies: Mapping[str, Path] = field(default_factory=dict)
    programs: frozenset[str] = frozenset()

    def __or__(self, other: "Bundle") -> "Bundle":
        """Return a bundle with the files of both."""
        return Bundle(
            {**self.texts, **other.texts},
            {**self.documents, **other.documents},
            {**self.copies, **other.copies},
            self.programs | other.programs,
        )


class Platform(Protocol):
    """A place to run models."""

    title: str
    """Its name for people."""

    least: int
    """Replicas that there are at least, where nobody says."""

    def bundle(self, wanted: Wanted) -> Bundle:
        """Make the files; raises InvalidArgument for what the platform cannot do, naming the option."""
        ...


def copied(version: Version, folder: str) -> dict[str, Path]:
    """Return which local files and folders make a version's files in a folder of the bundle."""
    files = version.files
    if files is None:
        return {}
    if files.is_dir():
        return {folder: files}
    beside = [files.with_name(name) for name in BESIDE]
    return {f"{folder}/{one.name}": one for one in (files, *beside) if one.is_file()}


def label(text: str) -> str:
    """Return a text as a DNS label that begins with a letter or digit; two texts may get the same."""
    return _NOT_IN_LABELS.sub("-", text.lower()).strip("-")[:_LONGEST].strip("-") or "model"


def fitting(text: str, longest: int = 63) -> str:
    """Return a text, or its beginning and a digest of it where it is too long for a label."""
    return text if len(text) <= longest else f"{text[: longest - 9].strip('-')}-{digest(text)}"


def service_name(text: str) -> str:
    """Return what a service is called: a label that begins with a letter, as platforms want it."""
    made = label(text)
    return made if made[0].isalpha() else f"m-{made}"[:_LONGEST].strip("-")


def port_of(version: Version) -> int:
    """Return the port that a version listens on."""
    return version.container.ports[0] if version.container else PORT


def same_routes(wanted: Wanted) -> ContainerSpec:
    """Return the contract that all versions share; raises InvalidArgument where their routes differ.

    A balancer that splits traffic sends the same path to all.
    """
    first, *others = (one.contract for one in wanted.versions)
    for other in others:
        routes = [one.predict_route or one.invoke_prefix for one in (first, other)]
        if routes[0] != routes[1]:
            raise InvalidArgument(
                f"predictRoute: the versions at {wanted.name} must have the same one to share traffic; got "
                f"{routes[0]} and {routes[1]}"
            )
    return first


def digest(text: str) -> str:
    """Return a few characters that stand for a text."""
    return sha256(text.encode()).hexdigest()[:8]
