"""An endpoint as a path names it, and what an answer says of who gave it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from trivet.codecs.json_body import BodyLimits
from trivet.protocols.base import JSON, encode_json
from trivet.protocols.predict import Envelope
from trivet.serving.plane import DataPlane, DeployedModel, Route

# printable ASCII alone, since the parent is given back in headers
ENDPOINT = (
    r"/{1,2}v1(?:beta1)?/(?P<parent>projects/(?P<project>[!-.0-~]+)/locations/(?P<location>[!-.0-~]+))"
    r"/endpoints/(?P<name>[^/:]+)"
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint as a path names it, and what is served there."""

    parent: str
    name: str
    route: Route
    limits: BodyLimits


def endpoint(plane: DataPlane, match: re.Match[str], limits: BodyLimits) -> Endpoint:
    """Return what a path names that begins as ENDPOINT says; raises what `DataPlane.endpoint` does."""
    name = match["name"]
    return Endpoint(match["parent"], name, plane.endpoint(match["project"], match["location"], name), limits)


def in_body(at: Endpoint, deployed: DeployedModel) -> Envelope:
    """Return what stands behind predictions in a body."""
    ids = encode_json(
        {
            "deployedModelId": deployed.id,
            "model": _model(at, deployed),
            "modelDisplayName": deployed.model.spec.display_name or deployed.ref.name,
            "modelVersionId": deployed.ref.version,
        }
    )
    return Envelope(after=b"," + ids[1:])


def in_headers(at: Endpoint, deployed: DeployedModel) -> Envelope:
    """Return an envelope that leaves the body as it is."""
    lines = [f"{name}: {value}\r\n".encode() for name, value in headers(at, deployed).items()]
    return Envelope(headers=JSON + b"".join(lines))


def headers(at: Endpoint, deployed: DeployedModel) -> Mapping[str, str]:
    """Return the headers that say who answered."""
    return {
        "x-vertex-ai-endpoint-id": at.name,
        "x-vertex-ai-deployed-model-id": deployed.id,
        "x-vertex-ai-model": _model(at, deployed),
        "x-vertex-ai-model-version-id": deployed.ref.version,
    }


def _model(at: Endpoint, deployed: DeployedModel) -> str:
    return deployed.model.spec.model or f"{at.parent}/models/{deployed.ref.name}"
