"""A connection: runs the statements of one user, one after another."""

from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal
from weakref import ref

from sqlglot import exp

from trivet.core.errors import (
    Aborted,
    AlreadyExists,
    Cancelled,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ServingError,
)
from trivet.sql.dialect import parse, refuse
from trivet.sql.failures import bounded, told, unconverted, understood
from trivet.sql.model import SqlModel
from trivet.sql.names import DatasetName, ObjectName
from trivet.sql.parameters import Given, Parameter, read
from trivet.sql.plan import Plan, Planner, Source
from trivet.sql.quoting import quoted
from trivet.sql.result import Done, Planned, Result
from trivet.sql.rows import CursorRows, StreamRows
from trivet.sql.running import PROGRESS, Runs, Use, Waiting, at_once, nothing, undone
from trivet.sql.transactions import Transactions
from trivet.sql.translate import SETTINGS
from trivet.sql.types import Field, of_duckdb

if TYPE_CHECKING:
    from trivet.sql.database import Database

_NOTHING = "Syntax error: Unexpected end of statement at [1:1]"


@dataclass(frozen=True, slots=True)
class Into:
    """A table that the rows of a query go to, as `destinationTable` of a job has it.

    `write` says what happens where the table holds rows; `creates` that it is made where there is none.
    """

    table: ObjectName
    write: Literal["WRITE_EMPTY", "WRITE_APPEND", "WRITE_TRUNCATE"] = "WRITE_EMPTY"
    creates: bool = True


