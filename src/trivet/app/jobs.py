"""Runs a batch prediction job in this process: from what the catalog says to what its shards need.

`trivet batch` does it in the foreground, `trivet up` in a process of its own (`app.job`).
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from json import JSONDecodeError, dumps, loads
from pathlib import Path
from shutil import rmtree

from trivet import storage
from trivet.app import owners
from trivet.app.models import containers_of, permissions_of, with_container
from trivet.catalog import Catalog
from trivet.control.artifacts import ArtifactStore
from trivet.control.choice import default_output, is_own, to_load
from trivet.control.containers import container_spec, unmanaged_spec
from trivet.control.job_documents import Asked, Unmanaged, asked_of
from trivet.control.jobs import BatchJobs
from trivet.control.operations import Operations
from trivet.control.settings import ControlSettings
from trivet.core.batch import HEARD_WITHIN, BatchPredictionJob
from trivet.core.errors import FailedPrecondition, ServingError, model_error
from trivet.core.names import ModelRef, name_from
from trivet.core.resources import Name
from trivet.engines import registry as engines
from trivet.jobs.engine import Engine
from trivet.jobs.ledger import Ledger
from trivet.jobs.runner import Runner, Tolerance
from trivet.jobs.work import Endpoint, Work
from trivet.serving.lifecycle import ModelSpec
from trivet.serving.replica import FAULTS
from trivet.settings import Settings
from trivet.sinks.base import Outputs
from trivet.sinks.registry import get_sink
from trivet.sources.base import Inputs

log = logging.getLogger("trivet")

_BEATS_EVERY = 0.3  # seconds; a job that is to be cancelled learns of it this late

_SLOW = {"bigquery": "google.cloud.bigquery", "parquet": "pyarrow.parquet"}
"""Libraries of sinks that take a while to import: this process needs them when the first part is done."""

OpensEngine = Callable[[Asked], Engine]


@dataclass(frozen=True, slots=True)
class Place:
    """Where jobs are kept, and what they may use: a catalog, a store of artifacts and a data folder."""

    settings: Settings
    data: Path
    catalog: Catalog
    store: ArtifactStore

    def scratch(self, name: Name) -> Path:
        """Return the folder for what a job must keep as long as it goes on."""
        return self.data / "batch" / f"{name.project}_{name.location}_{name.id}"

    def engine(self, asked: Asked) -> Engine:
        """Open the engine that a job asks for, with as many processes as it, or the settings, say."""
        return engines.open_engine(asked.engine, asked.workers or self.settings.batch.workers)


def open_place(settings: Settings, data: str | Path, url: str = "", store: str = "") -> Place:
    """Open the catalog and the store of a data folder, or those at other places; raises what prevents it."""
    folder = Path(data).absolute()
    catalog = Catalog(url or f"sqlite:///{folder / 'catalog.db'}")
    allowed = settings.artifacts.folders or None
    return Place(
        settings,
        folder,
        catalog,
        ArtifactStore(store or folder / "artifacts", settings.storage.folders, folders=allowed),
    )


def jobs_of(place: Place) -> BatchJobs:
    """Return the calls that concern the jobs of a place, without a server."""
    catalog = place.settings.catalog
    about = ControlSettings(
        node=owners.own(),
        project=catalog.project,
        location=catalog.location,
        containers=containers_of(place.settings),
    )
    operations = Operations(place.catalog, about, lambda: None)
    jobs = BatchJobs(place.catalog, operations, lambda job: discard(place, job))
    jobs.register()
    return jobs


class Attempt:
    """One attempt to run a job. Made by whoever will run it, since it may begin to start processes."""

    def __init__(self, place: Place, name: Name, owner: str = "", opens: OpensEngine | None = None) -> None:
        self._place = place
        with place.catalog.reading() as tx:
            job = tx.batch_job(name)
        alive_within = 0.0 if owners.is_gone(job.owner) else HEARD_WITHIN
        self._ledger = Ledger(place.catalog, name, owner or owners.own(), alive_within)
        self.runner: Runner | None = None
        self._format = ""
        try:
            asked = asked_of(job)
            self._format = asked.destination.format
            work = work_of(place, job, asked)
            tolerance = Tolerance(asked.max_errors, asked.max_error_share)
            sink, engine = get_sink(asked.destination.format), (opens or place.engine)(asked)
            self.runner = Runner(
                self._ledger, work, engine, sink, tolerance, lambda work: _complete(place, job, asked, work)
            )
        except FAULTS as error:
            self._refused = model_error(error)

    def run(self) -> BatchPredictionJob:
        """Run it; returns the job as it ended.

        Raises Aborted where another has it, and Unavailable where the catalog is lost.
        """
        if self.runner is None:
            cancelled = self._ledger.claim().state == "CANCELLING"
            return (
                self._ledger.end("CANCELLED")
                if cancelled
                else self._ledger.end("FAILED", error=self._refused)
            )
        threading.Thread(target=self._import_library, daemon=True).start()
        with _beating(self.runner):
            job = self.runner.run()
        scratch = self._place.scratch(job.name)
        if job.output or job.state == "CANCELLED" or not job.prepared:
            rmtree(scratch, ignore_errors=True)
        with suppress(OSError):
            scratch.rmdir()  # what is in it is for the next attempt
        return job

    def _import_library(self) -> None:
        """Import what showing the output will need, while other processes import what they need."""
        if name := _SLOW.get(self._format):
            with suppress(ImportError):  # whoever needs it says so
                import_module(name)

    def cancel(self) -> None:
        """Have the job end as cancelled; called by another thread."""
        if self.runner is not None:
            self.runner.cancel()

    def leave(self) -> None:
        """End its processes at once, and leave the job to whoever runs jobs; called by another thread."""
        if self.runner is not None:
            self.runner.leave()
        self._ledger.release()


def work_of(place: Place, job: BatchPredictionJob, asked: Asked) -> Work:
    """Return what the shards of a job need to know, but for where its model is."""
    settings, scratch = place.settings, str(place.scratch(job.name))
    folders = settings.batch.folders or None
    return Work(
        job=job.name.id,
        source=asked.source.format,
        sink=asked.destination.format,
        inputs=Inputs(
            uris=asked.source.uris,
            buckets=settings.storage.folders,
            folders=folders,
            scratch=scratch,
            strict=not asked.native,
            shard_bytes=settings.batch.shard_bytes,
            shard_rows=settings.batch.shard_rows,
            options=asked.source.options,
        ),
        outputs=Outputs(
            uri=asked.destination.uris[0],
            name=job.output_name,
            scratch=scratch,
            native=asked.native,
            buckets=settings.storage.folders,
            folders=folders,
            options=asked.destination.options,
        ),
        instances=asked.instances,
        permissions=permissions_of(settings),
        parameters=asked.parameters,
        batch_size=asked.batch_size,
        native=asked.native,
    )


def discard(place: Place, job: BatchPredictionJob) -> None:
    """Remove what a job that failed has kept for another attempt; what it shows is its user's."""
    if not job.output:
        asked = asked_of(job)
        get_sink(asked.destination.format).discard(work_of(place, job, asked).outputs)
    rmtree(place.scratch(job.name), ignore_errors=True)


