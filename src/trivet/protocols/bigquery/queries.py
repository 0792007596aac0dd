"""Query jobs: a statement runs, and what it gives is kept as rows or in a table."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import random
from threading import Event
from typing import TYPE_CHECKING, Any, cast

from trivet.core.errors import Aborted, InvalidArgument, Unimplemented
from trivet.protocols.bigquery.jobs import Job, anonymous
from trivet.protocols.bigquery.parameters import read_parameters
from trivet.protocols.bigquery.results import KeptRows
from trivet.protocols.bigquery.schema import schema_json
from trivet.protocols.bigquery.wire import (
    Json,
    dataset_reference,
    read_dataset,
    read_table,
    table_reference,
)
from trivet.sql.dialect import parse
from trivet.sql.names import DatasetName, ObjectName
from trivet.sql.result import Planned, Result

if TYPE_CHECKING:
    from trivet.sql.database import Database
    from trivet.sql.session import Connection, Into

_UNSUPPORTED: Mapping[str, str] = {
    "tableDefinitions": "external tables",
    "userDefinedFunctionResources": "functions in JavaScript",
    "createSession": "sessions",
    "connectionProperties": "sessions",
    "continuous": "continuous queries",
}
_WRITES = ("WRITE_EMPTY", "WRITE_APPEND", "WRITE_TRUNCATE")
_PAUSES = (0.01, 0.03, 0.1, 0.3, 1.0)
"""Seconds before a statement is tried again that another has kept from changing rows."""

_DML = ("INSERT", "UPDATE", "DELETE", "MERGE", "TRUNCATE_TABLE")


@dataclass(frozen=True, slots=True)
class Query:
    """A query as a job's configuration has it, read."""

    text: str
    parameters: Any
    default: DatasetName | None
    target: ObjectName | None
    write: str
    creates: bool


def read_query_job(configuration: Json, project: str) -> Query:
    """Read `configuration.query`; raises InvalidArgument, and Unimplemented for what it asks for."""
    asked = configuration["query"]
    if not isinstance(asked, dict) or not isinstance(text := asked.get("query"), str) or not text.strip():
        raise InvalidArgument("query: expected a text")
    if asked.get("useLegacySql") is not False and str(asked.get("useLegacySql", "false")).lower() == "true":
        raise Unimplemented("legacy SQL is not supported: set useLegacySql to false")
    for name, what in _UNSUPPORTED.items():
        if asked.get(name):
            raise Unimplemented(f"{name}: {what} are not supported")
    reference = asked.get("destinationTable")
    write = str(asked.get("writeDisposition") or _WRITES[0])
    if write not in _WRITES:
        raise InvalidArgument(f"writeDisposition: expected one of {', '.join(_WRITES)}; got {write[:40]!r}")
    default = asked.get("defaultDataset")
    return Query(
        text=text,
        parameters=read_parameters(asked.get("queryParameters"), str(asked.get("parameterMode") or "")),
        default=read_dataset(default, project, "defaultDataset") if default else None,
        target=read_table(reference, project, "destinationTable") if reference else None,
        write=write,
        creates=str(asked.get("createDisposition") or "CREATE_IF_NEEDED") == "CREATE_IF_NEEDED",
    )


def run(job: Job, database: "Database", query: Query, folder: Path) -> None:
    """Run a query, and let the job know what it has given; rows that are many are in a file of the folder."""
    with _connected(database, job.project, query.default) as connection:
        job.interruptible(connection.interrupt)
        try:
            result = _run(job, connection, query)
            job.done = result.done
            _keep(job, result, query, folder)
        finally:
            job.uninterruptible()
    job.statistics = {**_planned(result.planned, job), **_changed(result), "cacheHit": False}


def _run(job: Job, connection: "Connection", query: Query) -> Result:
    """Run a query; where another has changed the same rows meanwhile, again, as BigQuery does."""
    for pause in (*_PAUSES, None):
        try:
            return connection.sql(query.text, query.parameters, into=_into(query))
        except Aborted as error:
            if pause is None or len(parse(query.text)) > 1:  # what came before is done
                raise Aborted(f"Could not serialize access due to concurrent update: {error}") from None
            Event().wait(pause * (0.5 + random()))
            job.check()
    raise AssertionError


def dry_run(job: Job, database: "Database", query: Query) -> None:
    """Let a job know what a query would do."""
    with _connected(database, job.project, query.default) as connection:
        planned = connection.plan(query.text, query.parameters)
    job.statistics = {
        **_planned(planned, job),
        "schema": schema_json(planned.fields),
        "totalBytesProcessed": "0",
        "totalBytesProcessedAccuracy": "UNKNOWN",
        "cacheHit": False,
    }


def _connected(database: "Database", project: str, default: DatasetName | None) -> "Connection":
    connection = database.connect(project=project)
    connection.default = default
    return connection


def _into(query: Query) -> "Into | None":
    from trivet.sql.session import Into

    return None if query.target is None else Into(query.target, cast(Any, query.write), query.creates)


def _keep(job: Job, result: Result, query: Query, folder: Path) -> None:
    told = job.configuration["query"]
    if result.fields:
        seen: set[str] = set()
        for one in result.fields:
            if one.name.lower() in seen:
                raise InvalidArgument(
                    "Duplicate column names in the result are not supported. "
                    f"Found duplicate(s): {one.name.lower()}"
                )
            seen.add(one.name.lower())
        rows = KeptRows(result.fields, folder / f"{job.project}-{job.id}.arrow")
        rows.fill(result.reader())
        job.rows = rows
        told["destinationTable"] = anonymous(job)
    elif isinstance(target := result.planned.target, ObjectName) and "destinationTable" not in told:
        told["destinationTable"] = table_reference(target)


def _planned(planned: Planned, job: Job) -> Json:
    """Write what a statement is, and what it is about."""
    written: Json = {"statementType": planned.kind, "totalBytesProcessed": "0", "totalBytesBilled": "0"}
    if planned.tables:
        written["referencedTables"] = [table_reference(one) for one in planned.tables]
    if planned.operation:
        written["ddlOperationPerformed"] = planned.operation
        if isinstance(planned.target, DatasetName):
            written["ddlTargetDataset"] = dataset_reference(planned.target)
        elif planned.target is not None and not planned.kind.endswith("_MODEL"):
            written["ddlTargetTable"] = table_reference(planned.target)
    return written


def _changed(result: Result) -> Json:
    """Write how many rows a statement has changed."""
    if result.rows_affected is None or result.kind not in _DML:
        return {}
    changes = dict(result.done.changes)
    kind = {"INSERT": "inserted", "UPDATE": "updated"}.get(result.kind, "deleted")
    if not changes and result.kind != "MERGE":
        changes = {kind: result.rows_affected}
    written: Json = {"numDmlAffectedRows": str(result.rows_affected)}
    if changes:
        written["dmlStats"] = {f"{name}RowCount": str(number) for name, number in changes.items()}
    return written
