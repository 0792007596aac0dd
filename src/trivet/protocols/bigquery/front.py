"""The part of the API that is in the fronts: which paths it has, and who may call them."""

import re
from collections.abc import Awaitable, Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as AsgiRoute

from trivet.core.errors import ServingError, Unimplemented
from trivet.protocols.base import Call, HotRoute, Reply, Services, Unanswered
from trivet.protocols.bigquery.errors import refusal
from trivet.protocols.forwarding import Matching, forward

_PATHS = re.compile(r"/+(?:(?:resumable/+)?upload/+)?bigquery/+v2(?:/.*)?")

_NO_SQL = Unimplemented(
    "this server does not answer SQL: `trivet up` does, where it has the libraries: pip install 'trivet[sql]'"
)


class BigQueryProtocol:
    """Passes on what is BigQuery's."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def hot(self, path: str) -> HotRoute | None:
        """Nothing here is hot."""
        return None

    def routes(self) -> Sequence[AsgiRoute]:
        """Return the route for all paths of the API."""
        ask = self._services.sql or _nobody
        passed = forward(_once(ask), self._services, "tables and models are queried")
        return [Matching(_PATHS, _in_its_words(passed))]


async def _nobody(call: Call) -> Reply:
    return refusal(_NO_SQL)


def _once(ask: Callable[[Call], Awaitable[Reply]]) -> Callable[[Call], Awaitable[Reply]]:
    """Have clients not do again what may be what ended the process, or is done already."""

    async def asked(call: Call) -> Reply:
        try:
            return await ask(call)
        except Unanswered as error:
            return refusal(error, reason="backendError" if call.method in ("GET", "HEAD") else "stopped")

    return asked


def _in_its_words(
    handle: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    async def handled(request: Request) -> Response:
        try:
            return await handle(request)
        except ServingError as error:
            reply = refusal(error)
            return Response(reply.body, reply.status, reply.headers, media_type=reply.media_type)

    return handled
