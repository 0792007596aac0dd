"""Settings: the one place that reads files, the environment and flags.

Defaults < `trivet.toml` < the platform's `AIP_*` < `TRIVET_*` < flags. An unknown key is an error that
names the nearest known one, and every value remembers where it came from.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import msgspec
from msgspec import Meta

from trivet.core.errors import InvalidArgument
from trivet.core.names import ModelRef
from trivet.serving.batching import BatchLimits
from trivet.serving.placement import Asked

FILE = "trivet.toml"
CONFIG_VARIABLE = "TRIVET_CONFIG"
DATA_VARIABLE = "TRIVET_DATA"


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
    """Load pickle and joblib files, which run any code they contain, with the server's rights."""

    allow_python: bool = True
    """Run the code of Python predictors (`predictor.py`)."""

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

    output: Literal["", "labels", "probabilities", "detailed"] = ""
    """What a classifier answers where the request's parameters do not say."""

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

    all_dedicated: bool = False
    """Tell SDKs that every endpoint is a dedicated one: they then predict over the TLS port, where raw and
    streaming predictions work without a proxy."""


@dataclass(frozen=True, slots=True)
class Storage:
    """Where artifacts come from."""

    buckets: tuple[str, ...] = ()
    """Buckets that are local folders: `gs://bucket=/folder`."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """How `trivet up` is reached by TLS, by gRPC and through a proxy."""

    tls_port: Annotated[int, Meta(ge=-1, le=65535)] = 8443
    """Port for HTTPS and gRPC; 0 picks a free one, -1 opens none."""

    proxy_port: Annotated[int, Meta(ge=-1, le=65535)] = 8081
    """Port of the proxy through which Google's SDKs find this server without a change; 0 picks a free one,
    -1 opens none."""

    tunnel: bool = True
    """Whether the proxy lets callers reach hosts that are not Google's, too."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a server, and where each value came from."""

    server: Server = field(default_factory=Server)
    limits: Limits = field(default_factory=Limits)
    batching: BatchLimits = field(default_factory=BatchLimits)
    artifacts: Artifacts = field(default_factory=Artifacts)
    log: Log = field(default_factory=Log)
    container: Container = field(default_factory=Container)
    catalog: Catalog = field(default_factory=Catalog)
    storage: Storage = field(default_factory=Storage)
    gateway: Gateway = field(default_factory=Gateway)
    models: Mapping[str, Model] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Given:
    value: Any
    source: str
    text: bool = False  # from the environment: "8080" is a number


SECTIONS = {
    f.name: get_type_hints(Settings)[f.name]
    for f in fields(Settings)
    if is_dataclass(get_type_hints(Settings)[f.name])
}


def known() -> Iterator[tuple[str, Any, Any]]:
    """Yield every setting but those of models: its dotted name, its type and its default."""
    for section, kind in SECTIONS.items():
        yield from _fields_of(kind, section)


def _fields_of(kind: Any, prefix: str) -> Iterator[tuple[str, Any, Any]]:
    hints = get_type_hints(kind, include_extras=True)
    for one in fields(kind):
        yield f"{prefix}.{one.name}", hints[one.name], one.default


