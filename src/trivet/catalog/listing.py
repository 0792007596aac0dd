"""Pages of a list: filters and orders as SQL, and tokens that say where the next page starts.

A page starts after the last row of the one before, by the values it was sorted by; so rows that are added
or deleted meanwhile neither repeat nor hide others.
"""

import base64
import hashlib
import json
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, Text, and_, false, literal, not_, or_, true

from trivet.catalog.tables import micros, moment
from trivet.core.errors import InvalidArgument
from trivet.core.filters import (
    And,
    Comparison,
    Expression,
    Kind,
    Not,
    Op,
    Or,
    Order,
    parse_filter,
    parse_order,
)
from trivet.core.resources import Location, Query

_OPS: Mapping[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

DEFAULT_SIZE = 100
MAX_SIZE = 1000


@dataclass(frozen=True, slots=True)
class Field:
    """What a filter may speak of, and where it is."""

    kind: Kind
    column: ColumnElement[Any]
    equals: Callable[[str], ColumnElement[bool]] | None = None
    """What it is to equal a value, where that may be written in several ways."""


@dataclass(frozen=True, slots=True)
class Listed:
    """What is listed: the rows of which something holds, and their fields.

    `scope` is whose list it is. `key` are the fields that no two rows share; the first of them, descending,
    is the order where none is asked for.
    """

    scope: str
    where: ColumnElement[bool]
    fields: Mapping[str, Field]
    key: tuple[str, ...] = ("create_time", "id")


def under(parent: Location, collection: str, id_: ColumnElement[str]) -> dict[str, Field]:
    """Return the fields `id` and `name` of resources in a collection."""
    name = literal(f"{parent}/{collection}/", Text) + id_
    return {"id": Field("text", id_), "name": Field("text", name)}


def page(
    connection: Connection, rows: Select[Any], listed: Listed, query: Query
) -> tuple[list[Row[Any]], str]:
    """Return the rows of a page, and the token of the next one; raises InvalidArgument."""
    size = page_size(query.page_size)
    kinds = {name: field.kind for name, field in listed.fields.items()}
    order = _whole_order(parse_order(query.order_by, kinds), listed.key)
    columns = [listed.fields[one.field].column for one in order]
    where = _Compiler(listed.fields, connection.dialect.name).condition(parse_filter(query.filter, kinds))
    rows = rows.where(listed.where, where)
    bound = hashlib.sha256(repr((listed.scope, query.filter, query.order_by)).encode("utf-8", "replace"))
    if query.page_token:
        last = _read_token(query.page_token, bound.hexdigest()[:16], [kinds[one.field] for one in order])
        rows = rows.where(_after(order, columns, last))
    rows = rows.add_columns(*(column.label(f"key_{at}") for at, column in enumerate(columns)))
    rows = rows.order_by(
        *(column.desc() if one.descending else column for one, column in zip(order, columns, strict=True))
    )
    found = list(connection.execute(rows.limit(size + 1)))
    if len(found) <= size:
        return found, ""
    values = found[size - 1][-len(order) :]
    return found[:size], _token(bound.hexdigest()[:16], values)


def page_size(asked: int) -> int:
    """Return how many items a page has at most; raises InvalidArgument."""
    if asked < 0:
        raise InvalidArgument(f"page_size {asked}: expected 0 to {MAX_SIZE}")
    return min(asked, MAX_SIZE) or DEFAULT_SIZE


def _whole_order(asked: Sequence[Order], key: Sequence[str]) -> list[Order]:
    """Make an order strict, by what no two rows share, in the direction that an index has."""
    order = list(asked) or [Order(key[0], descending=True)]
    sorted_by = {one.field for one in order}
    return order + [Order(field, order[-1].descending) for field in key if field not in sorted_by]


def _after(
    order: Sequence[Order], columns: Sequence[ColumnElement[Any]], last: Sequence[Any]
) -> ColumnElement[bool]:
    after: ColumnElement[bool] = false()
    for one, column, value in reversed(list(zip(order, columns, last, strict=True))):
        past = column < value if one.descending else column > value
        after = or_(past, and_(column == value, after))
    # Implied by the rest; it lets the database start in the middle of an index.
    start = columns[0] <= last[0] if order[0].descending else columns[0] >= last[0]
    return and_(start, after)


def _token(bound: str, values: Sequence[Any]) -> str:
    plain = [micros(value) if isinstance(value, datetime) else value for value in values]
    text = json.dumps([bound, plain], ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read_token(token: str, bound: str, kinds: Sequence[Kind]) -> list[Any]:
    wrong = InvalidArgument(
        "page_token: it is not of this list; a token is used with the parent, filter and orderBy it came from"
    )
    try:
        found, values = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        if found != bound or len(values) != len(kinds):
            raise wrong
        return [_value(value, kind) for value, kind in zip(values, kinds, strict=True)]
    except (ValueError, TypeError, OverflowError):
        raise wrong from None


def _value(value: Any, kind: Kind) -> Any:
    if kind == "time":
        return moment(value)
    if not isinstance(value, int if kind == "flag" else str):
        raise TypeError(value)
    return value


@dataclass(frozen=True, slots=True)
class _Compiler:
    """Turns filters into SQL that is true or false, and never NULL."""

    fields: Mapping[str, Field]
    dialect: str

    def condition(self, one: Expression) -> ColumnElement[bool]:
        match one:
            case And(parts):
                return and_(true(), *map(self.condition, parts))
            case Or(parts):
                return or_(false(), *map(self.condition, parts))
            case Not(part):
                return not_(self.condition(part))
            case Comparison():
                return self.comparison(one)

    def comparison(self, one: Comparison) -> ColumnElement[bool]:
        field = self.fields[one.field]
        text = str(one.value)
        if field.equals is not None and (one.op in ("=", "!=") or (one.op == ":" and "*" not in text)):
            same = field.equals(text)
            return not_(same) if one.op == "!=" else same
        if field.kind != "labels":
            value = int(one.value) if isinstance(one.value, bool) else one.value
            return self.compare(field.column, one.op, value)
        label: ColumnElement[Any] = field.column[one.key].as_string()
        there: ColumnElement[bool] = label.is_not(None)
        if one.op == ":" and one.value == "*":
            return there
        return and_(there, self.compare(label, one.op, one.value))

    def compare(self, column: ColumnElement[Any], op: Op, value: Any) -> ColumnElement[bool]:
        if op == ":":
            return self.like(column, value)
        compared: ColumnElement[bool] = _OPS[op](column, value)
        return compared

    def like(self, column: ColumnElement[Any], pattern: str) -> ColumnElement[bool]:
        """Compare with a pattern, minding case; SQLite's LIKE does not."""
        if "*" not in pattern:
            return self.compare(column, "=", pattern)
        if self.dialect == "sqlite":
            escaped = pattern.replace("[", "[[]").replace("?", "[?]")
            matched: ColumnElement[bool] = column.bool_op("GLOB")(escaped)
            return matched
        for special in "\\%_":
            pattern = pattern.replace(special, f"\\{special}")
        return column.like(pattern.replace("*", "%"), escape="\\")
