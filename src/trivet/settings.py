"""What can be set: every section and setting, with its default. `config` puts them together."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

from trivet.serving.batching import BatchLimits
from trivet.serving.placement import Asked


@dataclass(frozen=True, slots=True)
class Server:
    """Where the server listens and how it stops."""

    host: str = "127.0.0.1"
    """Address to listen on. Loopback unless told otherwise: there is no authentication yet."""

    port: Annotated[int, Meta(ge=0, le=65535)] = 8080
    """Port to listen on; 0 picks a free one."""

    drain_window: Annotated[float, Meta(ge=0)] = 0.0
    """Seconds after SIGTERM in which `/readyz` already says no, but requests are still accepted, so that
    balancers notice. Kubernetes wants about 5."""

    drain_timeout: Annotated[float, Meta(ge=0)] = 30.0
    """Seconds that requests in flight have to finish after that."""

    workers: Annotated[int, Meta(ge=0)] = 0
    """How many fronts, processes that answer requests; 0 is one for each core this server may use."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a single request may ask for."""

    max_body_bytes: Annotated[int, Meta(ge=1)] = 32 * 1024 * 1024
    """Bytes of a request's body, after decompression; more is refused with 413."""

    max_upload_bytes: Annotated[int, Meta(ge=1)] = 128 * 1024 * 1024
    """Bytes of one request of an upload, if that is more: data for BigQuery's load jobs, of which Google's
    client sends 100 MiB at once."""

    max_instances: Annotated[int, Meta(ge=1)] = 4096
    """Instances in one request."""

    max_depth: Annotated[int, Meta(ge=1, le=200)] = 100
    """How deep a request's JSON may be nested."""

    max_header_bytes: Annotated[int, Meta(ge=256)] = 32 * 1024
    """Bytes of a request's first line and headers; more is refused with 431."""

    max_connections: Annotated[int, Meta(ge=1)] = 16384
    """Connections of one front; more are refused with 503."""

    receive_timeout: Annotated[float, Meta(gt=0)] = 60.0
    """Seconds in which a request must have come whole, and its answer must have been taken; else 408."""

    idle_timeout: Annotated[float, Meta(gt=0)] = 620.0
    """Seconds for which a connection may be idle between requests. More than load balancers keep theirs
    (Google's: 600), so that it is they who close."""


@dataclass(frozen=True, slots=True)
class Artifacts:
    """What the files of a model may do. They can never grant it to themselves."""

    allow_pickle: bool = False
    """Load pickle and joblib files, and PyTorch and TensorFlow files of which it cannot be told that they
    only compute. They run any code they contain, with the server's rights."""

    allow_python: bool = True
    """Run the code of Python predictors (`predictor.py`)."""

    allow_containers: bool = True
    """Run the containers that models bring, and applications as processes."""

    load_timeout: Annotated[float, Meta(gt=0)] = 600.0
    """Seconds in which a model must be loaded and warmed up. Until then, no other is loaded."""

    folders: tuple[str, ...] = ()
    """Folders below which models must be that are uploaded by their path; anywhere, where there are none."""

    trusted_types: tuple[str, ...] = ()
    """Types that skops files may contain besides those that skops itself trusts, which are most of
    scikit-learn's. Trees and nearest neighbours need some; the error names them."""


