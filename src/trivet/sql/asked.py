"""A function of models as it is asked for: its model, its rows, its options; and what it is answered with.

What a function answers is a query in DuckDB's SQL around the rows and one function that predicts them, as
ML.PREDICT is, only that the model is asked for another form of its answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlglot import exp, parse_one

from trivet.core.errors import InvalidArgument, Unimplemented
from trivet.core.predictor import Predictor
from trivet.core.signature import unknown
from trivet.sql.bind import arguments
from trivet.sql.model import SqlModel
from trivet.sql.positions import at
from trivet.sql.scope import Scope
from trivet.sql.types import Field

ANSWER = "__r"
"""The column of `Asked.rows` that holds what the model answered, a STRUCT."""

DEFAULT_LABEL = "label"


@dataclass(frozen=True, slots=True)
class Asked:
    """One call of a function, `ML.EVALUATE(MODEL m, (query), STRUCT(..))`.

    `inner` is the query as it may stand in the place of the call, and `columns` are its columns; None and
    none where the call has no query.
    """

    call: exp.Expression
    scope: Scope
    model: SqlModel
    inner: exp.Expression | None
    columns: Sequence[Field]

    @property
    def name(self) -> str:
        """The function's name, `EVALUATE`."""
        return str(self.call.args["function"])

    @property
    def subject(self) -> str:
        """The model, for messages."""
        return f"model {self.model.name} of type {self.model.type}"

    def invalid(self, why: str, node: exp.Expression | None = None) -> InvalidArgument:
        """Return the error for a call that is wrong, as BigQuery begins it."""
        return InvalidArgument(f"Invalid table-valued function ML.{self.name}\n{why}{self._at(node)}")

    def refused(self, why: str, node: exp.Expression | None = None) -> Unimplemented:
        """Return the error for a call that this model has no answer to."""
        return Unimplemented(f"ML.{self.name} is not supported for {self.subject}: {why}{self._at(node)}")

    def predictor(self) -> Predictor:
        """Return the model, loaded; raises Unimplemented for a remote one."""
        if self.model.remote is not None:
            raise self.refused("Trivet does not have the model of a remote endpoint")
        return self.scope.predictor(self.model)

    def options(self, known: Mapping[str, str]) -> dict[str, exp.Expression]:
        """Return the STRUCT's options by name; `known` are those there may be, "" or why one is refused."""
        given = self.call.args.get("params_struct")
        if given is None:
            return {}
        if not isinstance(given, exp.Struct):
            raise self.invalid("Expected STRUCT(value AS option, ..) as the last argument", given)
        found: dict[str, exp.Expression] = {}
        for one in given.expressions:
            name = one.name.lower() if isinstance(one, exp.PropertyEQ) else ""
            if not name:
                raise self.invalid("The options of STRUCT need names", one)
            if name not in known:
                raise self.invalid(f"Option {name}: {unknown(name, tuple(known), 'option')}", one)
            if known[name]:
                raise self.refused(f"option {name}: {known[name]}", one)
            found[name] = one.expression
        return found

    def rows(self, outputs: Sequence[Field], parameters: Mapping[str, Any]) -> exp.Expression:
        """Return the input's rows with the column `ANSWER`; raises InvalidArgument without input."""
        if self.inner is None:
            raise self.invalid(
                f"{self.subject} was not trained here: give TABLE t or a (query) with the rows to ask about"
            )
        if any(one.name == ANSWER for one in self.columns):
            raise self.invalid(f"Column {ANSWER}: a name that begins with __ is not for columns of data")
        model = replace(
            self.model, outputs=tuple(outputs), parameters={**self.model.parameters, **parameters}
        )
        try:
            given = arguments(model, self.columns, self._at())
        except InvalidArgument as error:
            told = str(error).replace("ML.PREDICT", f"ML.{self.name}")
            raise InvalidArgument(told.replace("PREDICT function", f"{self.name} function")) from None
        function = exp.Anonymous(this=self.scope.function(model, safe=False), expressions=given)
        query = template(f"SELECT *, __call AS {ANSWER} FROM __input AS __i", call=function, input=self.inner)
        return exp.Subquery(this=query, alias=exp.TableAlias(this=exp.to_identifier("__j")))

    def label(self, options: Mapping[str, exp.Expression]) -> Field:
        """Return the column that holds what should have been predicted.

        It is named by the option `input_label_col` (ours), by `input_label_cols` of CREATE MODEL, or is
        `label`. Raises InvalidArgument where there is none.
        """
        asked = options.get("input_label_col")
        if asked is not None and not (isinstance(asked, exp.Literal) and asked.is_string):
            raise self.invalid("Option input_label_col: expected the name of a column, a string", asked)
        name = asked.name if asked is not None else label_name(self.model)
        for one in self.columns:
            if one.name.lower() == name.lower():
                return one
        hint = (
            "name the column of the labels with STRUCT('column' AS input_label_col), or with "
            "OPTIONS(input_label_cols=['column']) of CREATE MODEL"
        )
        raise self.invalid(
            f"Column {name} is not found in the input data to the {self.name} function; {hint}", asked
        )

    def _at(self, node: exp.Expression | None = None) -> str:
        return (at(node) if node is not None else "") or at(self.call)


