"""Batch prediction jobs as the commands see them, be they kept in the data folder here or by a server."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import wraps
from shlex import quote
from threading import Event
from typing import Any, Protocol

import click

from trivet.cli.control import Control, Json, look
from trivet.core.batch import ENDED, BatchPredictionJob
from trivet.core.resources import Location, Name

COLLECTION = "batchPredictionJobs"

_OPTIONS = (
    click.option(
        "--server", metavar="URL", help="Jobs of this server, which runs them.  [default: those here]"
    ),
    click.option("--data", metavar="FOLDER", help="Folder that jobs are kept in.  [default: .trivet]"),
    click.option("--project", help="Project of plain names.  [default: local]"),
    click.option("--location", help="Location of plain names.  [default: us-central1]"),
)


@dataclass(frozen=True, slots=True)
class Told:
    """What there is to show of a job."""

    name: Name
    display_name: str
    model: str
    state: str
    created: str
    started: str = ""
    ended: str = ""
    successful: int = 0
    failed: int = 0
    done: int = 0
    size: int = 0
    output: str = ""
    error: str = ""
    failures: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    first: str = ""
    gone: bool = False
    """Whether it has not ended, and the process that ran it is known to have."""

    @property
    def is_ended(self) -> bool:
        """Whether it goes on no more."""
        return self.state in ENDED


def of_json(one: Json) -> Told:
    """Read a job as a server writes it."""
    stats, own = one.get("completionStats", {}), one.get("trivet", {})
    return Told(
        name=Name.parse(one["name"], COLLECTION),
        display_name=one["displayName"],
        model=_predicts(one, one.get("model", "")),
        state=one["state"].removeprefix("JOB_STATE_"),
        created=one["createTime"],
        started=one.get("startTime", ""),
        ended=one.get("endTime", ""),
        successful=int(stats.get("successfulCount", 0)),
        failed=int(stats.get("failedCount", 0)),
        done=own.get("progress", {}).get("done", 0),
        size=own.get("progress", {}).get("total", 0),
        output=_output(one.get("outputInfo", {})),
        error=one.get("error", {}).get("message", ""),
        failures=tuple(failure["message"] for failure in one.get("partialFailures", [])),
        warnings=tuple(own.get("warnings", ())),
        first=own.get("firstInstance", ""),
    )


def of_job(job: BatchPredictionJob, *, gone: bool = False) -> Told:
    """Read a job as the catalog has it; `gone` as `Told` has it."""
    return Told(
        name=job.name,
        display_name=job.display_name,
        model=_predicts(job.document, job.model),
        state=job.state,
        created=job.created.isoformat(),
        started=job.started.isoformat() if job.started else "",
        ended=job.ended.isoformat() if job.ended else "",
        successful=job.counts.successful,
        failed=job.counts.failed,
        done=job.progress[0],
        size=job.progress[1],
        output=_output(job.output),
        error=job.failure.message if job.failure else "",
        failures=tuple(f"{one.uri}:{one.offset}: {one.message}" for one in job.failures),
        warnings=job.warnings,
        first=job.first,
        gone=gone,
    )


def _predicts(document: Any, model: str) -> str:
    """Return what a job asks, in a few words."""
    if model:
        return model
    if document.get("endpoint"):
        return f"endpoint {document['endpoint']}"
    own = document.get("trivet", {}).get("framework", "")
    uri = document.get("unmanagedContainerModel", {}).get("artifactUri", "")
    return f"{own}:{uri}" if own else str(uri)


def _output(info: Any) -> str:
    """Return where the output is: a folder or a table."""
    if "bigqueryOutputTable" in info:
        return f"{info['bigqueryOutputDataset']}.{info['bigqueryOutputTable']}"
    return str(next(iter(info.values()), ""))


Sees = Callable[[Told], None]

_LOOKS_EVERY = 0.2  # seconds


def followed(jobs: "Jobs", name: Name, sees: Sees) -> Told:
    """Look at a job that others run until it has ended. Ctrl-C cancels it, a second one leaves it."""
    try:
        return _watched(jobs, name, sees)
    except KeyboardInterrupt:
        click.echo("\nCancelling ... (Ctrl-C again leaves it to those who run it)", err=True)
        jobs.cancel(name)
        return _watched(jobs, name, sees)


def _watched(jobs: "Jobs", name: Name, sees: Sees) -> Told:
    while True:
        told = jobs.get(name)
        sees(told)
        if told.is_ended:
            return told
        Event().wait(_LOOKS_EVERY)


class Jobs(Protocol):
    """Where jobs are. All raise NotFound, and what else the control plane refuses."""

    @property
    def home(self) -> Location:
        """The project and location of plain names."""
        ...

    def model(self, text: str) -> str:
        """Return the full name of a registered model, with the version that is asked for."""
        ...

    def create(self, document: Json, id_: str) -> Told:
        """Ask for a job, or find the one of this id."""
        ...

    def follow(self, name: Name, sees: Sees) -> Told:
        """Wait for the end of a job, here by running it if nobody else does; `sees` how far it is."""
        ...

    def resume(self, name: Name) -> Told:
        """Have a job go on that failed, or that was left."""
        ...

    def get(self, name: Name) -> Told:
        """Return a job."""
        ...

    def listed(self, filter_: str) -> Iterator[Told]:
        """Yield jobs, the newest first."""
        ...

    def json(self, name: Name) -> Json:
        """Return a job as the API has it."""
        ...

    def cancel(self, name: Name) -> Told:
        """Have a job end."""
        ...

    def delete(self, name: Name) -> None:
        """Forget a job."""
        ...


def reaches(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say where jobs are, and those jobs as its first argument."""

    @wraps(command)
    def reaching(server: str | None, data: str | None, **given: Any) -> None:
        where = {name: given.pop(name) for name in ("project", "location")}
        if server is None:
            from trivet.cli.batch_here import Here, settings

            allow_pickle = bool(given.get("allow_pickle"))
            with Here(lambda: settings(data, allow_pickle=allow_pickle, **where)) as here:
                command(here, **given)
            return
        with Control(look(server, data, **where)) as control:
            command(There(control), **given)

    for option in reversed(_OPTIONS):
        reaching = option(reaching)
    return reaching


