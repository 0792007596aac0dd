"""Models and their versions on the wire."""

from typing import Any

from trivet.control.plane import ControlPlane
from trivet.core.errors import InvalidArgument
from trivet.core.resources import ModelVersion, Name, Operation
from trivet.protocols.vertex import shapes
from trivet.protocols.vertex.wire import Asked, Json, timestamp, without_output

_INPUTS = ["jsonl", "bigquery", "csv", "tf-record", "tf-record-gzip", "file-list"]

_FOUND = "runtime"
"""What the server says in `trivet` of a model: the runtime that it was found to be for, or has named."""


def model_json(version: ModelVersion) -> Json:
    """Write a version of a model.

    Without `supportedDeploymentResourcesTypes` the SDK would drop the machine type and the replicas of a
    deployment, and without a creation time it would fetch the model again for each of its properties.
    """
    found = {_FOUND: version.framework} if version.framework else {}
    own = {**version.document.get("trivet", {}), **found}
    return {
        **version.document,
        **({"trivet": own} if own else {}),
        "name": str(version.name),
        "versionId": version.version,
        "versionAliases": list(version.aliases),
        "displayName": version.display_name,
        "labels": dict(version.labels),
        "createTime": timestamp(version.model_created),
        "updateTime": timestamp(version.updated),
        "versionCreateTime": timestamp(version.created),
        "versionUpdateTime": timestamp(version.updated),
        "etag": version.etag,
        "supportedDeploymentResourcesTypes": ["DEDICATED_RESOURCES", "SHARED_RESOURCES"],
        "supportedInputStorageFormats": [
            "jsonl",
            "bigquery",
            "csv",
            "tf-record",
            "tf-record-gzip",
            "file-list",
        ],
        "supportedOutputStorageFormats": ["jsonl", "bigquery"],
    }


def _given(model: Json) -> Json:
    """Return a model without what the server says of it."""
    given = without_output(model)
    own = given.get("trivet")
    if isinstance(own, dict) and _FOUND in own:
        given["trivet"] = {name: value for name, value in own.items() if name != _FOUND}
    return given


def upload(control: ControlPlane, asked: Asked) -> Operation:
    """`POST models:upload`."""
    body = shapes.upload_model(asked.body, "")
    if "model" not in body:
        raise InvalidArgument("model: required")
    return control.upload_model(
        asked.parent,
        _given(body["model"]),
        model_id=body.get("modelId", ""),
        parent_model=body.get("parentModel", ""),
        api=asked.api,
    )


def copy(control: ControlPlane, asked: Asked) -> Operation:
    """`POST models:copy`."""
    body = shapes.copy_model(asked.body, "")
    if not body.get("sourceModel"):
        raise InvalidArgument("sourceModel: required")
    return control.copy_model(
        asked.parent,
        Name.parse(body["sourceModel"], "models"),
        model_id=body.get("modelId", ""),
        parent_model=body.get("parentModel", ""),
        api=asked.api,
    )


def get(control: ControlPlane, asked: Asked) -> Json:
    """`GET models/M`, `models/M@V`."""
    return model_json(control.model(asked.name("models")))


def list_(control: ControlPlane, asked: Asked) -> Json:
    """`GET models`."""
    page = control.models(asked.parent, asked.page())
    return {"models": [model_json(one) for one in page.items], "nextPageToken": page.next_page_token}


def list_versions(control: ControlPlane, asked: Asked) -> Json:
    """`GET models/M:listVersions`."""
    page = control.versions(asked.name("models"), asked.page())
    return {"models": [model_json(one) for one in page.items], "nextPageToken": page.next_page_token}


def update(control: ControlPlane, asked: Asked) -> Json:
    """`PATCH models/M`: of the model that is sent, only what the mask names.

    The SDK never names the version that it changes, but sends the whole of it.
    """
    sent = shapes.model(asked.body, "model")
    name = asked.name("models")
    if not name.version:
        name = name.at(sent.get("versionId", ""))
    return model_json(control.update_model(name, _given(sent), asked.mask()))


def merge_aliases(control: ControlPlane, asked: Asked) -> Json:
    """`POST models/M:mergeVersionAliases`."""
    aliases: list[Any] = shapes.merge_aliases(asked.body, "").get("versionAliases", [])
    if not aliases:
        raise InvalidArgument('versionAliases: expected at least one alias to add, or "-alias" to remove')
    return model_json(control.merge_aliases(asked.name("models"), aliases))


def delete(control: ControlPlane, asked: Asked) -> Operation:
    """`DELETE models/M`."""
    return control.delete_model(asked.name("models"), api=asked.api)


def delete_version(control: ControlPlane, asked: Asked) -> Operation:
    """`DELETE models/M@V:deleteVersion`."""
    return control.delete_version(asked.name("models"), api=asked.api)


def evaluations(control: ControlPlane, asked: Asked) -> Json:
    """`GET models/M/evaluations`: there are none, of a model that is there."""
    control.model(asked.name("models"))
    return {}
