"""What type an expression is of: sqlglot's table of functions, with GoogleSQL's rules where it has others."""

from collections.abc import Callable
from typing import Any

from sqlglot import exp
from sqlglot.optimizer.annotate_types import TypeAnnotator
from sqlglot.schema import MappingSchema

from trivet.sql.dialect import BigQueryML
from trivet.sql.translate.coercion import type_among
from trivet.sql.translate.forms import Node, kind, type_of

_UNKNOWN = exp.DType.UNKNOWN


class Typer(TypeAnnotator):
    """Notes types of the nodes of expressions whose columns are noted already."""

    def __init__(self) -> None:
        super().__init__(
            MappingSchema(dialect=BigQueryML),
            expression_metadata={**BigQueryML.EXPRESSION_METADATA, **_METADATA},
        )

    def note(self, node: Node, type_: exp.DataType | None) -> None:
        """Note a type, which stays, also that nothing is known."""
        self._set_type(node, type_ if type_ is not None else _UNKNOWN)

    def forget(self, node: Node) -> None:
        """Look at a node again."""
        self._visited.pop(id(node), None)

    def noted(self, node: Node) -> bool:
        """Whether a node has been looked at."""
        return id(node) in self._visited


def of_item(type_: Any) -> exp.DataType | None:
    """Return the type of the items of an array."""
    if isinstance(type_, exp.DataType) and type_.this == exp.DType.ARRAY and type_.expressions:
        item = type_.expressions[0]
        return item if isinstance(item, exp.DataType) and item.this != _UNKNOWN else None
    return None


def of_field(type_: Any, name: str) -> exp.DataType | None:
    """Return the type of a field of a struct, or of JSON."""
    if not isinstance(type_, exp.DataType):
        return None
    if type_.this == exp.DType.JSON:
        return type_
    if type_.this == exp.DType.STRUCT:
        for one in type_.expressions:
            if isinstance(one, exp.ColumnDef) and one.name.lower() == name.lower():
                return one.kind
    return None


def fields(type_: Any) -> list[tuple[str, exp.DataType | None]] | None:
    """Return names and types of the fields of a struct, None for what is none, or has no names."""
    if not isinstance(type_, exp.DataType) or type_.this != exp.DType.STRUCT or not type_.expressions:
        return None
    if not all(isinstance(one, exp.ColumnDef) and one.name for one in type_.expressions):
        return None
    return [(one.name, one.kind) for one in type_.expressions]


def struct(columns: list[tuple[str, exp.DataType | None]]) -> exp.DataType:
    """Return the type of a struct of these."""
    made = [
        exp.ColumnDef(this=exp.to_identifier(name), kind=(type_ or exp.DataType(this=_UNKNOWN)).copy())
        for name, type_ in columns
    ]
    return exp.DataType(this=exp.DType.STRUCT, expressions=made, nested=True)


def array(item: exp.DataType | None) -> exp.DataType | None:
    """Return the type of an array of these."""
    if item is None or item.this == _UNKNOWN:
        return None
    return exp.DataType(this=exp.DType.ARRAY, expressions=[item.copy()], nested=True)


def _rule(of: Callable[[Node], exp.DataType | None]) -> dict[str, Any]:
    def annotate(typer: Any, node: Node) -> None:
        typer.note(node, of(node))

    return {"annotator": annotate}


def _own(node: Node) -> exp.DataType | None:
    found: exp.DataType | None = node.this.type if isinstance(node.this, exp.Expression) else None
    return None if found is None or found.this == _UNKNOWN else found


def _number(node: Node) -> exp.DataType | None:
    """Return the type of `ROUND(x)`: INT64 becomes FLOAT64."""
    found = kind(node.this)
    return type_of("FLOAT64" if found == "INT64" else found) if found else None


def _arithmetic(node: Node) -> exp.DataType | None:
    left, right = node.left, node.right
    kinds = (kind(left), kind(right))
    if None in kinds:
        return None
    if isinstance(node, exp.Div) and kinds == ("INT64", "INT64"):
        return type_of("FLOAT64")
    if {"DATE", "DATETIME", "TIMESTAMP", "TIME", "INTERVAL"} & set(kinds):
        return _of_times(node, *kinds)
    numeric = [one for one in (left, right) if kind(one) in ("NUMERIC", "BIGNUMERIC")]
    if (
        numeric
        and "FLOAT64" in kinds
        and all(isinstance(one, exp.Literal) for one in (left, right) if kind(one) == "FLOAT64")
    ):
        return type_of(str(kind(numeric[0])))
    return type_among([left, right])


def _of_times(node: Node, left: str | None, right: str | None) -> exp.DataType | None:
    if left == right:
        return type_of("INTERVAL") if isinstance(node, exp.Sub) or left == "INTERVAL" else None
    if right == "INTERVAL" or left == "INTERVAL":
        other = str(right if left == "INTERVAL" else left)
        return (
            type_of("DATETIME" if other == "DATE" else str(other))
            if other != "INT64"
            else type_of("INTERVAL")
        )
    if {left, right} == {"DATE", "INT64"}:
        return type_of("DATE")
    return None


def _dot(node: exp.Dot) -> exp.DataType | None:
    if isinstance(node.expression, exp.Identifier):
        return of_field(node.this.type, node.expression.name)
    return None


