"""Runs the statements about models: CREATE, DROP, ALTER and EXPORT MODEL.

What they ask for is checked here, as far as the text tells; what comes of it is `models`'.
"""

from pathlib import Path
from typing import Any, Protocol

from sqlglot import exp

from trivet.core.errors import AlreadyExists, InvalidArgument, NotFound
from trivet.sql import dialect, options
from trivet.sql.create_model import creation, source_of
from trivet.sql.creation import Creation
from trivet.sql.models import Models
from trivet.sql.names import DatasetName, ObjectName
from trivet.sql.positions import at, positioned
from trivet.sql.result import Done, Planned
from trivet.storage.targets import Target

_NOWHERE = dialect.Option(None)


class Surroundings(Protocol):
    """What a statement about models may ask of the connection that it is for."""

    @property
    def folder(self) -> Path | None:
        """What relative paths in statements are relative to; None where there must be none."""
        ...

    def name(self, table: exp.Table) -> ObjectName:
        """Return the full name of a model, with the connection's defaults; raises InvalidArgument."""
        ...

    def require_dataset(self, name: DatasetName) -> None:
        """Raise NotFound where there is no such dataset and none is to be made for it."""
        ...

    def has_table(self, name: ObjectName) -> bool:
        """Whether a table or view has this name."""
        ...

    def value(self, expression: exp.Expression) -> Any:
        """Return the value of an expression that needs no table, such as TIMESTAMP '2030-01-01'."""
        ...

    def exports(self, uri: str) -> Target:
        """Return the folder that an absolute path or a URI means; raises InvalidArgument."""
        ...


def is_about_models(tree: exp.Expression) -> bool:
    """Whether a statement is one of those that are run here."""
    if isinstance(tree, exp.Create | exp.Drop):
        return str(tree.args.get("kind") or "").upper() == "MODEL"
    return isinstance(tree, dialect.AlterModel | dialect.ExportModel)


def planned(tree: exp.Expression, models: Models, place: Surroundings) -> Planned:
    """Return what a statement about models would do, having checked all that does not need a model loaded."""
    return _plan(tree, models, place)[0]


def run(tree: exp.Expression, models: Models, place: Surroundings) -> Done:
    """Run a statement about models; errors say where in the text."""
    plan, asked = _plan(tree, models, place)
    name = plan.target
    assert isinstance(name, ObjectName)
    if plan.operation == "SKIP":
        return Done(
            plan,
            message=f"Skipped: Model {name} {'exists' if plan.kind == 'CREATE_MODEL' else 'is not there'}.",
        )
    match plan.kind:
        case "CREATE_MODEL":
            assert isinstance(asked, Creation)
            path = dialect.options(tree).get("model_path", _NOWHERE)
            with positioned(at(_table(tree))), positioned(path.at, asked.path or " "):
                models.create(asked)
            return Done(plan, message=f"Successfully created model named {name.name}.")
        case "DROP_MODEL":
            with positioned(at(_table(tree))):
                models.drop(name)
            return Done(plan, message=f"Dropped model {name}.")
        case "ALTER_MODEL":
            with positioned(at(_table(tree))):
                models.alter(name, asked)
            return Done(plan, message=f"Altered model {name}.")
    with positioned(at(_table(tree))):
        files = models.export(models.find(name), place.exports(asked))
    return Done(plan, message=f"Exported {len(files)} file{'s' if len(files) > 1 else ''} of model {name}.")


def _plan(tree: exp.Expression, models: Models, place: Surroundings) -> tuple[Planned, Any]:
    dialect.refuse(tree)
    name = place.name(_table(tree))
    if isinstance(tree, exp.Create):
        return _plan_create(tree, name, models, place)
    where = at(_table(tree))
    there = models.exists(name)
    if not there and not tree.args.get("exists"):
        raise NotFound(f"Not found: Model {name}{where}")
    if isinstance(tree, exp.Drop):
        return Planned("DROP_MODEL", target=name, operation="DROP" if there else "SKIP"), None
    if isinstance(tree, dialect.AlterModel):
        given = options.read(tree, options.ALTERED, "ALTER MODEL", place.value)
        changes = {
            ("expires" if key == "expiration_timestamp" else key): one for key, one in given.values.items()
        }
        return Planned("ALTER_MODEL", target=name, operation="ALTER" if there else "SKIP"), changes
    given = options.read(tree, options.EXPORTED, "EXPORT MODEL", place.value)
    uri = given.about("uri")
    if not uri:
        raise InvalidArgument(f"EXPORT MODEL: OPTIONS(uri='..') is required{where}")
    target = source_of(uri, place.folder, "uri", given.at("uri"))
    return Planned("EXPORT_MODEL", target=name), target


def _plan_create(
    tree: exp.Create, name: ObjectName, models: Models, place: Surroundings
) -> tuple[Planned, Creation]:
    where = at(_table(tree))
    replace, skip = bool(tree.args.get("replace")), bool(tree.args.get("exists"))
    if replace and skip:
        raise InvalidArgument(f"CREATE MODEL cannot have both OR REPLACE and IF NOT EXISTS{where}")
    asked = creation(tree, name, models, place.value, place.folder)
    with positioned(at(_table(tree))):
        name.parent.child(name.name)  # for what cannot be a name
        place.require_dataset(name.parent)
    if place.has_table(name):
        raise AlreadyExists(f"Already Exists: Table {name}{where}")
    there = models.exists(name)
    if there and not (replace or skip):
        raise AlreadyExists(f"Already Exists: Model {name}{where}")
    operation = "REPLACE" if there and replace else "SKIP" if there else "CREATE"
    return Planned("CREATE_MODEL", target=name, operation=operation), asked


def _table(tree: exp.Expression) -> exp.Table:
    """Return the name that a statement is about."""
    table = tree.args["tables"][0] if isinstance(tree, exp.Drop) else tree.this
    assert isinstance(table, exp.Table)
    return table
