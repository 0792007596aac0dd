"""Vertex AI online prediction (aiplatform v1), and the shorter paths that serving containers use.

    POST /v1/projects/P/locations/L/endpoints/E:predict             adds deployedModelId, model, ...
    POST ...:rawPredict  :streamRawPredict                          adds them as headers, the body untouched
    POST ...:directPredict  :serverStreamingPredict                 tensors (`direct`)
    POST ...:directRawPredict                                       a prediction's body as bytes
    POST ...:explain                                                attributions, of models that have them
    POST /v1/models/M:predict    /v1/models/M/versions/V:predict

An endpoint of the catalog has its own project and location. Any are taken where an endpoint's id is the
name of a model that settings name.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from starlette.routing import Route as AsgiRoute

from trivet.codecs.json_body import BodyLimits
from trivet.core.errors import Unimplemented
from trivet.core.names import ModelRef
from trivet.protocols.base import JSON, Caller, HotRoute, RequestHead, Services, encode_json, error_reply
from trivet.protocols.predict import Envelope, ModelRoute, predict_route, split_route
from trivet.protocols.vertex.direct import DirectRawRoute, DirectRoute
from trivet.protocols.vertex.explain import ExplainRoute
from trivet.protocols.vertex.forward import routes
from trivet.protocols.vertex.raw import RawRoute
from trivet.serving.batching import Pending
from trivet.serving.plane import DeployedModel, Route

# printable ASCII alone, since the parent is given back in headers
_ENDPOINT = re.compile(
    r"/{1,2}v1(?:beta1)?/(?P<parent>projects/(?P<project>[!-.0-~]+)/locations/(?P<location>[!-.0-~]+))"
    r"/endpoints/(?P<name>[^/:]+):(?P<verb>\w+)"
)
_MODEL = re.compile(r"/{1,2}v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>[^/:]+))?:predict")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint as a path names it, and what is served there."""

    parent: str
    name: str
    route: Route
    limits: BodyLimits


class VertexProtocol:
    """Maps Vertex AI's paths and bodies to the data plane, and other paths to the control plane."""

    def __init__(self, services: Services) -> None:
        self._plane = services.plane
        self._limits = services.limits
        self._services = services

    def hot(self, path: str) -> HotRoute | None:
        """Return what answers predictions on a path."""
        if match := _MODEL.fullmatch(path):
            if version := match["version"]:
                deployed = self._plane.deployed(ModelRef(match["name"], version))
                return ModelRoute(deployed, Envelope(), self._limits)
            route = self._plane.route(match["name"])
            return predict_route(route, lambda one: Envelope(), self._limits)
        match = _ENDPOINT.fullmatch(path)
        if match is None or match["verb"] not in VERBS:
            return None
        return VERBS[match["verb"]](self._endpoint(match))

    def routes(self) -> Sequence[AsgiRoute]:
        """Return the routes to the control plane, which end with those that take every path of its own."""
        return routes(self._services)

    def _endpoint(self, match: re.Match[str]) -> Endpoint:
        name = match["name"]
        route = self._plane.endpoint(match["project"], match["location"], name)
        return Endpoint(match["parent"], name, route, self._limits)


def _predict(at: Endpoint) -> HotRoute:
    return predict_route(at.route, lambda one: _in_body(at, one), at.limits)


def _raw(at: Endpoint) -> HotRoute:
    return RawRoute(predict_route(at.route, lambda one: _in_headers(at, one), at.limits))


def _stream_raw(at: Endpoint) -> HotRoute:
    return RawRoute(predict_route(at.route, lambda one: _in_headers(at, one), at.limits), stream=True)


def _direct(at: Endpoint) -> HotRoute:
    return split_route(
        at.route, lambda one: DirectRoute(ModelRoute(one, Envelope(), at.limits), one.model.signature)
    )


def _server_streaming(at: Endpoint) -> HotRoute:
    return split_route(
        at.route,
        lambda one: DirectRoute(ModelRoute(one, Envelope(), at.limits), one.model.signature, stream=True),
    )


def _direct_raw(at: Endpoint) -> HotRoute:
    return DirectRawRoute(predict_route(at.route, lambda one: Envelope(), at.limits))


def _explain(at: Endpoint) -> HotRoute:
    def desk(one: DeployedModel) -> HotRoute:
        explains = one.model.signature.explains
        return ExplainRoute(one, _in_body(at, one), at.limits) if explains else _NoExplanations(one)

    return split_route(at.route, desk)


VERBS: Mapping[str, Callable[[Endpoint], HotRoute]] = {
    "predict": _predict,
    "rawPredict": _raw,
    "streamRawPredict": _stream_raw,
    "serverStreamingPredict": _server_streaming,
    "directPredict": _direct,
    "directRawPredict": _direct_raw,
    "explain": _explain,
}


class _NoExplanations:
    """Says that a model does not explain."""

    def __init__(self, deployed: DeployedModel) -> None:
        self._deployed = deployed

    def answer(self, caller: Caller, head: RequestHead, body: bytes, now: float) -> Pending | None:
        error = Unimplemented(
            f"deployed model {self._deployed.id} does not explain its predictions: its predictor "
            f"({self._deployed.model.framework}) has no explanations, as XGBoost, LightGBM, CatBoost and "
            "linear models of scikit-learn have. Use :predict"
        )
        self._deployed.refuse(error)
        caller.reply(*error_reply(error))
        return None


def _model(at: Endpoint, deployed: DeployedModel) -> str:
    return deployed.model.spec.model or f"{at.parent}/models/{deployed.ref.name}"


def _in_body(at: Endpoint, deployed: DeployedModel) -> Envelope:
    ids = encode_json(
        {
            "deployedModelId": deployed.id,
            "model": _model(at, deployed),
            "modelDisplayName": deployed.model.spec.display_name or deployed.ref.name,
            "modelVersionId": deployed.ref.version,
        }
    )
    return Envelope(after=b"," + ids[1:])


def _in_headers(at: Endpoint, deployed: DeployedModel) -> Envelope:
    ids = {
        "endpoint-id": at.name,
        "deployed-model-id": deployed.id,
        "model": _model(at, deployed),
        "model-version-id": deployed.ref.version,
    }
    lines = [f"x-vertex-ai-{name}: {value}\r\n".encode() for name, value in ids.items()]
    return Envelope(headers=JSON + b"".join(lines))
