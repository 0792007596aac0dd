"""Opens what SQL works on: a catalog, a store of artifacts, a control plane without a server, and DuckDB."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from weakref import finalize, ref

from trivet.app import jobs, owners
from trivet.app.models import containers_of, permissions_of
from trivet.app.sql_watch import Watch
from trivet.catalog import Catalog
from trivet.control.artifacts import ArtifactStore
from trivet.control.plane import ControlPlane, ControlSettings
from trivet.core.errors import InvalidArgument
from trivet.serving.leases import Isolation, Leases
from trivet.settings import Settings
from trivet.sql.database import Database
from trivet.sql.database import Place as Files
from trivet.sql.functions import Functions
from trivet.sql.models import Models
from trivet.sql.session import Connection

MEMORY = ":memory:"

_DEEP = 6_000
"""Calls within calls. Python's own 1,000 are fifty pairs of parentheses; threads have room for more."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where SQL is at home. `close` it when nothing is asked of it any more."""

    settings: Settings
    data: Path
    catalog: Catalog
    store: ArtifactStore
    control: ControlPlane
    leases: Leases
    models: Models

    def close(self) -> None:
        """Give up the models that are loaded, and the catalog's connections."""
        self.leases.close()
        self.catalog.close()


def place(settings: Settings, data: str | Path, *, isolate: Isolation = "auto") -> Place:
    """Open the catalog and the store that the settings name, by default those in the data folder.

    The folder is made where there is none. Raises FailedPrecondition and Unavailable where that cannot be.
    """
    folder = Path(data).absolute()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    opened = jobs.open_place(settings, folder, settings.catalog.url, settings.catalog.store)
    about = ControlSettings(
        node=owners.own(),
        project=settings.catalog.project,
        location=settings.catalog.location,
        limits=settings.batching,
        containers=containers_of(settings),
        alive_within=10.0 if settings.catalog.url else 300.0,  # as those that serve have it
        serves=False,
        alive=owners.alive,
    )
    opened.store.clean()  # of copies that were broken off
    control = ControlPlane(opened.catalog, opened.store, about)
    leases = Leases(permissions_of(settings), isolate=isolate)
    models = Models(opened.catalog, control, opened.store, settings.catalog.location, leases)
    return Place(settings, folder, opened.catalog, opened.store, control, leases, models)


@contextmanager
def open_database(
    settings: Settings,
    data: str | Path,
    *,
    file: str | Path | None = None,
    read_only: bool = False,
    serves: bool = False,
) -> Iterator[Database]:
    """Open the database of a data folder, which this process alone may write to, and close it at the end.

    `file` is where the tables of the settings' project are, in the data folder where None. A server
    (`serves`) lets statements read and write files only in `sql.folders`. Raises FailedPrecondition where a
    library is missing; that another process has a file is raised when the project is first used.
    """
    sys.setrecursionlimit(max(_DEEP, sys.getrecursionlimit()))
    project = settings.catalog.project
    folders: list[str] | None = list(settings.sql.folders)
    if not folders and not serves:
        folders = None
    with ExitStack() as stack:
        opened = place(settings, data, isolate=settings.sql.isolate)
        stack.callback(opened.close)
        functions = Functions(opened.leases)
        files = Files(
            folder=opened.data / "sql",
            project=project,
            files={} if file is None else {project: Path(file).absolute()},
            folders=folders,
            buckets=settings.storage.folders,
            here=None if serves else Path.cwd(),
            read_only=read_only,
            threads=settings.sql.threads,
            memory=settings.sql.memory,
        )
        yield stack.enter_context(Database(files, opened.models, opened.leases, functions))


class Own(Connection):
    """A connection with a database of its own, which is closed with it: at the end of the process at last."""

    def __init__(self, stack: ExitStack, database: Database, **given: Any) -> None:
        watch = Watch()
        super().__init__(database, **given, runs=watch)
        watch.connection = ref(self)
        stack.callback(watch.close)
        self._ends = finalize(self, _ended, self.cursor, stack)

    def close(self) -> None:
        """End the connection, and close the database."""
        super().close()
        self._ends()


def _ended(cursor: Any, stack: ExitStack) -> None:
    with suppress(Exception):  # a stream that nobody reads any more
        cursor.close()
    stack.close()


def connect(
    path: str | Path | None = None,
    *,
    data: str | Path | None = None,
    project: str | None = None,
    dataset: str | None = None,
    dialect: str = "bigquery",
    read_only: bool = False,
) -> Connection:
    """Open a database and connect to it: `trivet.sql.connect`.

    `path` is a DuckDB file (`*.duckdb`, `*.db`) for the tables, a data folder, or `:memory:`, where all is
    gone in the end, models too. `data` is the data folder; without either, the settings say which, as for
    `trivet sql`. `dataset` is that of plain names. With `read_only` several processes may have it open.
    """
    from trivet import config

    flags: dict[str, Any] = {} if project is None else {"catalog.project": project}
    with ExitStack() as stack:
        file = None
        if path is not None and str(path) == MEMORY:
            if data is not None or read_only:
                raise InvalidArgument(f"{MEMORY}: has no data folder, and is not read only")
            data = stack.enter_context(TemporaryDirectory(prefix="trivet-sql-"))
            flags |= {"catalog.url": "", "catalog.store": ""}
        elif path is not None and (str(path).endswith((".duckdb", ".db")) or Path(path).is_file()):
            file = path
        elif path is not None:
            if data is not None:
                raise InvalidArgument(
                    f"{path}: is a data folder, and data={str(data)!r} another; expected one"
                )
            data = path
        if data is not None:
            flags["catalog.data"] = str(data)
        settings = config.load(flags)
        database = stack.enter_context(
            open_database(settings, settings.catalog.data, file=file, read_only=read_only)
        )
        return own(stack.pop_all(), database, settings, dataset or "", dialect)
    raise AssertionError("unreachable")


def own(stack: ExitStack, database: Database, settings: Settings, dataset: str, dialect: str) -> Connection:
    """Return a connection that closes what the stack holds when it is closed."""
    with ExitStack() as undo:
        undo.push(stack)
        given = database.defaults(project=settings.catalog.project, dataset=dataset, dialect=dialect)
        made = Own(stack, database, **given, makes_datasets=settings.sql.create_datasets)
        undo.pop_all()
        return made
