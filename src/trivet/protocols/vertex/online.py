"""Vertex AI online prediction (aiplatform v1), and the shorter paths that serving containers use.

    POST /v1/projects/P/locations/L/endpoints/E:predict             adds deployedModelId, model, ...
    POST ...:rawPredict  :streamRawPredict                          adds them as headers, the body untouched
    POST ...:directPredict  :serverStreamingPredict                 tensors (`direct`)
    POST ...:directRawPredict                                       a prediction's body as bytes
    POST ...:explain                                                attributions, of models that have them
    ANY  .../endpoints/E[/deployedModels/D]/invoke/PATH             passed on to a container (`passing`)
    POST /v1/models/M:predict    /v1/models/M/versions/V:predict

An endpoint of the catalog has its own project and location. Any are taken where an endpoint's id is the
name of a model that settings name.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from starlette.routing import Route as AsgiRoute

from trivet.core.errors import Unimplemented
from trivet.core.names import ModelRef
from trivet.protocols.base import Caller, HotRoute, RequestHead, Services, error_reply
from trivet.protocols.predict import Envelope, ModelRoute, predict_route, split_route
from trivet.protocols.vertex import passing
from trivet.protocols.vertex.direct import DirectRawRoute, DirectRoute
from trivet.protocols.vertex.explain import ExplainRoute
from trivet.protocols.vertex.forward import routes
from trivet.protocols.vertex.ids import ENDPOINT, Endpoint, endpoint, in_body, in_headers
from trivet.protocols.vertex.passing import PASSED
from trivet.protocols.vertex.raw import RawRoute
from trivet.serving.batching import Pending
from trivet.serving.plane import DeployedModel

_ENDPOINT = re.compile(ENDPOINT + r":(?P<verb>\w+)")
_MODEL = re.compile(r"/{1,2}v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>[^/:]+))?:predict")


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
        at = endpoint(self._plane, match, self._limits)
        if match["verb"] in PASSED and any(one.passes for one in at.route.deployed.values()):
            return None  # it may have to be passed on to a container
        return VERBS[match["verb"]](at)

    def routes(self) -> Sequence[AsgiRoute]:
        """Return the routes to containers, and to the control plane, which end with all paths of its own."""
        return [*passing.routes(self._services), *routes(self._services)]


def _predict(at: Endpoint) -> HotRoute:
    return predict_route(at.route, lambda one: in_body(at, one), at.limits)


def _raw(at: Endpoint) -> HotRoute:
    return RawRoute(predict_route(at.route, lambda one: in_headers(at, one), at.limits))


def _stream_raw(at: Endpoint) -> HotRoute:
    return RawRoute(predict_route(at.route, lambda one: in_headers(at, one), at.limits), stream=True)


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
        return ExplainRoute(one, in_body(at, one), at.limits) if explains else _NoExplanations(one)

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
