"""What a star stands for, and the columns of set operations."""

from collections.abc import Sequence

from sqlglot import exp

from trivet.sql.translate.coercion import known, meets, type_among
from trivet.sql.translate.forms import Node, wrong
from trivet.sql.translate.frames import Column, Frame, Source
from trivet.sql.translate.typed import fields


def expand(select: exp.Select, frame: Frame, number: int) -> None:
    """Write out the stars of a SELECT that DuckDB would read otherwise: of value tables and structs."""
    new: list[Node] = []
    for one in select.expressions:
        if not one.is_star or not isinstance(one, (exp.Star, exp.Column, exp.Dot)):
            new.append(one)
            continue
        new += _expanded(one, frame, number, every=select.args.get("kind") == "STRUCT")
    if any(one is not two for one, two in zip(new, select.expressions, strict=False)) or len(new) != len(
        select.expressions
    ):
        select.set("expressions", new)


def _expanded(  # noqa: PLR0911 - a case each
    one: Node, frame: Frame, number: int, *, every: bool
) -> list[Node]:
    star = one if isinstance(one, exp.Star) else one.this if isinstance(one, exp.Column) else None
    if star is None:
        return [one]
    if isinstance(one, exp.Star):
        values = any(source.value is not None for source in frame.sources)
        if not (values or every) or frame.merged or any(source.columns is None for source in frame.sources):
            return [one]
        shown: list[Node] = []
        for place, source in enumerate(frame.sources):
            shown += _of_source(source, f"_from_{number}_{place}")
        return _changed(shown, star)
    name = one.args["table"].name.lower()
    if one.args.get("db") is None:
        for source in frame.sources:
            if source.name.lower() == name:
                if (source.value is None and not every) or source.columns is None:
                    return [one]
                return _changed(_of_source(source, "", only=True), star)
    parts = [one.args[key] for key in ("catalog", "db", "table") if one.args.get(key) is not None]
    base = exp.Column(
        this=parts[-1].copy(),
        table=parts[-2].copy() if len(parts) > 1 else None,
        db=parts[-3].copy() if len(parts) > 2 else None,
    )
    found = frame.find(base)
    inner = fields(found[1]) if isinstance(found, tuple) else None
    if inner is None:
        return [one]
    value = found[0].node if isinstance(found, tuple) else base
    return _changed([_field(value.copy(), field) for field, _ in inner], star)


def _field(value: Node, name: str) -> Node:
    made = exp.Dot(this=value, expression=exp.to_identifier(name, quoted=True))
    return exp.Alias(this=made, alias=exp.to_identifier(name, quoted=True))


def _of_source(source: Source, name: str, *, only: bool = False) -> list[Node]:
    """Return the columns of a source; it is given a name where it has none. `only` leaves the offset out."""
    assert source.columns is not None
    if source.value is not None:
        column = exp.column(exp.to_identifier(source.name))
        shown: list[Node] = [_field(column.copy(), one.name) for one in source.columns[: source.fields]]
        if not only:
            shown += [exp.column(exp.to_identifier(one.name)) for one in source.columns[source.fields :]]
        return shown
    if source.name or source.node is None:
        table = exp.to_identifier(source.name) if source.node is not None else None
    else:
        source.name = name
        table = exp.to_identifier(name)
        source.node.set("alias", exp.TableAlias(this=table.copy()))
    return [
        exp.Column(this=exp.to_identifier(one.name, quoted=True), table=table.copy() if table else None)
        for one in source.columns
    ]


def _changed(shown: list[Node], star: exp.Star) -> list[Node]:
    """Apply EXCEPT and REPLACE."""
    left_out = {one.name.lower() for one in star.args.get("except_") or []}
    missing = left_out - {one.alias_or_name.lower() for one in shown}
    if missing:
        raise wrong(star, f"Column {sorted(missing)[0]} in SELECT * EXCEPT list does not exist")
    instead = {one.alias.lower(): one for one in star.args.get("replace") or []}
    return [
        instead.get(one.alias_or_name.lower(), one)
        for one in shown
        if one.alias_or_name.lower() not in left_out
    ]


def columns(one: Node, frame: Frame) -> list[Column] | None:
    """Return what an item of SELECT gives, None where it is not known."""
    if not one.is_star or not isinstance(one, (exp.Star, exp.Column, exp.Dot)):
        return [Column(one.alias_or_name, one.unalias().type)]
    if isinstance(one, exp.Dot) or one.args.get("db") is not None:
        return None
    if isinstance(one, exp.Star):
        star, found = one, _all(frame)
    else:
        name = one.args["table"].name.lower()
        star, sources = one.this, [source for source in frame.sources if source.name.lower() == name]
        found = sources[0].columns if sources else None
    if found is None:
        return None
    left_out = {part.name.lower() for part in star.args.get("except_") or []}
    instead = {part.alias.lower(): part.this.type for part in star.args.get("replace") or []}
    return [
        Column(column.name, instead.get(column.name.lower(), column.type))
        for column in found
        if column.name.lower() not in left_out
    ]


def _all(frame: Frame) -> list[Column] | None:
    """Return the columns of all sources; those of USING come first, and once."""
    merged: dict[str, Column] = {}
    found: list[Column] = []
    for source in frame.sources:
        if source.columns is None:
            return None
        for column in source.columns:
            if column.name.lower() in frame.merged:
                merged.setdefault(column.name.lower(), column)
            else:
                found.append(column)
    return [*merged.values(), *found]


def united(node: exp.SetOperation, left: Sequence[Column], right: Sequence[Column]) -> list[Column]:
    """Return the columns of a set operation; raises InvalidArgument where they do not meet."""
    name = type(node).__name__.upper()
    name += " DISTINCT" if node.args.get("distinct") else " ALL"
    if len(left) != len(right):
        raise wrong(
            node, f"Queries in {name} have mismatched column count; query 1 has {len(left)} columns, "
            f"query 2 has {len(right)} columns",
        )  # fmt: skip
    found = []
    for place, (one, two) in enumerate(zip(left, right, strict=True), 1):
        sides = [item(node.this, place - 1, one), item(node.expression, place - 1, two)]
        if not meets(sides):
            kinds = ", ".join(known(side) or "NULL" for side in sides)
            raise wrong(node, f"Column {place} in {name} has incompatible types: {kinds}")
        found.append(Column(one.name, type_among(sides)))
    return found


def item(query: Node, place: int, column: Column) -> Node:
    """Return what a column is made of, where it is a literal or NULL, which becomes other types."""
    while isinstance(query, exp.Subquery):
        query = query.this
    if isinstance(query, exp.Select) and not any(one.is_star for one in query.expressions):
        return query.expressions[place].unalias()
    holder = exp.Column(this=exp.to_identifier(column.name))
    holder.type = column.type
    return holder
