"""From a front to the control plane: the paths that are Google's and no prediction."""

import re
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as AsgiRoute

from trivet.core.errors import Unimplemented
from trivet.protocols.base import Services
from trivet.protocols.forwarding import Matching, forward

_INVOKE = re.compile(
    r"/+v1(?:beta1)?/projects/[^/]+/locations/[^/]+/endpoints/[^/]+(?:/deployedModels/[^/]+)?/invoke/.*"
)
_CONTROL = re.compile(r"/+(?:(?:v1|v1beta1|ui)/+projects(?:/.*)?|computeMetadata/.*|token)")
"""Everything of Google's, which is below a project, and what its libraries ask of a machine there."""


def routes(services: Services) -> Sequence[AsgiRoute]:
    """Return the routes of a front that asks a control plane, if there is one."""
    found = [Matching(_INVOKE, _invoke)]
    if services.control is not None:
        found.append(
            Matching(_CONTROL, forward(services.control, services, "models and endpoints are managed"))
        )
    return found


async def _invoke(request: Request) -> Response:
    raise Unimplemented(
        "invoke passes requests on to a model's container; models here have none. Use :predict"
    )
