"""From a front to the control plane: the paths that are Google's and no prediction."""

import re
from collections.abc import Sequence

from starlette.routing import Route as AsgiRoute

from trivet.protocols.base import Services
from trivet.protocols.forwarding import Matching, forward

_CONTROL = re.compile(r"/+(?:(?:v1|v1beta1|ui)/+projects(?:/.*)?|computeMetadata/.*|token)")
"""Everything of Google's, which is below a project, and what its libraries ask of a machine there."""


def routes(services: Services) -> Sequence[AsgiRoute]:
    """Return the routes of a front that asks a control plane, if there is one."""
    if services.control is None:
        return []
    return [Matching(_CONTROL, forward(services.control, services, "models and endpoints are managed"))]
