"""Who runs the statements of `trivet sql`: this process, a server, or BigQuery."""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from trivet.cli import warn
from trivet.core.errors import FailedPrecondition, InvalidArgument

if TYPE_CHECKING:
    from trivet.settings import Settings
    from trivet.sql.database import Database
    from trivet.sql.parameters import Given
    from trivet.sql.result import Result
    from trivet.sql.session import Connection

OPTIONS = (
    "engine", "staging", "server", "database", "data", "project", "dataset", "dialect", "read_only",
    "allow_pickle",
)  # fmt: skip
_LOCKED = "has the database open"


Listed = Sequence[tuple[str, str, str]]
"""Tables, views, models or columns: the name of each, its kind or type, and a note."""


class Engine(Protocol):
    """Everything raises the errors of `core.errors`."""

    @property
    def place(self) -> str:
        """Where it is, for people."""
        ...

    def script(self, text: str, given: "Given" = None, *, streams: bool = False) -> Iterator["Result"]:
        """Run statements one by one."""
        ...

    def interrupt(self) -> None:
        """Have the statement that runs end; called by another thread."""
        ...

    def progress(self) -> float:
        """Return how much of it is done, from 0 to 1; -1 where that cannot be told."""
        ...

    def tables(self) -> Listed:
        """Return the tables and views of the project."""
        ...

    def models(self) -> Listed:
        """Return the models of the project."""
        ...

    def columns(self, name: str) -> Listed:
        """Return name, type and note of each column of a table, view or model; raises NotFound."""
        ...

    def use(self, dataset: str) -> None:
        """Have plain names be those of a dataset; raises NotFound."""
        ...


class Here:
    """Statements that this process runs."""

    def __init__(self, database: "Database", connection: "Connection") -> None:
        self._database = database
        self._connection = connection

    @property
    def place(self) -> str:
        """The project, and the dialect where it is not the usual one."""
        spoken = self._connection.dialect
        return self._connection.project + ("" if spoken == "bigquery" else f" {spoken}")

    def speak(self, dialect: str) -> None:
        """Have statements be of another dialect; raises InvalidArgument."""
        self._connection.speak(dialect)

    def script(self, text: str, given: "Given" = None, *, streams: bool = False) -> Iterator["Result"]:
        """Run statements one by one."""
        return self._connection.script(text, given, streams=streams)

    def interrupt(self) -> None:
        """Have the statement that runs end."""
        self._connection.interrupt()

    def progress(self) -> float:
        """Return how much of it is done."""
        return self._connection.progress

    def tables(self) -> Listed:
        """Return the tables and views of the project."""
        store = self._connection.store
        return [
            (f"{dataset.name.dataset}.{one.name.name}", one.kind, str(one.document.get("description", "")))
            for dataset in store.datasets(self._connection.project)
            for one in store.tables(dataset.name)
        ]

    def models(self) -> Listed:
        """Return the models of the project."""
        found = self._database.models.of_project(self._connection.project)
        return [(f"{one.name.dataset}.{one.name.name}", one.type, one.description) for one in found]

    def columns(self, name: str) -> Listed:
        """Return the columns of a table, view or model."""
        from trivet.core.errors import NotFound
        from trivet.sql.names import ObjectName

        connection = self._connection
        parts = name.replace("`", "").split(".")
        before = [connection.project, connection.default.dataset if connection.default else ""]
        try:
            model = self._database.models.named(parts, *before)
        except (NotFound, InvalidArgument):
            project, dataset, plain = [*before[: 3 - len(parts)], *parts][-3:]
            fields = connection.store.table(ObjectName(project, dataset, plain)).fields
            return [(one.name, str(one.type), one.description) for one in fields]
        inputs = [(one.name, str(one.type), "input") for one in model.inputs]
        return [*inputs, *((one.name, str(one.type), "output") for one in model.outputs)]

    def use(self, dataset: str) -> None:
        """Have plain names be those of a dataset."""
        self._connection.use(dataset)


@dataclass(frozen=True, slots=True)
class Opened:
    """What runs statements, and the file that a shell keeps what was typed in."""

    engine: Engine
    history: Path


@contextmanager
def opened(  # noqa: PLR0913 - the options of the command
    *, engine: str, staging: str | None, server: str | None, database: str | None, data: str | None,
    project: str | None, dataset: str, dialect: str, read_only: bool, allow_pickle: bool,
) -> Iterator[Opened]:  # fmt: skip
    """Open what runs statements; where a server has the data folder's tables, that does."""
    from trivet.cli.batch_here import settings as load

    settings = load(data, project, allow_pickle=allow_pickle)
    history = Path(settings.catalog.data) / "sql" / "history"
    if engine == "bigquery":
        from trivet.cli.sql_there import bigquery

        if server is not None:
            raise InvalidArgument("--engine bigquery: is a server of its own; leave out --server")
        with bigquery(settings, project, dataset, staging) as real:
            yield Opened(real, history)
        return
    if staging is not None:
        raise InvalidArgument("--staging: belongs to --engine bigquery")
    with ExitStack() as stack:
        if server is None:
            try:
                here = _here(settings, database, dataset, dialect, read_only=read_only)
                yield Opened(stack.enter_context(here), history)
                return
            except FailedPrecondition as error:
                server = _serves(settings) if _LOCKED in str(error) else None
                if server is None:
                    raise
                warn(f"{settings.catalog.data} is the server's at {server}, which is asked instead")
        from trivet.cli.sql_there import There

        if dialect != "bigquery":
            raise InvalidArgument("--dialect duckdb: a server speaks BigQuery's alone")
        yield Opened(stack.enter_context(There(server, settings, dataset)), history)


@contextmanager
def _here(
    settings: "Settings", file: str | None, dataset: str, dialect: str, *, read_only: bool
) -> Iterator[Here]:
    from trivet.app.sql import open_database

    data = Path(settings.catalog.data)
    with open_database(settings, data, file=file, read_only=read_only) as database:
        makes = settings.sql.create_datasets
        with database.connect(dataset=dataset, dialect=dialect, makes_datasets=makes) as connection:
            yield Here(database, connection)


def _serves(settings: "Settings") -> str | None:
    """Return the server of the data folder, if one is running."""
    try:
        said: dict[str, Any] = json.loads((Path(settings.catalog.data) / "server.json").read_text())
        return str(said["http"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
