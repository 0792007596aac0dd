"""Nodes that BigQuery's statements about models have in a tree, and what else is read from trees."""

import re
from dataclasses import dataclass
from typing import Any, ClassVar

from sqlglot import exp

from trivet.core.errors import InvalidArgument
from trivet.sql.positions import at


class ModelFunction(exp.Expression, exp.Func):
    """`ML.EVALUATE(MODEL m, (query), STRUCT(..))` and all others but ML.PREDICT, which is `exp.Predict`.

    `this` is the model's table, `function` the name in capitals, `expression` a Table, a Subquery or None,
    `params_struct` what else was given, most often a Struct. In a FROM it is the `this` of a Table whose `db`
    is ML, as `exp.Predict` is.
    """

    arg_types: ClassVar[dict[str, bool]] = {
        "this": True,
        "function": True,
        "expression": False,
        "params_struct": False,
    }

    @property
    def function(self) -> str:
        """The name, `EVALUATE`."""
        return str(self.args["function"])


class AlterModel(exp.Expression):
    """`ALTER MODEL [IF EXISTS] m SET OPTIONS(..)`; see `options`."""

    arg_types: ClassVar[dict[str, bool]] = {"this": True, "exists": False, "properties": True}


class AlterColumnOptions(exp.Expression):
    """The action of `ALTER TABLE t ALTER COLUMN [IF EXISTS] c SET OPTIONS(..)`; see `options`."""

    arg_types: ClassVar[dict[str, bool]] = {"this": True, "exists": False, "properties": True}


class ExportModel(exp.Expression):
    """`EXPORT MODEL m OPTIONS(..)`; see `options`."""

    arg_types: ClassVar[dict[str, bool]] = {"this": True, "properties": False}


@dataclass(frozen=True, slots=True)
class Option:
    """One of OPTIONS(..). `value` is Python's; an expression that is not constant stays a node."""

    value: Any
    at: str = ""


def options(node: exp.Expression) -> dict[str, Option]:
    """Return OPTIONS(..) of a statement or a column by their names in lower case.

    Strings, numbers, booleans, NULL, and arrays, tuples and structs of them become Python's `str`, `int`,
    `float`, `bool`, `None`, `list`, `tuple` and `dict`. Raises InvalidArgument for a name given twice.
    """
    found: dict[str, Option] = {}
    properties = node.args.get("properties")
    for one in properties.expressions if properties is not None else []:
        if type(one) is not exp.Property:
            continue
        name = one.name.lower()
        if name in found:
            raise InvalidArgument(f"Duplicate option specified for '{one.name}'{at(one)}")
        found[name] = Option(constant(one.args["value"]), at(one))
    return found


def constant(node: exp.Expression) -> Any:  # noqa: C901, PLR0911 - one for each kind of constant
    """Return the Python value of a constant, or the node itself where it is none."""
    match node:
        case exp.Null():
            return None
        case exp.Boolean():
            return bool(node.this)
        case exp.Literal(is_string=True) | exp.RawString():
            return node.name
        case exp.Literal():
            return int(node.name) if re.fullmatch(r"\d+", node.name) else float(node.name)
        case exp.Neg(this=exp.Literal(is_string=False)):
            return -constant(node.this)
        case exp.Paren():
            return constant(node.this)
        case exp.Array():
            return [constant(one) for one in node.expressions]
        case exp.Tuple():
            return tuple(constant(one) for one in node.expressions)
        case exp.Struct():
            named = [one for one in node.expressions if isinstance(one, exp.PropertyEQ)]
            if len(named) == len(node.expressions):
                return {one.name: constant(one.expression) for one in named}
            return tuple(constant(one) for one in node.expressions)
    return node


def file_of(table: exp.Table) -> str | None:
    """Return the path of a table that is a file, `FROM 'tx.parquet'` or `` FROM `data/tx.parquet` ``."""
    return table.name if table.meta.get("file") else None


def is_safe(call: exp.Expression) -> bool:
    """Whether a function of models is called as `SAFE.ML.X(..)`."""
    table = call.parent
    return isinstance(table, exp.Table) and table.catalog.upper() == "SAFE"
