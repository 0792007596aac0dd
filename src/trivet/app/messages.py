"""What the supervisor and its processes tell each other."""

from msgspec import Struct

from trivet.core import resources
from trivet.runtimes.base import Permissions
from trivet.serving.hop import Failure
from trivet.serving.lifecycle import ModelInfo, ModelSpec
from trivet.serving.wish import Address, Wish
from trivet.settings import Log, Settings
from trivet.telemetry import Sample


class Remote(Struct):
    """A model whose replica processes listen at `paths`."""

    info: ModelInfo
    paths: list[str]


class Load(Struct, tag=True):
    """To the loader or a replica: load these, and keep them; a loader is to `drop` others, by their ids.

    A replica whose supervisor has ended serves the fronts for `grace` seconds more at most.
    """

    specs: list[ModelSpec]
    permissions: Permissions
    log: Log
    grace: float
    drop: list[str] = []


class Loading(Struct, tag=True):
    """From whoever loads: this one comes next."""

    id: str
    model: str


class Loaded(Struct, tag=True):
    """From whoever loads, when all was tried: these are ready."""

    models: list[ModelInfo]


class Failed(Struct, tag=True):
    """From whoever loads: this one could not be."""

    id: str
    model: str
    failure: Failure


class ForkFront(Struct, tag=True):
    """To the loader: fork a front. It gets a control socket, a listening one, and one for its predecessor."""

    id: int


class ForkReplica(Struct, tag=True):
    """To the loader: fork a replica of a model it has loaded, with a control socket and a listening one."""

    id: int
    model: str


class ForkLoader(Struct, tag=True):
    """To the loader: fork one that has the same models, with a control socket, to load others as well.

    What a model does to the process that loads it then happens to no process that serves.
    """

    id: int


class Listen(Struct, tag=True):
    """To a front that is ready: accept connections from now on."""


class Silent(Struct, tag=True):
    """From a front: it accepts no more connections. After `HandOver`: nor begins with any request."""


class Forked(Struct, tag=True):
    """From the loader: what was asked for has this process id."""

    id: int
    pid: int


class Exited(Struct, tag=True):
    """From the loader: a process it forked has ended, with this status of `waitpid`."""

    pid: int
    status: int


class Serving(Struct, tag=True):
    """To a front: serve these, of what it has loaded, and nothing else, from now on. Answered with `Ready`.

    `remote` run in processes of their own; `own` are to be loaded by each front itself; `here`, by their ids,
    were loaded before it was forked. States are numbered by the supervisor.
    """

    state: int
    remote: list[Remote]
    own: list[ModelSpec]
    here: list[str]
    addresses: list[Address]


class Doors(Struct, frozen=True):
    """Paths at which the control plane and the process for SQL listen for calls; empty where one does not."""

    control: str = ""
    sql: str = ""


class Serve(Struct, tag=True):
    """To a front, first of all: its settings and what to serve. Not `ready` is for probes alone.

    `doors` are the paths at which others listen for a front's calls.
    """

    settings: Settings
    serving: Serving
    ready: bool
    doors: Doors = Doors()


class HandOver(Struct, tag=True):
    """To a front: give your connections to the front that listens at this path. Answered with `Silent`."""

    path: str


class Manage(Struct, tag=True):
    """To the control process, first of all: its settings and who it is.

    With a `seed`, which is served already, the catalog lasts as long as the server, and begins with that.
    """

    settings: Settings
    node: str
    data: str
    tls: str = ""  # the `host:port` of the gateway
    seed: Wish | None = None


class Guard(Struct, tag=True):
    """To the gateway process: serve in front of the server at this address, on these sockets, by name."""

    settings: Settings
    data: str
    scratch: str
    host: str
    port: int
    sockets: list[str]


class AnswerSql(Struct, tag=True):
    """To the process for SQL, first of all: its settings, its data, and the URL of its server."""

    settings: Settings
    data: str
    server: str
    tls: str = ""  # the `host:port` of the gateway


class RunJob(Struct, tag=True):
    """To a job process, first of all: run the job of this name, in the catalog at this URL."""

    settings: Settings
    data: str
    catalog: str
    store: str
    job: str


class Wished(Struct, tag=True):
    """From the control process: what is to be served, from now on. Answered with `Applied`."""

    wish: Wish


class Expected(Struct, tag=True):
    """From the control process: there are models of these frameworks, which may be deployed at any time."""

    frameworks: list[str]


class Preload(Struct, tag=True):
    """To the loader: import what models of these frameworks need, so that they are loaded the quicker."""

    frameworks: list[str]


class Applied(Struct, tag=True):
    """To the control process: this revision is served, but for the models that failed, by their ids."""

    revision: int
    failures: dict[str, resources.Failure]


class Ready(Struct, tag=True):
    """From a front, a replica or the control process: it serves, a front what was said in this state."""

    state: int = 0


class Retire(Struct, tag=True):
    """To a front: go in good order. Not ready for `window` seconds, then accept no more connections.

    Connections that are idle end after `idle` seconds more, all others after `timeout`.
    """

    window: float
    idle: float
    timeout: float


class Measure(Struct, tag=True):
    """To anybody: what have you measured?"""

    id: int


class Measured(Struct, tag=True):
    """The answer, and the last word of a process that goes in good order (id 0)."""

    id: int
    samples: list[Sample]


class Gather(Struct, tag=True):
    """From a front: what have all processes measured? Answered with `Measured`."""

    id: int


Message = (
    Load | Loading | Loaded | Failed | ForkFront | ForkReplica | ForkLoader | Forked | Exited
    | Serve | Serving | Ready | Listen | HandOver | Silent | Retire | Measure | Measured | Gather
    | Manage | Wished | Applied | Expected | Preload | Guard | RunJob | AnswerSql
)  # fmt: skip
