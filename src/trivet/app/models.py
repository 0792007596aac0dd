"""From settings to models to serve: where each is fetched to, and which process loads it."""

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Literal

from trivet import storage
from trivet.control.containers import At, ready
from trivet.control.settings import OwnContainers
from trivet.core.containers import ContainerSpec
from trivet.core.errors import ServingError
from trivet.core.names import ModelRef
from trivet.runtimes import registry
from trivet.runtimes.base import Applications, OwnProcess, Permissions
from trivet.serving.batching import BatchLimits
from trivet.serving.lifecycle import ModelSpec, find
from trivet.serving.wish import Address, Wish
from trivet.settings import Model, Settings

_CACHE = "~/.cache/trivet/containers"

Where = Literal["shared", "apart", "own"]
"""Which process loads a model. `shared` ones are loaded once, by the loader, which then forks fronts and
replicas; `apart` ones run in processes of their own from the start; `own` ones are loaded by every front."""


def wish_of(settings: Settings, scratch: Path) -> Wish:
    """Fetch every model of the settings into `scratch`, and give each name an address.

    The newest version answers for a name; all have paths of their own. Raises what fetching one raises.
    """
    specs = []
    for name, model in settings.models.items():
        try:
            path = Path()
            if model.path:  # which echo has none of
                path = storage.fetch(model.path, scratch / name, settings.storage.folders)
        except ServingError as error:
            error.add_note(name)
            raise
        made = with_container(spec(name, model, path, settings.batching), settings)
        if made.container is not None and not model.max_rows:  # what it may be asked at once only it knows
            made = replace(made, limits=replace(made.limits, max_rows=1))
        specs.append(made)
    by_name: dict[str, list[ModelSpec]] = {}
    for one in specs:
        by_name.setdefault(one.ref.name, []).append(one)
    return Wish(0, tuple(specs), tuple(_address(name, versions) for name, versions in by_name.items()))


def where(spec: ModelSpec) -> Where:
    """Say who loads a model; raises NotFound or InvalidArgument where its framework cannot be told."""
    framework, _ = find(spec.path, spec.framework)
    runtime = registry.get_runtime(framework)
    if isinstance(runtime, Applications):
        return "apart"
    forks = not isinstance(runtime, OwnProcess)
    if spec.placement == "process" or (spec.placement == "auto" and not forks):
        return "apart"
    return "shared" if forks else "own"


def permissions_of(settings: Settings) -> Permissions:
    """Return what artifacts may do."""
    artifacts = settings.artifacts
    return Permissions(
        artifacts.allow_pickle, artifacts.allow_python, artifacts.trusted_types, artifacts.allow_containers
    )


def containers_of(settings: Settings) -> OwnContainers:
    """Return how containers of models' own are run."""
    own = settings.containers
    return OwnContainers(
        allowed=settings.artifacts.allow_containers,
        engine=own.engine,
        images=own.folders,
        cache=Path(own.cache or _CACHE).expanduser().absolute(),
        concurrency=own.concurrency,
        start_timeout=own.start_timeout,
        timeout=own.timeout,
        limited=own.limit,
    )


def spec(name: str, model: Model, path: Path, batching: BatchLimits) -> ModelSpec:
    """Say how to serve a model: its own settings over the common ones."""
    own = {one.name: getattr(model, one.name) for one in fields(BatchLimits)}
    limits = replace(batching, **{name: value for name, value in own.items() if value is not None})
    return ModelSpec(
        ModelRef.parse(name),
        path,
        model.framework,
        model.output,
        model.placement,
        model.replicas,
        limits,
    )


def with_container(spec: ModelSpec, settings: Settings) -> ModelSpec:
    """Add how it is run to a model that is the folder of an application; others stay as they are."""
    try:
        framework, path = find(spec.path, spec.framework)
    except ServingError:  # whoever loads it says so
        return spec
    if not isinstance(registry.get_runtime(framework), Applications):
        return spec
    container = ready(ContainerSpec(folder=path), containers_of(settings), At())
    return replace(spec, framework=framework, container=container)


def _address(name: str, versions: Sequence[ModelSpec]) -> Address:
    newest = max(versions, key=lambda one: _age(one.ref.version))
    return Address((name,), {newest.id: 100}, {one.ref.version: one.id for one in versions})


def _age(version: str) -> tuple[int, str]:
    return (int(version), "") if version.isdigit() else (-1, version)
