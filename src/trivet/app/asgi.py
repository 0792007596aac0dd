"""The ASGI application of all routes that are not hot, and what it says where something is wrong."""

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response

from trivet.core.errors import NotFound, ServingError, Unimplemented
from trivet.protocols.base import HttpProtocol, error_response


def application(protocols: Sequence[HttpProtocol]) -> Starlette:
    """Put the protocols' routes together. An exception that is no ServingError is left to the listener."""
    app = Starlette(routes=[route for protocol in protocols for route in protocol.routes()])
    app.router.redirect_slashes = False  # it would send callers to whatever the Host header says
    # Starlette's own stack would answer a bug of ours itself, in plain text and without the request's id.
    handlers = {HTTPException: _http_error, ServingError: _serving_error}
    app.middleware_stack = ExceptionMiddleware(app.router, handlers)
    return app


async def _serving_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServingError)
    return error_response(error)


async def _http_error(request: Request, error: Exception) -> Response:
    """Say in Trivet's words what Starlette's router refuses: a path or a method."""
    assert isinstance(error, HTTPException)
    path = request.scope["path"]  # not `request.url`, which fails on some Host headers
    if request.method == "OPTIONS" and path == "*":
        return Response(status_code=200, headers={"allow": "GET, HEAD, POST, OPTIONS"})
    if error.status_code != 405:
        return error_response(
            NotFound(f"there is nothing at {path[:200]}; what is served: GET /v1/models"), error.status_code
        )
    allowed = sorted((error.headers or {}).get("Allow", "").split(", "))
    allow = ", ".join([*allowed, "OPTIONS"])
    if request.method == "OPTIONS":
        return Response(status_code=200, headers={"allow": allow})
    return error_response(
        Unimplemented(f"method {request.method} is not allowed here; expected {' or '.join(allowed)}"),
        405,
        allow=allow,
    )
