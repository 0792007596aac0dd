import json

import pytest

from trivet.protocols.vertex import api, pages


@pytest.fixture
async def endpoints(calls):
    """Twenty-five endpoints of about a kilobyte, the newest first."""
    for number in range(25):
        await calls.ok(
            "POST", "endpoints", {"displayName": "E", "newerField": "x" * 900}, f"endpointId=e{number}"
        )
    return [f"e{number}" for number in reversed(range(25))]


async def listed(calls, query=""):
    """Return the ids on each page of the endpoints."""
    found, token = [], ""
    while True:
        page = await calls.ok("GET", "endpoints", query=f"{query}&pageToken={token}")
        found.append([one["name"].rpartition("/")[2] for one in page["endpoints"]])
        token = page["nextPageToken"]
        if not token:
            return found


async def test_a_page_ends_by_its_bytes(calls, endpoints, monkeypatch):
    assert await listed(calls) == [endpoints]
    for room, most in ((20_000, 20), (4000, 3), (2500, 2), (10, 1)):
        monkeypatch.setattr(pages, "BYTES", room)
        found = await listed(calls)
        assert [id_ for page in found for id_ in page] == endpoints
        assert max(map(len, found)) <= most
        assert min(map(len, found[:-1])) >= max(1, most * 3 // 4)


async def test_a_page_ends_by_its_size_too(calls, endpoints):
    for name in ("pageSize", "page_size"):
        assert [len(page) for page in await listed(calls, f"{name}=20")] == [20, 5]
    assert [len(page) for page in await listed(calls, "pageSize=5&filter=displayName%3DE")] == [5] * 5
    assert (await calls.error("GET", "endpoints", query="pageSize=-1"))[0] == "INVALID_ARGUMENT"
    assert (await calls.error("GET", "endpoints", query="pageToken=x"))[0] == "INVALID_ARGUMENT"


async def test_a_list_without_anything_is_a_page(calls):
    assert await calls.ok("GET", "models") == {"models": [], "nextPageToken": ""}


async def test_a_large_body_is_refused(calls):
    body = {"displayName": "E", "newerField": ""}
    body["newerField"] = "x" * (api.MAX_BODY - len(json.dumps(body)))
    assert (await calls.ask("POST", "endpoints", body, "endpointId=e"))[0] == 200
    body["newerField"] += "x"
    status, told = await calls.error("POST", "endpoints", body, "endpointId=f")
    assert (status, told) == (
        "INVALID_ARGUMENT",
        "the body: expected at most 1048576 bytes in a call of the control plane; got 1048577",
    )
    assert (await calls.ask("GET", "endpoints/f"))[0] == 404
