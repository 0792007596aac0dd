"""The DuckDB of a process, and the files of the projects in it."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from trivet.core.errors import FailedPrecondition, InvalidArgument, NotFound, ServingError
from trivet.sql import images
from trivet.sql.documents import prepare
from trivet.sql.failures import told
from trivet.sql.fence import fence
from trivet.sql.names import DatasetName, dataset_name
from trivet.sql.quoting import quoted, text
from trivet.sql.store import Store
from trivet.storage.libraries import need

if TYPE_CHECKING:
    from trivet.core.predictor import Predictor
    from trivet.serving.leases import Leases
    from trivet.sql.functions import Functions
    from trivet.sql.model import SqlModel
    from trivet.sql.models import Models
    from trivet.sql.plan import Plan
    from trivet.sql.session import Connection

_TAKEN = ("memory", "temp", "system", "main")
_PLANS = 1000
_BUFFERED = 2
"""Groups of 122,880 rows that a thread of DuckDB collects before it writes them, where its own number is 5.

A table of 13 columns takes as long to write, and as much of the disk, and 50 MB less memory.
"""
_LONGEST_KEPT = 20_000  # characters of a statement; the plan of a long one takes hundreds of bytes for each


@dataclass(frozen=True, slots=True)
class Place:
    """Where the files of projects are, and what statements may reach.

    `folder` holds `{project}.duckdb`, `files` says where that of a project is instead. Statements read files
    in `folders` only, anywhere where that is None; `buckets` are local folders by the buckets they stand for.
    """

    folder: Path
    project: str = "local"
    files: Mapping[str, Path] = field(default_factory=dict)
    folders: Collection[str] | None = None
    buckets: Mapping[str, str] = field(default_factory=dict)
    here: Path | None = None
    """What relative paths of models and exports are relative to; None refuses them."""
    read_only: bool = False
    threads: int = 0
    memory: str = ""

    def file(self, project: str) -> Path:
        """Return where a project's tables are."""
        if "/" in project or "\0" in project or project.startswith("."):
            raise InvalidArgument(f"project {project!r}: expected letters, digits and dashes")
        return self.files.get(project, self.folder / f"{quote(project, safe='')}.duckdb")


