"""What a front does with BigQuery's paths: who may ask, and what is said where nobody answers."""

import httpx
import pytest

from trivet.app.asgi import application
from trivet.codecs.json_body import BodyLimits
from trivet.core.errors import Unavailable
from trivet.protocols import status
from trivet.protocols.base import ContainerRoutes, Reply, Services, Unanswered
from trivet.protocols.bigquery import PROTOCOL
from trivet.serving.plane import DataPlane
from trivet.telemetry import Metrics

DATASETS = "/bigquery/v2/projects/p/datasets"


class Sql:
    """Keeps the calls, and answers them all alike, or raises."""

    def __init__(self):
        self.calls, self.raises = [], None

    async def __call__(self, call):
        self.calls.append(call)
        if self.raises is not None:
            raise self.raises
        return Reply(418, b"said", "application/text", {"x-more": "1"})


def front(sql, *, remote=False, caller="127.0.0.1"):
    services = Services(
        DataPlane(Metrics()), BodyLimits(), ContainerRoutes(), None, None, remote, ("own.example",), sql
    )
    app = application([status.PROTOCOL(services), PROTOCOL(services)])
    transport = httpx.ASGITransport(app, client=(caller, 1234))
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080")


@pytest.fixture
def sql():
    return Sql()


def reason(answer):
    return answer.json()["error"]["errors"][0]["reason"]


@pytest.mark.parametrize(
    "path",
    [
        DATASETS,
        "//bigquery//v2/projects",
        "/upload/bigquery/v2/projects/p/jobs",
        "/resumable/upload/bigquery/v2/projects/p/jobs",
    ],
)
async def test_calls_are_passed_on_whole(sql, path):
    async with front(sql) as client:
        answer = await client.put(
            f"http://127.0.0.1:8080{path}?a=1", content=b"body", headers={"If-Match": "e"}
        )
    assert (answer.status_code, answer.content, answer.headers["x-more"]) == (418, b"said", "1")
    [call] = sql.calls
    assert (call.method, call.path, call.query, call.body) == ("PUT", path, "a=1", b"body")
    assert call.headers["if-match"] == "e"
    assert call.address == "http://127.0.0.1:8080"


@pytest.mark.parametrize("path", ["/bigquery/v1/projects", "/bigquery", "/x/bigquery/v2/projects"])
async def test_other_paths_are_not(sql, path):
    async with front(sql) as client:
        assert (await client.get(path)).status_code == 404
    assert sql.calls == []


@pytest.mark.parametrize(
    ("caller", "headers"),
    [
        ("10.0.0.7", {}),
        ("127.0.0.1", {"host": "evil.example"}),
        ("127.0.0.1", {"origin": "http://evil.example"}),
        ("127.0.0.1", {"host": "evil.example", "origin": "http://evil.example"}),
    ],
)
async def test_others_may_not_ask(sql, caller, headers):
    async with front(sql, caller=caller) as client:
        answer = await client.get(DATASETS, headers=headers)
    assert (answer.status_code, reason(answer)) == (403, "accessDenied")
    assert sql.calls == []


async def test_others_may_ask_where_they_are_allowed_to(sql):
    async with front(sql, remote=True, caller="10.0.0.7") as client:
        assert (await client.get(DATASETS)).status_code == 418


@pytest.mark.parametrize(
    ("method", "raised", "said"),
    [
        ("GET", Unavailable("not there"), "backendError"),
        ("POST", Unavailable("not there"), "backendError"),
        ("GET", Unanswered("ended"), "backendError"),
        ("POST", Unanswered("ended"), "stopped"),
        ("PUT", Unanswered("ended"), "stopped"),
    ],
)
async def test_clients_are_told_to_ask_again_only_what_was_not_begun(sql, method, raised, said):
    sql.raises = raised
    async with front(sql) as client:
        answer = await client.request(method, DATASETS)
    assert (answer.status_code, reason(answer)) == (503, said)


async def test_a_server_without_sql_says_what_has_it():
    async with front(None) as client:
        answer = await client.get(DATASETS)
    assert (answer.status_code, reason(answer)) == (501, "notImplemented")
    assert "trivet up" in answer.json()["error"]["message"]
