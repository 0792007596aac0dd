"""Clauses: names of columns, what GROUP BY means, arrays in FROM, and statements that change rows.

Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/query-syntax
"""

from collections.abc import Container

from sqlglot import exp

from trivet.sql.translate.arrays import named, renamed
from trivet.sql.translate.forms import Node, Rules, form, refused, wrong
from trivet.sql.translate.unpivots import unpivoted

RULES = Rules()


def name_columns(tree: Node) -> None:
    """Give columns without a name the one that GoogleSQL gives them, f0_, f1_ and so on."""
    for select in tree.find_all(exp.Select):
        if isinstance(select.parent, (exp.In, exp.Exists, exp.Array)) or select.args.get("kind"):
            continue
        if isinstance(select.parent, exp.SetOperation) and select.arg_key == "expression":
            continue
        number = 0
        for one in select.expressions:
            if isinstance(one, (exp.Alias, exp.Star, exp.Column)) or one.is_star:
                continue
            name = one.output_name if isinstance(one, (exp.Dot, exp.Paren)) else ""
            if not name:
                name, number = f"f{number}_", number + 1
            one.replace(exp.Alias(this=one.copy(), alias=exp.to_identifier(name)))


def aliases_first(tree: Node) -> None:
    """In GROUP BY, HAVING and ORDER BY, names of SELECT hide names of FROM; in DuckDB it is not always so."""
    for select in tree.find_all(exp.Select):
        aliases = [(n, one) for n, one in enumerate(select.expressions, 1) if isinstance(one, exp.Alias)]
        named = {
            one.alias.lower(): (place, one.this)
            for place, one in aliases
            if not (isinstance(one.this, exp.Column) and one.this.name == one.alias)
        }
        group = select.args.get("group")
        for column in _named_by(group, named):
            place, meant = named[column.name.lower()]
            column.replace(exp.Literal.number(place) if column.parent is group else meant.copy())
        for clause in (
            ("having", "qualify") if select.args.get("distinct") else ("having", "qualify", "order")
        ):
            for column in _named_by(select.args.get(clause), named):
                if not isinstance(column.parent, exp.Ordered):  # which DuckDB takes for the name of SELECT
                    column.replace(exp.Paren(this=named[column.name.lower()][1].copy()))


def _named_by(clause: Node | None, names: Container[str]) -> list[Node]:
    """Return the columns without a table that have one of these names; in an aggregate, FROM's are meant."""
    if clause is None:
        return []
    inner = (exp.AggFunc, exp.Query)
    nodes = clause.walk(prune=lambda node: isinstance(node, inner))
    return [
        node
        for node in list(nodes)
        if isinstance(node, exp.Column) and not node.table and node.name.lower() in names
    ]


@RULES(exp.Select)
def _select(node: exp.Select) -> Node | None:
    if not node.expressions and not node.args.get("from_"):
        raise wrong(node, "Syntax error: SELECT list must not be empty")
    kind = node.args.get("kind")
    if kind:
        node.set("kind", None)
    if kind == "STRUCT" and _is_value(node):
        fields = []
        for one in node.expressions:
            if one.is_star:
                raise refused(node, "with a star is not supported", "SELECT AS STRUCT")
            fields.append((one.alias or (one.name if isinstance(one, exp.Column) else ""), one.unalias()))
        node.set("expressions", [named(fields)])
    if kind == "VALUE" and not _is_value(node):
        value = node.expressions[0].unalias()
        if not isinstance(value, exp.Struct):
            raise refused(node, "is supported in an expression, or of STRUCT(..)", "SELECT AS VALUE")
        shown = [
            exp.Alias(this=one.expression, alias=exp.to_identifier(one.name)) for one in value.expressions
        ]
        node.set("expressions", shown)
    if node.parent is None:
        for one in node.expressions:
            _name_fields(one.unalias())
    return None


def _name_fields(value: Node) -> None:
    """Give fields without names those that a result has for them; elsewhere they are matched by place."""
    inner = value.expression if isinstance(value, exp.PropertyEQ) else value
    row = isinstance(inner, exp.Tuple) or (isinstance(inner, exp.Anonymous) and inner.name == "row")
    if row or isinstance(inner, (exp.Array, exp.Struct)):
        for one in list(inner.expressions):
            _name_fields(one)
    if row:
        inner.replace(renamed(inner, [f"_field_{place}" for place, _ in enumerate(inner.expressions, 1)]))


def _is_value(select: Node) -> bool:
    """Whether a query stands where a value does; elsewhere the fields of its struct are columns."""
    node = select
    while isinstance(node.parent, (exp.SetOperation, exp.Subquery)) and node.arg_key in (
        "this",
        "expression",
    ):
        node = node.parent
    return not (
        node.parent is None or isinstance(node.parent, (exp.From, exp.Join, exp.CTE, exp.DDL, exp.DML))
    )


