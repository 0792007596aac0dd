import httpx
import pytest

from trivet.app.asgi import application
from trivet.codecs.json_body import BodyLimits
from trivet.protocols import status
from trivet.protocols.base import ContainerRoutes, Reply, Services
from trivet.protocols.vertex import PROTOCOL
from trivet.serving.plane import DataPlane
from trivet.telemetry import Metrics

ENDPOINT = "/v1/projects/p/locations/us-central1/endpoints/e"


class Control:
    """Keeps the calls, and answers them all alike."""

    def __init__(self):
        self.calls = []

    async def __call__(self, call):
        self.calls.append(call)
        return Reply(418, b"said", "application/text", {"x-more": "1"})


def front(control, *, remote=False, names=(), caller="127.0.0.1"):
    plane = DataPlane(Metrics())
    services = Services(plane, BodyLimits(), ContainerRoutes(), None, control, remote, names)
    app = application([status.PROTOCOL(services), PROTOCOL(services)])
    transport = httpx.ASGITransport(app, client=(caller, 1234))
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080")


@pytest.fixture
def control():
    return Control()


@pytest.fixture
async def client(control):
    async with front(control) as client:
        yield client


async def test_a_call_is_passed_on_whole(client, control):
    answer = await client.patch(
        "/v1/projects/p/locations/us-central1/models/m%401?updateMask=labels&%24alt=json",
        content=b'{"labels": {}}',
        headers={"X-Goog-Api-Client": "c"},
    )
    assert (answer.status_code, answer.content, answer.headers["x-more"]) == (418, b"said", "1")
    assert answer.headers["content-type"] == "application/text"
    [call] = control.calls
    assert (call.method, call.path) == ("PATCH", "/v1/projects/p/locations/us-central1/models/m@1")
    assert call.query == "updateMask=labels&%24alt=json"
    assert call.body == b'{"labels": {}}'
    assert call.headers["x-goog-api-client"] == "c"
    assert call.address == "http://127.0.0.1:8080"


async def test_a_call_says_where_the_caller_was_and_where_the_server_is(client, control):
    await client.get(
        "/v1/projects/p/locations/l/models", headers={"host": "us-central1-aiplatform.googleapis.com:8443"}
    )
    [call] = control.calls
    assert (call.address, call.bound) == (
        "http://us-central1-aiplatform.googleapis.com:8443",
        "http://127.0.0.1:8080",
    )


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize(
    "path",
    [
        "/v1/projects/p/locations/l/models",
        "/v1beta1/projects/p/anything/at/all",
        "/ui/projects/p/locations/l/operations/1",
        "//v1/projects/p/locations/l/models:upload",
        "/v1/projects",
        "/computeMetadata/v1/project/project-id",
        "/token",
    ],
)
async def test_googles_paths_are_the_control_planes(client, control, method, path):
    assert (await client.request(method, f"http://127.0.0.1:8080{path}")).status_code == 418
    assert [call.path for call in control.calls] == [path]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/models", 200),
        ("POST", "/v1/models", 405),
        ("GET", "/v1/models/x/y/z", 404),
        ("GET", "/livez", 200),
        ("GET", "/v2/projects/p", 404),
        ("GET", "/tokens", 404),
        ("GET", "/v1", 404),
    ],
)
async def test_other_paths_are_not(client, control, method, path, status):
    assert (await client.request(method, path)).status_code == status
    assert control.calls == []


async def test_without_a_control_plane_there_is_nothing(control):
    async with front(None) as client:
        answer = await client.get(f"{ENDPOINT}")
        assert answer.status_code == 404
        assert ENDPOINT in answer.json()["error"]["message"]
        assert "metadata-flavor" not in (await client.get("/", headers={"Metadata-Flavor": "Google"})).headers


async def test_the_root_says_that_it_is_a_metadata_server_to_who_asks(client):
    told = await client.get("/", headers={"Metadata-Flavor": "Google"})
    assert (told.status_code, told.headers["metadata-flavor"]) == (200, "Google")
    assert "metadata-flavor" not in (await client.get("/")).headers


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:8081", ""])
async def test_web_pages_of_others_do_not_reach_the_control_plane(client, control, origin):
    answer = await client.post(f"{ENDPOINT}:undeployModel", json={}, headers={"Origin": origin})
    assert (answer.status_code, answer.json()["error"]["status"]) == (403, "PERMISSION_DENIED")
    assert control.calls == []


@pytest.mark.parametrize("origin", ["http://127.0.0.1:8080", "https://127.0.0.1:8080"])
async def test_web_pages_of_the_server_itself_do(client, control, origin):
    answer = await client.post(f"{ENDPOINT}:undeployModel", json={}, headers={"Origin": origin})
    assert answer.status_code == 418


async def test_who_names_no_host_is_told_where_the_server_listens(client, control):
    for server, address in ((("127.0.0.1", 80), "http://127.0.0.1:80"), (("::1", 80), "http://[::1]:80")):
        transport = client._transport
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/ui/projects/p",
            "query_string": b"",
            "headers": [],
        }

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message):
            pass

        await transport.app({**scope, "server": server}, receive, send)
        assert control.calls[-1].address == address


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8080",
        "a.localhost:1",
        "127.0.0.1:8080",
        "[::1]:8080",
        "10.0.0.7",
        "own.example:1",
        "us-central1-aiplatform.googleapis.com",
        "1.us-central1-2.prediction.vertexai.goog",
    ],
)
async def test_the_names_of_this_server_are_known(control, host):
    async with front(control, names=("own.example",)) as client:
        assert (await client.get(ENDPOINT, headers={"host": host})).status_code == 418


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "localhost.evil.example", "googleapis.com.x"]
)
@pytest.mark.parametrize("origin", [True, False])
async def test_a_page_whose_name_leads_to_this_machine_is_refused(control, host, origin):
    headers = {"host": host, **({"origin": f"http://{host}"} if origin else {})}
    async with front(control) as client:
        assert (await client.post(ENDPOINT, headers=headers)).status_code == 403
    async with front(control, remote=True) as client:  # there, whoever is no page may use any name
        assert (await client.post(ENDPOINT, headers=headers)).status_code == (403 if origin else 418)
    assert len(control.calls) == (0 if origin else 1)


@pytest.mark.parametrize("caller", ["10.0.0.7", "2001:db8::1", "192.168.1.1"])
async def test_callers_on_other_machines_are_refused_unless_told_otherwise(control, caller):
    async with front(control, caller=caller) as client:
        answer = await client.get(ENDPOINT)
        assert answer.status_code == 403
        assert "catalog.remote" in answer.json()["error"]["message"]
    assert control.calls == []
    async with front(control, caller=caller, remote=True) as client:
        assert (await client.get(ENDPOINT)).status_code == 418