def _bracket(node: exp.Bracket) -> exp.DataType | None:
    type_ = node.this.type
    if isinstance(type_, exp.DataType) and type_.this == exp.DType.JSON:
        return type_
    return of_item(type_)


def _array(node: exp.Array) -> exp.DataType | None:
    if not node.expressions:
        return None
    return array(type_among(node.expressions))


def _mean(node: Node) -> exp.DataType | None:
    found = kind(node.this)
    return type_of("FLOAT64" if found == "INT64" else found) if found else None


def _struct(node: exp.Struct) -> exp.DataType | None:
    made = []
    for one in node.expressions:
        value = one.expression if isinstance(one, exp.PropertyEQ) else one
        name = one.name if isinstance(one, exp.PropertyEQ) else ""
        if not name and isinstance(value, (exp.Column, exp.Dot)):
            name = value.output_name
        made.append((name, value.type))
    if all(name for name, _ in made):
        return struct(made)
    kinds = [(type_ or exp.DataType(this=_UNKNOWN)).copy() for _, type_ in made]
    return exp.DataType(
        this=exp.DType.STRUCT,
        expressions=[
            exp.ColumnDef(this=exp.to_identifier(name), kind=type_) if name else type_
            for (name, _), type_ in zip(made, kinds, strict=True)
        ],
        nested=True,
    )


def _tuple(node: exp.Tuple) -> exp.DataType | None:
    types = [one.type for one in node.expressions]
    made = [(one or exp.DataType(this=_UNKNOWN)).copy() for one in types]
    return exp.DataType(this=exp.DType.STRUCT, expressions=made, nested=True)


def _of_aggregate(node: Node) -> exp.DataType | None:
    value = node.this
    while isinstance(value, (exp.Order, exp.Limit, exp.HavingMax, exp.IgnoreNulls, exp.RespectNulls)):
        value = value.this
    if isinstance(value, exp.Distinct):
        value = value.expressions[0] if len(value.expressions) == 1 else None
    if value is None or value.type is None or value.type.this == _UNKNOWN:
        return None
    found: exp.DataType = value.type
    return found


def _given(node: Node, *keys: str) -> list[Node]:
    return [node.args[key] for key in keys if node.args.get(key) is not None]


def _among(node: Node, *keys: str) -> exp.DataType | None:
    return type_among(_given(node, *keys))


def _extract(node: exp.Extract) -> exp.DataType | None:
    part = node.name.upper()
    return type_of(part if part in ("DATE", "TIME", "DATETIME") else "INT64")


def _constant(name: str) -> dict[str, Any]:
    return _rule(lambda node: type_of(name))


_METADATA: dict[Any, dict[str, Any]] = {
    **dict.fromkeys((exp.Add, exp.Sub, exp.Mul, exp.Div), _rule(_arithmetic)),
    **dict.fromkeys((exp.Mod, exp.SafeAdd, exp.SafeSubtract, exp.SafeMultiply),
                    _rule(lambda node: type_among([node.this, node.expression]))),
    **dict.fromkeys((exp.Round, exp.Trunc, exp.Ceil, exp.Floor), _rule(_number)),
    **dict.fromkeys((exp.Neg, exp.Abs, exp.Sign, exp.Paren, exp.Window, exp.Filter, exp.IgnoreNulls,
                     exp.RespectNulls, exp.Order, exp.Limit, exp.HavingMax, exp.SafeNegate), _rule(_own)),
    **dict.fromkeys((exp.Max, exp.Min, exp.AnyValue, exp.FirstValue, exp.LastValue, exp.NthValue, exp.Lag,
                     exp.Lead, exp.ArgMax, exp.ArgMin, exp.PercentileDisc, exp.Sum, exp.ArrayConcatAgg),
                    _rule(_of_aggregate)),
    exp.PercentileCont: _constant("FLOAT64"),
    exp.Avg: _rule(_mean),
    exp.GroupConcat: _constant("STRING"),
    exp.ArrayAgg: _rule(lambda node: array(_of_aggregate(node))),
    exp.If: _rule(lambda node: _among(node, "true", "false")),
    exp.Case: _rule(
        lambda node: type_among([one.args["true"] for one in node.args["ifs"]] + _given(node, "default"))
    ),
    **dict.fromkeys((exp.Coalesce, exp.Greatest, exp.Least),
                    _rule(lambda node: type_among([node.this, *node.expressions]))),
    exp.Nullif: _rule(_own),
    exp.Dot: _rule(_dot),
    exp.Bracket: _rule(_bracket),
    exp.Array: _rule(_array),
    exp.Struct: _rule(_struct),
    exp.Tuple: _rule(_tuple),
    exp.SafeFunc: _rule(_own),
    exp.Count: _constant("INT64"),
    exp.CountIf: _constant("INT64"),
    exp.Extract: _rule(_extract),
    **dict.fromkeys((exp.JSONExtract,), _rule(lambda node: None)),
    exp.GenerateSeries: _rule(lambda node: array(_among(node, "start", "end", "step"))),
    exp.StrPosition: _constant("INT64"),
    exp.LogicalAnd: _constant("BOOL"), exp.LogicalOr: _constant("BOOL"),
}  # fmt: skip
