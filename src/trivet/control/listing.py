"""Lists that are short enough to be filtered and sorted here: the versions of one model."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from operator import eq, ge, gt, le, lt, ne
from typing import Any

from trivet.core.errors import InvalidArgument
from trivet.core.filters import And, Comparison, Expression, Kind, Not, Or, parse_filter, parse_order
from trivet.core.resources import ModelVersion, Page, Query

DEFAULT_PAGE = 50
LARGEST_PAGE = 1000

_FIELDS: Mapping[str, tuple[Kind, Callable[[ModelVersion], Any]]] = {
    "display_name": ("text", lambda one: one.display_name),
    "version_id": ("text", lambda one: one.version),
    "version_description": ("text", lambda one: one.document.get("versionDescription", "")),
    "create_time": ("time", lambda one: one.created),
    "update_time": ("time", lambda one: one.updated),
    "labels": ("labels", lambda one: one.labels),
}
_COMPARE = {"=": eq, "!=": ne, "<": lt, "<=": le, ">": gt, ">=": ge}
_KINDS = {name: kind for name, (kind, _) in _FIELDS.items()}


def select(versions: Sequence[ModelVersion], query: Query) -> Page[ModelVersion]:
    """Return a page of versions; raises InvalidArgument for a query that cannot be read."""
    if query.page_size < 0:
        raise InvalidArgument(f"pageSize: expected 0 or more; got {query.page_size}")
    chosen = list(_filtered(versions, parse_filter(query.filter, _KINDS)))
    for order in reversed(parse_order(query.order_by, _KINDS)):
        key = (lambda one: int(one.version)) if order.field == "version_id" else _FIELDS[order.field][1]
        chosen.sort(key=key, reverse=order.descending)
    start = _start(query)
    end = start + min(query.page_size or DEFAULT_PAGE, LARGEST_PAGE)
    return Page(chosen[start:end], _token(query, end) if end < len(chosen) else "")


def _filtered(versions: Iterable[ModelVersion], expression: Expression) -> Iterable[ModelVersion]:
    return (one for one in versions if _holds(expression, one))


def _holds(expression: Expression, one: ModelVersion) -> bool:
    match expression:
        case And(parts):
            return all(_holds(part, one) for part in parts)
        case Or(parts):
            return any(_holds(part, one) for part in parts)
        case Not(part):
            return not _holds(part, one)
        case Comparison():
            return _compares(expression, one)


def _compares(comparison: Comparison, one: ModelVersion) -> bool:
    value, other = _FIELDS[comparison.field][1](one), comparison.value
    if comparison.key:
        if comparison.key not in value:
            return False
        value = value[comparison.key]
    if comparison.op == ":":
        pattern = ".*".join(re.escape(part) for part in str(other).split("*"))
        return re.fullmatch(pattern, str(value), re.DOTALL) is not None
    return bool(_COMPARE[comparison.op](value, other))


def _token(query: Query, start: int) -> str:
    return urlsafe_b64encode(f"{start}:{_digest(query)}".encode()).decode()


def _start(query: Query) -> int:
    if not query.page_token:
        return 0
    try:
        start, _, digest = urlsafe_b64decode(query.page_token).decode().partition(":")
        if digest == _digest(query):
            return int(start)
    except ValueError:
        pass
    raise InvalidArgument("pageToken: not one that this list gave; begin again without it")


def _digest(query: Query) -> str:
    return sha256(f"{query.filter}\n{query.order_by}".encode()).hexdigest()[:16]
