"""Tables and views on the wire, and the rows of tables.

https://cloud.google.com/bigquery/docs/reference/rest/v2/tables
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trivet.core.errors import AlreadyExists, InvalidArgument, Unimplemented
from trivet.protocols.base import Reply
from trivet.protocols.bigquery.datasets import changed, expect_etag
from trivet.protocols.bigquery.jobs import ANONYMOUS, Job, Jobs, anonymous
from trivet.protocols.bigquery.results import Rows, page, read_token
from trivet.protocols.bigquery.schema import read_schema, schema_json
from trivet.protocols.bigquery.wire import LOCATION, Asked, Json, millis, paged, read_table, table_reference
from trivet.sql import tables as alterations
from trivet.sql.names import ObjectName, dataset_name
from trivet.sql.quoting import quoted
from trivet.sql.store import Table
from trivet.sql.types import Field

if TYPE_CHECKING:
    from trivet.sql.database import Database
    from trivet.sql.session import Connection

OUTPUT = frozenset(
    (
        "kind", "etag", "id", "selfLink", "tableReference", "creationTime", "lastModifiedTime", "type",
        "numRows", "numBytes", "numLongTermBytes", "schema", "view", "location", "streamingBuffer",
    )
)  # fmt: skip
"""Fields that are the server's own, or kept otherwise."""

_UNSUPPORTED = (
    "externalDataConfiguration", "materializedView", "snapshotDefinition", "cloneDefinition",
    "tableConstraints", "biglakeConfiguration",
)  # fmt: skip


class TableRows:
    """The rows of a table, in the order in which they came."""

    def __init__(self, database: "Database", name: ObjectName) -> None:
        self._database = database
        with database.connect(project=name.project) as connection:
            found = connection.store.table(name)
            if found.kind == "VIEW":
                raise InvalidArgument(f"Cannot list a table of type VIEW: {name}; query it")
            self.fields: Sequence[Field] = found.fields
            self.total = connection.store.rows(name)
            self._place = connection.store.place(name)
        self._name = name

    def slice(self, start: int, count: int) -> Any:
        """Return some of them."""
        with self._database.connect(project=self._name.project) as connection:
            columns = ", ".join(quoted(one.name) for one in self.fields)
            text = f"SELECT {columns} FROM {self._place} LIMIT {count} OFFSET {start}"
            return connection.cursor.execute(text).to_arrow_table()


def rows_of(database: "Database", jobs: Jobs, asked: Asked) -> Rows:
    """Return the rows of a table, or those that a query has given; raises NotFound."""
    job = _job_of(jobs, asked)
    if job is not None and job.rows is not None:
        return job.rows
    return TableRows(database, asked.table)


def _job_of(jobs: Jobs, asked: Asked) -> Job | None:
    if asked.parts["dataset"] != ANONYMOUS:
        return None
    wanted = asked.parts["id"]
    return next((job for job in jobs if job.rows is not None and anonymous(job)["tableId"] == wanted), None)


def list_rows(database: "Database", jobs: Jobs, asked: Asked) -> Reply:
    """Give a page of a table's rows."""
    from trivet.protocols.bigquery.calls import spliced

    rows = rows_of(database, jobs, asked)
    start = asked.number("startIndex") or 0
    if token := asked.said("pageToken"):
        start = read_token(token)
    columns = [name for one in asked.query.get("selectedFields", []) for name in one.split(",") if name]
    most = asked.number("maxResults")
    content, following = page(rows, start, most, micros=asked.micros, columns=columns)
    answer: Json = {"kind": "bigquery#tableDataList", "etag": "", "totalRows": str(rows.total)}
    if following is not None and most != 0:
        answer["pageToken"] = str(following)
    return Reply(200, spliced(answer, content))


def _json(connection: "Connection", table: Table) -> Json:
    written = _short(table)
    written |= {
        "etag": table.etag,
        "schema": schema_json(table.fields),
        "creationTime": millis(table.created),
        "lastModifiedTime": millis(table.modified),
        "location": LOCATION,
    }
    if table.kind == "TABLE":
        written |= {
            "numRows": str(connection.store.rows(table.name)),
            "numBytes": "0",
            "numLongTermBytes": "0",
        }
    return written


def _short(table: Table) -> Json:
    written: Json = {
        **table.document,
        "kind": "bigquery#table",
        "id": str(table.name),
        "tableReference": table_reference(table.name),
        "type": table.kind,
    }
    if table.kind == "VIEW":
        written["view"] = {"query": table.query, "useLegacySql": False}
    return written


