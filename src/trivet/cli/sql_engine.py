"""Who runs the statements of `trivet sql`: this process, a server, or BigQuery."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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


@dataclass(frozen=True, slots=True)
class Listed:
    """A table, a view or a model, as a list shows it."""

    name: str
    kind: str
    about: str = ""


class Engine(Protocol):
    """Everything raises the errors of `core.errors`."""

    place: str
    """Where it is, for people."""
    dialect: str
    history: Path
    """The file that a shell keeps what was typed in."""

    def script(self, text: str, parameters: "Given", *, streams: bool) -> Iterator["Result"]:
        """Run statements one by one."""
        ...

    def interrupt(self) -> None:
        """Have the statement that runs end; called by another thread."""
        ...

    def progress(self) -> float:
        """Return how much of it is done, from 0 to 1; -1 where that cannot be told."""
        ...

    def tables(self) -> Sequence[Listed]:
        """Return the tables and views of the project."""
        ...

    def models(self) -> Sequence[Listed]:
        """Return the models of the project."""
        ...

    def columns(self, name: str) -> Sequence[tuple[str, str, str]]:
        """Return name, type and note of each column of a table, view or model; raises NotFound."""
        ...

    def use(self, dataset: str) -> None:
        """Have plain names be those of a dataset; raises NotFound."""
        ...


class Here:
    """Statements that this process runs."""

    def __init__(self, database: "Database", connection: "Connection", history: Path) -> None:
        self._database = database
        self._connection = connection
        self.history = history
        self.place = connection.project

    @property
    def dialect(self) -> str:
        """The dialect of statements."""
        return self._connection.dialect

    @dialect.setter
    def dialect(self, dialect: str) -> None:
        self._connection.speak(dialect)

    def script(self, text: str, parameters: "Given", *, streams: bool) -> Iterator["Result"]:
        """Run statements one by one."""
        return self._connection.script(text, parameters, streams=streams)

    def interrupt(self) -> None:
        """Have the statement that runs end."""
        self._connection.interrupt()

    def progress(self) -> float:
        """Return how much of it is done."""
        return self._connection.progress

    def tables(self) -> Sequence[Listed]:
        """Return the tables and views of the project."""
        store = self._connection.store
        return [
            Listed(
                self._short(one.name.dataset, one.name.name), one.kind, one.document.get("description", "")
            )
            for dataset in store.datasets(self._connection.project)
            for one in store.tables(dataset.name)
        ]

    def models(self) -> Sequence[Listed]:
        """Return the models of the project."""
        found = self._database.models.of_project(self._connection.project)
        return [
            Listed(self._short(one.name.dataset, one.name.name), one.type, one.description) for one in found
        ]

    def columns(self, name: str) -> Sequence[tuple[str, str, str]]:
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

    def _short(self, dataset: str, name: str) -> str:
        return f"{dataset}.{name}"


@contextmanager
def opened(  # noqa: PLR0913 - the options of the command
    *, engine: str, staging: str | None, server: str | None, database: str | None, data: str | None,
    project: str | None, dataset: str, dialect: str, read_only: bool, allow_pickle: bool,
) -> Iterator[Engine]:  # fmt: skip
    """Open what runs statements; where a server has the data folder's tables, that does."""
    from trivet.cli.batch_here import settings as load

    settings = load(data, project, allow_pickle=allow_pickle)
    if engine == "bigquery":
        from trivet.cli.sql_bigquery import bigquery

        if server is not None:
            raise InvalidArgument("--engine bigquery: is a server of its own; leave out --server")
        with bigquery(settings, project, dataset, staging) as there:
            yield there
        return
    if staging is not None:
        raise InvalidArgument("--staging: belongs to --engine bigquery")
    if server is None:
        try:
            with _here(settings, database, dataset, dialect, read_only=read_only) as here:
                yield here
            return
        except FailedPrecondition as error:
            server = _serves(settings) if _LOCKED in str(error) else None
            if server is None:
                raise
            warn(f"{settings.catalog.data} is the server's at {server}, which is asked instead")
    from trivet.cli.sql_there import There

    if dialect != "bigquery":
        raise InvalidArgument("--dialect duckdb: a server speaks BigQuery's alone")
    with There(server, settings, dataset) as there:
        yield there


@contextmanager
def _here(
    settings: "Settings", file: str | None, dataset: str, dialect: str, *, read_only: bool
) -> Iterator[Here]:
    from trivet.app.sql import open_database

    data = Path(settings.catalog.data)
    with open_database(settings, data, file=file, read_only=read_only) as database:
        makes = settings.sql.create_datasets
        with database.connect(dataset=dataset, dialect=dialect, makes_datasets=makes) as connection:
            yield Here(database, connection, data / "sql" / "history")


def _serves(settings: "Settings") -> str | None:
    """Return the server of the data folder, if one is running."""
    try:
        said: dict[str, Any] = json.loads((Path(settings.catalog.data) / "server.json").read_text())
        return str(said["http"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
