"""From a front to the control plane: the paths that are Google's and no prediction."""

import re
from collections.abc import Awaitable, Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.routing import Route as AsgiRoute
from starlette.types import Scope

from trivet.core.errors import PermissionDenied, Unimplemented
from trivet.protocols.base import Call, Reply

Control = Callable[[Call], Awaitable[Reply]]

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_INVOKE = re.compile(
    r"/+v1(?:beta1)?/projects/[^/]+/locations/[^/]+/endpoints/[^/]+(?:/deployedModels/[^/]+)?/invoke/.*"
)
_CONTROL = re.compile(r"/+(?:(?:v1|v1beta1|ui)/+projects(?:/.*)?|computeMetadata/.*|token)")
"""Everything of Google's, which is below a project, and what its libraries ask of a machine there."""


class _Matching(AsgiRoute):
    """A route for all paths of a pattern and all methods."""

    def __init__(self, pattern: re.Pattern[str], answer: Callable[[Request], Awaitable[Response]]) -> None:
        super().__init__("/{path:path}", answer, methods=_METHODS)
        self._pattern = pattern

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Say whether a request is for this route."""
        if scope["type"] != "http" or not self._pattern.fullmatch(scope["path"]):
            return Match.NONE, {}
        return super().matches(scope)


def routes(control: Control | None) -> Sequence[AsgiRoute]:
    """Return the routes of a front that asks this control plane, if there is one."""
    found = [_Matching(_INVOKE, _invoke)]
    if control is not None:
        found.append(_Matching(_CONTROL, _forward(control)))
    return found


async def _invoke(request: Request) -> Response:
    raise Unimplemented(
        "invoke passes requests on to a model's container; models here have none. Use :predict"
    )


def _forward(control: Control) -> Callable[[Request], Awaitable[Response]]:
    async def forward(request: Request) -> Response:
        headers = {name.lower(): value for name, value in reversed(request.headers.items())}
        bound = _bound(request.scope)
        host = headers.get("host") or bound
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            raise PermissionDenied(f"web pages of {origin[:100]} may not call this server")
        call = Call(
            method=request.method,
            path=request.scope["path"],
            query=request.scope["query_string"].decode("latin-1"),
            headers=headers,
            body=await request.body(),
            address=f"http://{host}",
            bound=f"http://{bound}",
        )
        reply = await control(call)
        return Response(reply.body, reply.status, reply.headers, media_type=reply.media_type)

    return forward


def _bound(scope: Scope) -> str:
    host, port = scope["server"]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