@dataclass(frozen=True, slots=True)
class Log:
    """What is written to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least serious messages to write."""

    format: Literal["auto", "json", "text"] = "auto"
    """`json` is one object per line; `text` is for people; `auto` is text in a terminal."""

    requests: Literal["errors", "all", "none"] = "errors"
    """Which requests to log: those answered with 4xx or 5xx, all, or none."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model to serve. Its table is named `models.NAME` or `models."NAME@VERSION"`."""

    path: str = ""
    """File, folder or URI (gs://, s3://) of the artifact; in `trivet.toml`, relative to that file."""

    framework: str = ""
    """Framework of the artifact; found from its content where empty."""

    output: Literal["", "labels", "probabilities", "detailed", "booster"] = ""
    """What a classifier answers where the request's parameters do not say; `booster` is what XGBoost's own
    `Booster.predict` gives."""

    placement: Asked = "auto"
    """Where the model runs: `inline` in the fronts' event loops, on a `thread` of each, in a `process` of
    its own, or where its measured speed says (`auto`)."""

    replicas: Annotated[int, Meta(ge=1)] = 1
    """How many processes run the model, where it runs in processes."""

    max_rows: Annotated[int, Meta(ge=1)] | None = None
    """As `batching.max_rows`, for this model."""

    max_wait: Annotated[float, Meta(ge=0)] | None = None
    """As `batching.max_wait`, for this model."""

    max_queued_rows: Annotated[int, Meta(ge=1)] | None = None
    """As `batching.max_queued_rows`, for this model."""

    timeout: Annotated[float, Meta(gt=0)] | None = None
    """As `batching.timeout`, for this model."""


@dataclass(frozen=True, slots=True)
class Container:
    """What a platform tells a prediction container, by `AIP_*` variables."""

    predict_route: str = ""
    """Path that predicts with the one model served (`AIP_PREDICT_ROUTE`)."""

    health_route: str = ""
    """Path that answers 200 when the model is ready (`AIP_HEALTH_ROUTE`)."""


