"""Batch prediction jobs that are kept in the catalog of a data folder, and run by this process itself."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from threading import Thread
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from trivet.cli.batch_jobs import Sees, Told, followed, of_job
from trivet.cli.control import Json
from trivet.core.errors import Aborted, InvalidArgument, NotFound
from trivet.core.resources import Location, Name, Query

if TYPE_CHECKING:
    from trivet.app.jobs import Attempt, Place
    from trivet.control.job_documents import Asked
    from trivet.control.jobs import BatchJobs
    from trivet.core.batch import BatchPredictionJob
    from trivet.jobs.engine import Engine
    from trivet.jobs.runner import Progress
    from trivet.settings import Settings

_SHOW_CURSOR = "\x1b[?25h"


def settings(
    data: str | None = None,
    project: str | None = None,
    location: str | None = None,
    *,
    allow_pickle: bool = False,
) -> "Settings":
    """Return the settings in force; raises InvalidArgument."""
    from trivet import config

    given = {"catalog.data": data, "catalog.project": project, "catalog.location": location}
    flags: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    if allow_pickle:
        flags["artifacts.allow_pickle"] = True
    return config.load(flags)


class Here:
    """Jobs of the catalog that the settings name, which is made where there is none.

    `read` returns the settings; it is called when they are first needed, since to import them takes a while.
    """

    def __init__(self, read: "Callable[[], Settings]") -> None:
        self._read = read
        self._place: Place | None = None
        self._engine: Engine | None = None

    def __enter__(self) -> "Here":
        return self

    def __exit__(self, *_: object) -> None:
        if self._engine is not None:
            self._engine.close()
        if self._place is not None:
            self._place.catalog.close()

    @cached_property
    def _settings(self) -> "Settings":
        return self._read()

    @property
    def home(self) -> Location:
        """The project and location of plain names."""
        return Location(self._settings.catalog.project, self._settings.catalog.location)

    def expect(self, workers: int) -> None:
        """Know that the embedded engine is about to run a job: its first process starts before all else."""
        from trivet.engines.process import Process

        first = Process()
        try:
            from trivet.engines.embedded import Embedded

            self._engine = Embedded(workers or self._settings.batch.workers, first)
        except BaseException:
            first.kill()
            raise

    def model(self, text: str) -> str:
        """Return the full name of a model and what version of it was asked for."""
        plain, at, version = text.partition("@")
        with self.place.catalog.reading() as tx:
            try:
                name = self._name("models", text)
                found = tx.version(name)
            except (NotFound, InvalidArgument):
                quoted = plain.replace("\\", "\\\\").replace('"', '\\"')
                models = tx.models(self.home, Query(filter=f'display_name="{quoted}"')).items
                if len(models) != 1:
                    raise
                found = tx.version(models[0].name.at(version if at else ""))
        return str(found.name.at(found.version))

    def models(self, typed: str) -> Iterator[str]:
        """Yield the models whose ids begin so; after an `@` the versions and aliases of one."""
        plain, at, _ = typed.partition("@")
        with self.place.catalog.reading() as tx:
            if not at:
                query = Query(filter=f'id:"{typed}*"' if typed else "")
                yield from (one.name.id for one in tx.models(self.home, query).items)
                return
            for one in tx.versions(self._name("models", plain)):
                yield from (f"{plain}@{name}" for name in (one.version, *one.aliases))

    def exists(self) -> bool:
        """Whether there is a catalog already."""
        kept = self._settings.catalog
        return bool(kept.url) or (Path(kept.data) / "catalog.db").exists()

    def create(self, document: Json, id_: str) -> Told:
        """Ask for a job that this process will run, or find the one of this id."""
        from trivet.app import owners

        return of_job(self._jobs.create(self.home, document, job_id=id_, owner=owners.own()))

    def follow(self, name: Name, sees: Sees) -> Told:
        """Run a job to its end, or watch it where another process does."""
        from trivet.app.jobs import Attempt

        told = self.get(name)
        if told.is_ended:
            return told

        def saw(progress: "Progress") -> None:
            counts, prepared = progress.counts, progress.prepared
            sees(
                replace(
                    told,
                    state="RUNNING",
                    successful=counts.successful,
                    failed=counts.failed,
                    done=progress.done,
                    size=progress.size,
                    warnings=prepared.warnings,
                    first=prepared.first,
                )
            )

        attempt = Attempt(self.place, name, opens=self._open)
        if attempt.runner is not None:
            attempt.runner.told = saw
        try:
            with _interruptible(attempt):
                return of_job(attempt.run())
        except Aborted as error:
            click.echo(f"{error}; watching it", err=True)
            return followed(self, name, sees)

    def resume(self, name: Name) -> Told:
        """Have a job go on that failed, or whose runner has ended."""
        from trivet.app import owners

        job = self._jobs.get(name)
        if job.is_ended or not owners.is_gone(job.owner):
            job = self._jobs.resume(name, owner=owners.own())
        return of_job(job)

    def get(self, name: Name) -> Told:
        """Return a job."""
        return self._told(self._jobs.get(name))

    def listed(self, filter_: str) -> Iterator[Told]:
        """Yield jobs, the newest first."""
        query = Query(filter=filter_, page_size=1000)
        while True:
            page = self._jobs.page(self.home, query)
            yield from map(self._told, page.items)
            if not page.next_page_token:
                return
            query = replace(query, page_token=page.next_page_token)

    def json(self, name: Name) -> Json:
        """Return a job as the API has it."""
        from trivet.protocols.vertex.jobs import job_json

        return job_json(self._jobs.get(name))

    def cancel(self, name: Name) -> Told:
        """Have a job end: its runner, wherever it is, hears of it; where it has none, that is done here."""
        from trivet.app import owners
        from trivet.app.jobs import Attempt

        job = self._jobs.cancel(name)
        if job.state == "CANCELLING" and (not job.owner or owners.is_gone(job.owner)):
            job = Attempt(self.place, name).run()
        return of_job(job)

    def delete(self, name: Name) -> None:
        """Forget a job, and remove what it has left."""
        operation = self._jobs.delete(name, api="v1")
        self._jobs.operations.run(operation.name)
        failure = self._jobs.operations.get(operation.name).failure
        if failure is not None:
            raise InvalidArgument(failure.message)

    def _told(self, job: "BatchPredictionJob") -> Told:
        from trivet.app import owners

        return of_job(job, gone=not job.is_ended and owners.is_gone(job.owner))

    def _open(self, asked: "Asked") -> "Engine":
        """Return the engine that was begun for a job, or the one that it asks for."""
        from trivet.engines.registry import DEFAULT

        if asked.engine == DEFAULT and self._engine is not None:
            return self._engine
        return self.place.engine(asked)

    def _name(self, collection: str, text: str) -> Name:
        full = text if text.startswith("projects/") else f"{self.home}/{collection}/{text}"
        return Name.parse(full, collection)

    @property
    def place(self) -> "Place":
        """The place of the jobs, opened when it is first needed: that takes a while."""
        if self._place is None:
            from trivet.app.jobs import open_place

            kept = self._settings.catalog
            data = Path(kept.data)
            data.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._place = open_place(self._settings, data, kept.url, kept.store)
        return self._place

    @property
    def _jobs(self) -> "BatchJobs":
        from trivet.app.jobs import jobs_of

        return jobs_of(self.place)


@contextmanager
def _interruptible(attempt: "Attempt") -> Iterator[None]:
    """Have Ctrl-C cancel a job, and a second one end this process at once, with the job left as it is."""

    def cancel(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # which ends the process whatever it is waiting for
        shown = _SHOW_CURSOR if sys.stderr.isatty() else ""
        click.echo(f"{shown}\nCancelling ... (Ctrl-C again leaves it, to be resumed)", err=True)
        Thread(target=attempt.cancel, daemon=True).start()  # what is interrupted here may hold locks

    before = signal.signal(signal.SIGINT, cancel)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
