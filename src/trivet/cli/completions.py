"""What the Tab key offers: models, versions, endpoints and deployed models of the running server.

Nothing at all where there is no server, and quickly: somebody has pressed a key.
"""

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from trivet.cli.control import Control, Json, look
from trivet.core.errors import ServingError
from trivet.core.resources import Name

if TYPE_CHECKING:
    from trivet.cli.batch_here import Here

_WITHIN = 1.0  # seconds
_AT_MOST = 100
_MACHINES = tuple(
    f"{family}-{kind}-{cpus}"
    for family in ("e2", "n1", "n2")
    for kind in ("standard", "highmem", "highcpu")
    for cpus in (2, 4, 8, 16)
)

Offers = Callable[[Control, click.Context, str], Iterator[str]]


class _FromServer(click.ParamType[str]):
    """A name that the server knows."""

    offers: Offers

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return what begins with what has been typed."""
        places = {name: ctx.params.get(name) for name in ("server", "data", "project", "location")}
        try:
            with Control(look(**places), timeout=_WITHIN) as control:
                offers = list(type(self).offers(control, ctx, incomplete))
        except (ServingError, ValueError):
            return []
        found = sorted({one for one in offers if one.startswith(incomplete)})
        return [CompletionItem(one) for one in found[:_AT_MOST]]


def _models(control: Control, ctx: click.Context, typed: str) -> Iterator[str]:
    """Yield ids of models; after an `@` the versions and aliases of one."""
    plain, at, _ = typed.partition("@")
    if at:
        for one in control.listed(f"{control.name('models', plain)}:listVersions"):
            yield f"{plain}@{one['versionId']}"
            yield from (f"{plain}@{alias}" for alias in one.get("versionAliases", []))
        return
    yield from _ids(control, "models", typed)


def _endpoints(control: Control, ctx: click.Context, typed: str) -> Iterator[str]:
    """Yield ids of endpoints."""
    yield from _ids(control, "endpoints", typed)


def _jobs(control: Control, ctx: click.Context, typed: str) -> Iterator[str]:
    """Yield ids of batch prediction jobs."""
    yield from _ids(control, "batchPredictionJobs", typed)


def _deployed(control: Control, ctx: click.Context, typed: str) -> Iterator[str]:
    """Yield the models deployed at the endpoint that the command names, or at any."""
    from trivet.cli.deployed import called

    for one in _there(control, ctx):
        yield called(one)


def _shares(control: Control, ctx: click.Context, typed: str) -> Iterator[str]:
    """Yield the models deployed at an endpoint, ready for their share."""
    yield from (f"{one}=" for one in _deployed(control, ctx, typed))


def _there(control: Control, ctx: click.Context) -> Iterator[Json]:
    endpoint = ctx.params.get("endpoint")
    if endpoint:
        yield from control.get(str(control.name("endpoints", endpoint))).get("deployedModels", [])
        return
    for one in control.get(f"{control.found.home}/endpoints", pageSize=_AT_MOST).get("endpoints", []):
        yield from one.get("deployedModels", [])


def _ids(control: Control, collection: str, typed: str) -> Iterator[str]:
    if not re.fullmatch(r"[\w.-]*", typed):
        return
    path = f"{control.found.home}/{collection}"
    page = control.get(path, filter=f'id:"{typed}*"' if typed else "", pageSize=_AT_MOST)
    yield from (Name.parse(one["name"]).id for one in page.get(collection, []))


class ModelRefType(_FromServer):
    """A model, or one of its versions: `fraud`, `fraud@2`, `fraud@champion`."""

    name = "model"
    offers = staticmethod(_models)


class EndpointType(_FromServer):
    """An endpoint."""

    name = "endpoint"
    offers = staticmethod(_endpoints)


class MachineType(click.ParamType[str]):
    """A machine type of Google's; any is taken, and usual ones are offered."""

    name = "type"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return what begins with what has been typed."""
        return [CompletionItem(one) for one in _MACHINES if one.startswith(incomplete)]


class _OrHere(_FromServer):
    """A name that the catalog of the data folder knows, where no server does."""

    here: Callable[["Here", str], Iterator[str]]

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return what begins with what has been typed."""
        found = super().shell_complete(ctx, param, incomplete)
        if found or ctx.params.get("server"):
            return found
        from trivet.cli.batch_here import Here, settings

        try:
            given = [ctx.params.get(name) for name in ("data", "project", "location")]
            with Here(lambda: settings(*given)) as here:
                if here.exists():
                    offers = [one for one in type(self).here(here, incomplete) if one.startswith(incomplete)]
                    return [CompletionItem(one) for one in sorted(set(offers))[:_AT_MOST]]
        except (ServingError, OSError):
            pass
        return []


class JobType(_OrHere):
    """A batch prediction job."""

    name = "job"
    offers = staticmethod(_jobs)
    here = staticmethod(
        lambda here, typed: (told.name.id for told in here.listed(f'id:"{typed}*"' if typed else ""))
    )


class AnyModelType(_OrHere):
    """A model of a server, or of the catalog here."""

    name = "model"
    offers = staticmethod(_models)
    here = staticmethod(lambda here, typed: here.models(typed))


class DeployedType(_FromServer):
    """A model deployed at the command's endpoint."""

    name = "deployed model"
    offers = staticmethod(_deployed)


class ShareType(_FromServer):
    """A deployed model and its share of the traffic: `fraud@2=10`."""

    name = "share"
    offers = staticmethod(_shares)
