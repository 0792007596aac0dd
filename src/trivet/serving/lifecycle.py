"""From a path to a predictor that is ready: find the framework, load, warm up, choose where it runs."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

from trivet.codecs import example, signature_json
from trivet.codecs.json_rows import RowDecoder
from trivet.core.containers import ContainerSpec
from trivet.core.errors import InvalidArgument, NotFound, ServingError, model_error
from trivet.core.instances import Instances
from trivet.core.names import ModelRef
from trivet.core.predictor import AsyncPredictor, Predictor, Traits
from trivet.core.signature import Parameters, Signature, declare
from trivet.runtimes import registry
from trivet.runtimes.base import (
    Answered,
    Applications,
    Artifact,
    OwnProcess,
    Permissions,
    WithoutArtifact,
)
from trivet.serving.batching import BatchLimits
from trivet.serving.placement import CONTAINER, Asked, Placement, WarmUp, place
from trivet.serving.replica import FAULTS, Awaited

log = logging.getLogger("trivet")

QUICK_BATCH_SECONDS = 0.005

_SHOWN = 5
"""How many names of files an error lists."""

TYPICAL_ROWS = 64
"""Rows of the batch that is measured: what many callers of one row each make of it under load."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What the operator asks for: a model version, where its artifact is, and how to serve it."""

    ref: ModelRef
    path: Path
    framework: str = ""  # "" finds it by the artifact's content
    output: str = ""  # what a classifier answers where the request does not say; "" is its labels
    placement: Asked = "auto"
    replicas: int = 1  # processes, where it runs in processes
    limits: BatchLimits = field(default_factory=BatchLimits)
    id: str = ""
    """The deployed model's; a version may be deployed more than once. Empty makes one of its name."""

    model: str = ""
    """The model's full resource name; empty for one that has none, but its short name."""

    display_name: str = ""

    container: ContainerSpec | None = None
    """What its own container is run with, of a model that has one; its framework is `container` then."""

    def __post_init__(self) -> None:
        if not self.id:
            object.__setattr__(self, "id", f"{self.ref.name}-{self.ref.version}")

    def __hash__(self) -> int:
        return hash(self.id)  # a model is looked up for each 2,048 rows of SQL


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What there is to know of a model version that has been loaded, wherever that was."""

    spec: ModelSpec
    framework: str
    traits: Traits
    signature: Signature
    defaults: Parameters
    placement: Placement
    warm_up: WarmUp | None
    size: int  # bytes on disk
    load_seconds: float
    slots: int = 1
    """How many batches may be predicted at once; awaited answers overlap, others do not."""

    library: str = ""
    """What answers, where the framework's name does not say it."""

    @property
    def quick(self) -> bool:
        """Whether a full batch takes a few milliseconds at most, as far as that is known."""
        return self.warm_up is not None and self.warm_up.batch <= QUICK_BATCH_SECONDS


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model version that can answer in this process."""

    info: ModelInfo
    predictor: Predictor


def load(spec: ModelSpec, permissions: Permissions) -> LoadedModel:
    """Load and warm up a model.

    Raises NotFound, InvalidArgument, FailedPrecondition or PermissionDenied that says what to change.
    """
    started = time.perf_counter()
    framework, path = find(spec.path, spec.framework)
    runtime = registry.get_runtime(framework)
    declared = None
    if not isinstance(runtime, Applications):  # which alone know what they take
        declared = signature_json.read(path if path.is_dir() else path.parent)
    artifact = Artifact(path, declared, permissions, spec.container, str(spec.ref))
    loaded = runtime.load(artifact)
    if isinstance(runtime, Applications):
        return _application(spec, framework, loaded, time.perf_counter() - started)
    predictor: Predictor = Awaited(loaded) if isinstance(loaded, AsyncPredictor) else loaded
    signature = predictor.signature
    if artifact.declared:
        signature = declare(signature, artifact.declared)
    defaults = signature.defaults()
    if spec.output:
        defaults = signature.resolve({"output": spec.output}, defaults)
    warm_up = _warm_up(spec, predictor, signature, defaults)
    where = place(spec.placement, predictor.traits, warm_up)
    if spec.placement == "auto" and where.where != "process" and isinstance(runtime, OwnProcess):
        where = Placement("process", "its framework has threads of its own, which a fork would lose")
    info = ModelInfo(
        spec=spec,
        framework=framework,
        traits=predictor.traits,
        signature=signature,
        defaults=defaults,
        placement=where,
        warm_up=warm_up,
        size=0 if isinstance(runtime, WithoutArtifact) else size_of(path),
        load_seconds=time.perf_counter() - started,
        slots=16 if isinstance(predictor, Awaited) else 1,
        library=predictor.library if isinstance(predictor, Answered) else "",
    )
    return LoadedModel(info, predictor)


def _application(
    spec: ModelSpec, framework: str, started: Predictor | AsyncPredictor, seconds: float
) -> LoadedModel:
    """Return an application that is well: asking it for an example would say nothing of how fast it is."""
    from trivet.runtimes.container import ContainerPredictor  # and with it the library's HTTP
    from trivet.serving.application import ApplicationPredictor

    assert isinstance(started, ContainerPredictor)
    predictor = ApplicationPredictor(started)
    size = 0 if spec.path == Path() else size_of(spec.path)
    info = ModelInfo(
        spec=replace(spec, container=predictor.container),
        framework=framework,
        traits=predictor.traits,
        signature=predictor.signature,
        defaults={},
        placement=CONTAINER,
        warm_up=None,
        size=size,
        load_seconds=seconds,
        slots=predictor.container.concurrency,
    )
    return LoadedModel(info, predictor)


def find(path: Path, framework: str = "") -> tuple[str, Path]:
    """Return the framework and the model file or folder; only detected where no framework is named."""
    if not framework:
        return registry.detect(path)
    runtime = registry.get_runtime(framework)
    if isinstance(runtime, WithoutArtifact | Applications):
        return framework, path
    if not path.exists():
        raise NotFound(f"{path}: there is no such file or folder")
    if path.is_dir() and not runtime.recognises(path):
        files = [f for f in sorted(path.iterdir()) if f.is_file() and runtime.recognises(f)]
        if len(files) != 1:
            raise NotFound(f"{path}: expected one {framework} model file; found {_seen(path, files)}")
        return framework, files[0]
    return framework, path


def _seen(folder: Path, files: list[Path]) -> str:
    """Return the names of the model's files, or else of what is there, with the frameworks that know it."""
    names = []
    for one in files or sorted(folder.iterdir()):
        try:
            names.append(f"{one.name} ({registry.detect(one)[0]})")
        except ServingError:
            names.append(one.name)
    shown = ", ".join(names[:_SHOWN]) + (", .." if len(names) > _SHOWN else "")
    return shown or "nothing"


def _warm_up(
    spec: ModelSpec, predictor: Predictor, signature: Signature, defaults: Parameters
) -> WarmUp | None:
    """Predict the example until everything is initialised, and time it; None where that is impossible."""
    if signature.takes_json and signature.example is None:
        return None
    try:
        one = RowDecoder(signature).decode([example.instance(signature)])
        rows = min(spec.limits.max_rows, TYPICAL_ROWS)
        batch = Instances.join([one] * rows)
        seconds = _timed(lambda: predictor.predict(one, defaults))
        return WarmUp(seconds, _timed(lambda: predictor.predict(batch, defaults)), rows)
    except FAULTS as error:
        reason = error if isinstance(error, ServingError) else model_error(error)
        hint = " (give one it takes as `example` in signature.json)"
        log.warning(
            "%s: the example instance was refused: %s%s",
            spec.ref,
            reason,
            hint if isinstance(error, InvalidArgument) else "",
        )
        return None


def _timed(call: Callable[[], object]) -> float:
    call()
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
        if sum(seconds) > 0.5:  # a slow model is not kept from serving by being measured
            break
    return median(seconds)


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files below a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
