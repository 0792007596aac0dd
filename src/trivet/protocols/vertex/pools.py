"""Deployment resource pools on the wire."""

from collections.abc import Iterator
from dataclasses import replace

from trivet.control.plane import ControlPlane
from trivet.core.errors import InvalidArgument
from trivet.core.resources import DeployedModel, Name, Operation, Pool, Query
from trivet.protocols.vertex import shapes
from trivet.protocols.vertex.endpoints import deployed_json
from trivet.protocols.vertex.wire import MAX_PAGE, Asked, Json, timestamp, without_output

_COLLECTION = "deploymentResourcePools"


def pool_json(pool: Pool) -> Json:
    """Write a pool."""
    return {**pool.document, "name": str(pool.name), "createTime": timestamp(pool.created)}


def create(control: ControlPlane, asked: Asked) -> Operation:
    """`POST deploymentResourcePools`: the id is in the body."""
    body = shapes.create_pool(asked.body, "")
    id_ = body.get("deploymentResourcePoolId") or asked.said("deploymentResourcePoolId")
    if not id_:
        raise InvalidArgument("deploymentResourcePoolId: required")
    document = without_output(body.get("deploymentResourcePool", {}))
    return control.create_pool(asked.parent, id_, document, api=asked.api)


def get(control: ControlPlane, asked: Asked) -> Json:
    """`GET deploymentResourcePools/D`."""
    return pool_json(control.pool(asked.name(_COLLECTION)))


def list_(control: ControlPlane, asked: Asked) -> Json:
    """`GET deploymentResourcePools`."""
    page = control.pools(asked.parent, asked.page())
    shown = [pool_json(one) for one in page.items]
    return {"deploymentResourcePools": shown, "nextPageToken": page.next_page_token}


def update(control: ControlPlane, asked: Asked) -> Operation:
    """`PATCH deploymentResourcePools/D`: of the pool that is sent, only what the mask names."""
    changes = without_output(shapes.pool(asked.body, "deploymentResourcePool"))
    return control.update_pool(asked.name(_COLLECTION), changes, asked.mask(), api=asked.api)


def delete(control: ControlPlane, asked: Asked) -> Operation:
    """`DELETE deploymentResourcePools/D`."""
    return control.delete_pool(asked.name(_COLLECTION), api=asked.api)


def query_deployed(control: ControlPlane, asked: Asked) -> Json:
    """`GET deploymentResourcePools/D:queryDeployedModels`: a page, and the numbers of all there are."""
    name = asked.name(_COLLECTION)
    page = control.deployed_in(name, asked.page())
    all_ = list(_all(control, name))
    return {
        "deployedModels": [deployed_json(deployed) for _, deployed in page.items],
        "deployedModelRefs": [
            {"endpoint": str(endpoint), "deployedModelId": deployed.id} for endpoint, deployed in page.items
        ],
        "totalDeployedModelCount": len(all_),
        "totalEndpointCount": len({endpoint for endpoint, _ in all_}),
        "nextPageToken": page.next_page_token,
    }


def _all(control: ControlPlane, name: Name) -> Iterator[tuple[Name, DeployedModel]]:
    query = Query(page_size=MAX_PAGE)
    while True:
        page = control.deployed_in(name, query)
        yield from page.items
        if not page.next_page_token:
            return
        query = replace(query, page_token=page.next_page_token)
