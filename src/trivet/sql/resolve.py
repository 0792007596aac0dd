"""Names of tables in a statement: made full, and views, files and INFORMATION_SCHEMA put in their place."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from trivet.core.errors import FailedPrecondition, InvalidArgument, NotFound, ServingError, Unimplemented
from trivet.sql import information
from trivet.sql.dialect import ModelFunction, file_of, parse
from trivet.sql.names import DatasetName, ObjectName, dataset_name
from trivet.sql.positions import at
from trivet.sql.translate import translate
from trivet.sql.unseen import refuse_unseen

if TYPE_CHECKING:
    from trivet.sql.session import Connection
    from trivet.sql.store import Table

_HANGING = ("joins", "pivots", "laterals", "sample")
"""What sqlglot hangs on a table, and what stays when something else takes the table's place."""

_DEEP = 50
"""Views in views."""

READY = "duckdb"
"""The key of `meta` of what is DuckDB's SQL already, and is left alone by what translates."""


@dataclass(slots=True)
class Names:
    """Makes the names of one statement full, and remembers what it names."""

    connection: "Connection"
    files: Callable[[str, exp.Table], exp.Expression]
    tables: list[ObjectName] = field(default_factory=list)
    kept: bool = True
    """Whether the plan may be used again: not where files have to be looked for."""

    def resolve(
        self, tree: exp.Expression, default: DatasetName | None = None, dialect: str = "", depth: int = 0
    ) -> exp.Expression:
        """Return a tree in which every table that is read has its full name.

        Raises NotFound for a table or dataset that is not there, InvalidArgument for a name that cannot be
        one, and Unimplemented for wildcard tables and earlier states of tables.
        """
        dialect = dialect or self.connection.dialect
        top = depth == 0
        for table in list(tree.find_all(exp.Table)):
            if not isinstance(table.this, exp.Identifier) or _is_model(table) or _of_cte(table):
                continue
            found = self._found(table, default or self.connection.default, dialect, depth, top=top)
            if found is not table:
                _replace(table, found)
                if table is tree:
                    tree = found
        return tree

    def _found(
        self, table: exp.Table, default: DatasetName | None, dialect: str, depth: int, *, top: bool
    ) -> exp.Expression:
        if path := file_of(table):
            self.kept = self.kept and not set(path) & set("*?[") and "://" not in path
            return _aliased(self.files(path, table), table, "")
        if view := information.named(table):
            query = information.query(self.connection, view, parts(table)[:-1], default)
            query.meta[READY] = True
            return _aliased(exp.Subquery(this=query), table, view)
        if not table.db and top and table.name in self.connection.temporary:
            _name(table, [table.name])
            return table
        name = self.full(table, default)
        if table.args.get("version"):
            raise Unimplemented(f"FOR SYSTEM_TIME AS OF: earlier states of tables are not kept{at(table)}")
        if name.name.endswith("*"):
            raise Unimplemented(
                f"{name}: wildcard tables are not supported; name them with UNION ALL{at(table)}"
            )
        try:
            about = self.connection.store.table(name)
        except NotFound as error:
            raise NotFound(f"{error}{self._near(name)}{at(table)}") from None
        if name not in self.tables:
            self.tables.append(name)
        self.kept = self.kept and "expirationTime" not in about.document
        if about.kind == "VIEW":
            return _aliased(self._view(about, table, dialect, depth), table, name.name)
        self.put(table, name)
        return table

    def full(self, table: exp.Table, default: DatasetName | None = None) -> ObjectName:
        """Return the full name of a table, of which there need not be one; raises InvalidArgument."""
        default = default or self.connection.default
        written = parts(table)
        if len(written) > 3:
            raise InvalidArgument(f"Invalid table name: {'.'.join(written)}{at(table)}")
        *before, name = written
        if not before:
            if default is None:
                raise InvalidArgument(
                    f'Table "{name}" must be qualified with a dataset (e.g. dataset.table){at(table)}'
                )
            before = [default.project, default.dataset]
        if len(before) == 1:
            before = [self.connection.project, *before]
        try:
            return _child(dataset_name(*before), name)
        except InvalidArgument as error:
            raise InvalidArgument(f"{error}{at(table)}") from None

    def put(self, table: exp.Table, name: ObjectName) -> None:
        """Have a node name a table as DuckDB knows it."""
        _name(table, [self.connection.database.attach(name.project), name.dataset, name.name])

    def _view(self, view: "Table", table: exp.Table, dialect: str, depth: int) -> exp.Expression:
        if depth >= _DEEP:
            raise FailedPrecondition(
                f"View {view.name}: views are nested too deeply, or in a circle{at(table)}"
            )
        try:
            (query,) = parse(view.query, view.dialect)  # type: ignore[arg-type]
            if view.dialect == "duckdb":
                refuse_unseen(query)
            names = [one.name for one in view.fields]
            default = view.default or view.name.parent
            for model in models_of(query):
                qualify(model, default)
            query = self.resolve(query, default, view.dialect, depth + 1)
        except ServingError as error:
            if depth == 0:
                error.args = (f"View {view.name}: {error}", *error.args[1:])
            raise
        if view.dialect == "duckdb" and dialect == "bigquery":
            query.meta[READY] = True
        elif view.dialect == "bigquery" and dialect == "duckdb":
            query = translate(query)
        alias = exp.TableAlias(this=None, columns=[exp.to_identifier(one, quoted=True) for one in names])
        return exp.Subquery(this=query, alias=alias)

    def _near(self, name: ObjectName) -> str:
        with_case = ""
        with suppress(ServingError):
            with_case = self.connection.store.alike(name)
        return f"; did you mean {with_case}? Names are case-sensitive" if with_case else ""


