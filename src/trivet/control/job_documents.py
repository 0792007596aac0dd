"""What a batch prediction job is to do, read from its document: Google's fields, and the object `trivet`.

Everything that can be told without looking at the input is refused here, by the name of its field. `trivet`
is for what Google has no field for: sources and destinations of other kinds, and how the job is run.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from msgspec import Meta, Struct

from trivet.control import choice
from trivet.control.fields import display_name, labels, text
from trivet.control.job_places import (
    Destination,
    Place,
    Source,
    kind_of,
    read_destination,
    read_object,
    read_source,
    read_texts,
    read_uris,
    read_whole,
)
from trivet.control.options import read_options
from trivet.core.batch import BatchPredictionJob, InstanceConfig
from trivet.core.errors import InvalidArgument, ServingError, Unimplemented
from trivet.core.resources import Document, Name
from trivet.core.signature import unknown

_OUTPUT_ONLY = frozenset(
    (
        "name", "state", "error", "partialFailures", "outputInfo", "resourcesConsumed", "completionStats",
        "createTime", "startTime", "endTime", "updateTime", "modelVersionId", "modelMonitoringStatus",
        "modelMonitoringStatsAnomalies", "satisfiesPzs", "satisfiesPzi",
    )
)  # fmt: skip
TOLD = ("warnings", "firstInstance", "progress", "attempt", "outputName")
"""What the server says in `trivet` of a job, which clients that copy a job give back."""

_CONFIG = ("instanceType", "keyField", "includedFields", "excludedFields")
_TARGETS = ("model", "endpoint", "unmanagedContainerModel")
_URL = re.compile(r"https?://[^\s/?#@]+(?:/[^\s?#]*)?")


class _Own(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The object `trivet`."""

    native: bool = False
    source: Source | None = None
    destination: Destination | None = None
    max_errors: Annotated[int, Meta(ge=0)] | None = None
    max_error_share: Annotated[float, Meta(ge=0, le=1)] | None = None
    engine: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,62}$")] = "embedded"
    workers: Annotated[int, Meta(ge=0, le=1024)] = 0
    framework: str = ""
    timeout: Annotated[float, Meta(gt=0, le=86_400)] = 60.0


@dataclass(frozen=True, slots=True)
class Unmanaged:
    """A model that is in no catalog. `document` is as a model's, for `control.choice`."""

    uri: str
    framework: str
    document: Document


@dataclass(frozen=True, slots=True)
class Asked:
    """What a job is to do. One of `model`, `endpoint` and `unmanaged` says what predicts.

    `endpoint` is the full name of one, or a URL. `max_errors` rows, and this share of those read, may fail
    before the job does. `workers` processes, 0 for what the settings say; `timeout` seconds for one request
    to an endpoint.
    """

    display_name: str
    labels: Mapping[str, str]
    source: Place
    destination: Place
    model: Name | None = None
    endpoint: str = ""
    unmanaged: Unmanaged | None = None
    instances: InstanceConfig = field(default_factory=InstanceConfig)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int = 0
    native: bool = False
    max_errors: int | None = None
    max_error_share: float | None = None
    engine: str = "embedded"
    workers: int = 0
    timeout: float = 60.0


def read(document: Document) -> Asked:
    """Read a document; raises InvalidArgument, FailedPrecondition or Unimplemented that names the field."""
    _refuse_other_services(document)
    own = read_options(_own(document), _Own, "trivet")
    source = read_source(document, own.source)
    target = _target(document)
    tuning = "manualBatchTuningParameters"
    return Asked(
        display_name=display_name(document, "batchPredictionJob"),
        labels=labels(document, "batchPredictionJob"),
        source=source,
        destination=read_destination(document, own.destination),
        model=_model(document) if target == "model" else None,
        endpoint=_endpoint(document) if target == "endpoint" else "",
        unmanaged=_unmanaged(document, own.framework) if target == "unmanagedContainerModel" else None,
        instances=_instances(document, source.format, native=own.native),
        parameters=read_object(document, "modelParameters"),
        batch_size=read_whole(read_object(document, tuning), "batchSize", tuning),
        native=own.native,
        max_errors=own.max_errors,
        max_error_share=own.max_error_share,
        engine=own.engine,
        workers=own.workers,
        timeout=own.timeout,
    )