class Connection:
    """Statements, with what names mean in them. To be used by one thread at a time, but for `interrupt`.

    Everything raises the errors of `core.errors`, with positions in the statement.
    """

    def __init__(
        self,
        database: "Database",
        project: str,
        default: DatasetName | None,
        dialect: str,
        *,
        makes_datasets: bool = False,
        runs: Runs = at_once,
    ) -> None:
        self.database = database
        self.project = project
        self.default = default
        self.dialect = dialect
        self.makes_datasets = makes_datasets
        self._runs = runs
        self.cursor = database.root.cursor()
        self.store = database.store(self.cursor)
        self.temporary: dict[str, Literal["TABLE", "FRAME"]] = {}
        self._last: Callable[[], CursorRows | StreamRows | None] = nothing
        self._closed = False
        self.transactions = Transactions(self.cursor, self._settle, self._changed)
        self._functions: list[str] = []
        self._waiting = Waiting(database.leases)
        self._use = Use(database.functions)
        self._interrupted = False
        self._models: Sequence[SqlModel] = ()
        self.speak(dialect)

    def __repr__(self) -> str:
        return f"<Connection {self.default or self.project} {self.dialect}>"

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def sql(
        self, text: str, parameters: Given = None, *, into: Into | None = None, streams: bool = False
    ) -> Result:
        """Run the statements of a text, and return what the last one gives.

        `parameters` are by name for `@name`, in order for `?`. Where it `streams`, the rows of a query are
        made as they are taken, and what goes wrong in them is raised then. Raises InvalidArgument for what is
        wrong in the text, NotFound and AlreadyExists for names, Unimplemented for what Trivet cannot do,
        Cancelled after an interrupt.
        """
        (last,) = deque(self.script(text, parameters, into=into, streams=streams), maxlen=1) or (None,)
        if last is None:
            raise InvalidArgument(_NOTHING)
        return last

    execute = sql

    def script(
        self, text: str, parameters: Given = None, *, into: Into | None = None, streams: bool = False
    ) -> Iterator[Result]:
        """Run the statements of a text one by one, as far as what they give is taken from this."""
        if self._closed:
            raise FailedPrecondition("the connection is closed")
        self._interrupted = False
        known = read(parameters)
        key = self._key(text, known) if into is None else None
        plan = self.database.plans.get(key) if key else None
        if plan is not None:
            yield self._runs(partial(self._run, plan, known, streams))
            return
        trees = self._parse(text)
        for number, tree in enumerate(trees):
            source = Source(text, number)
            plan = self._plan(tree, known, into if number == len(trees) - 1 else None, source)
            if keeps := key and len(trees) == 1 and plan.kept:
                plan = plan.parse(self.cursor)
            result = self._runs(partial(self._run, plan, known, streams))
            if keeps:
                self.database.keep(key, plan, len(text))
            yield result

    def plan(self, text: str, parameters: Given = None) -> Planned:
        """Return what a text would do, without doing it: what its last statement would give.

        Statements before it are only looked at, so that what they would have made is not there.
        """
        known = read(parameters)
        trees = enumerate(self._parse(text))
        plans = [self._plan(tree, known, None, Source(text, number)) for number, tree in trees]
        if not plans:
            raise InvalidArgument(_NOTHING)
        return plans[-1].planned

    def speak(self, dialect: str) -> None:
        """Have statements be of another dialect, `bigquery` or `duckdb`."""
        if dialect not in ("bigquery", "duckdb"):
            raise InvalidArgument(f"dialect {dialect!r}: expected bigquery or duckdb")
        self._settle()
        with told():
            for setting in (*PROGRESS, *SETTINGS):
                changes = setting if dialect == "bigquery" or setting in PROGRESS else undone(setting)
                self.cursor.execute(changes)
            own = self.database.make(self.project) if dialect == "duckdb" else "memory"
            self.cursor.execute(f"USE {quoted(own)}")  # what DuckDB's own statements name
        self.dialect = dialect

    def use(self, dataset: str, project: str = "") -> None:
        """Have plain names be those of another dataset; raises NotFound."""
        name = DatasetName(project or self.project, dataset)
        if not self.store.has_dataset(name):
            raise NotFound(f"Not found: Dataset {name}")
        self.default = name

    def register(self, name: str, table: Any) -> None:
        """Have a plain name stand for a data frame or an Arrow table, as long as this is open."""
        self._settle()
        with told():
            self.cursor.register(name, table)
        self.temporary[name] = "FRAME"
        self.database.changed()

    def unregister(self, name: str) -> None:
        """Forget a data frame."""
        self._settle()
        if self.temporary.get(name) != "FRAME":
            raise NotFound(f"there is no data frame {name}")
        self.forget_temporary(name)

    def interrupt(self) -> None:
        """Have the statement that runs end, within a second, with Cancelled; called by another thread."""
        self._interrupted = True
        self.cursor.interrupt()
        if self._functions:
            self.database.functions.interrupt(self._functions)
        self._waiting.interrupt()

    @property
    def progress(self) -> float:
        """How much of the statement that runs is done, from 0 to 1, as far as can be told; else -1."""
        try:
            done = float(self.cursor.query_progress())
        except Exception:  # noqa: BLE001 - it is for show
            return -1.0
        return done / 100 if 0 <= done <= 100 else -1.0

    def close(self) -> None:
        """End it. Rows that have not been taken may still be, if they were not to be streamed."""
        if not self._closed:
            self._settle()
            self._use.end()
            self._closed = True
            self.cursor.close()

    def transaction(self) -> AbstractContextManager[None]:
        """Have all or nothing of what is done within happen; what is within a transaction is part of it."""
        return self.transactions.whole()

    def require_dataset(self, name: DatasetName, *, make: bool, where: str = "") -> None:
        """Raise NotFound where there is no such dataset, and this connection makes none.

        It is made where `make` is true: not while a statement is only planned.
        """
        if self.store.has_dataset(name):
            return
        if not self.makes_datasets:
            raise NotFound(f"Not found: Dataset {name}{where}")
        if make:
            self.store.create_dataset(name)

    def expect_no_model(self, name: ObjectName, where: str = "") -> None:
        """Raise AlreadyExists where a model has this name."""
        if self.database.models.exists(name):
            raise AlreadyExists(f"Already Exists: Model {name}{where}")

    def forget_temporary(self, name: str) -> None:
        """Drop a temporary table, or forget a data frame."""
        with told():
            if self.temporary.pop(name) == "TABLE":
                self.cursor.execute(f"DROP TABLE temp.main.{quoted(name)}")
            else:
                self.cursor.unregister(name)
        self.database.changed()

    def function(self, model: SqlModel, *, safe: bool) -> str:
        """Return the name of the DuckDB function that predicts, which is there now."""
        spec = None if model.remote is not None else partial(self.database.models.spec, model)
        return self.database.functions.ensure(self.database.root, model, spec, safe=safe)

    @contextmanager
    def failing(self, tree: exp.Expression | None) -> Iterator[None]:
        """Raise what a model raised, or what DuckDB did, as one of our errors."""
        try:
            yield
        except ServingError:
            raise
        except Exception as error:
            if self._functions and (raised := self.database.functions.raised(error)) is not None:
                if isinstance(raised, Cancelled) and not self._interrupted:
                    raise Aborted(f"{raised} for another statement; try again") from error
                raise raised from error
            if (raised := unconverted(error, self._models, tree)) is not None:
                raise raised from error
            with told(tree):
                raise

    def _parse(self, text: str) -> list[exp.Expression]:
        bounded(text)
        trees = parse(text, self.dialect)  # type: ignore[arg-type]
        for tree in trees:
            refuse(tree)
        return trees

    def _plan(
        self, tree: exp.Expression, known: Mapping[str, Parameter], into: Into | None, source: Source
    ) -> Plan:
        self._settle()
        with self._use, self._waiting, understood(), told(tree):
            return Planner(self, known, source).plan(tree, into)

    def _run(self, plan: Plan, known: Mapping[str, Parameter], streams: bool = False) -> Result:
        self._settle()
        if self._interrupted:
            raise Cancelled("the statement was cancelled")  # while it was planned
        self._use.begin()
        functions = [self.function(model, safe=safe) for model, safe in plan.models]
        self._functions, self._models = functions, [model for model, _ in plan.models]
        try:
            if plan.act is not None:
                within = nullcontext() if plan.alone else self.transaction()
                with self._waiting, self.failing(plan.tree), within:
                    return Result(plan.act())
            values = {name: known[name].value for name in plan.parameters}
            with self.failing(plan.tree):
                if streams and plan.planned.kind == "SELECT":
                    relation = self.cursor.sql(plan.text, params=values or None)
                    stream = StreamRows(relation, self._failing_later(plan, functions))
                    self._last = lambda: stream  # held: while it is open, DuckDB refuses any other
                    return Result(Done(plan.planned), stream)
                self.cursor.execute(plan.parsed or plan.text, values or None)
                if plan.gives_rows:
                    rows = CursorRows(self.cursor)
                    self._last = ref(rows)
                    return Result(Done(self._described(plan.planned)), rows)
                changed = self.cursor.fetchone()
            return Result(plan.done(int(changed[0]) if changed else 0))
        finally:
            if not streams:
                self._functions = []
                self._use.end()

    def _described(self, planned: Planned) -> Planned:
        """Add the columns that a statement turned out to give, of which they were not known before."""
        if planned.fields or planned.kind == "SELECT":
            return planned
        fields = tuple(Field(one[0], of_duckdb(one[1])) for one in self.cursor.description or ())
        return replace(planned, fields=fields)

    def _failing_later(self, plan: Plan, functions: list[str]) -> Callable[[], AbstractContextManager[None]]:
        """Return what rows are taken in that are made as they are taken."""

        @contextmanager
        def failing() -> Iterator[None]:
            self._functions = functions
            with self.failing(plan.tree):
                yield

        return failing

    def _settle(self) -> None:
        """Take the rows of the last result out of the cursor, which is wanted for something else."""
        rows = self._last()
        self._last = nothing
        if rows is not None:
            rows.settle()

    def _changed(self) -> None:
        """Know that a transaction has ended, with which tables may have come or gone."""
        there = "SELECT table_name FROM duckdb_tables() WHERE database_name = 'temp'"
        with told():
            tables = {one for (one,) in self.cursor.execute(there).fetchall()}
        for name in [name for name, kind in self.temporary.items() if kind == "TABLE" and name not in tables]:
            del self.temporary[name]
        self.database.changed()

    def _key(self, text: str, known: Mapping[str, Parameter]) -> Hashable:
        types = tuple((name, one.type) for name, one in known.items())
        database = self.database
        if self.temporary:
            return None
        return (
            text, self.project, self.default, self.dialect, types, database.models.revision(),
            database.version,
        )  # fmt: skip
