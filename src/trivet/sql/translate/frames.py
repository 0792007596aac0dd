"""The sources of one FROM, and the names that they give."""

from dataclasses import dataclass, field
from typing import Any

from sqlglot import exp

from trivet.sql.translate.forms import Node
from trivet.sql.translate.typed import of_field, struct


@dataclass(frozen=True, slots=True)
class Column:
    """A column; its type is None where it is not known."""

    name: str
    type: exp.DataType | None


@dataclass(slots=True)
class Source:
    """What stands in FROM. Its columns are None where they are not known.

    In a value table `value` is the type of the struct, `name` the column that it is in DuckDB; the first
    `fields` of the columns are its fields.
    """

    name: str
    columns: list[Column] | None
    node: Any = None
    value: exp.DataType | None = None
    fields: int = 0

    def find(self, name: str) -> list[int]:
        """Return the places of the columns of this name."""
        return [n for n, one in enumerate(self.columns or ()) if one.name.lower() == name.lower()]

    def whole(self) -> exp.DataType | None:
        """Return the type of a row."""
        if self.value is not None:
            return self.value
        if self.columns is None:
            return None
        return struct([(one.name, one.type) for one in self.columns])


@dataclass(slots=True)
class Named:
    """The node that a name becomes, and the types of the nodes in it."""

    node: Node
    types: list[tuple[Node, exp.DataType | None]] = field(default_factory=list)


@dataclass(slots=True)
class Frame:
    """The sources of one FROM; `outer` are those around it. `merged` are the names of USING.

    `strict` says that a name that no source has is an error.
    """

    sources: list[Source]
    outer: "Frame | None" = None
    merged: set[str] = field(default_factory=set)
    strict: bool = True

    def find(self, column: exp.Column) -> tuple[Named, exp.DataType | None] | str | None:
        """Return what a name means and its type, None where it is not known, or what is wrong with it."""
        parts = [column.args[key] for key in ("catalog", "db", "table", "this") if column.args.get(key)]
        names = [one.name for one in parts]
        frame: Frame | None = self
        strict = True
        while frame is not None:
            found = frame._here(column, parts, names)
            if found is not None:
                return found
            strict = strict and frame.strict
            if any(one.columns is None for one in frame.sources):
                return None
            frame = frame.outer
        return f"Unrecognized name: {names[0]}{self._near(names[0])}" if strict else None

    def _near(self, name: str) -> str:
        from difflib import get_close_matches

        names = {one.name.lower(): one.name for source in self.sources for one in source.columns or ()}
        near = get_close_matches(name.lower(), list(names), n=1, cutoff=0.75)
        return f"; Did you mean {names[near[0]]}?" if near else ""

    def _here(
        self, column: exp.Column, parts: list[Node], names: list[str]
    ) -> tuple[Named, exp.DataType | None] | str | None:
        first = names[0].lower()
        if len(names) > 1:
            for source in self.sources:
                if source.name.lower() == first:
                    return _of_source(source, column, parts)
        having = [(source, place) for source in self.sources for place in source.find(first)]
        if having and (len(having) == 1 or first in self.merged):
            return _of_column(*having[0], column, parts)
        if having:
            sure = self.strict and all(one.columns is not None for one in self.sources)
            return f"Column name {names[0]} is ambiguous" if sure else None
        for source in self.sources:
            if source.name.lower() == first and len(names) == 1:
                return Named(column), source.whole()
        return None


def _of_source(
    source: Source, column: exp.Column, parts: list[Node]
) -> tuple[Named, exp.DataType | None] | str | None:
    name = parts[1].name
    if source.columns is None:
        return Named(column), None
    places = source.find(name)
    if not places:
        return f"Name {name} not found inside {source.name}"
    if source.value is not None and places[0] >= source.fields:
        return Named(column), source.columns[places[0]].type  # an offset is no field
    type_ = source.columns[places[0]].type
    if source.value is not None:  # `e.f` is a field of the column `e`
        return _into(parts[:1], source.value, column, parts[1:])
    return _into(parts[:2], type_, column, parts[2:])


def _of_column(
    source: Source, place: int, column: exp.Column, parts: list[Node]
) -> tuple[Named, exp.DataType | None]:
    assert source.columns is not None
    type_ = source.columns[place].type
    if source.value is not None and place < source.fields:
        head = exp.to_identifier(source.name)
        return _into([head], source.value, column, parts, moved=True)
    return _into(parts[:1], type_, column, parts[1:])


def _into(
    head: list[Node], type_: exp.DataType | None, column: exp.Column, path: list[Node], *, moved: bool = False
) -> tuple[Named, exp.DataType | None]:
    """Return the node of fields of a column; it stays as it is where DuckDB reads it so, too."""
    json = False
    of = type_
    for one in path:
        json = json or (of is not None and of.this == exp.DType.JSON)
        of = of_field(of, one.name)
    if not json and not moved:
        return Named(column), of
    base = exp.Column(this=head[-1].copy(), table=head[0].copy() if len(head) > 1 else None)
    types: list[tuple[Node, exp.DataType | None]] = [(base, type_)]
    node: Node = base
    for one in path:
        type_ = of_field(type_, one.name)
        node = exp.Dot(this=node, expression=one.copy())
        types.append((node, type_))
    node.meta.update(column.meta)
    return Named(node, types[:-1]), type_
