"""Bodies, names and queries that no client sends: each call answers, and says what is wrong with the call."""

import json
import re

import pytest

from tests.unit.protocols.vertex.calls import PARENT
from trivet.protocols.vertex.api import TABLE

VALUES = [
    None, True, 0, -1, 1.5, 10**30, "", "x", "\x00", "a" * 70_000, [], [None], [[]], {}, {"": None},
    {"a": []},
]  # fmt: skip
NAMES = ["..", "a b", "é", "a\r\nb", "@", "a@", "@1", "m@default", "\x00", "a" * 300, "%2e"]
QUERIES = [
    "filter=%28%28", "filter=a", "filter=%00", "orderBy=x%20y", "pageToken=x", "pageToken=e30", "pageSize=x",
    "&&=",
]  # fmt: skip
FIELDS = [
    "model", "modelId", "parentModel", "sourceModel", "versionAliases", "displayName", "labels", "etag",
    "containerSpec", "artifactUri", "description", "trivet", "endpoint", "trafficSplit", "network",
    "privateServiceConnectConfig", "clientConnectionConfig", "deployedModel", "deployedModelId", "updateMask",
    "deploymentResourcePool", "deploymentResourcePoolId", "dedicatedResources", "permissions", "timeout",
]  # fmt: skip
INSIDE = {
    "model": {"displayName": "d", "artifactUri": "/nothing"},
    "endpoint": {"displayName": "d"},
    "deployedModel": {"model": f"{PARENT}/models/m", "id": "1"},
    "deploymentResourcePool": {"dedicatedResources": {"minReplicaCount": 1}},
}
CHANGES = sorted({(method, path) for method, path, _ in TABLE if method in ("POST", "PATCH")})


def filled(pattern, id_="x"):
    parts = {"{api}": "/v1", "{any}": "/v1", "{parent}": PARENT, "{of}": "", "{id}": id_}
    return re.sub(r"\{\w+\}", lambda part: parts.get(part[0], f"{PARENT}/models/m"), pattern)


def bodies():
    """Yield objects with every field, at the top and where it belongs, of every kind of value."""
    for value in VALUES:
        for field in FIELDS:
            yield {field: value}
        for outer, sound in INSIDE.items():
            for field in FIELDS:
                yield {outer: {**sound, field: value}, "deploymentResourcePoolId": "p", "modelId": "n"}


@pytest.mark.parametrize(("method", "pattern"), CHANGES)
async def test_no_body_is_too_strange(calls, method, pattern):
    await calls.upload("m")
    for body in bodies():
        reply = await calls.reply(method, filled(pattern), body, "updateMask=*&endpointId=x")
        assert reply.status in (200, 400, 403, 404, 409, 501), (body, reply)
        json.loads(reply.body)


@pytest.mark.parametrize(("method", "pattern"), [(method, path) for method, path, _ in TABLE])
async def test_no_name_is_too_strange(calls, method, pattern):
    for name in NAMES:
        reply = await calls.reply(method, filled(pattern, name))
        assert reply.status in (200, 400, 404, 501), reply


@pytest.mark.parametrize("collection", ["models", "models/m:listVersions", "endpoints", "operations"])
async def test_no_query_is_too_strange(calls, collection):
    for query in QUERIES:
        reply = await calls.reply("GET", f"/v1/{PARENT}/{collection}", query=query)
        assert reply.status in (200, 400, 404), reply
