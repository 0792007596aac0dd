"""Calls to an Api over a real control plane, whose answers are read as Google's clients read them."""

import asyncio
import json
from functools import cache
from importlib import import_module
from importlib.util import find_spec

from tests.unit.control.conftest import Server
from trivet.protocols.base import Call
from trivet.protocols.vertex.api import Api

PARENT = "projects/local/locations/us-central1"
TYPES = {
    "models:upload": "Operation",
    "models:copy": "Operation",
    "models": "ListModelsResponse",
    "models/*": "Model",
    "models/*:listVersions": "ListModelVersionsResponse",
    "models/*:mergeVersionAliases": "Model",
    "models/*:deleteVersion": "Operation",
    "models/*/evaluations": "ListModelEvaluationsResponse",
    "endpoints": "ListEndpointsResponse",
    "endpoints/*": "Endpoint",
    "deploymentResourcePools": "ListDeploymentResourcePoolsResponse",
    "deploymentResourcePools/*": "DeploymentResourcePool",
    "deploymentResourcePools/*:queryDeployedModels": "QueryDeployedModelsResponse",
    "batchPredictionJobs": "ListBatchPredictionJobsResponse",
    "batchPredictionJobs/*": "BatchPredictionJob",
    "batchPredictionJobs/*:cancel": "Empty",
    "batchPredictionJobs/*:resume": "BatchPredictionJob",
    "operations": "ListOperationsResponse",
    "operations/*": "Operation",
    "operations/*:wait": "Operation",
}
"""The messages that calls answer with; changes that are not here answer with an operation."""

OURS = ("trivet", "newerField")
"""Fields that Google's messages do not have, which its clients pass over in a resource."""


class Calls:
    """A client, and a process that hears of changes."""

    def __init__(self, server: Server):
        self.server = server
        self.waiting = []
        self.held = []  # what calls waited for, in seconds
        self.api = Api(server.plane, asyncio.to_thread, self._changed)

    async def _changed(self, seconds):
        self.held.append(seconds)
        changed = asyncio.get_running_loop().create_future()
        self.waiting.append(changed)
        await asyncio.wait([changed], timeout=seconds)

    def change(self):
        """Tell everybody who waits that something has changed."""
        while self.waiting:
            changed = self.waiting.pop()
            if not changed.done():
                changed.set_result(None)

    async def reply(self, method, path, body=b"", query="", **headers):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.api.answer(Call(method, path, query, headers, content, "http://127.0.0.1:8080"))

    async def ask(self, method, path, body=b"", query="", api="v1", parent=PARENT):
        """Return the status and the answer to a call below the parent."""
        reply = await self.reply(method, f"/{api}/{parent}/{path}", body, query)
        answer = json.loads(reply.body)
        if reply.status == 200:
            check(method, path, answer, api)
        return reply.status, answer

    async def ok(self, *call, **more):
        """Return the answer to a call that must succeed."""
        status, answer = await self.ask(*call, **more)
        assert status == 200, answer
        return answer

    async def error(self, *call, **more):
        """Return the status and the message of a call that must not succeed."""
        status, answer = await self.ask(*call, **more)
        assert status != 200, answer
        assert answer["error"]["code"] == status
        return answer["error"]["status"], answer["error"]["message"]

    async def done(self, operation):
        """Return the response of an operation, once the server has done what there is to do."""
        assert operation["name"].startswith(f"{PARENT}/operations/")
        if not operation["done"]:
            await asyncio.to_thread(self.server.settle)
        id_ = operation["name"].rpartition("/")[2]
        operation = await self.ok("GET", f"operations/{id_}", api="ui")
        assert operation["done"]
        assert "error" not in operation, operation["error"]
        return operation["response"]

    async def upload(self, model_id="m", **fields):
        """Upload a model, or the next version of one that is there."""
        model = {"displayName": "M", "artifactUri": str(self.server.artifact()), **fields}
        there, _ = await self.ask("GET", f"models/{model_id}")
        which = {"parentModel": f"{PARENT}/models/{model_id}"} if there == 200 else {"modelId": model_id}
        return await self.done(await self.ok("POST", "models:upload", {"model": model, **which}))

    async def endpoint(self, id_="e", **fields):
        """Create an endpoint."""
        body = {"displayName": "E", **fields}
        return await self.done(await self.ok("POST", "endpoints", body, f"endpointId={id_}"))

    async def deploy(self, endpoint="e", model="m", split=None, **fields):
        """Deploy a model; returns the id of what is deployed."""
        body = {"deployedModel": {"model": f"{PARENT}/models/{model}", "displayName": "D", **fields}}
        body |= {"trafficSplit": split} if split else {}
        done = await self.done(await self.ok("POST", f"endpoints/{endpoint}:deployModel", body))
        return done["deployedModel"]["id"]


@cache
def _client(api):
    if find_spec("google.cloud.aiplatform_v1") is None:
        return None
    return import_module(f"google.cloud.aiplatform_{'v1' if api == 'ui' else api}")


def check(method, path, answer, api):
    """Read an answer as the client of that API does: operations strictly, and here all else as well."""
    client = _client(api)
    if client is None:
        return
    from google.longrunning import operations_pb2
    from google.protobuf import empty_pb2, json_format

    collection, *rest = path.split("/", 1)
    verb = rest[0].partition(":")[2] or rest[0].partition("/")[2] if rest else ""
    pattern = collection + ("/*" if rest else "")
    if verb:
        pattern += f"/{verb}" if f"{pattern}/{verb}" in TYPES else f":{verb}"
    changes = (method, pattern) == ("PATCH", "deploymentResourcePools/*") or (
        method in ("POST", "DELETE") and not verb and not collection.startswith("operations")
    )
    if (method, pattern) == ("POST", "batchPredictionJobs"):  # answers with the job itself
        changes, pattern = False, "batchPredictionJobs/*"
    name = "Operation" if changes else TYPES.get(pattern, "Operation")
    if name.endswith(("Operation", "OperationsResponse")):
        kind = getattr(operations_pb2, name)()
    elif name == "Empty":
        kind = empty_pb2.Empty()
    else:
        message = getattr(client, name)
        kind = message.pb(message())
    json_format.Parse(json.dumps(_without_ours(answer)), kind, ignore_unknown_fields=False)


def _without_ours(value):
    if isinstance(value, dict):
        return {key: _without_ours(inner) for key, inner in value.items() if key not in OURS}
    return [_without_ours(inner) for inner in value] if isinstance(value, list) else value
