"""Endpoints and the models deployed at them, on the wire."""

from dataclasses import dataclass

from trivet.control.plane import ControlPlane
from trivet.core.errors import InvalidArgument
from trivet.core.resources import DeployedModel, Endpoint, Operation
from trivet.protocols.vertex import shapes
from trivet.protocols.vertex.wire import Asked, Json, timestamp, without_output


@dataclass(frozen=True, slots=True)
class Recorded:
    """A change that is in the catalog, to be answered once every machine serves this revision."""

    answer: Json
    revision: int


def endpoint_json(endpoint: Endpoint, address: str) -> Json:
    """Write an endpoint; `address` is where its caller found the server."""
    return {
        **endpoint.document,
        "name": str(endpoint.name),
        "displayName": endpoint.display_name,
        "labels": dict(endpoint.labels),
        "createTime": timestamp(endpoint.created),
        "updateTime": timestamp(endpoint.updated),
        "etag": endpoint.etag,
        "trafficSplit": dict(endpoint.traffic),
        "deployedModels": [
            {**deployed_json(one), **_private(endpoint, one, address)} for one in endpoint.deployed
        ],
    }


def deployed_json(deployed: DeployedModel) -> Json:
    """Write a deployed model."""
    pool = {"sharedResources": deployed.pool} if deployed.pool else {}
    return {
        **deployed.document,
        **pool,
        "id": deployed.id,
        "model": str(deployed.model),
        "modelVersionId": deployed.version,
        "displayName": deployed.display_name,
        "createTime": timestamp(deployed.created),
    }


def _private(endpoint: Endpoint, deployed: DeployedModel, address: str) -> Json:
    """Say how a private endpoint is reached: over plain HTTP in a peered network, or by an attachment."""
    if endpoint.document.get("network"):
        at = f"{address}/v1/{endpoint.name}"
        uris = {
            "predictHttpUri": f"{at}:predict",
            "explainHttpUri": f"{at}:explain",
            "healthHttpUri": f"{address}/readyz",
        }
        return {"privateEndpoints": uris}
    if endpoint.document.get("privateServiceConnectConfig"):
        name = endpoint.name
        attachment = f"projects/{name.project}/regions/{name.location}/serviceAttachments/{name.id}"
        return {"privateEndpoints": {"serviceAttachment": attachment}}
    return {}


def create(control: ControlPlane, asked: Asked) -> Operation:
    """`POST endpoints[?endpointId=]`."""
    document = without_output(shapes.endpoint(asked.body, "endpoint"))
    return control.create_endpoint(
        asked.parent, document, endpoint_id=asked.said("endpointId"), api=asked.api
    )


def get(control: ControlPlane, asked: Asked) -> Json:
    """`GET endpoints/E`."""
    return endpoint_json(control.endpoint(asked.name("endpoints")), asked.address)


def list_(control: ControlPlane, asked: Asked) -> Json:
    """`GET endpoints`."""
    page = control.endpoints(asked.parent, asked.page())
    shown = [endpoint_json(one, asked.address) for one in page.items]
    return {"endpoints": shown, "nextPageToken": page.next_page_token}


def update(control: ControlPlane, asked: Asked) -> Recorded:
    """`PATCH endpoints/E`: of the endpoint that is sent, only what the mask names."""
    changes = without_output(shapes.endpoint(asked.body, "endpoint"))
    endpoint, revision = control.update_endpoint(asked.name("endpoints"), changes, asked.mask())
    return Recorded(endpoint_json(endpoint, asked.address), revision)


def update_later(control: ControlPlane, asked: Asked) -> Operation:
    """`POST endpoints/E:update`: the same as an operation."""
    body = shapes.update_endpoint(asked.body, "")
    changes = without_output(body.get("endpoint", {}))
    return control.update_endpoint_later(asked.name("endpoints"), changes, asked.mask(), api=asked.api)


def delete(control: ControlPlane, asked: Asked) -> Operation:
    """`DELETE endpoints/E[?force=true]`."""
    force = asked.said("force").lower() in ("true", "1")
    return control.delete_endpoint(asked.name("endpoints"), force=force, api=asked.api)


def deploy(control: ControlPlane, asked: Asked) -> Operation:
    """`POST endpoints/E:deployModel`."""
    body = shapes.deploy_model(asked.body, "")
    deployed = body.get("deployedModel")
    if not deployed or not deployed.get("model"):
        raise InvalidArgument("deployedModel.model: required; the full name of a model, or of its version")
    split = body.get("trafficSplit") or None
    return control.deploy(asked.name("endpoints"), without_output(deployed), split, api=asked.api)


def undeploy(control: ControlPlane, asked: Asked) -> Operation:
    """`POST endpoints/E:undeployModel`."""
    body = shapes.undeploy_model(asked.body, "")
    if not body.get("deployedModelId"):
        raise InvalidArgument("deployedModelId: required")
    split = body.get("trafficSplit") or None
    return control.undeploy(asked.name("endpoints"), body["deployedModelId"], split, api=asked.api)


def mutate(control: ControlPlane, asked: Asked) -> Operation:
    """`POST` or `PATCH endpoints/E:mutateDeployedModel`."""
    deployed = shapes.mutate_deployed_model(asked.body, "").get("deployedModel", {})
    if not deployed.get("id"):
        raise InvalidArgument("deployedModel.id: required")
    return control.mutate_deployed(
        asked.name("endpoints"), without_output(deployed), asked.mask(), api=asked.api
    )
