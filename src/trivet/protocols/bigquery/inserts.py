"""Rows that are inserted as they come. https://cloud.google.com/bigquery/docs/reference/rest/v2/tabledata/insertAll"""

from collections import OrderedDict
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any

from trivet.core.errors import FailedPrecondition, InvalidArgument, Unimplemented
from trivet.protocols.bigquery.wire import Asked, Json
from trivet.sql import json_values
from trivet.sql.json_values import Misfit
from trivet.sql.names import ObjectName
from trivet.sql.store import Table
from trivet.sql.tables import write

if TYPE_CHECKING:
    from trivet.protocols.bigquery.calls import Service

MOST = 50_000
_REMEMBERS = 60.0  # seconds
_REMEMBERED = 200_000


class Ids:
    """Ids of rows that were inserted a moment ago: a client that has not heard so sends them again."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[ObjectName, str], float] = OrderedDict()

    def is_new(self, table: ObjectName, id_: str) -> bool:
        """Whether a row has not been inserted a moment ago."""
        return (
            self._known.get((table, id_), 0.0) < monotonic() - _REMEMBERS or (table, id_) not in self._known
        )

    def remember(self, table: ObjectName, ids: list[str]) -> None:
        """Know rows that were inserted."""
        now = monotonic()
        for id_ in ids:
            self._known[table, id_] = now
            self._known.move_to_end((table, id_))
        while self._known and (
            len(self._known) > _REMEMBERED or next(iter(self._known.values())) < now - _REMEMBERS
        ):
            self._known.popitem(last=False)


async def insert_all(service: "Service", asked: Asked) -> Json:
    """Insert rows, all of them or none, unless those that do not fit are to be left out."""
    return await service.in_thread(lambda: _insert(service, asked))


def _insert(service: "Service", asked: Asked) -> Json:
    body = asked.body
    given = body.get("rows")
    if not isinstance(given, list) or not given:
        raise InvalidArgument("No rows present in the request.")
    if len(given) > MOST:
        raise InvalidArgument(f"rows: expected at most {MOST}; got {len(given)}")
    if body.get("templateSuffix"):
        raise Unimplemented("templateSuffix: tables made after a template are not supported")
    with service.database().connect(project=asked.project) as connection:
        table = connection.store.table(asked.table)
        if table.kind == "VIEW":
            raise FailedPrecondition(f"Cannot add rows to a table of type VIEW: {table.name}")
        rows, ids, errors = _read(given, table, service.ids, ignore=body.get("ignoreUnknownValues") is True)
        if errors and body.get("skipInvalidRows") is not True:
            wrong = {one["index"] for one in errors}
            errors += [_error(at, "stopped", "", "") for at in range(len(given)) if at not in wrong]
            errors.sort(key=lambda one: int(one["index"]))
        elif rows:
            import pyarrow as pa

            batch = json_values.batch(rows, table.fields)
            reader = pa.RecordBatchReader.from_batches(batch.schema, [batch])
            write(connection, table.name, table.fields, reader, "WRITE_APPEND")
            service.ids.remember(table.name, ids)
    answer: Json = {"kind": "bigquery#tableDataInsertAllResponse"}
    return {**answer, "insertErrors": errors} if errors else answer


def _read(
    given: Sequence[Any], table: Table, known: Ids, *, ignore: bool
) -> tuple[list[dict[str, Any]], list[str], list[Json]]:
    """Return the rows that are new, the ids of those that fit, and what is wrong with the others."""
    rows: list[dict[str, Any]] = []
    ids: list[str] = []
    errors: list[Json] = []
    for at, one in enumerate(given):
        content = one.get("json") if isinstance(one, dict) else None
        try:
            row = json_values.row(content, table.fields, ignore_unknown=ignore)
        except Misfit as error:
            errors.append(_error(at, "invalid", error.location, str(error)))
            continue
        id_ = str(one.get("insertId") or "")
        if not id_ or known.is_new(table.name, id_):
            rows.append(row)
        if id_:
            ids.append(id_)
    return rows, ids, errors


def _error(at: int, reason: str, location: str, message: str) -> Json:
    told = {"reason": reason, "location": location, "debugInfo": "", "message": message}
    return {"index": at, "errors": [told]}