class Database:
    """One for a process, which alone may write to its files; as many connections as are wanted.

    May be used by several threads, each connection by one at a time. Raises FailedPrecondition where DuckDB
    is not installed, or another process has a file.
    """

    def __init__(self, place: Place, models: "Models", leases: "Leases", functions: "Functions") -> None:
        self.place = place
        self.models = models
        self.leases = leases
        self.functions = functions
        self.plans: dict[Any, Plan] = {}
        self._versions = count(1)
        self.version = 0
        self._attached: dict[str, str] = {}
        self._images: Any = None
        self._spill = TemporaryDirectory(prefix="trivet-sql-")
        duckdb = need("duckdb", "sql")
        config: dict[str, Any] = {
            "python_enable_replacements": False,  # Python's variables are no tables
            "autoinstall_known_extensions": False,
            "temp_directory": self._spill.name,
            "write_buffer_row_group_count": _BUFFERED,
            **({"threads": place.threads} if place.threads else {}),
            **({"memory_limit": place.memory} if place.memory else {}),
        }
        with told():
            self.root = duckdb.connect(":memory:", config=config)
            self.root.execute("SET GLOBAL timezone = 'UTC'")
            fence(self.root, place)

    def __repr__(self) -> str:
        return f"<Database {self.place.folder} {', '.join(sorted(self._attached))}>"

    def __enter__(self) -> "Database":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def connect(
        self, *, project: str = "", dataset: str = "", dialect: str = "bigquery", makes_datasets: bool = False
    ) -> "Connection":
        """Return a connection with what names without a project, or a dataset, mean.

        Where it `makes_datasets`, a statement that makes something in a dataset makes that, too.
        """
        from trivet.sql.session import Connection

        given = self.defaults(project=project, dataset=dataset, dialect=dialect)
        return Connection(self, **given, makes_datasets=makes_datasets)

    def defaults(self, *, project: str = "", dataset: str = "", dialect: str = "bigquery") -> dict[str, Any]:
        """Return what a connection is made with; raises InvalidArgument, and what `attach` raises.

        A project that there is not yet is made when something is put into it: anybody may name one.
        """
        if dialect not in ("bigquery", "duckdb"):
            raise InvalidArgument(f"dialect {dialect!r}: expected bigquery or duckdb")
        project = project or self.place.project
        if self.place.read_only or project == self.place.project or self.place.file(project).exists():
            self.make(project)
        default = dataset_name(project, dataset) if dataset else None
        return {"project": project, "default": default, "dialect": dialect}

    def store(self, cursor: Any) -> Store:
        """Return the datasets and tables, as one cursor sees them and changes them."""
        return Store(cursor, self, read_only=self.place.read_only)

    def projects(self) -> list[str]:
        """Return the projects that have a file."""
        there = {unquote(file.stem) for file in self.place.folder.glob("*.duckdb")}
        return sorted(there | set(self.place.files) | set(self._attached))

    def attach(self, project: str) -> str:
        """Return what DuckDB calls a project, whose file is opened; raises NotFound where there is none."""
        known = self._attached.get(project)
        if known is not None:
            return known
        if not self.place.file(project).exists():
            raise NotFound(f"Not found: Project {project}")
        return self.make(project)

    def make(self, project: str) -> str:
        """Return what DuckDB calls a project, whose file is made where there is none.

        Raises NotFound where none may be made.
        """
        known = self._attached.get(project)
        if known is not None:
            return known
        with self.leases.alone:
            if project not in self._attached:
                self._attached[project] = self._opened(project)
            return self._attached[project]

    def _opened(self, project: str) -> str:
        file = self.place.file(project)
        if self.place.read_only and not file.exists():
            raise NotFound(f"Not found: Project {project}: there is no {file}")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FailedPrecondition(f"{file.parent}: {error.strerror}") from None
        name, taken = project, {*_TAKEN, *map(str.lower, self._attached.values())}
        while name.lower() in taken:  # DuckDB does not tell names apart by case, and we do
            name += "_"
        options = " (READ_ONLY)" if self.place.read_only else ""
        cursor = self.root.cursor()
        try:
            with told():
                cursor.execute(f"ATTACH {text(str(file))} AS {quoted(name)}{options}")
                prepare(cursor, name, read_only=self.place.read_only)
        except ServingError:
            with suppress(Exception):
                cursor.execute(f"DETACH {quoted(name)}")
            raise
        finally:
            cursor.close()
        return name

    def changed(self) -> None:
        """Know that names or columns have changed: what was planned before is planned again."""
        self.version = next(self._versions)

    def have_images(self) -> None:
        """Have the functions for images be there, for all connections."""
        with self.leases.alone:
            if self._images is None:
                self._images = self.root.cursor()  # functions last as long as what they were made with
                with told():
                    images.ensure(self._images)

    def keep(self, key: Any, plan: "Plan", length: int = 0) -> None:
        """Keep a plan for the same statement, unless that is long; forget all where there are too many."""
        if length > _LONGEST_KEPT:
            return
        if len(self.plans) >= _PLANS:
            self.plans.clear()
        self.plans[key] = plan

    def delete_dataset(self, store: Store, name: DatasetName, *, cascade: bool = False) -> None:
        """Delete a dataset; raises FailedPrecondition where it is not empty and not to `cascade`."""
        store.dataset(name)
        models = list(self.models.list(name))
        if models and not cascade:
            raise FailedPrecondition(f"Dataset {name} is still in use")
        for model in models:
            self.models.drop(model.name)
        store.delete_dataset(name, cascade=cascade)

    def predictor(self, model: "SqlModel") -> "Predictor":
        """Return what predicts for a model, loaded; raises what loading it raises."""
        with self.leases.lease(self.models.spec(model)) as loaded:
            return loaded.predictor

    def close(self) -> None:
        """Close all files, which are whole then, and let go of the functions; models are the leases'."""
        self.functions.close()
        self.root.close()
        self._spill.cleanup()
