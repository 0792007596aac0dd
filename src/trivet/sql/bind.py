"""Which columns of a query are a model's inputs, and how they become what it takes.

Columns are found by name, in any case and any order. What GoogleSQL coerces without a CAST is taken by every
model; those that BigQuery imports as ONNX and XGBOOST take what can be CAST, as there.
Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/conversion_rules
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
from sqlglot import exp

from trivet.core.errors import InvalidArgument
from trivet.core.signature import unknown
from trivet.sql.columns import check_names
from trivet.sql.model import SqlModel
from trivet.sql.types import FLOAT64, INT64, Field, Type, array

INVALID = "Invalid table-valued function ML.PREDICT"

_CASTS: Mapping[str, frozenset[str]] = {
    "INT64": frozenset(("FLOAT64", "NUMERIC", "BIGNUMERIC", "STRING", "BOOL")),
    "FLOAT64": frozenset(("INT64", "NUMERIC", "BIGNUMERIC", "STRING")),
    "NUMERIC": frozenset(("INT64", "FLOAT64", "BIGNUMERIC", "STRING")),
    "BIGNUMERIC": frozenset(("INT64", "FLOAT64", "NUMERIC", "STRING")),
    "BOOL": frozenset(("INT64", "STRING")),
    "STRING": frozenset(("BOOL", "INT64")),
}
"""What may become a value of this type by a CAST that says so, besides what is coerced."""

_CONVERTIBLE = frozenset(("ONNX", "XGBOOST"))
_PIXELS = (array(FLOAT64), array(INT64))
_FRACTIONS = ("FLOAT64", "NUMERIC", "BIGNUMERIC")


def arguments(model: SqlModel, columns: Sequence[Field], where: str) -> list[exp.Expression]:
    """Return what the model's function is called with: an expression over the columns for each input.

    A model without inputs of its own gets the whole row, and the names of its columns of JSON. Raises
    InvalidArgument, with `where` (` at [1:15]`), for a column that is missing, or of a type that cannot be
    what the model takes.
    """
    return bound(model, columns, where, None)


def bound(
    model: SqlModel, columns: Sequence[Field], where: str, refused: list[exp.Expression] | None
) -> list[exp.Expression]:
    """Do the same; where a list is given, values that cannot be what is wanted are no errors.

    What is true of such rows is added to the list.
    """
    if not model.inputs:
        return _whole(columns)
    check_names(model.inputs)
    conversion = _Conversion(model.type in _CONVERTIBLE, refused)
    known = {one.name.lower(): one for one in columns}
    found = []
    for wanted in model.inputs:
        given = known.get(wanted.name.lower())
        if given is None:
            raise InvalidArgument(_missing(model, wanted, columns) + where)
        made = conversion.of(_column(given), given.type, wanted.type)
        if made is None:
            raise InvalidArgument(
                f"{INVALID}\nColumn {given.name} has type {given.type}, which cannot be {wanted.type}; model "
                f"{model.name} takes it as {wanted.type}{where}"
            )
        found.append(made)
    return found


def _missing(model: SqlModel, wanted: Field, columns: Sequence[Field]) -> str:
    near = unknown(wanted.name, [one.name for one in columns], "column").partition("; ")[2]
    hint = f"; {near}" if near.startswith("did you mean") else "."
    return (
        f"{INVALID}\nColumn {wanted.name} is not found in the input data to the PREDICT function. Model "
        f"{model.name} takes it as {wanted.type}{hint}"
    )


def _column(field: Field) -> exp.Expression:
    return exp.column(exp.to_identifier(field.name, quoted=True))


def _whole(columns: Sequence[Field]) -> list[exp.Expression]:
    fields = [
        exp.PropertyEQ(this=exp.to_identifier(one.name, quoted=True), expression=_column(one))
        for one in columns
    ]
    texts = [one.name for one in columns if one.type.kind == "JSON"]
    return [exp.Struct(expressions=fields), exp.Literal.string(msgspec.json.encode(texts).decode())]


@dataclass(frozen=True, slots=True)
class _Conversion:
    """Makes values what is wanted: what is coerced, and what can be cast where `casts`. See `bound`."""

    casts: bool
    refused: list[exp.Expression] | None

    def of(self, value: exp.Expression, given: Type, wanted: Type) -> exp.Expression | None:
        """Return the value as what is wanted; None where it cannot be."""
        if wanted.kind == "JSON":
            if given.kind in ("BYTES", "INTERVAL"):
                return None
            return _cast(value if given.kind == "JSON" else _call("to_json", value), "VARCHAR")
        if _is_image(given) and wanted.item is not None:
            given, value = given.fields[1].type, _call("struct_extract_at", value, exp.Literal.number(2))
        if given.item is not None and wanted.item is None:
            return self.of(self._only(value), given.item, wanted)
        if given.coerces_to(wanted):
            as_it_is = (
                given == wanted == FLOAT64
            )  # FLOAT becomes DOUBLE without the CAST, which is slow to plan
            return value if as_it_is else _cast(value, wanted.duckdb)
        one, other = (given.item, wanted.item) if given.item and wanted.item else (given, wanted)
        if not self.casts or one.kind not in _CASTS.get(other.kind, ()):
            return None
        if other.kind == "INT64" and one.kind in _FRACTIONS:  # half away from zero, as GoogleSQL rounds
            value = _rounded(value, given)
        return self._cast(value, wanted.duckdb)

    def _cast(self, value: exp.Expression, type_: str) -> exp.Expression:
        """Cast what may not be possible."""
        cast = _cast(value, type_)
        if self.refused is None:
            return cast
        tried = exp.TryCast(this=value.copy(), to=cast.args["to"])
        there = exp.Not(this=exp.Is(this=value.copy(), expression=exp.Null()))
        self.refused.append(exp.And(this=there, expression=exp.Is(this=tried.copy(), expression=exp.Null())))
        return tried

    def _only(self, value: exp.Expression) -> exp.Expression:
        """Return the one value that an array has; any other array is an error."""
        other = exp.NEQ(this=_call("len", value.copy()), expression=exp.Literal.number(1))
        first = _call("list_extract", value, exp.Literal.number(1))
        if self.refused is not None:
            self.refused.append(other)
            return first
        said = exp.Literal.string("an ARRAY of one value was expected")
        return exp.Case(ifs=[exp.If(this=other, true=_call("error", said))], default=first)


def _is_image(type_: Type) -> bool:
    """Whether it is what ML.DECODE_IMAGE gives: a size, and values."""
    kinds = [one.type for one in type_.fields]
    return len(kinds) == 2 and kinds[0] == array(INT64) and kinds[1] in _PIXELS


def _rounded(value: exp.Expression, given: Type) -> exp.Expression:
    if given.item is None:
        return _call("round", value)
    name = exp.to_identifier("e")
    return _call(
        "list_transform", value, exp.Lambda(this=_call("round", exp.column(name)), expressions=[name])
    )


def _call(name: str, *given: exp.Expression) -> exp.Expression:
    return exp.Anonymous(this=name, expressions=list(given))


def _cast(value: exp.Expression, type_: str) -> exp.Expression:
    return exp.Cast(this=value, to=exp.DataType.build(type_, dialect="duckdb"))