@RULES(exp.Unnest)
def _unnest(node: exp.Unnest) -> Node | None:
    """WITH OFFSET counts from 0, DuckDB's ORDINALITY from 1."""
    offset = node.args.get("offset")
    if isinstance(node.parent, exp.In) or not offset:
        return None
    if len(node.expressions) != 1:
        raise refused(node, "takes one array", "UNNEST")
    alias = node.args.get("alias")
    columns = list(alias.columns) if alias is not None else []
    name = columns[0] if columns else exp.to_identifier("f0_")
    place = exp.to_identifier("offset") if offset is True else offset
    inner = exp.Unnest(
        expressions=node.expressions,
        offset=exp.to_identifier("_place"),
        alias=exp.TableAlias(this=exp.to_identifier("_items"), columns=[exp.to_identifier("_item")]),
    )
    shown = [
        exp.Alias(this=exp.column("_item"), alias=name.copy()),
        exp.Alias(this=form('"_place" - 1', "INT64"), alias=place.copy()),
    ]
    query = exp.Select(expressions=shown, from_=exp.From(this=inner))
    return exp.Subquery(this=query, alias=exp.TableAlias(this=exp.to_identifier(f"_unnest_{name.name}")))


@RULES(exp.Join)
def _join(node: exp.Join) -> Node | None:
    """An array is joined with its own row: no ON is needed."""
    table = node.this
    inner = isinstance(table, exp.Unnest) or (
        isinstance(table, exp.Subquery) and table.alias.startswith("_unnest_")
    )
    if (
        inner
        and node.args.get("side") in ("LEFT",)
        and node.args.get("on") is None
        and not node.args.get("using")
    ):
        node.set("on", exp.true())
    return None


@RULES(exp.Table)
def _table(node: exp.Table) -> Node | None:
    if node.args.get("version") is not None or node.args.get("when") is not None:
        raise refused(node, "Trivet keeps no history of tables", "FOR SYSTEM_TIME AS OF")
    if isinstance(node.this, exp.Identifier) and node.name.endswith("*"):
        raise refused(node, "name the tables, or UNION ALL them", f"Wildcard table {node.name}")
    return unpivoted(node)


@RULES(exp.Subquery)
def _subquery(node: exp.Subquery) -> Node | None:
    return unpivoted(node)


@RULES(exp.Column)
def _column(node: exp.Column) -> Node | None:
    if node.name.upper() in (
        "_PARTITIONTIME",
        "_PARTITIONDATE",
        "_TABLE_SUFFIX",
        "_FILE_NAME",
        "_CHANGE_TYPE",
    ):
        raise refused(node, "Trivet has no such pseudo-column", node.name.upper())
    if isinstance(node.this, exp.Star) and node.args.get("db") is not None:
        if node.this.args.get("except_") or node.this.args.get("replace"):
            raise refused(node, "EXCEPT and REPLACE of the fields of a STRUCT are not supported", ".*")
        parts = [node.args[key] for key in ("catalog", "db", "table") if node.args.get(key) is not None]
        return form("unnest(_x)", x=exp.Dot.build([one.copy() for one in parts]))
    return None


def fields_of(node: exp.Dot) -> Node | None:
    """Return `struct.*` of an expression."""
    return form("unnest(_x)", x=node.this) if isinstance(node.expression, exp.Star) else None


@RULES(exp.Parameter, exp.SessionParameter)
def _parameter(node: Node) -> Node | None:
    if isinstance(node, exp.SessionParameter) or isinstance(node.this, exp.Parameter):
        name = node.this.this.name if isinstance(node.this, exp.Parameter) else node.name
        raise refused(node, "Trivet has no system variables", f"@@{name}")
    return None


@RULES(exp.Delete)
def _delete(node: exp.Delete) -> Node | None:
    """`DELETE t WHERE ..` without FROM."""
    tables = node.args.get("tables")
    if not node.this and tables:
        node.set("this", tables[0])
        node.set("tables", None)
    return None


@RULES(exp.Insert)
def _insert(node: exp.Insert) -> Node | None:
    if isinstance(node.this, exp.Var) and node.name.upper() == "ROW":
        node.set("this", exp.Star())
    return None


_KEPT = (exp.TemporaryProperty, exp.LikeProperty)


@RULES(exp.Create)
def _create(node: exp.Create) -> Node | None:
    """What is only remembered of a table is no business of DuckDB's: OPTIONS, PARTITION BY, CLUSTER BY."""
    properties = node.args.get("properties")
    if properties is not None and node.kind != "MODEL":
        kept = [one for one in properties.expressions if isinstance(one, _KEPT)]
        node.set("properties", exp.Properties(expressions=kept) if kept else None)
    clone = node.args.get("clone")
    if clone is not None:
        node.set("clone", None)
        node.set("expression", exp.Select(expressions=[exp.Star()], from_=exp.From(this=clone.this)))
    return None


@RULES(exp.Schema)
def _schema(node: exp.Schema) -> Node | None:
    """Keys are NOT ENFORCED in BigQuery."""
    node.set(
        "expressions",
        [
            one
            for one in node.expressions
            if not isinstance(one, (exp.PrimaryKey, exp.ForeignKey, exp.Constraint))
        ],
    )
    return None


@RULES(exp.ColumnDef)
def _column_def(node: exp.ColumnDef) -> Node | None:
    dropped = (exp.Properties, exp.PrimaryKeyColumnConstraint, exp.Reference, exp.CollateColumnConstraint)
    kept = [one for one in node.args.get("constraints") or [] if not isinstance(one.kind, dropped)]
    node.set("constraints", kept)
    return None


@RULES(exp.Collate, exp.Collation)
def _collate(node: Node) -> Node:
    raise refused(node, name="COLLATE")
