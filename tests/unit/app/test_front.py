"""The front, asked as an ASGI server asks it."""

import json
import logging

import httpx
import pytest
from starlette.routing import Route

from trivet.app.front import Front
from trivet.config import Limits, Log
from trivet.protocols.base import json_reply
from trivet.serving.plane import DataPlane
from trivet.telemetry import Metrics


class Faulty:
    """A protocol with a bug on both of its paths, and one hot path that works."""

    def hot(self, path):
        return self if path in ("/hot", "/good") else None

    def answer(self, request, reply):
        if b"bad" in request.body:
            raise ZeroDivisionError("a bug of ours")
        reply(*json_reply({"id": request.request_id}))

    def routes(self):
        async def fail(request):
            raise ZeroDivisionError("a bug of ours")

        return [Route("/other", fail)]


@pytest.fixture
async def client():
    front = Front(DataPlane(Metrics()), [Faulty()], Limits(), Log(), frozenset())
    transport = httpx.ASGITransport(front)
    async with httpx.AsyncClient(transport=transport, base_url="http://trivet") as client:
        yield client


@pytest.mark.parametrize(("method", "path"), [("POST", "/hot"), ("GET", "/other")])
async def test_a_bug_of_ours_is_told_without_details_and_logged_with_them(client, caplog, method, path):
    logging.getLogger("trivet").propagate = True
    response = await client.request(method, path, content=b"bad")
    assert response.status_code == 500
    error = response.json()["error"]
    assert error["status"] == "INTERNAL"
    assert "bug" not in error["message"]
    logged = next(record for record in caplog.records if record.exc_info)
    assert "a bug of ours" in str(logged.exc_info[1])
    assert logged.request_id == response.headers["x-request-id"]


async def test_a_request_id_is_made_up_and_only_told_where_it_helps(client):
    one, other = [(await client.post("/hot", content=b"x")) for _ in range(2)]
    assert one.json()["id"] != other.json()["id"]
    assert "x-request-id" not in one.headers


@pytest.mark.parametrize("given", ["mine-7", "a" * 128])
async def test_a_callers_request_id_is_kept(client, given):
    response = await client.post("/good", content=b"x", headers={"x-request-id": given})
    assert (response.json()["id"], response.headers["x-request-id"]) == (given, given)


@pytest.mark.parametrize("given", ["a b", "a" * 129, ""])
async def test_a_request_id_that_would_garble_a_log_is_not_taken(client, given):
    response = await client.post("/good", content=b"x", headers={"x-request-id": given})
    assert response.json()["id"] != given
    assert json.dumps(dict(response.headers)).count("x-request-id") == 0