def _complete(place: Place, job: BatchPredictionJob, asked: Asked, work: Work) -> Work:
    """Add the model, whose files may have to be fetched first, or the endpoint."""
    scratch = Path(work.inputs.scratch)
    if not job.prepared:  # what is there was left by an earlier job of this name
        rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True, exist_ok=True)
    if asked.endpoint:
        from trivet.serving.remote_call import endpoint_url

        url = endpoint_url(asked.endpoint, "" if "://" in asked.endpoint else _server(place))
        return replace(work, endpoint=Endpoint(url, timeout=asked.timeout))
    if asked.unmanaged is not None:
        spec = _unmanaged(place, asked.unmanaged, scratch)
        if asked.unmanaged.uri:
            _expect_same(asked.unmanaged.uri, spec.path, scratch / "model.json", begun=bool(job.prepared))
        if spec.container is not None and (folder := spec.container.folder) is not None:
            _expect_same(str(folder), folder, scratch / "application.json", begun=bool(job.prepared))
        return replace(work, model=spec)
    name = Name.parse(job.model, "models")
    with place.catalog.reading() as tx:
        version = tx.version(name)
    folder = Path()
    if version.artifact is not None:
        folder = to_load(version.document, place.store.path(version.artifact))
    model = ModelSpec(
        ref=ModelRef(name.id, version.version),
        path=folder,
        framework=version.framework,
        output=default_output(version.document),
        model=str(name.at("")),
        display_name=version.display_name,
        container=container_spec(version, place.store, containers_of(place.settings)),
    )
    return replace(work, model=model)


