"""What operators and their tools ask: is it alive, is it ready, what is served, how is it doing."""

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as AsgiRoute

from trivet import __version__
from trivet.codecs import example, signature_json
from trivet.core.errors import Unavailable
from trivet.core.names import ModelRef
from trivet.protocols.base import HotRoute, Services, encode_json, error_response, json_response
from trivet.protocols.openapi import document
from trivet.serving.lifecycle import ModelInfo
from trivet.serving.plane import DeployedModel
from trivet.telemetry import exposition


class StatusProtocol:
    """Health, metrics, the models and their description."""

    def __init__(self, services: Services) -> None:
        self._plane = services.plane
        self._measured = services.measured
        self._plays_metadata = services.control is not None

    def hot(self, path: str) -> HotRoute | None:
        """Nothing here is hot."""
        return None

    def routes(self) -> Sequence[AsgiRoute]:
        """Return them all."""
        handlers = {
            "/": self._root,
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/metrics": self._metrics,
            "/openapi.json": self._openapi,
            "/v1/models": self._models,
            "/v1/models/{name}": self._model,
            "/v1/models/{name}/versions/{version}": self._model,
        }
        return [AsgiRoute(path, handler, methods=["GET"]) for path, handler in handlers.items()]

    async def _root(self, request: Request) -> Response:
        paths = ["/v1/models", "/openapi.json", "/metrics", "/livez", "/readyz"]
        answer = json_response({"server": "trivet", "version": __version__, "paths": paths})
        if self._plays_metadata and "metadata-flavor" in request.headers:
            # Google's libraries ask here whether this is a metadata server: the control plane plays one
            answer.headers["metadata-flavor"] = "Google"
        return answer

    async def _livez(self, request: Request) -> Response:
        return json_response({})

    async def _readyz(self, request: Request) -> Response:
        plane = self._plane
        if plane.draining:
            return error_response(Unavailable("draining: this server is about to stop"))
        if not plane.ready:
            return error_response(Unavailable("models are being loaded"))
        return json_response({})

    async def _metrics(self, request: Request) -> Response:
        return Response(
            exposition(await self._measured()), media_type="text/plain; version=0.0.4; charset=utf-8"
        )

    async def _openapi(self, request: Request) -> Response:
        return json_response(document(self._plane.routes))

    async def _models(self, request: Request) -> Response:
        served = {id_: one for route in self._plane.routes.values() for id_, one in route.deployed.items()}
        return json_response({"models": [_shown(one) for one in served.values()]})

    async def _model(self, request: Request) -> Response:
        name, version = request.path_params["name"], request.path_params.get("version")
        if version is not None:
            return json_response(_shown(self._plane.deployed(ModelRef(name, version))))
        route = self._plane.route(name)
        return json_response(_shown(route.deployed[next(iter(route.split or route.deployed))]))


def described(model: ModelInfo) -> dict[str, Any]:
    """Return what there is to know of a model, as JSON."""
    return {
        "name": model.spec.ref.name,
        "version": model.spec.ref.version,
        "framework": model.framework,
        **({"library": model.library} if model.library else {}),
        "signature": signature_json.shown(model.signature),
        "defaults": model.defaults,
        "example": {"instances": [example.instance(model.signature)]},
        "placement": {"where": model.placement.where, "reason": model.placement.reason},
        "sizeBytes": model.size,
        "loadSeconds": round(model.load_seconds, 6),
    }


def example_call(address: str, model: ModelInfo) -> str:
    """Return a command that asks a model for a prediction."""
    body = encode_json({"instances": [example.instance(model.signature)]}).decode()
    quoted = body.replace("'", r"'\''")
    return f"curl {address}/v1/models/{model.spec.ref.name}:predict -d '{quoted}'"


def _shown(deployed: DeployedModel) -> dict[str, Any]:
    return {**described(deployed.model), "deployedModelId": deployed.id, "state": "READY"}


PROTOCOL = StatusProtocol
