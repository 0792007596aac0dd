"""Schemas of custom resources, as their projects publish them: KServe's in its wheel, the Gateway API's and
GKE's in packages of npm. `make schemas` fetches these; nothing of them is installed, they are only read.
"""

import ast
import json
import re
import tarfile
import zipfile
from functools import cache
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

FOLDER = Path(__file__).parents[2] / ".schemas"
KUBERNETES = "v1.34.0-local-strict"
_OF_NPM = {
    "gateway.networking.k8s.io/v1": "kubernetes-models-gateway-api-*.tgz",
    "networking.gke.io/v1": "kubernetes-models-gke-*.tgz",
}
_KSERVE = "serving.kserve.io/v1beta1"
_PLAIN = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "object": {},
    "datetime": {"type": "string"},
    "ResourceQuantity": {"type": ["string", "number"]},
}


def problem(document):
    """Return what is wrong with a custom resource; None for one of a group that is not known."""
    group = document["apiVersion"]
    if group == _KSERVE:
        schema = _kserve()
    elif group in _OF_NPM:
        schema = _of_npm(group, document["kind"])
    else:
        return None
    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema).iter_errors(document))
    return f"{'.'.join(map(str, error.absolute_path))}: {error.message}" if error else ""


def _file(pattern):
    found = sorted(FOLDER.glob(pattern))
    if not found:
        pytest.skip(f"THE SCHEMAS OF CUSTOM RESOURCES ARE NOT HERE ({pattern}): `make schemas`, with npm")
    return found[-1]


@cache
def _definitions():
    """Return Kubernetes' own types."""
    folder = files("kubernetes_validate").joinpath("kubernetes-json-schema", KUBERNETES)
    text = folder.joinpath("_definitions.json").read_text()
    return json.loads(re.sub(r'"[^"]*_definitions\.json#/\$defs/', '"#/$defs/', text))["$defs"]


@cache
def _of_npm(group, kind):
    """Return the schema of a kind of which a package has a module, written there as JSON."""
    with tarfile.open(_file(_OF_NPM[group])) as package:
        module = package.extractfile(f"package/{group}/{kind}.js")
        found = re.search(r"^const schema = (\{.*?^\});", module.read().decode(), re.MULTILINE | re.DOTALL)
    schema = _strict(json.loads(found[1]))
    schema["properties"]["metadata"] = _kubernetes("V1ObjectMeta")
    return {**schema, "$defs": _definitions()}


def _strict(schema):
    """Refuse fields that a schema does not name, which a cluster would drop; nothing here is ever null."""
    if isinstance(schema, list):
        return [_strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _strict(value) for key, value in schema.items()}
    if isinstance(made.get("properties"), dict) and made.get("type") == "object":
        made.setdefault("additionalProperties", False)
    return made


def _kubernetes(name):
    """Return a reference to one of Kubernetes' types by the name that its Python client has for it."""
    plain = re.sub(r"^V1", "", name)
    for group in ("io.k8s.api.core.v1", "io.k8s.apimachinery.pkg.apis.meta.v1", "io.k8s.api.apps.v1"):
        if f"{group}.{plain}" in _definitions():
            return {"$ref": f"#/$defs/{group}.{plain}"}
    return {}


@cache
def _kserve():
    """Return the schema of an InferenceService, of the fields and types that KServe's client has."""
    definitions = dict(_definitions())
    with zipfile.ZipFile(_file("kserve-*.whl")) as wheel:
        for name in wheel.namelist():
            if name.startswith("kserve/models/v1beta1_"):
                for kind, schema in _classes(wheel.read(name).decode()):
                    definitions[kind] = schema
    return {"$ref": "#/$defs/V1beta1InferenceService", "$defs": definitions}


def _classes(source):
    for one in ast.parse(source).body:
        if isinstance(one, ast.ClassDef):
            said = {
                node.targets[0].id: ast.literal_eval(node.value)
                for node in one.body
                if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)
            }
            types, names = said["openapi_types"], said["attribute_map"]
            properties = {names[field]: _typed(kind) for field, kind in types.items()}
            yield one.name, {"type": "object", "properties": properties, "additionalProperties": False}


def _typed(kind):
    if kind in _PLAIN:
        return _PLAIN[kind]
    if inner := re.fullmatch(r"list\[(.*)\]", kind):
        return {"type": "array", "items": _typed(inner[1])}
    if inner := re.fullmatch(r"dict\(str, (.*)\)", kind):
        return {"type": "object", "additionalProperties": _typed(inner[1])}
    return {"$ref": f"#/$defs/{kind}"} if kind.startswith("V1beta1") else _kubernetes(kind)
