"""From a front to the process that answers: paths that are no hot ones, for callers who may call them."""

import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from ipaddress import ip_address

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.routing import Route as AsgiRoute
from starlette.types import Scope

from trivet.core.errors import PermissionDenied
from trivet.protocols.base import Call, Reply, Services

Ask = Callable[[Call], Awaitable[Reply]]

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class Matching(AsgiRoute):
    """A route for all paths of a pattern and all methods."""

    def __init__(self, pattern: re.Pattern[str], answer: Callable[[Request], Awaitable[Response]]) -> None:
        super().__init__("/{path:path}", answer, methods=_METHODS)
        self._pattern = pattern

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Say whether a request is for this route."""
        if scope["type"] != "http" or not self._pattern.fullmatch(scope["path"]):
            return Match.NONE, {}
        return super().matches(scope)


def forward(ask: Ask, services: Services, what: str) -> Callable[[Request], Awaitable[Response]]:
    """Return a handler that passes requests on, as far as their callers may ask for `what`."""

    async def handle(request: Request) -> Response:
        headers = {name.lower(): value for name, value in reversed(request.headers.items())}
        bound = _bound(request.scope)
        host = headers.get("host") or bound
        _admit(request, host, headers.get("origin"), services, what)
        call = Call(
            method=request.method,
            path=request.scope["path"],
            query=request.scope["query_string"].decode("latin-1"),
            headers=headers,
            body=await request.body(),
            address=f"http://{host}",
            bound=f"http://{bound}",
        )
        reply = await ask(call)
        return Response(reply.body, reply.status, reply.headers, media_type=reply.media_type)

    return handle


def _admit(request: Request, host: str, origin: str | None, services: Services, what: str) -> None:
    """Raise PermissionDenied for callers on other machines, and for web pages of others.

    A page can have its own name lead to this machine, and then has the server's origin (DNS rebinding): so
    the name must be one that is known to be this server's.
    """
    if not services.remote and request.client is not None and not _is_loopback(request.client.host):
        raise PermissionDenied(f"{what} from this machine only; catalog.remote = true lets others, too")
    known = _is_own(host, services.names)
    if not known and not services.remote:
        raise PermissionDenied(
            f"this server does not go by the name {host[:100]}; gateway.names tells it that it does"
        )
    if origin is not None and not (known and origin.partition("://")[2] == host):
        raise PermissionDenied(f"web pages of {origin[:100]} may not call this server")


def _is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ip_address(host.partition("%")[0]).is_loopback
    return False


def _is_own(host: str, names: Sequence[str]) -> bool:
    """Whether a Host header names this server: by address, as localhost, as one of Google's, or as told."""
    name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
    name = name.strip("[]").lower().rstrip(".")
    with suppress(ValueError):
        ip_address(name)
        return True
    return name in {"localhost", *names} or name.endswith((".localhost", ".googleapis.com", ".vertexai.goog"))


def _bound(scope: Scope) -> str:
    host, port = scope["server"]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