def asked_of(job: BatchPredictionJob) -> Asked:
    """Return what a job of the catalog is to do."""
    return read({**job.document, "displayName": job.display_name, "labels": job.labels})


def kept(document: Document) -> dict[str, Any]:
    """Return what a job's `document` keeps of what its caller gave."""
    elsewhere = {*_OUTPUT_ONLY, "displayName", "labels", "trivet"}
    whole = {key: value for key, value in document.items() if key not in elsewhere and value is not None}
    own = _own(document)
    return {**whole, "trivet": dict(own)} if own else whole


def _own(document: Document) -> Mapping[str, Any]:
    return {key: value for key, value in read_object(document, "trivet").items() if key not in TOLD}


def _refuse_other_services(document: Document) -> None:
    """Raise Unimplemented for what is asked besides predictions, and would not be done."""
    for name, what in (
        ("generateExplanation", "explanations are not made"),
        ("explanationSpec", "explanations are not made"),
        ("modelMonitoringConfig", "models are not monitored"),
    ):
        if document.get(name):
            raise Unimplemented(f"{name}: {what} by batch prediction jobs here; leave it out")


def _target(document: Document) -> str:
    given = [name for name in _TARGETS if document.get(name)]
    if len(given) != 1:
        got = " and ".join(given) or "none"
        raise InvalidArgument(f"{', '.join(_TARGETS)}: expected exactly one of them; got {got}")
    return given[0]


def _model(document: Document) -> Name:
    try:
        return Name.parse(text(document, "model", "batchPredictionJob"), "models")
    except InvalidArgument as error:
        raise InvalidArgument(f"model: {error}") from None


def _endpoint(document: Document) -> str:
    given = text(document, "endpoint", "batchPredictionJob")
    if _URL.fullmatch(given):
        return given
    try:
        return str(Name.parse(given, "endpoints"))
    except InvalidArgument as error:
        raise InvalidArgument(f"endpoint: {error}, or an http(s) URL") from None


def _unmanaged(document: Document, framework: str) -> Unmanaged:
    where = "unmanagedContainerModel"
    given = read_object(document, where)
    model: dict[str, Any] = {key: given[key] for key in ("artifactUri", "containerSpec") if given.get(key)}
    if framework:
        model["trivet"] = {"framework": framework}
    uri = text(given, "artifactUri", where)
    if uri:
        read_uris([uri], f"{where}.artifactUri")
    try:
        return Unmanaged(uri, choice.framework(model), model)
    except ServingError as error:  # which speaks of a model's document
        said = str(error).replace("model.trivet.", "trivet.", 1).replace("model.", f"{where}.", 1)
        raise type(error)(said) from None


def _instances(document: Document, format_: str, *, native: bool) -> InstanceConfig:
    where = "instanceConfig"
    given = read_object(document, where)
    for name in given:
        if name not in _CONFIG:  # a slip that would send the model something else
            raise InvalidArgument(f"{where}.{name}: {unknown(name, _CONFIG, 'field')}")
    type_ = text(given, "instanceType", where)
    if type_ not in ("", "object", "array"):
        raise InvalidArgument(f"{where}.instanceType: expected object or array; got {type_!r}")
    config = InstanceConfig(
        type=type_,  # type: ignore[arg-type]  # mypy does not narrow by `in`
        key=text(given, "keyField", where),
        included=read_texts(given.get("includedFields"), f"{where}.includedFields", at_least=0),
        excluded=read_texts(given.get("excludedFields"), f"{where}.excludedFields", at_least=0),
    )
    config.check(format_, kind_of(format_), native=native)
    return config