def again(given: Mapping[str, Any]) -> str:
    """Return the options of a command that another about the same job needs as well, as they are written."""
    names = ("server", "data", "project", "location")
    where = [f" --{name} {quote(given[name])}" for name in names if given.get(name) is not None]
    return "".join(where) + (" --allow-pickle" if given.get("allow_pickle") else "")


class There:
    """Jobs that a server keeps and runs."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self.home = control.found.home

    def model(self, text: str) -> str:
        """Return the full name of a model and what version of it was asked for."""
        from trivet.cli import find

        one = find.model(self._control, text)
        name = Name.parse(one["name"])
        return str(name.at(one["versionId"]))

    def create(self, document: Json, id_: str) -> Told:
        """Ask for a job."""
        made = self._control.post(f"{self.home}/{COLLECTION}", document, batchPredictionJobId=id_)
        return of_json(made)

    def follow(self, name: Name, sees: Sees) -> Told:
        """Wait for a job's end."""
        return followed(self, name, sees)

    def resume(self, name: Name) -> Told:
        """Have a job go on."""
        return of_json(self._control.post(f"{name}:resume", {}))

    def get(self, name: Name) -> Told:
        """Return a job."""
        return of_json(self.json(name))

    def listed(self, filter_: str) -> Iterator[Told]:
        """Yield jobs."""
        pages = self._control.listed(f"{self.home}/{COLLECTION}", filter=filter_, pageSize=1000)
        return (of_json(one) for one in pages)

    def json(self, name: Name) -> Json:
        """Return a job as the API has it."""
        return self._control.get(str(name))

    def cancel(self, name: Name) -> Told:
        """Have a job end."""
        self._control.post(f"{name}:cancel", {})
        return self.get(name)

    def delete(self, name: Name) -> None:
        """Forget a job."""
        self._control.done(self._control.delete(str(name)), f"Deleting {name.id}")
