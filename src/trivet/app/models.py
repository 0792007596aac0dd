"""From settings to models to serve: where each is fetched to, and which process loads it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from trivet import storage
from trivet.config import Model, Settings
from trivet.core.errors import ServingError
from trivet.core.names import ModelRef
from trivet.runtimes import registry
from trivet.runtimes.base import OwnProcess, Permissions
from trivet.serving.batching import BatchLimits
from trivet.serving.lifecycle import ModelSpec, find
from trivet.serving.plane import DeployedModel, Route


@dataclass(frozen=True, slots=True)
class Plan:
    """Which process loads which model.

    `shared` ones are loaded once, by the loader, which then forks fronts and replicas. `apart` ones run in
    processes of their own from the start, and `own` ones are loaded by every front for itself.
    """

    shared: list[ModelSpec] = field(default_factory=list)
    apart: list[ModelSpec] = field(default_factory=list)
    own: list[ModelSpec] = field(default_factory=list)


def plan(settings: Settings, scratch: Path) -> Plan:
    """Fetch every model of the settings into `scratch`, and say who loads it.

    Raises what fetching one raises, or NotFound and InvalidArgument where its framework cannot be told.
    """
    made = Plan()
    for name, model in settings.models.items():
        try:
            path = storage.fetch(model.path, scratch / name)
            one = spec(name, model, path, settings.batching)
            framework, _ = find(path, one.framework)
            forks = not isinstance(registry.get_runtime(framework), OwnProcess)
        except ServingError as error:
            error.add_note(name)
            raise
        if one.placement == "process" or (one.placement == "auto" and not forks):
            made.apart.append(one)
        else:
            (made.shared if forks else made.own).append(one)
    return made


def permissions_of(settings: Settings) -> Permissions:
    """Return what artifacts may do."""
    artifacts = settings.artifacts
    return Permissions(artifacts.allow_pickle, artifacts.allow_python, artifacts.trusted_types)


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


def routes(deployed: Iterable[DeployedModel]) -> dict[str, Route]:
    """Give each name an address: the newest version answers for it, all have paths of their own."""
    by_name: dict[str, list[DeployedModel]] = {}
    for one in deployed:
        by_name.setdefault(one.ref.name, []).append(one)
    return {name: _route(name, versions) for name, versions in by_name.items()}


def _route(name: str, deployed: Sequence[DeployedModel]) -> Route:
    newest = max(deployed, key=lambda one: _age(one.ref.version))
    return Route(name, {newest.ref.version: 100}, {one.ref.version: one for one in deployed})


def _age(version: str) -> tuple[int, str]:
    return (int(version), "") if version.isdigit() else (-1, version)
