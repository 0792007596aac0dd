"""Models on the wire. https://cloud.google.com/bigquery/docs/reference/rest/v2/models"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from trivet.core.errors import Aborted, InvalidArgument, NotFound
from trivet.protocols.bigquery.datasets import changed, expect_etag
from trivet.protocols.bigquery.errors import ConditionNotMet
from trivet.protocols.bigquery.schema import standard_json
from trivet.protocols.bigquery.wire import LOCATION, Asked, Json, millis, paged, read_number
from trivet.sql.model import REMOTE, SqlModel

if TYPE_CHECKING:
    from trivet.sql.database import Database


def _json(model: SqlModel) -> Json:
    name = model.name
    written: Json = {
        "etag": model.etag,
        "modelReference": {"projectId": name.project, "datasetId": name.dataset, "modelId": name.name},
        "creationTime": millis(model.created),
        "lastModifiedTime": millis(model.modified or model.created),
        "location": LOCATION,
        "modelType": "MODEL_TYPE_UNSPECIFIED" if model.type == REMOTE else model.type,
        "featureColumns": standard_json(model.inputs),
        "labelColumns": standard_json(model.outputs),
        "labels": dict(model.labels),
        "trainingRuns": [],
    }
    if model.description:
        written["description"] = model.description
    if friendly := model.options.get("friendly_name"):
        written["friendlyName"] = friendly
    if model.expires is not None:
        written["expirationTime"] = millis(model.expires)
    if model.remote is not None:
        written["remoteModelInfo"] = {
            "endpoint": model.remote.endpoint,
            "connection": model.remote.connection,
            "maxBatchingRows": str(model.remote.rows),
        }
    return written


def list_(database: "Database", asked: Asked) -> Json:
    """List the models of a dataset."""
    with database.connect(project=asked.project) as connection:
        connection.store.dataset(asked.dataset)
    listed, following = paged(database.models.list(asked.dataset), asked)
    names = (
        "modelReference", "modelType", "creationTime", "lastModifiedTime", "labels", "friendlyName",
        "remoteModelInfo",
    )  # fmt: skip
    whole = [_json(one) for one in listed]
    return {"models": [{name: one[name] for name in names if name in one} for one in whole], **following}


def get(database: "Database", asked: Asked) -> Json:
    """Return a model."""
    return _json(_found(database, asked))


def _found(database: "Database", asked: Asked) -> SqlModel:
    with database.connect(project=asked.project) as connection:
        connection.store.dataset(asked.dataset)
    try:
        return database.models.find(asked.table)
    except NotFound:
        raise NotFound(f"Not found: Model {asked.table}") from None


def patch(database: "Database", asked: Asked) -> Json:
    """Change a model's description, labels, friendly name or time to expire."""
    found = _found(database, asked)
    expect_etag(asked, found.etag)
    changes: Json = {}
    for name, value in asked.body.items():
        match name:
            case "description":
                changes["description"] = value or ""
            case "friendlyName":
                changes["friendly_name"] = value or ""
            case "labels":
                labels = changed({"labels": dict(found.labels)}, {"labels": value})
                changes["labels"] = labels.get("labels") or {}
            case "expirationTime":
                millis_ = None if value in (None, "") else read_number(value, "expirationTime")
                at = None if not millis_ else datetime.fromtimestamp(millis_ / 1000, UTC)
                changes["expires"] = at
            case "etag" | "modelReference":
                pass
            case "encryptionConfiguration" if not value:
                pass
            case _:
                raise InvalidArgument(
                    f"{name}: cannot be changed; expected description, friendlyName, labels or expirationTime"
                )
    try:
        return _json(database.models.alter(found.name, changes, asked.etag if asked.etag != "*" else ""))
    except Aborted as error:
        raise ConditionNotMet(str(error)) from None


def delete(database: "Database", asked: Asked) -> Json:
    """Delete a model."""
    database.models.drop(_found(database, asked).name)
    database.changed()
    return {}
