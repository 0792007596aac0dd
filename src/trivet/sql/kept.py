"""What the catalog keeps of a model: its document, as JSON, and back."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from trivet.core.resources import DatasetModel, Document, Name
from trivet.sql.model import Remote, SqlModel
from trivet.sql.names import ObjectName
from trivet.sql.types import Field, Type


def to_document(model: SqlModel) -> Document:
    """Return all that the catalog has no column for."""
    remote = model.remote
    return {
        "type": model.type,
        "owned": model.owned,
        "inputs": [_field(one) for one in model.inputs],
        "outputs": [_field(one) for one in model.outputs],
        "remote": None
        if remote is None
        else {
            "endpoint": remote.endpoint,
            "connection": remote.connection,
            "rows": remote.rows,
            "retries": remote.retries,
        },
        "options": _json(model.options),
        "parameters": _json(model.parameters),
        "description": model.description,
        "labels": dict(model.labels),
    }


def row(model: SqlModel, now: datetime) -> DatasetModel:
    """Return what the catalog keeps of a model that is made, or was changed, now."""
    name = model.name
    return DatasetModel(
        project=name.project,
        dataset=name.dataset,
        id=name.name,
        created=model.created or now,
        updated=now,
        model=Name.parse(model.model, "models") if model.model else None,
        expires=model.expires,
        document=to_document(model),
        etag=model.etag,
    )


def of(kept: DatasetModel) -> SqlModel:
    """Return the model that a name stands for."""
    document = kept.document
    remote = document.get("remote")
    return SqlModel(
        name=ObjectName(kept.project, kept.dataset, kept.id),
        type=document["type"],
        inputs=tuple(map(_read_field, document["inputs"])),
        outputs=tuple(map(_read_field, document["outputs"])),
        model="" if kept.model is None else str(kept.model),
        owned=document["owned"],
        remote=None if remote is None else Remote(**remote),
        options=document["options"],
        parameters=document["parameters"],
        description=document["description"],
        labels=document["labels"],
        created=kept.created,
        modified=kept.updated,
        expires=kept.expires,
        etag=kept.etag,
    )


def _field(one: Field) -> Mapping[str, Any]:
    return {
        "name": one.name,
        "type": _type(one.type),
        "required": one.required,
        "description": one.description,
    }


def _read_field(given: Mapping[str, Any]) -> Field:
    return Field(given["name"], _read_type(given["type"]), given["required"], given["description"])


def _type(one: Type) -> Any:
    if one.item is not None:
        return {"item": _type(one.item)}
    if one.kind == "STRUCT":
        return {"fields": [_field(field) for field in one.fields]}
    return one.kind


def _read_type(given: Any) -> Type:
    if isinstance(given, str):
        return Type(given)  # type: ignore[arg-type]
    if "item" in given:
        return Type("ARRAY", _read_type(given["item"]))
    return Type("STRUCT", fields=tuple(map(_read_field, given["fields"])))


def _json(value: Any) -> Any:
    """Return a value as JSON has it; times as text."""
    match value:
        case Mapping():
            return {str(key): _json(one) for key, one in value.items()}
        case list() | tuple():
            return [_json(one) for one in value]
        case datetime():
            return value.isoformat()
        case str() | int() | float() | bool() | None:
            return value
    return str(value)
