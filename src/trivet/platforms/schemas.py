"""Checks documents against what the platforms publish: schemas that come with packages of `trivet[export]`.

Kubernetes' are those of kubernetes-validate, Google's the discovery documents of google-api-python-client,
Compose's the one that check-jsonschema has. Custom resources (the Gateway API's, GKE's, KServe's) are in no
package: the cluster checks them, by a dry run.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.resources import files
from typing import Any

from trivet.core.errors import FailedPrecondition
from trivet.platforms.base import Bundle, Json

_KUBERNETES = "1.34"
"""The version of Kubernetes whose schemas are used: one that every channel of GKE has."""

_NOT_INSTALLED = "pip install 'trivet[export]' has the schemas"
_CUSTOM = "these are custom resources, which the cluster knows; deploy.sh asks it before it changes anything"

_CORE_GROUPS = ("v1", "apps/v1", "autoscaling/v2", "policy/v1")
_VERTEX = {
    "upload": "GoogleCloudAiplatformV1UploadModelRequest",
    "deploy": "GoogleCloudAiplatformV1DeployModelRequest",
    "endpoint": "GoogleCloudAiplatformV1Endpoint",
    "traffic": "GoogleCloudAiplatformV1Endpoint",
}
"""Messages by the word in the name of the file that has one."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What each file was checked against, and which kinds of documents were not, by the reason why."""

    by: Mapping[str, str]
    left: Mapping[str, Sequence[str]]


def check(bundle: Bundle) -> Checked:
    """Check every document of a bundle.

    Raises FailedPrecondition that names the file, the field and what is wrong.
    """
    by: dict[str, str] = {}
    left: dict[str, list[str]] = {}
    for path, documents in bundle.documents.items():
        for document in documents:
            kind = str(document.get("kind") or path)
            try:
                against, found = problems(path, document)
            except ModuleNotFoundError:
                left.setdefault(_NOT_INSTALLED, []).append(kind)
                continue
            if found:
                raise FailedPrecondition(f"{path} is not what {against} takes: {found}")
            if against:
                by[path] = against
            else:
                left.setdefault(_CUSTOM, []).append(kind)
    return Checked(by, {why: tuple(dict.fromkeys(kinds)) for why, kinds in left.items()})


def problems(path: str, document: Json) -> tuple[str, str]:
    """Return what a document is checked against (empty for nothing), and what is wrong with it.

    Raises ModuleNotFoundError where the package with the schema is not installed.
    """
    kind = str(document.get("apiVersion", ""))
    if kind in _CORE_GROUPS:
        return f"Kubernetes {_KUBERNETES}", _kubernetes(document)
    if kind == "serving.knative.dev/v1":
        return "the API of Cloud Run", _against(_discovered("run.v1", "Service"), document)
    if path.endswith(".json"):
        word = next(word for word in _VERTEX if word in path)
        return "the API of Vertex AI", _against(_discovered("aiplatform.v1", _VERTEX[word]), document)
    if not kind:
        return "the Compose specification", _against(_compose(), document)
    return "", ""


def _kubernetes(document: Json) -> str:
    validate = import_module("kubernetes_validate")
    try:
        validate.validate(document, _KUBERNETES, strict=True)
    except validate.ValidationError as error:
        return f"{'.'.join(map(str, error.path))}: {error.message}"
    return ""


def _against(schema: Json, document: Json) -> str:
    """Return the most telling of what is wrong with a document."""
    jsonschema = import_module("jsonschema")
    validator = jsonschema.validators.validator_for(schema)(schema)
    error = jsonschema.exceptions.best_match(validator.iter_errors(document))
    return f"{'.'.join(map(str, error.absolute_path))}: {error.message}" if error else ""


@cache
def _compose() -> Json:
    text = files("check_jsonschema.builtin_schemas.vendor").joinpath("compose-spec.json").read_text("utf-8")
    schema: Json = json.loads(text)
    return schema


@cache
def _discovered(document: str, name: str) -> Json:
    """Return a message of one of Google's APIs as a JSON Schema."""
    folder = files("googleapiclient.discovery_cache.documents")
    schemas = json.loads(folder.joinpath(f"{document}.json").read_text("utf-8"))["schemas"]
    definitions = {key: json_schema(one) for key, one in schemas.items()}
    return {"$ref": f"#/definitions/{name}", "definitions": definitions}


def json_schema(one: Mapping[str, Any]) -> Json:
    """Return a schema of a discovery document as JSON Schema, in which unknown fields are errors."""
    if "$ref" in one:
        return {"$ref": f"#/definitions/{one['$ref']}"}
    kind = one.get("type")
    if kind == "object":
        made: Json = {"type": "object"}
        if "properties" in one:
            made["properties"] = {key: json_schema(value) for key, value in one["properties"].items()}
            made["additionalProperties"] = False
        elif isinstance(one.get("additionalProperties"), Mapping):
            made["additionalProperties"] = json_schema(one["additionalProperties"])
        return made
    if kind == "array":
        return {"type": "array", "items": json_schema(one.get("items", {}))}
    if kind == "string" and one.get("format") in ("int64", "uint64"):
        return {"type": ["string", "integer"], "pattern": r"^-?\d+$"}
    kept = {key: one[key] for key in ("enum", "pattern") if key in one}
    return kept if kind in (None, "any") else {"type": kind, **kept}
