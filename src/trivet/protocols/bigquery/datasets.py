"""Datasets on the wire. https://cloud.google.com/bigquery/docs/reference/rest/v2/datasets"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from trivet.core.errors import AlreadyExists, InvalidArgument, Unimplemented
from trivet.protocols.bigquery.errors import ConditionNotMet
from trivet.protocols.bigquery.wire import (
    LOCATION,
    Asked,
    Json,
    dataset_reference,
    millis,
    paged,
    read_dataset,
)
from trivet.sql.store import Dataset

if TYPE_CHECKING:
    from trivet.sql.database import Database

OUTPUT = frozenset(
    ("kind", "etag", "id", "selfLink", "datasetReference", "creationTime", "lastModifiedTime", "type")
)
"""Fields that are the server's own."""


def changed(document: Mapping[str, object], changes: Mapping[str, object]) -> Json:
    """Return a document with changes: a null takes a field away, and a label among labels."""
    made = dict(document)
    for name, value in changes.items():
        before = made.get(name)
        if value is None:
            made.pop(name, None)
        elif isinstance(value, dict) and name == "labels":
            made[name] = changed(before if isinstance(before, dict) else {}, value)
        else:
            made[name] = value
    return made


def expect_etag(asked: Asked, etag: str) -> None:
    """Raise ConditionNotMet where the caller has seen another state."""
    if asked.etag not in ("", "*", etag):
        raise ConditionNotMet(f"Precondition check failed: the etag is {etag}; expected {asked.etag[:60]}")


def _json(dataset: Dataset) -> Json:
    name = dataset.name
    return {
        "location": LOCATION,
        "access": [],
        **dataset.document,
        "kind": "bigquery#dataset",
        "etag": dataset.etag,
        "id": str(name),
        "datasetReference": dataset_reference(name),
        "creationTime": millis(dataset.created),
        "lastModifiedTime": millis(dataset.modified),
        "type": "DEFAULT",
    }


def _document(body: Json) -> Json:
    if body.get("externalDatasetReference") or body.get("linkedDatasetSource"):
        raise Unimplemented("external and linked datasets are not supported")
    return {name: value for name, value in body.items() if name not in OUTPUT}


def list_(database: "Database", asked: Asked) -> Json:
    """List the datasets of a project."""
    with database.connect(project=asked.project) as connection:
        found = connection.store.datasets(asked.project)
    if wanted := asked.said("filter"):
        found = [one for one in found if _has_labels(one, wanted)]
    shown = [one for one in found if asked.is_true("all") or not one.name.dataset.startswith("_")]
    listed, following = paged(shown, asked)
    whole = [_json(one) for one in listed]
    names = ("kind", "id", "datasetReference", "labels", "friendlyName", "location")
    datasets = [{name: one[name] for name in names if name in one} for one in whole]
    return {"kind": "bigquery#datasetList", "etag": "", "datasets": datasets, **following}


def _has_labels(dataset: Dataset, wanted: str) -> bool:
    labels = dict(dataset.document.get("labels", {}))
    for one in wanted.split():
        name, _, value = one.removeprefix("labels.").partition(":")
        if not one.startswith("labels."):
            raise InvalidArgument(f"filter: expected labels.NAME or labels.NAME:VALUE; got {one[:60]!r}")
        if name not in labels or (value and labels[name] != value):
            return False
    return True


def get(database: "Database", asked: Asked) -> Json:
    """Return a dataset."""
    with database.connect(project=asked.project) as connection:
        return _json(connection.store.dataset(asked.dataset))


def insert(database: "Database", asked: Asked) -> Json:
    """Make a dataset."""
    name = read_dataset(asked.body.get("datasetReference"), asked.project, "datasetReference")
    document = _document(asked.body)
    with database.connect(project=name.project) as connection, connection.transaction():
        if connection.store.has_dataset(name):
            raise AlreadyExists(f"Already Exists: Dataset {name}")
        return _json(connection.store.create_dataset(name, document))


def patch(database: "Database", asked: Asked) -> Json:
    """Change some of what is said about a dataset."""
    return _update(database, asked, whole=False)


def update(database: "Database", asked: Asked) -> Json:
    """Replace all that is said about a dataset."""
    return _update(database, asked, whole=True)


def _update(database: "Database", asked: Asked, *, whole: bool) -> Json:
    with database.connect(project=asked.project) as connection, connection.transaction():
        found = connection.store.dataset(asked.dataset)
        expect_etag(asked, found.etag)
        document = changed({} if whole else found.document, _document(asked.body))
        return _json(connection.store.update_dataset(found.name, document))


def delete(database: "Database", asked: Asked) -> Json:
    """Delete a dataset, with what is in it where the caller says so."""
    with database.connect(project=asked.project) as connection, connection.transaction():
        database.delete_dataset(connection.store, asked.dataset, cascade=asked.is_true("deleteContents"))
    return {}
