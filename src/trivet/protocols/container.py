"""The container contract of Vertex AI: the two paths that a platform gives a prediction container.

https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements
"""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as AsgiRoute

from trivet.core.errors import FailedPrecondition, Unavailable
from trivet.protocols.base import HotRoute, Services, error_reply
from trivet.protocols.predict import Envelope, PredictRoute


class ContainerProtocol:
    """Answers on whatever paths the platform chose, for the one model there is."""

    def __init__(self, services: Services) -> None:
        self._plane = services.plane
        self._paths = services.container
        self._max_instances = services.max_instances

    def hot(self, path: str) -> HotRoute | None:
        """Return what answers predictions, on the platform's path alone."""
        if not self._paths.predict or path != self._paths.predict:
            return None
        if not self._plane.ready:
            raise Unavailable("the model is being loaded; try again in a moment")
        if len(self._plane.routes) != 1:
            served = ", ".join(sorted(self._plane.routes)) or "none"
            raise FailedPrecondition(
                f"{path} answers for one model; this server has: {served}. Use /v1/models/NAME:predict"
            )
        route = next(iter(self._plane.routes.values()))
        envelopes = {deployed: Envelope() for deployed in route.deployed.values()}
        return PredictRoute(self._plane, route.choose, envelopes, self._max_instances)

    def routes(self) -> Sequence[AsgiRoute]:
        """Return the health route."""
        if not self._paths.health:
            return ()
        return (AsgiRoute(_literal(self._paths.health), self._health, methods=["GET"]),)

    async def _health(self, request: Request) -> Response:
        if self._plane.ready and not self._plane.draining:
            return Response(b"{}", media_type="application/json")
        status, _, body = error_reply(Unavailable("not ready"))
        return Response(body, status, media_type="application/json")


def _literal(path: str) -> str:
    """Keep Starlette from reading braces in a path as parameters."""
    return path.replace("{", "%7B").replace("}", "%7D")


PROTOCOL = ContainerProtocol
