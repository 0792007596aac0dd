"""UPDATE, INSERT and MERGE: each row is changed once, and takes what its columns take.

Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/dml-syntax
"""

from collections.abc import Iterator, Mapping, Sequence

from sqlglot import exp

from trivet.sql.translate.checks import assigned
from trivet.sql.translate.forms import Node, Rules, form, refused, wrong
from trivet.sql.translate.frames import Column
from trivet.sql.translate.stars import item

RULES = Rules()

ROW = "row"
"""The key of `meta` of a column that is DuckDB's number of a row, and in no schema."""

_TWICE = "UPDATE/MERGE must match at most one source row for each target row"


def prepare(tree: exp.Expression) -> None:
    """Have a statement fail that would change a row twice, where DuckDB takes one of the values."""
    if not isinstance(tree, (exp.Update, exp.Merge)):
        return
    names = {tree.this.alias_or_name.lower(), tree.this.name.lower()}
    for one in _assignments(tree):
        _default(one.expression)
        if isinstance(one.this, exp.Column) and one.this.table.lower() in names:
            one.this.set("table", None)
            one.this.set("db", None)
    if isinstance(tree, exp.Merge):
        for insert in _inserts(tree):
            _without_columns(insert)
            for value in insert.expression.expressions if isinstance(insert.expression, exp.Tuple) else ():
                _default(value)
        _guard_merge(tree)
    elif tree.args.get("from_") is not None and tree.args.get("where") is not None:
        where = tree.args["where"]
        found = _found(tree.this, tree.args["from_"].this, where.this)
        where.set("this", exp.and_(where.this, found, copy=False))


def _default(value: Node) -> None:
    if isinstance(value, exp.Column) and value.name.upper() == "DEFAULT" and not value.table:
        value.replace(exp.Var(this="DEFAULT"))


def _without_columns(insert: exp.Insert) -> None:
    """Read `INSERT VALUES (..)`, which sqlglot takes for the columns, as values."""
    found = insert.this.expressions if isinstance(insert.this, exp.Tuple) else []
    if len(found) == 1 and isinstance(found[0], exp.Anonymous) and found[0].name.upper() == "VALUES":
        insert.set("this", None)
        insert.set("expression", exp.Tuple(expressions=found[0].expressions))


def _guard_merge(tree: exp.Merge) -> None:
    matched = [one for one in tree.args["whens"].expressions if one.args.get("matched")]
    if not matched or isinstance(tree.args["on"], exp.Boolean):
        return
    conditions = [one.args["condition"].copy() for one in matched if one.args.get("condition") is not None]
    on = tree.args["on"].copy()
    if len(conditions) == len(matched):
        on = exp.and_(on, exp.or_(*conditions, copy=False), copy=False)
    source = tree.args["using"]
    tree.set("on", exp.and_(tree.args["on"], _found(tree.this, source, on), copy=False))


def _found(target: Node, source: Node, condition: Node) -> Node:
    """Return a condition that is true, or fails where a row of the target has several of the source."""
    row = exp.Column(this=exp.to_identifier("rowid"), table=exp.to_identifier(target.alias_or_name))
    row.meta[ROW] = True
    several = exp.Select(
        expressions=[exp.Alias(this=exp.Literal.number(1), alias=exp.to_identifier("f0_"))],
        from_=exp.From(this=target.copy()),
        joins=[exp.Join(this=source.copy(), kind="CROSS")],
        where=exp.Where(this=condition.copy()),
        group=exp.Group(expressions=[row]),
        having=exp.Having(this=exp.GT(this=exp.Count(this=exp.Star()), expression=exp.Literal.number(1))),
    )
    failing = exp.If(this=exp.Exists(this=several), true=_error(), false=exp.true())
    chosen = exp.Select(expressions=[exp.Alias(this=failing, alias=exp.to_identifier("f0_"))])
    return exp.Subquery(this=chosen)


def _error() -> Node:
    return exp.Anonymous(this="ERROR", expressions=[exp.Literal.string(_TWICE)])


def _assignments(tree: Node) -> Iterator[exp.EQ]:
    updates = [tree] if isinstance(tree, exp.Update) else []
    whens = tree.args.get("whens")
    for when in whens.expressions if whens is not None else []:
        if isinstance(when.args.get("then"), exp.Update):
            updates.append(when.args["then"])
    for update in updates:
        for one in update.expressions:
            if isinstance(one, exp.EQ):
                yield one


def check_assigned(tree: Node, columns: Sequence[Column] | None) -> None:
    """Raise InvalidArgument where UPDATE or MERGE give a column of the target what it does not take."""
    types = {one.name.lower(): one.type for one in columns or ()}
    for one in _assignments(tree):
        if isinstance(one.this, exp.Column) and not one.this.table:
            assigned(one.expression, types.get(one.this.name.lower()), one.this.name)
    for insert in _inserts(tree):
        values = insert.expression.expressions if isinstance(insert.expression, exp.Tuple) else []
        if insert.this is None and columns is not None:
            if len(values) != len(columns):
                raise wrong(
                    insert.expression,
                    f"Inserted row has wrong column count; Has {len(values)}, expected {len(columns)}",
                )
            target = [exp.column(exp.to_identifier(one.name)) for one in columns]
            insert.set("this", exp.Tuple(expressions=target))
        if isinstance(insert.this, exp.Tuple):
            for column, value in zip(insert.this.expressions, values, strict=False):
                assigned(value, types.get(column.name.lower()), column.name)


def _inserts(tree: Node) -> list[exp.Insert]:
    whens = tree.args.get("whens")
    then = [one.args.get("then") for one in whens.expressions] if whens is not None else []
    return [one for one in then if isinstance(one, exp.Insert)]


def check_inserted(
    tree: exp.Insert, columns: Sequence[Column] | None, given: Sequence[Column] | None
) -> None:
    """Raise InvalidArgument where INSERT gives a column what it does not take.

    `given` are the columns of its query.
    """
    types: Mapping[str, Column] = {one.name.lower(): one for one in columns or ()}
    target = list(columns or ())
    if isinstance(tree.this, exp.Schema):
        target = [types.get(one.name.lower(), Column(one.name, None)) for one in tree.this.expressions]
    source = tree.expression
    if isinstance(source, exp.Values):
        for row in source.expressions:
            values = row.expressions if isinstance(row, exp.Tuple) else [row]
            for column, value in zip(target, values, strict=False):
                assigned(value, column.type, column.name)
    elif given is not None:
        for place, (column, one) in enumerate(zip(target, given, strict=False)):
            assigned(item(source, place, one), column.type, column.name)


@RULES(exp.Update)
def _update(node: exp.Update) -> Node | None:
    """`SET s.f = 1` changes a field of a struct."""
    made: dict[str, exp.EQ] = {}
    kept: list[Node] = []
    for one in node.expressions:
        column = one.this
        if not isinstance(column, exp.Column) or not column.table:
            kept.append(one)
            continue
        if column.args.get("db") is not None:
            raise refused(column, "fields of fields cannot be set; set the whole", f"SET {column.sql()}")
        name = column.table
        if name.lower() not in made:
            whole = exp.column(column.args["table"].copy())
            made[name.lower()] = exp.EQ(this=whole, expression=form("struct_update(_x)", x=whole.copy()))
            kept.append(made[name.lower()])
        field = exp.PropertyEQ(this=column.this.copy(), expression=one.expression)
        made[name.lower()].expression.append("expressions", field)
    if made:
        node.set("expressions", kept)
    return None