def list_(database: "Database", asked: Asked) -> Json:
    """List the tables and views of a dataset."""
    with database.connect(project=asked.project) as connection:
        found = connection.store.tables(asked.dataset)
    listed, following = paged(found, asked)
    names = (
        "kind", "id", "tableReference", "friendlyName", "type", "labels", "view", "expirationTime",
        "timePartitioning", "rangePartitioning", "clustering",
    )  # fmt: skip
    shown = []
    for one in listed:
        whole = _short(one)
        if "view" in whole:
            whole["view"] = {"useLegacySql": False}
        short = {name: whole[name] for name in names if name in whole}
        shown.append({**short, "creationTime": millis(one.created)})
    answer: Json = {"kind": "bigquery#tableList", "etag": "", "totalItems": len(found)}
    return {**answer, "tables": shown, **following}


def get(database: "Database", jobs: Jobs, asked: Asked) -> Json:
    """Return a table or view, or the hidden one that a query's rows are in."""
    if (job := _job_of(jobs, asked)) is not None and job.rows is not None:
        name = dataset_name(job.project, ANONYMOUS).child(asked.parts["id"])
        return {
            "kind": "bigquery#table",
            "etag": job.id,
            "id": str(name),
            "tableReference": table_reference(name),
            "schema": schema_json(job.rows.fields),
            "numRows": str(job.rows.total),
            "numBytes": "0",
            "creationTime": str(job.created),
            "lastModifiedTime": str(job.ended),
            "type": "TABLE",
            "location": job.location,
        }
    with database.connect(project=asked.project) as connection:
        return _json(connection, connection.store.table(asked.table))


def insert(database: "Database", asked: Asked) -> Json:
    """Make an empty table, or a view."""
    body = asked.body
    reference = {"datasetId": asked.parts["dataset"], **(body.get("tableReference") or {})}
    name = read_table(reference, asked.project, "tableReference")
    document = _document(body)
    view = body.get("view")
    with database.connect(project=name.project) as connection, connection.transaction():
        _expect_free(database, connection, name)
        if view:
            made = _create_view(connection, name, view, document)
        else:
            made = connection.store.create_table(name, read_schema(body.get("schema")), document)
        return _json(connection, made)


def _expect_free(database: "Database", connection: "Connection", name: ObjectName) -> None:
    connection.store.expect_free(name)
    if database.models.exists(name):
        raise AlreadyExists(f"Already Exists: Model {name}")


def _create_view(
    connection: "Connection", name: ObjectName, view: Any, document: Json, *, replace: bool = False
) -> Table:
    if not isinstance(view, dict) or not isinstance(query := view.get("query"), str):
        raise InvalidArgument("view: expected an object with a query")
    if view.get("useLegacySql") is True:
        raise Unimplemented("view: legacy SQL is not supported: set useLegacySql to false")
    return alterations.put_view(connection, name, query, document, replace=replace)


def _document(body: Json) -> Json:
    for name in _UNSUPPORTED:
        if body.get(name):
            raise Unimplemented(f"{name}: tables of this kind are not supported")
    return {name: value for name, value in body.items() if name not in OUTPUT}


def patch(database: "Database", asked: Asked) -> Json:
    """Change some of what is said about a table or view, its columns or its query."""
    return _update(database, asked, whole=False)


def update(database: "Database", asked: Asked) -> Json:
    """Replace all that is said about a table or view."""
    return _update(database, asked, whole=True)


def _update(database: "Database", asked: Asked, *, whole: bool) -> Json:
    name = asked.table
    with database.connect(project=asked.project) as connection, connection.transaction():
        found = connection.store.table(name)
        expect_etag(asked, found.etag)
        document = changed({} if whole else found.document, _document(asked.body))
        columns = None
        if asked.body.get("schema"):
            wanted = read_schema(asked.body["schema"])
            if found.kind == "TABLE":
                alterations.alter_columns(connection, found, wanted)
            columns = {one.name: one.description for one in wanted}
        if asked.body.get("view") and found.kind == "VIEW":
            _create_view(connection, name, asked.body["view"], document, replace=True)
        else:
            connection.store.describe(name, document, columns if found.kind == "TABLE" else None)
        return _json(connection, connection.store.table(name))


def delete(database: "Database", asked: Asked) -> Json:
    """Delete a table or view."""
    with database.connect(project=asked.project) as connection, connection.transaction():
        connection.store.delete_table(asked.table)
    return {}