@dataclass(frozen=True, slots=True)
class Containers:
    """How the custom containers of models are run."""

    engine: Literal["auto", "podman", "docker", "process"] = "auto"
    """What runs them: `auto` is the first there is of podman, docker and processes. Processes run only
    folders, each in a virtual environment of its own."""

    images: tuple[Annotated[str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9._/:@-]*=.+$")], ...] = ()
    """Folders of applications that stand for images: `IMAGE=FOLDER`, the image as models name it. What a
    client uploads as `us-docker.pkg.dev/p/r/fraud` is built from there, and fetched from nowhere."""

    cache: str = ""
    """Folder for the virtual environments of applications, by default `~/.cache/trivet/containers`."""

    concurrency: Annotated[int, Meta(ge=1)] = 64
    """Requests that each front sends a container at once; the others wait in the front's queue."""

    start_timeout: Annotated[float, Meta(gt=0)] = 600.0
    """Seconds from a container's start to its first good health, where its model names no time."""

    timeout: Annotated[float, Meta(gt=0)] = 600.0
    """Seconds that a container has for one request of a batch job or of SQL. What takes longer is asked again
    in parts: a job's row that is never answered fails alone after three or four times that, and a statement
    after up to four times that for each halving of its rows."""

    limit: bool = False
    """Let a container use no more CPUs and memory than the machine type of its deployment has
    (`n1-standard-4`: 4 and 15 GiB). It never gets more than this machine has."""

    @property
    def folders(self) -> dict[str, str]:
        """Return the folder of each image that stands for one."""
        return dict(one.split("=", 1) for one in self.images)


@dataclass(frozen=True, slots=True)
class Catalog:
    """Where `trivet up` keeps what exists, and what plain names mean."""

    data: str = ".trivet"
    """Folder for everything that `trivet up` keeps. Also `TRIVET_DATA`."""

    url: str = ""
    """SQLAlchemy URL of the catalog, as `postgresql+psycopg://user@host/database`, which several servers may
    share; SQLite in the data folder where empty."""

    store: str = ""
    """Folder or URI (gs://, s3://) for the copies of artifacts; in the data folder where empty."""

    project: str = "local"
    """The project of plain names, as in `trivet endpoint create scoring`."""

    location: str = "us-central1"
    """The location of plain names. Google's SDKs know a fixed list."""

    remote: bool = False
    """Let callers on other machines manage models and endpoints, where the server listens for them. Whoever
    may do that may run code here, and there is no authentication yet."""

    all_dedicated: bool = False
    """Tell SDKs that every endpoint is a dedicated one: they then predict over the TLS port, where raw and
    streaming predictions work without a proxy."""


@dataclass(frozen=True, slots=True)
class Storage:
    """Where artifacts come from."""

    buckets: tuple[str, ...] = ()
    """Buckets that are local folders: `gs://bucket=/folder`."""

    @property
    def folders(self) -> dict[str, str]:
        """Return the local folder of each such bucket."""
        return dict(one.rsplit("=", 1) for one in self.buckets)


@dataclass(frozen=True, slots=True)
class Gateway:
    """How `trivet up` is reached by TLS, by gRPC and through a proxy."""

    tls_port: Annotated[int, Meta(ge=-1, le=65535)] = 8443
    """Port for HTTPS and gRPC; 0 picks a free one, -1 opens none."""

    proxy_port: Annotated[int, Meta(ge=-1, le=65535)] = 8081
    """Port of the proxy through which Google's SDKs find this server without a change; 0 picks a free one,
    -1 opens none."""

    names: tuple[str, ...] = ()
    """Names by which other machines reach this server, for its certificate. The first is what dedicated
    endpoints tell SDKs; without one that is `localhost`."""

    tunnel: bool = True
    """Whether the proxy lets callers reach hosts that are not Google's, too."""


@dataclass(frozen=True, slots=True)
class Batch:
    """How batch prediction jobs are run, by `trivet batch` and by the server."""

    jobs: Annotated[int, Meta(ge=0)] = 2
    """How many jobs a server runs at once; others wait. With 0 it runs none, and leaves them to other
    servers that share its catalog."""

    workers: Annotated[int, Meta(ge=0)] = 0
    """Processes of one job, unless it says so itself; 0 is one for each core this machine may use."""

    nice: Annotated[int, Meta(ge=0, le=19)] = 10
    """How much a server's jobs stand back behind its fronts where both want the cores (see `nice(1)`)."""

    folders: tuple[str, ...] = ()
    """Folders in which local files must be that jobs read and write; anywhere, where there are none."""

    shard_bytes: Annotated[int, Meta(ge=1024)] = 16 * 1024 * 1024
    """Bytes of an uncompressed text file that are done, and after a crash redone, as one. Each such part
    gives one file of results."""

    shard_rows: Annotated[int, Meta(ge=1)] = 200_000
    """Rows of a table, or of a Parquet file, that are done as one."""


@dataclass(frozen=True, slots=True)
class Sql:
    """SQL, of `trivet sql`, of `trivet.sql.connect()`, and of the server."""

    folders: tuple[str, ...] = ()
    """Folders in which local files must be that statements read and write. Where there are none, `trivet sql`
    may use any, and a server none."""

    isolate: Literal["auto", "always", "never"] = "auto"
    """Which models get a process of their own, so that a crash of theirs ends nothing else: those that run
    their author's code (`auto`), all, or none."""

    threads: Annotated[int, Meta(ge=0)] = 0
    """Threads that a statement may use; 0 is one for each core this machine may use."""

    memory: str = ""
    """Memory that statements may use before they use the disk, as `4GB`; DuckDB's own default where empty."""

    create_datasets: bool = True
    """Whether `trivet sql` and `trivet.sql.connect()` make a dataset in which a statement makes something."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a server, and where each value came from."""

    server: Server = field(default_factory=Server)
    limits: Limits = field(default_factory=Limits)
    batching: BatchLimits = field(default_factory=BatchLimits)
    artifacts: Artifacts = field(default_factory=Artifacts)
    log: Log = field(default_factory=Log)
    container: Container = field(default_factory=Container)
    containers: Containers = field(default_factory=Containers)
    catalog: Catalog = field(default_factory=Catalog)
    storage: Storage = field(default_factory=Storage)
    gateway: Gateway = field(default_factory=Gateway)
    batch: Batch = field(default_factory=Batch)
    sql: Sql = field(default_factory=Sql)
    models: Mapping[str, Model] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
