"""Vertex AI online prediction (aiplatform v1), and the shorter paths that serving containers use.

    POST /v1/projects/P/locations/L/endpoints/E:predict       adds deployedModelId, model, ...
    POST /v1/projects/P/locations/L/endpoints/E:rawPredict    adds them as headers, the body untouched
    POST /v1/models/M:predict    /v1/models/M/versions/V:predict

Any project and location are taken. An endpoint's id is the name of the model served.
"""

import re
from collections.abc import Callable, Sequence

from starlette.routing import Route as AsgiRoute

from trivet.core.names import ModelRef
from trivet.protocols.base import JSON, HotRoute, Services, encode_json
from trivet.protocols.predict import Envelope, ModelRoute, predict_route
from trivet.serving.plane import DeployedModel

# printable ASCII alone, since the parent is given back in headers
_ENDPOINT = re.compile(
    r"/v1(?:beta1)?/(?P<parent>projects/[!-.0-~]+/locations/[!-.0-~]+)/endpoints/(?P<name>[^/:]+)"
    r":(?P<verb>predict|rawPredict)"
)
_MODEL = re.compile(r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>[^/:]+))?:predict")


class VertexProtocol:
    """Maps Vertex AI's paths and bodies to the data plane."""

    def __init__(self, services: Services) -> None:
        self._plane = services.plane
        self._limits = services.limits

    def hot(self, path: str) -> HotRoute | None:
        """Return what answers predictions on a path."""
        if match := _MODEL.fullmatch(path):
            if version := match["version"]:
                deployed = self._plane.deployed(ModelRef(match["name"], version))
                return ModelRoute(deployed, Envelope(), self._limits)
            return self._endpoint(match["name"], lambda deployed: Envelope())
        if match := _ENDPOINT.fullmatch(path):
            parent, name = match["parent"], match["name"]
            if match["verb"] == "rawPredict":
                return self._endpoint(name, lambda deployed: _in_headers(parent, name, deployed))
            return self._endpoint(name, lambda deployed: _in_body(parent, deployed))
        return None

    def routes(self) -> Sequence[AsgiRoute]:
        """Everything here is hot."""
        return ()

    def _endpoint(self, name: str, envelope: Callable[[DeployedModel], Envelope]) -> HotRoute:
        return predict_route(self._plane.route(name), envelope, self._limits)


def _in_body(parent: str, deployed: DeployedModel) -> Envelope:
    ids = encode_json(
        {
            "deployedModelId": deployed.id,
            "model": f"{parent}/models/{deployed.ref.name}",
            "modelDisplayName": deployed.ref.name,
            "modelVersionId": deployed.ref.version,
        }
    )
    return Envelope(after=b"," + ids[1:])


def _in_headers(parent: str, endpoint: str, deployed: DeployedModel) -> Envelope:
    ids = {
        "endpoint-id": endpoint,
        "deployed-model-id": deployed.id,
        "model": f"{parent}/models/{deployed.ref.name}",
        "model-version-id": deployed.ref.version,
    }
    lines = [f"x-vertex-ai-{name}: {value}\r\n".encode() for name, value in ids.items()]
    return Envelope(headers=JSON + b"".join(lines))
