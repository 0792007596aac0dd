"""The OpenAPI 3.1 description of what is served: each model's instances and predictions, by example."""

from collections.abc import Mapping
from typing import Any

from trivet import __version__
from trivet.codecs import example
from trivet.core.signature import FLOATS, NUMBERS, Signature, TensorSpec
from trivet.serving.plane import DeployedModel, Route

Schema = dict[str, Any]


def document(routes: Mapping[str, Route]) -> dict[str, Any]:
    """Describe the prediction paths of every model and version."""
    paths: dict[str, Any] = {}
    for route in routes.values():
        if "/" in route.name:  # an endpoint's full name, which has a body of its own
            continue
        if route.split:
            default = route.deployed[next(iter(route.split))]
            paths[f"/v1/models/{route.name}:predict"] = _operation(default, "")
        for version, id_ in route.versions.items():
            path = f"/v1/models/{route.name}/versions/{version}:predict"
            paths[path] = _operation(route.deployed[id_], f"_{version}")
    return {
        "openapi": "3.1.0",
        "info": {"title": "Trivet", "version": __version__},
        "paths": paths,
        "components": {"schemas": {"Error": _ERROR}},
    }


def _operation(deployed: DeployedModel, suffix: str) -> dict[str, Any]:
    signature = deployed.model.signature
    problem = {"$ref": "#/components/schemas/Error"}
    return {
        "post": {
            "operationId": f"predict_{deployed.ref.name}{suffix}",
            "summary": f"Predict with {deployed.ref} ({deployed.model.framework})",
            "requestBody": {"required": True, "content": _json(_request(signature))},
            "responses": {
                "200": {
                    "description": "One prediction per instance.",
                    "content": _json(_response(signature)),
                },
                "default": {"description": "What was wrong.", "content": _json(problem)},
            },
        }
    }


def _json(schema: Schema) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _request(signature: Signature) -> Schema:
    one = example.instance(signature)
    return {
        "type": "object",
        "required": ["instances"],
        "additionalProperties": False,
        "properties": {
            "instances": {"type": "array", "items": instance_schema(signature)},
            "parameters": _parameters(signature),
            "signature_name": {"type": "string"},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        },
        "examples": [{"instances": [one]}],
    }


def instance_schema(signature: Signature) -> Schema:
    """Return the JSON schema of one instance: an array in order, or an object by name."""
    if signature.takes_json:
        return {}
    values = [(name, _given(spec)) for name, spec in signature.values()]
    by_name = {
        "type": "object",
        "required": [name for name, _ in values],
        "additionalProperties": False,
        "properties": dict(values),
    }
    in_order = {
        "type": "array",
        "prefixItems": [schema for _, schema in values],
        "minItems": len(values),
        "maxItems": len(values),
    }
    if len(signature.inputs) == 1 and not signature.inputs[0].fields:
        itself = values[0][1]
        return {"anyOf": [itself, by_name] if signature.inputs[0].shape else [itself, by_name, in_order]}
    return {"anyOf": [by_name, in_order]}


def _given(spec: TensorSpec) -> Schema:
    """Return the schema of an input; an array of one value may be given as that value."""
    schema = _value(spec)
    return {"anyOf": [schema, schema["items"]]} if spec.shape == (1,) else schema


def _value(spec: TensorSpec) -> Schema:
    schema: Schema
    if spec.dtype == "json":
        return {}
    if spec.dtype == "bytes":
        base64 = {"type": "string", "contentEncoding": "base64"}
        encoded = {"type": "object", "required": ["b64"], "properties": {"b64": base64}}
        schema = {"anyOf": [encoded, {"type": "string"}]}
    elif spec.dtype == "category":
        schema = {"type": ["string", "integer"]}
    else:
        kind = "number" if spec.dtype in FLOATS else "integer" if spec.dtype in NUMBERS else spec.dtype
        schema = {"type": {"bool": "boolean"}.get(kind, kind)}
    if spec.nullable:
        schema = {"anyOf": [schema, {"type": "null"}]}
    for size in reversed(spec.shape):
        schema = {"type": "array", "items": schema}
        if size is not None:
            schema |= {"minItems": size, "maxItems": size}
    return schema


def _parameters(signature: Signature) -> Schema:
    if signature.parameters is None:
        return {"type": ["object", "null"]}
    return {
        "type": ["object", "null"],
        "additionalProperties": False,
        "properties": {
            spec.name: {"enum": list(spec.choices), "default": spec.choices[0]}
            for spec in signature.parameters
        },
    }


def _response(signature: Signature) -> Schema:
    return {
        "type": "object",
        "required": ["predictions"],
        "properties": {"predictions": {"type": "array", "items": _prediction(signature)}},
    }


def _prediction(signature: Signature) -> Schema:
    """Floats may be null: JSON has no NaN."""
    values = {spec.name: _answer(spec) for spec in signature.outputs}
    if not values:
        return {}
    if not signature.classes and set(values) != {"classes", "scores", "predicted_class"}:
        by_name = {"type": "object", "required": list(values), "properties": values}
        return next(iter(values.values())) if len(values) == 1 else by_name
    detailed = {"type": "object", "required": list(values), "properties": values}
    return {"anyOf": [values["predicted_class"], values["scores"], detailed]}


def _answer(spec: TensorSpec) -> Schema:
    if spec.dtype in FLOATS:
        schema: Schema = {"type": ["number", "null"]}
        for size in reversed(spec.shape):
            schema = {"type": "array", "items": schema}
            if size is not None:
                schema |= {"minItems": size, "maxItems": size}
        return schema
    return _value(spec)


_ERROR: Schema = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "status"],
            "properties": {
                "code": {"type": "integer"},
                "message": {"type": "string"},
                "status": {"type": "string"},
            },
        }
    },
}