def load(
    flags: Mapping[str, Any] | None = None,
    models: Mapping[str, Model] | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Settings:
    """Put the settings together; raises InvalidArgument that names a wrong key and its source.

    `flags` are by dotted name; `models` given on the command line replace those of the file.
    """
    environment = os.environ if environment is None else environment
    file = _file(environment, folder or Path())
    given = {**_from_file(file), **_from_platform(environment), **_from_environment(environment)}
    given |= {key: _Given(value, "flag") for key, value in (flags or {}).items()}
    types = {key: (kind, default) for key, kind, default in known()}
    _refuse_unknown(given, types)
    values: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    sources = dict.fromkeys(types, "default")
    for key, one in given.items():
        section, _, name = key.partition(".")
        if section != "models":
            values[section][name] = _convert(key, one, types[key][0])
            sources[key] = one.source
    served = models or _models_in(given) or _platform_model(environment)
    for name in served:
        ModelRef.parse(name)
        sources[f"models.{name}"] = (
            "flag" if models else given.get(f"models.{name}.path", _Given("", "AIP_STORAGE_URI")).source
        )
    sections = {section: SECTIONS[section](**values[section]) for section in SECTIONS}
    return Settings(**sections, models=served, sources=sources)


def _file(environment: Mapping[str, str], folder: Path) -> Path | None:
    if named := environment.get(CONFIG_VARIABLE):
        if not Path(named).is_file():
            raise InvalidArgument(f"{CONFIG_VARIABLE}: there is no file {named}")
        return Path(named)
    return folder / FILE if (folder / FILE).is_file() else None


def _from_file(file: Path | None) -> dict[str, _Given]:
    if file is None:
        return {}
    try:
        content = tomllib.loads(file.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"{file}: {error}") from None
    given: dict[str, _Given] = {}
    for section, table in content.items():
        if not isinstance(table, dict):
            raise InvalidArgument(f"{file}: {section}: expected a table, [{section}]")
        for key, value in table.items():
            if section != "models":
                given[f"{section}.{key}"] = _Given(value, str(file))
                continue
            if not isinstance(value, dict):
                raise InvalidArgument(f'{file}: models.{key}: expected a table, [models."{key}"]')
            for name, one in value.items():
                local = name == "path" and isinstance(one, str) and "://" not in one
                given[f"models.{key}.{name}"] = _Given(str(file.parent / one) if local else one, str(file))
    return given


def _from_environment(environment: Mapping[str, str]) -> dict[str, _Given]:
    names = {f"TRIVET_{key.replace('.', '_').upper()}": key for key, _, _ in known()}
    names[DATA_VARIABLE] = "catalog.data"
    given = {}
    for variable, value in environment.items():
        if not variable.startswith("TRIVET_") or variable == CONFIG_VARIABLE:
            continue
        if variable not in names:
            raise InvalidArgument(f"{variable}: unknown setting{_nearest(variable, names)}")
        given[names[variable]] = _Given(value, variable, text=True)
    return given


def _from_platform(environment: Mapping[str, str]) -> dict[str, _Given]:
    """Read what a platform sets for a prediction container; it expects every address to be served."""
    names = {
        "AIP_HTTP_PORT": "server.port",
        "AIP_PREDICT_ROUTE": "container.predict_route",
        "AIP_HEALTH_ROUTE": "container.health_route",
    }
    given = {
        key: _Given(environment[variable], variable, text=True)
        for variable, key in names.items()
        if environment.get(variable)
    }
    if "server.port" in given:
        given["server.host"] = _Given("0.0.0.0", "AIP_HTTP_PORT")
    return given


def _platform_model(environment: Mapping[str, str]) -> dict[str, Model]:
    location = environment.get("AIP_STORAGE_URI")
    return {environment.get("AIP_MODEL_NAME") or "model": Model(path=location)} if location else {}


def _models_in(given: Mapping[str, _Given]) -> dict[str, Model]:
    types = {key.partition(".")[2]: kind for key, kind, _ in _fields_of(Model, "models")}
    values: dict[str, dict[str, Any]] = {}
    for key, one in given.items():
        if key.startswith("models."):
            name, _, option = key.removeprefix("models.").rpartition(".")
            values.setdefault(name, {})[option] = _convert(key, one, types[option])
    return {name: Model(**options) for name, options in values.items()}


def _refuse_unknown(given: Mapping[str, _Given], types: Mapping[str, Any]) -> None:
    options = {key.partition(".")[2]: None for key, _, _ in _fields_of(Model, "models")}
    for key, one in given.items():
        if key.startswith("models."):
            if (option := key.rpartition(".")[2]) not in options:
                near = _nearest(option, options)
                raise InvalidArgument(f"{one.source}: {key}: unknown setting{near}")
        elif key not in types:
            near = _nearest(key, [*types, "models"])
            raise InvalidArgument(f"{one.source}: {key}: unknown setting{near}")


def _convert(key: str, given: _Given, kind: Any) -> Any:
    value = given.value
    if given.text and kind == tuple[str, ...]:
        value = [part.strip() for part in value.split(",") if part.strip()]
    try:
        converted = msgspec.convert(value, kind, strict=not given.text)
        if isinstance(converted, float) and not isfinite(converted):
            raise msgspec.ValidationError("Expected a finite number")
        return converted
    except msgspec.ValidationError as error:
        name = given.source if given.text else f"{given.source}: {key}"
        raise InvalidArgument(f"{name}: {error}; got {value!r}") from None


def _nearest(name: str, names: Any) -> str:
    near = get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""
