"""The container contract of Vertex AI: the two paths that a platform gives a prediction container.

https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements
"""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as AsgiRoute

from trivet.core.errors import FailedPrecondition, Unavailable
from trivet.protocols.base import HotRoute, Services, error_response, json_response
from trivet.protocols.predict import Envelope, predict_route


class ContainerProtocol:
    """Answers on whatever paths the platform chose, for the one model there is."""

    def __init__(self, services: Services) -> None:
        self._plane = services.plane
        self._paths = services.container
        self._limits = services.limits

    def hot(self, path: str) -> HotRoute | None:
        """Return what answers predictions, on the platform's path alone."""
        if not self._paths.predict or path != self._paths.predict:
            return None
        if not self._plane.ready:
            raise Unavailable("the model is being loaded; try again in a moment")
        named = [name for name in self._plane.routes if "/" not in name]
        if len(named) != 1:
            served = ", ".join(sorted(named)) or "none"
            raise FailedPrecondition(
                f"{path} answers for one model; this server has: {served}. Use /v1/models/NAME:predict"
            )
        route = self._plane.routes[named[0]]
        return predict_route(route, lambda deployed: Envelope(), self._limits)

    def routes(self) -> Sequence[AsgiRoute]:
        """Return the health route."""
        if not self._paths.health:
            return ()
        return (AsgiRoute(_literal(self._paths.health), self._health, methods=["GET"]),)

    async def _health(self, request: Request) -> Response:
        if self._plane.ready and not self._plane.draining:
            return json_response({})
        return error_response(Unavailable("not ready"))


def _literal(path: str) -> str:
    """Keep Starlette from reading braces in a path as parameters."""
    return path.replace("{", "%7B").replace("}", "%7D")


PROTOCOL = ContainerProtocol