def label_name(model: SqlModel) -> str:
    """Return the name of the column that the model's labels are in."""
    named = model.options.get("input_label_cols") or ()
    return str(named if isinstance(named, str) else next(iter(named), DEFAULT_LABEL))


def template(text: str, **parts: exp.Expression | Sequence[exp.Expression]) -> exp.Select:
    """Return a SELECT of DuckDB's in which names that begin with `__` are replaced by these parts.

    A query becomes a subquery where it replaces a table, and several expressions may replace one in a list.
    """
    tree = parse_one(text, dialect="duckdb")
    for node in list(tree.find_all(exp.Column, exp.Table)):
        part = parts.get(node.name.removeprefix("__")) if node.name.startswith("__") else None
        if part is None:
            continue
        if isinstance(node, exp.Table) and isinstance(part, exp.Query) and not isinstance(part, exp.Subquery):
            node.replace(exp.Subquery(this=part.copy(), alias=node.args.get("alias")))
        elif isinstance(part, exp.Expression):
            node.replace(part.copy())
        else:
            node.replace([one.copy() for one in part])
    assert isinstance(tree, exp.Select)
    return tree


def column(name: str) -> exp.Expression:
    """Return a column, whatever its name is."""
    return exp.column(exp.to_identifier(name, quoted=True))


def named(value: exp.Expression, name: str) -> exp.Expression:
    """Return an expression as a column of this name."""
    return exp.Alias(this=value, alias=exp.to_identifier(name, quoted=True))


def answered(name: str) -> exp.Expression:
    """Return one of the model's outputs, within a query over `Asked.rows`."""
    return exp.Anonymous(this="struct_extract", expressions=[column(ANSWER), exp.Literal.string(name)])


def cast(value: exp.Expression, type_: str) -> exp.Expression:
    """Return a value CAST to a type of DuckDB's."""
    return exp.Cast(this=value, to=exp.DataType.build(type_, dialect="duckdb"))


def literal(value: Any) -> exp.Expression:
    """Return a constant: a list, a text, a number, a truth value or NULL."""
    if isinstance(value, list | tuple):
        return exp.Array(expressions=[literal(one) for one in value])
    if value is None:
        return exp.Null()
    if isinstance(value, bool):
        return exp.Boolean(this=value)
    if isinstance(value, str):
        return exp.Literal.string(value)
    if isinstance(value, float):
        return cast(exp.Literal.string(repr(value)), "DOUBLE")
    return exp.Literal.number(str(value)) if value >= 0 else exp.Neg(this=exp.Literal.number(str(-value)))
