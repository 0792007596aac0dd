"""Operations on the wire.

Clients parse them strictly: a field or a type that a client's own version of the API does not have is an
error there. So an operation holds what it must and no more, and its answer has the type of the version of
the API that began it.
"""

from dataclasses import dataclass, replace

from trivet.control.plane import ControlPlane
from trivet.core.resources import Name, Operation
from trivet.protocols.vertex.schema import duration
from trivet.protocols.vertex.wire import Asked, Json

HOLDS = 5.0
"""Seconds for which a question for an operation is held while it is not done; Google's clients wait 10."""

_EMPTY = "google.protobuf.Empty"
_RESPONSES = {
    "uploadModel": "UploadModelResponse",
    "copyModel": "CopyModelResponse",
    "createEndpoint": "Endpoint",
    "updateEndpoint": "Endpoint",
    "deployModel": "DeployModelResponse",
    "undeployModel": "UndeployModelResponse",
    "mutateDeployedModel": "MutateDeployedModelResponse",
    "createDeploymentResourcePool": "DeploymentResourcePool",
    "updateDeploymentResourcePool": "DeploymentResourcePool",
}
"""The message that each kind answers with; a deletion answers with none."""


@dataclass(frozen=True, slots=True)
class Held:
    """An operation that the caller wants to see done, and how long it waits for that in seconds."""

    operation: Operation
    seconds: float


def operation_json(operation: Operation) -> Json:
    """Write an operation."""
    made: Json = {"name": str(operation.name), "done": operation.done}
    if operation.failure is not None:
        made["error"] = {"code": operation.failure.code, "message": operation.failure.message}
    elif operation.done:
        kind = _RESPONSES.get(operation.kind)
        type_ = f"google.cloud.aiplatform.{operation.api}.{kind}" if kind else _EMPTY
        made["response"] = {"@type": f"type.googleapis.com/{type_}", **(operation.response or {})}
    return made


def get(control: ControlPlane, asked: Asked) -> Held:
    """`GET operations/O`: a long poll."""
    return Held(control.operation(asked.name("operations")), HOLDS)


def wait(control: ControlPlane, asked: Asked) -> Held:
    """`POST operations/O:wait`."""
    given = asked.body.get("timeout") or asked.said("timeout")
    seconds = float(duration(given, "timeout").removesuffix("s")) if given else HOLDS
    return Held(control.operation(asked.name("operations")), min(seconds, HOLDS))


def list_(control: ControlPlane, asked: Asked) -> Json:
    """`GET operations`, of all resources or of the one that the path names."""
    query = asked.page()
    if of := asked.parts["of"].rstrip("/"):
        name = Name.parse(f"{asked.parent}/{of}")
        those = f'target="{name.at("")}"'  # a name has nothing that would end the quotes
        # OR binds closer than AND, so what the caller asks needs no parentheses
        query = replace(query, filter=" AND ".join(one for one in (query.filter.strip(), those) if one))
    page = control.operations(asked.parent, query)
    return {"operations": [operation_json(one) for one in page.items], "nextPageToken": page.next_page_token}


def cancel(control: ControlPlane, asked: Asked) -> Json:
    """`POST operations/O:cancel`."""
    control.cancel_operation(asked.name("operations"))
    return {}


def delete(control: ControlPlane, asked: Asked) -> Json:
    """`DELETE operations/O`."""
    control.delete_operation(asked.name("operations"))
    return {}