def models_of(tree: exp.Expression) -> Iterator[exp.Table]:
    """Yield the names of models in a statement."""
    for table in tree.find_all(exp.Table):
        if _is_model(table):
            yield table


def qualify(model: exp.Table, default: DatasetName) -> None:
    """Have a model's name mean what it means in this dataset, where it is said with one."""
    if len(parts(model)) == 2:
        model.set("catalog", exp.to_identifier(default.project, quoted=True))
    elif len(parts(model)) == 1:
        model.meta["default"] = default


def parts(table: exp.Table) -> list[str]:
    """Return the parts of a name as written."""
    return [part.name for part in table.parts]


def _child(parent: DatasetName, name: str) -> ObjectName:
    return ObjectName(parent.project, parent.dataset, name) if name.endswith("*") else parent.child(name)


def _name(table: exp.Table, names: Sequence[str]) -> None:
    if not table.alias:
        table.set("alias", exp.TableAlias(this=exp.to_identifier(names[-1], quoted=True)))
    for key, name in zip(("this", "db", "catalog"), [*reversed(names), None, None], strict=False):
        was = table.args.get(key)
        made = exp.to_identifier(name, quoted=True) if name is not None else None
        if made is not None and was is not None and was.meta:
            made.meta.update(was.meta)
        table.set(key, made)


def _is_model(table: exp.Table) -> bool:
    return isinstance(table.parent, (exp.Predict, ModelFunction)) and table.arg_key == "this"


def _of_cte(table: exp.Table) -> bool:
    """Whether a plain name is that of a common table expression that can be seen from there."""
    if table.db or file_of(table):
        return False
    name, node = table.name.lower(), table.parent
    inner: exp.Expression = table
    while node is not None:
        with_ = node.args.get("with_") or node.args.get("with")
        if isinstance(with_, exp.With):
            for cte in with_.expressions:
                if cte is inner and not with_.args.get("recursive"):
                    break
                if cte.alias.lower() == name:
                    return True
        inner = node if isinstance(node, exp.CTE) else inner
        node = node.parent
    return False


def _aliased(made: exp.Expression, table: exp.Table, name: str) -> exp.Expression:
    """Give what takes the place of a table that table's alias, or its name."""
    written = table.args.get("alias")
    mine: Any = made.args.get("alias")
    this = written.this if written is not None else exp.to_identifier(name, quoted=True) if name else None
    columns = (written.args.get("columns") if written is not None else None) or (
        mine.args.get("columns") if mine is not None else None
    )
    if this is not None or columns:
        made.set("alias", exp.TableAlias(this=this, columns=columns))
    return made


def _replace(table: exp.Table, made: exp.Expression) -> None:
    for key in _HANGING:
        if table.args.get(key):
            made.set(key, table.args[key])
    table.replace(made)
