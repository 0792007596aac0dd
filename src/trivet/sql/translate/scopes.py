"""What columns there are where, and of what types: sources of FROM, one by one, as GoogleSQL sees them.

UNNEST of structs is a value table, whose fields are columns: in DuckDB it has one column, the struct, and so
a name of a field is rewritten to `struct.field` here, and a star to the fields.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlglot import exp

from trivet.sql.translate import changes, stars
from trivet.sql.translate.forms import Node, type_of, wrong
from trivet.sql.translate.frames import Column, Frame, Source
from trivet.sql.translate.typed import Typer, array, fields, of_item, struct

Known = Callable[[exp.Expression, Sequence[Column] | None], "Sequence[Column] | None"]
"""Gives the columns of a table that the schema has not, or of a table function whose query has these."""

_CLAUSES = ("where", "group", "having", "qualify", "windows", "distinct", "limit", "offset")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a query stands: the CTEs and the sources of FROM that it can see."""

    ctes: Mapping[str, Sequence[Column] | None] = field(default_factory=dict)
    outer: Frame | None = None


class Reader:
    """Notes the types of all nodes of a tree, and rewrites what is a field of a value table."""

    def __init__(self, schema: Mapping[str, Any], known: Known | None) -> None:
        self.schema = schema
        self.known = known
        self.typer = Typer()
        self.made = 0

    def statement(self, tree: exp.Expression) -> None:
        """Note the types of a statement; raises InvalidArgument for names that are not there or ambiguous."""
        place = _Place()
        if isinstance(tree, exp.Query):
            self.query(tree, place)
        elif isinstance(tree, (exp.Update, exp.Delete, exp.Merge)):
            self._change(tree, place)
        elif isinstance(tree, exp.Insert):
            self._insert(tree, place)
        else:
            for query in _queries(tree):
                self.query(query, place)
        self.typer.annotate_expression(tree)

    def query(self, node: Node, place: _Place) -> list[Column] | None:
        """Return the columns of a query; None where they cannot be known."""
        place = self._with(node, place)
        if isinstance(node, exp.Subquery):
            columns = self.query(node.this, place)
            frame = Frame([Source("", columns)], place.outer)
            self._order(node, frame, columns, place)
            return columns
        if isinstance(node, exp.SetOperation):
            columns = self._set(node, place)
            self._order(node, Frame([Source("", columns)], place.outer), columns, place)
            return columns
        if isinstance(node, exp.Select):
            return self._select(node, place)
        return None

    def _with(self, node: Node, place: _Place) -> _Place:
        with_ = node.args.get("with_")
        if with_ is None:
            return place
        ctes = dict(place.ctes)
        for cte in with_.expressions:
            name = cte.alias.lower()
            body = cte.this
            if with_.args.get("recursive") and isinstance(body, exp.SetOperation):
                first = self.query(body.this.copy(), _Place(ctes, place.outer))
                ctes[name] = _renamed(first, cte)
            ctes[name] = _renamed(self.query(body, _Place(ctes, place.outer)), cte)
        return _Place(ctes, place.outer)

    def _set(self, node: exp.SetOperation, place: _Place) -> list[Column] | None:
        left, right = self.query(node.this, place), self.query(node.expression, place)
        if left is None or right is None or node.args.get("by_name"):
            return None
        return stars.united(node, left, right)

    def _select(self, node: exp.Select, place: _Place) -> list[Column] | None:
        frame = Frame([], place.outer)
        relations = [node.args["from_"].this] if node.args.get("from_") else []
        for relation in relations:
            self._relation(relation, frame, place)
        for join in node.args.get("joins") or []:
            self._join(join, frame, place)
        for lateral in node.args.get("laterals") or []:
            frame.sources.append(Source(lateral.alias, None))
        stars.expand(node, frame, self.made)
        self.made += 1
        for one in list(node.expressions):
            self._expression(one, frame, place)
        columns = self._columns(node, frame)
        for key in _CLAUSES:
            value = node.args.get(key)
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, exp.Expression):
                    self._expression(one, frame, place)
        self._order(node, frame, columns, place)
        return columns

    def _order(self, node: Node, frame: Frame, columns: Sequence[Column] | None, place: _Place) -> None:
        order = node.args.get("order")
        if order is None:
            return
        names = {one.name.lower(): one.type for one in columns or ()}
        for one in order.expressions:
            value = one.this if isinstance(one, exp.Ordered) else one
            if not isinstance(value, exp.Column) or value.table or value.name.lower() not in names:
                continue
            if node.args.get("kind"):  # a struct is what DuckDB gives, and its fields have no names there
                meant = [
                    item for item in node.expressions if item.alias_or_name.lower() == value.name.lower()
                ]
                value.replace(meant[0].unalias().copy())
            else:
                self.typer.note(value, names[value.name.lower()])
        inner = frame
        if columns is None:
            inner = Frame([*frame.sources, Source("", None)], frame.outer)
        self._expression(order, inner, place)

    # FROM

    def _join(self, join: exp.Join, frame: Frame, place: _Place) -> None:
        self._relation(join.this, frame, place)
        for one in join.args.get("using") or []:
            frame.merged.add(one.name.lower())
        if join.args.get("on") is not None:
            self._expression(join.args["on"], frame, place)

    def _relation(self, node: Node, frame: Frame, place: _Place) -> None:
        if isinstance(node, exp.Unnest):
            frame.sources.append(self._unnest(node, frame, place))
        elif node.args.get("pivots"):
            self._source(node, place)
            frame.sources.append(Source(node.args["pivots"][-1].alias or node.alias_or_name, None))
        elif (
            isinstance(node, exp.Subquery)
            and isinstance(node.this, (exp.Table, exp.Subquery))
            and not node.alias
        ):
            self._relation(node.this, frame, place)
        else:
            columns = _renamed(self._source(node, place), node)
            name = node.alias or (node.name if isinstance(node.this, exp.Identifier) else "")
            frame.sources.append(Source(name, columns, node))
        if not isinstance(node, exp.Unnest):
            for join in node.args.get("joins") or []:
                self._join(join, frame, place)

    def _source(self, node: Node, place: _Place) -> Sequence[Column] | None:
        if isinstance(node, exp.Subquery):
            return self.query(node, place)
        if not isinstance(node, exp.Table):
            return None
        if isinstance(node.this, exp.Identifier):
            if not node.db and node.name.lower() in place.ctes:
                return place.ctes[node.name.lower()]
            found: Any = self.schema
            for part in node.parts:
                found = found.get(part.name) if isinstance(found, Mapping) else None
            if isinstance(found, Mapping):
                return [Column(name, _built(type_)) for name, type_ in found.items()]
            return self.known(node, None) if self.known else None
        given = node.this.args.get("expression")
        columns = self._source(given, place) if isinstance(given, exp.Expression) else None
        return self.known(node, columns) if self.known else None

    def _unnest(self, node: exp.Unnest, frame: Frame, place: _Place) -> Source:
        """Return the source of an array, which is given a name where it has none."""
        for one in node.expressions:
            self._expression(one, frame, place)
        item = of_item(node.expressions[0].type) if len(node.expressions) == 1 else None
        alias = node.args.get("alias")
        name = alias.columns[0].name if alias is not None and alias.columns else ""
        node.set("explode_array", None)
        offset = node.args.get("offset")
        place_name = offset.name if isinstance(offset, exp.Identifier) else "offset" if offset else ""
        others = [Column(place_name, type_of("INT64"))] if place_name else []
        inner = fields(item)
        if inner is None:
            if item is None:
                return Source(name, None)
            return Source(name, [Column(name or "f0_", item), *others])
        if not name:
            self.made += 1
            name = f"_value_{self.made}"
            node.set("alias", exp.TableAlias(columns=[exp.to_identifier(name)]))
        node.type = item
        columns = [Column(one, type_) for one, type_ in inner]
        return Source(name, [*columns, *others], value=item, fields=len(columns))

    # expressions

    def _expression(self, node: Node, frame: Frame, place: _Place) -> None:
        """Note the types of an expression over the sources of a frame."""
        inside = _Place(place.ctes, frame)
        for query in list(_queries(node)):
            self._value(query, self.query(query, inside))
        for column in list(_columns(node)):
            if self.typer.noted(column):
                continue
            self._column(column, frame)
        self.typer.annotate_expression(node)

    def _value(self, query: Node, columns: Sequence[Column] | None) -> None:
        """Note what a query is as a value: its only column, or an array of it."""
        select = query.this if isinstance(query, exp.Subquery) else query
        type_ = columns[0].type if columns and len(columns) == 1 else None
        if isinstance(select, exp.Select) and select.args.get("kind") == "STRUCT":
            type_ = struct([(one.name, one.type) for one in columns]) if columns else None
        self.typer.note(select, type_)
        node = query
        while isinstance(node, exp.Subquery) or isinstance(node.parent, exp.Subquery):
            self.typer.note(node, type_)
            if not isinstance(node.parent, exp.Subquery):
                break
            node = node.parent
        parent = node.parent
        if isinstance(parent, exp.Array) and len(parent.expressions) == 1:
            self.typer.note(parent, array(type_))

    def _column(self, column: exp.Column, frame: Frame) -> None:
        if isinstance(column.this, exp.Star):
            return
        if column.meta.get(changes.ROW):
            self.typer.note(column, type_of("INT64"))
            return
        found = frame.find(column)
        if found is None:
            self.typer.note(column, None)
            return
        if isinstance(found, str):
            raise wrong(column, found)
        new, type_ = found
        for node, of in new.types:
            self.typer.note(node, of)
        if new.node is not column:
            self.typer.note(new.node, type_)
            parent = column.parent
            if isinstance(parent, exp.Select) and column.arg_key == "expressions":
                alias = exp.Alias(this=new.node, alias=exp.to_identifier(column.name))
                column.replace(alias)
            else:
                column.replace(new.node)
        else:
            self.typer.note(column, type_)

    def _columns(self, node: exp.Select, frame: Frame) -> list[Column] | None:
        """Return the columns that a SELECT gives."""
        if node.args.get("kind") == "VALUE":
            value = node.expressions[0].unalias()
            inner = fields(value.type)
            if inner is not None and not isinstance(node.parent, exp.Array):
                return [Column(name, type_) for name, type_ in inner]
            return [Column(node.expressions[0].alias_or_name, value.type)]
        columns: list[Column] = []
        for one in node.expressions:
            shown = stars.columns(one, frame)
            if shown is None:
                return None
            columns += shown
        return columns

    def _change(self, tree: Node, place: _Place) -> None:
        """Note the types of UPDATE, DELETE and MERGE, whose sources are not all in FROM."""
        frame = Frame([], None, strict=False)
        from_ = tree.args.get("from_")
        for one in (tree.args.get("this"), tree.args.get("using"), from_.this if from_ is not None else None):
            for relation in one if isinstance(one, list) else [one]:
                if isinstance(relation, exp.Expression):
                    self._relation(relation, frame, place)
        for key, value in tree.args.items():
            if key in ("this", "using", "from_"):
                continue
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, exp.Expression):
                    self._expression(one, frame, place)

        if not isinstance(tree, exp.Delete):
            changes.check_assigned(tree, frame.sources[0].columns)

    def _insert(self, tree: exp.Insert, place: _Place) -> None:
        table = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
        source = tree.expression
        given = self.query(source, place) if isinstance(source, exp.Query) else None
        for query in _queries(source) if given is None and isinstance(source, exp.Values) else ():
            self._value(query, self.query(query, place))
        self.typer.annotate_expression(tree)
        changes.check_inserted(tree, self._source(table, place), given)


def _renamed(columns: Sequence[Column] | None, node: Node) -> list[Column] | None:
    if columns is None:
        return None
    alias = node.args.get("alias")
    names = [one.name for one in alias.columns] if isinstance(alias, exp.TableAlias) else []
    if names and len(names) == len(columns):
        return [Column(name, one.type) for name, one in zip(names, columns, strict=True)]
    return list(columns)


def _built(type_: Any) -> exp.DataType:
    return type_ if isinstance(type_, exp.DataType) else exp.DataType.build(str(type_), dialect="bigquery")


def _queries(node: Node) -> Iterator[Node]:
    """Yield the queries in a node that are in no other one."""
    if isinstance(node, exp.Query):
        yield node
        return
    for one in node.iter_expressions():
        yield from _queries(one)


def _columns(node: Node) -> Iterator[exp.Column]:
    """Yield the columns in a node that are in none of its queries."""
    if isinstance(node, exp.Query):
        return
    if isinstance(node, exp.Column):
        yield node
        return
    for one in node.iter_expressions():
        yield from _columns(one)
