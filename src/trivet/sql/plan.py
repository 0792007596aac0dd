"""From a statement as it was written to what DuckDB runs, or to what is done beside it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from trivet.core.errors import InvalidArgument, NotFound, ServingError, Unimplemented
from trivet.sql import images, predict, written
from trivet.sql.failures import told
from trivet.sql.files import reading
from trivet.sql.known import Known, put_back, taken_out
from trivet.sql.model import SqlModel
from trivet.sql.names import DatasetName
from trivet.sql.parameters import Parameter
from trivet.sql.positions import at
from trivet.sql.quoting import quoted
from trivet.sql.resolve import Names, models_of, parts
from trivet.sql.result import Done, Planned
from trivet.sql.translate import translate
from trivet.sql.types import Field, of_duckdb
from trivet.sql.unseen import refuse_unseen

if TYPE_CHECKING:
    from trivet.core.predictor import Predictor
    from trivet.sql.session import Connection, Into


@dataclass(frozen=True, slots=True)
class Plan:
    """What is run: `text`, which is DuckDB's, with these parameters, or `act` instead.

    The functions of `models` must be there. `kept` says that it may be run again for the same text. It has
    been `parsed` by DuckDB then: that would take a quarter of the time of a statement for one row.
    """

    planned: Planned
    tree: exp.Expression
    text: str = ""
    parameters: tuple[str, ...] = ()
    models: tuple[tuple[SqlModel, bool], ...] = ()
    act: Callable[[], Done] | None = None
    gives_rows: bool = False
    kept: bool = False
    counts: str = ""
    alone: bool = False
    """Whether `act` is about the transaction itself, and so in none of its own."""
    parsed: Any = None

    def parse(self, cursor: Any) -> "Plan":
        """Return the plan with what DuckDB has read in its text, for as often as it is run."""
        with told(self.tree):
            statements = cursor.extract_statements(self.text)
        return replace(self, parsed=statements[0]) if len(statements) == 1 else self

    def done(self, rows: int) -> Done:
        """Return what was done, where so many rows were changed."""
        changes = {self.counts: rows} if self.counts else {}
        target = self.planned.target
        message = f"{_VERBS.get(self.planned.kind, 'changed')} {rows:,} row{'' if rows == 1 else 's'}"
        if target is not None and self.planned.operation:
            message = f"Created table {target} with {rows:,} row{'' if rows == 1 else 's'}"
        return Done(self.planned, rows, message, changes)


_VERBS = {
    "INSERT": "Inserted", "UPDATE": "Updated", "DELETE": "Deleted", "MERGE": "Merged",
    "TRUNCATE_TABLE": "Deleted",
}  # fmt: skip
COUNTS = {"INSERT": "inserted", "UPDATE": "updated", "DELETE": "deleted", "TRUNCATE_TABLE": "deleted"}


@dataclass(frozen=True, slots=True)
class Source:
    """Where a statement was written: which one it is of a text, the first being 0."""

    text: str = ""
    number: int = 0

    def query(self, dialect: str) -> str:
        """Return the query of a CREATE as it was written."""
        listed = [text for _, text in written.statements(self.text, dialect)]
        return written.query_of(listed[self.number], dialect)


@dataclass(slots=True)
class Planner:
    """Plans one statement; a `Scope` for those who help."""

    connection: "Connection"
    parameters: Mapping[str, Parameter]
    source: Source = Source()
    used: list[tuple[SqlModel, bool]] = field(default_factory=list)
    names: Names = field(init=False)

    def __post_init__(self) -> None:
        self.names = Names(self.connection, lambda path, table: reading(self.connection, path, table))

    def plan(self, tree: exp.Expression, into: "Into | None" = None) -> Plan:
        """Return how to run a statement; raises what is wrong with it, and Unimplemented."""
        from trivet.sql import ddl, dml, model_statements, surroundings

        as_written = tree
        if self.connection.dialect == "duckdb":
            refuse_unseen(tree)
        tree = self._numbered(tree.copy())
        match tree:
            case exp.Query():
                return (
                    self._query(tree, as_written) if into is None else dml.into(self, tree, as_written, into)
                )
            case exp.Insert() | exp.Update() | exp.Delete() | exp.Merge() | exp.TruncateTable():
                return dml.plan(self, tree, as_written)
            case exp.Transaction() | exp.Commit() | exp.Rollback():
                return ddl.transaction(self, tree, as_written)
        if model_statements.is_about_models(tree):
            return surroundings.plan(self, tree, as_written)
        return ddl.plan(self, tree, as_written)

    def _query(self, tree: exp.Expression, as_written: exp.Expression) -> Plan:
        text, fields, parameters = self.query(tree)
        planned = Planned("SELECT", fields, tuple(self.names.tables))
        return Plan(
            planned, as_written, text, parameters, tuple(self.used), gives_rows=True, kept=self.names.kept
        )

    def query(self, tree: exp.Expression) -> tuple[str, tuple[Field, ...], tuple[str, ...]]:
        """Return a query as DuckDB has it, its columns, and the names of the parameters in it."""
        made = self.made(tree)
        return self.finished(made)

    def made(self, tree: exp.Expression) -> exp.Expression:
        """Return a tree with full names, in DuckDB's SQL, in which functions stand for ML.PREDICT."""
        tree = self.names.resolve(tree)
        self._typed(tree)
        if self.connection.dialect == "bigquery":
            ready = taken_out(tree)
            tree = translate(tree, self.schema(), Known(self, ready).columns)
            put_back(tree, ready)
        for one in list(tree.find_all(exp.Parameter)):
            to = exp.DataType.build(self.parameters[one.name].type.duckdb, dialect="duckdb")
            if isinstance(one.parent, exp.Cast) and one.arg_key == "this":
                one.parent.set("to", to)
            else:
                one.replace(exp.Cast(this=one.copy(), to=to))
        if images.concerned(tree):
            self.connection.database.have_images()
            tree = images.rewrite(tree)
        if next(models_of(tree), None) is not None:
            tree = predict.rewrite(tree, self)
        return tree

    def finished(self, tree: exp.Expression) -> tuple[str, tuple[Field, ...], tuple[str, ...]]:
        """Return the text of a query, whose columns are of types that GoogleSQL has."""
        text = duckdb_text(tree)
        names, types = self._bound(tree)
        fields = self._fields(names, types)
        wanted = [str(type_) for type_ in types]
        if self.connection.dialect == "bigquery":
            wanted = [one.type.duckdb for one in fields]
        if any(_differs(type_, one) for type_, one in zip(types, wanted, strict=True)):
            columns = ", ".join(
                f"CAST({quoted(name)} AS {one}) AS {quoted(name)}" if _differs(type_, one) else quoted(name)
                for name, type_, one in zip(names, types, wanted, strict=True)
            )
            text = f"SELECT {columns} FROM ({text})"
        return text, fields, used_parameters(tree)

    # what a Scope has

    def model(self, name: exp.Table) -> SqlModel:
        """Return the model of a name."""
        if (given := name.meta.get("model")) is not None:
            assert isinstance(given, SqlModel)
            return given
        default: DatasetName | None = name.meta.get("default") or self.connection.default
        try:
            return self.connection.database.models.named(
                parts(name),
                default.project if default else self.connection.project,
                default.dataset if default else "",
            )
        except ServingError as error:
            if not isinstance(error, (NotFound, InvalidArgument)):
                raise
            raise type(error)(f"{error}{at(name)}") from None

    def describe(self, query: exp.Expression) -> Sequence[Field]:
        """Return the columns of a query."""
        return self._fields(*self._bound(query))

    def function(self, model: SqlModel, *, safe: bool) -> str:
        """Return the name of the function that predicts."""
        if (model, safe) not in self.used:
            self.used.append((model, safe))
        return self.connection.function(model, safe=safe)

    def predictor(self, model: SqlModel) -> "Predictor":
        """Return what predicts, loaded."""
        return self.connection.database.predictor(model)

    def translated(self, tree: exp.Expression) -> exp.Expression:
        """Return an expression's query in DuckDB's SQL, where no table is named."""
        if self.connection.dialect == "duckdb":
            return tree
        return translate(tree)

    def value(self, expression: exp.Expression) -> Any:
        """Return the value of an expression that needs no table."""
        text, _, parameters = Planner(self.connection, self.parameters).query(exp.select(expression.copy()))
        values = {name: self.parameters[name].value for name in parameters}
        with self.connection.failing(expression):
            return self.connection.cursor.execute(text, values or None).fetchone()[0]

    # how

    def _bound(self, tree: exp.Expression) -> tuple[list[str], list[Any]]:
        tree = tree.copy()
        for one in list(tree.find_all(exp.Parameter)):
            one.replace(exp.Null())
        with told(tree):
            relation = self.connection.cursor.sql(duckdb_text(tree))
            if relation is None:
                raise InvalidArgument("expected a query")
            return list(relation.columns), list(relation.types)

    def _fields(self, names: Sequence[str], types: Sequence[Any]) -> tuple[Field, ...]:
        seen: set[str] = set()
        doubled = []
        for name in names:
            if name.lower() in seen:
                doubled.append(name)
            seen.add(name.lower())
        if doubled:
            raise InvalidArgument(
                "Duplicate column names in the result are not supported. Found duplicate(s): "
                + ", ".join(dict.fromkeys(doubled))
            )
        return tuple(Field(name, of_duckdb(type_)) for name, type_ in zip(names, types, strict=True))

    def _numbered(self, tree: exp.Expression) -> exp.Expression:
        """Give the parameters of `?` names, in the order in which they stand in the text."""
        unnamed = [one for one in tree.find_all(exp.Placeholder) if one.this is None]
        for number, one in enumerate(sorted(unnamed, key=_where), 1):
            made = exp.Parameter(this=exp.Var(this=f"p{number}"))
            made.meta.update(one.meta)
            one.replace(made)
        return tree

    def _typed(self, tree: exp.Expression) -> None:
        """Say of each parameter what type it is of; raises InvalidArgument for one that is not given."""
        for one in list(tree.find_all(exp.Parameter)):
            if isinstance(one.parent, exp.Cast) and one.parent.meta.get("parameter"):
                continue
            if isinstance(one.this, exp.Parameter):
                raise Unimplemented(f"@@{one.this.name}: Trivet has no system variables{at(one)}")
            name = one.name.lower()
            if name not in self.parameters:
                called = f"'{one.name}'" if not _positional(name) else f"number {name[1:]}"
                raise InvalidArgument(f"Query parameter {called} not found{at(one)}")
            type_ = self.parameters[name].type
            cast = exp.Cast(
                this=exp.Parameter(this=exp.Var(this=name)),
                to=exp.DataType.build(str(type_), dialect="bigquery"),
            )
            cast.meta["parameter"] = True
            one.replace(cast)

    def schema(self) -> dict[str, Any]:
        """Return the columns of the tables that are named, as `translate` takes them."""
        schema: dict[str, Any] = {}
        for name in self.names.tables:
            table = self.connection.store.table(name)
            if table.kind == "TABLE":
                catalog = self.connection.database.attach(name.project)
                columns = {one.name: str(one.type) for one in table.fields}
                schema.setdefault(catalog, {}).setdefault(name.dataset, {})[name.name] = columns
        return schema


def used_parameters(tree: exp.Expression) -> tuple[str, ...]:
    """Return the names of the parameters that are left in a tree."""
    return tuple(dict.fromkeys(one.name for one in tree.find_all(exp.Parameter)))


def duckdb_text(tree: exp.Expression) -> str:
    """Return the text of a tree, with all names quoted."""
    return str(tree.sql(dialect="duckdb", identify=True))


def _positional(name: str) -> bool:
    return name[:1] == "p" and name[1:].isdigit()


def _where(node: exp.Expression) -> int:
    start = node.meta.get("start", 0)
    assert isinstance(start, int)
    return start


def _differs(type_: Any, wanted: str) -> bool:
    return str(type_).replace('"', "") != wanted.replace('"', "")