def _unmanaged(place: Place, asked: Unmanaged, scratch: Path) -> ModelSpec:
    folder = Path()
    if asked.uri:
        folder = to_load(asked.document, _fetched(place, scratch / "model", asked.uri))
    container = None
    if is_own(asked.document):
        own = containers_of(place.settings)
        container = unmanaged_spec(
            asked.document, own, partial(_fetched, place, scratch / "application"), asked.uri
        )
    spec = ModelSpec(
        ref=ModelRef(name_from(Path(asked.uri).stem)),
        path=folder,
        framework=asked.framework,
        output=default_output(asked.document),
        container=container,
    )
    return spec if container is not None else with_container(spec, place.settings)


def _fetched(place: Place, into: Path, uri: str) -> Path:
    """Return where the files of a model are, copied into a folder unless they are on this machine."""
    settings = place.settings
    storage.source(uri, settings.storage.folders, settings.artifacts.folders or None)
    return storage.fetch(uri, into, settings.storage.folders)


def _expect_same(uri: str, path: Path, kept: Path, *, begun: bool) -> None:
    """Refuse a model that has changed since its job was begun, some of whose shards are the old one's.

    `kept` is the file of the job's scratch folder that keeps what it was.

    Hidden files do not count, nor what has been added to its folder since: code is compiled where it is.
    """
    if path.is_relative_to(kept.parent):  # a copy, which has another time whenever it is made
        return
    files = sorted(path.rglob("[!.]*")) if path.is_dir() else [path]
    stats = {str(one): one.stat() for one in files if one.is_file() and one.parent.name != "__pycache__"}
    now = {name: [about.st_size, about.st_mtime_ns] for name, about in stats.items()}
    if not begun:
        kept.write_text(dumps(now))
        return
    was = loads(kept.read_text()) if kept.exists() else {}
    for name, about in was.items():
        if now.get(name) != about:
            raise FailedPrecondition(
                f"{name}: has changed since the job was begun, and what is done was done with {uri} as it "
                "was; create another job"
            )


def _server(place: Place) -> str:
    """Return where the server of the data folder is, whose endpoints have plain names."""
    try:
        return str(loads((place.data / "server.json").read_text())["http"])
    except (OSError, JSONDecodeError, KeyError, TypeError):
        raise FailedPrecondition(
            f"no server has its endpoints in {place.data}: start one with `trivet up`, or give the URL"
        ) from None


@contextmanager
def _beating(runner: Runner) -> Iterator[None]:
    """Have a runner say, again and again, that it is alive, while it runs."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(_BEATS_EVERY):
            try:
                runner.beat()
            except ServingError as error:
                log.warning("%r: %s", runner, error)
            except Exception:  # the next one may do better
                log.exception("%r", runner)

    thread = threading.Thread(target=beat, name="beat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
