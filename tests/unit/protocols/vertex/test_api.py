import asyncio
import json
import re

import pytest

from tests.unit.protocols.vertex.calls import PARENT
from trivet.core.resources import Location
from trivet.protocols.base import Call
from trivet.protocols.vertex.api import TABLE, Api, plain_address


async def test_an_unknown_path_is_named(calls):
    for path in (f"/v1/{PARENT}/datasets", "/v1/x", f"/ui/{PARENT}/models", f"/v1/{PARENT}/models/m/x"):
        reply = await calls.reply("GET", path)
        assert (reply.status, json.loads(reply.body)["error"]["status"]) == (404, "NOT_FOUND")
        assert path in reply.body.decode()


async def test_a_wrong_method_names_the_right_ones(calls):
    reply = await calls.reply("PUT", f"/v1/{PARENT}/endpoints/e")
    assert (reply.status, reply.headers["allow"]) == (405, "DELETE, GET, PATCH, OPTIONS")
    error = json.loads(reply.body)["error"]
    assert (error["code"], error["status"]) == (405, "UNIMPLEMENTED")
    assert "expected DELETE or GET or PATCH" in error["message"]
    asked = await calls.reply("OPTIONS", f"/v1/{PARENT}/endpoints/e")
    assert (asked.status, asked.headers["allow"]) == (200, "DELETE, GET, PATCH, OPTIONS")
    assert (await calls.reply("HEAD", f"/v1/{PARENT}/models")).status == 200


async def test_a_bad_name_is_refused_before_anything_is_looked_up(calls):
    for path in ("models/..", "models/a%2f", "models/a@b@c", "endpoints/e@1x/"):
        status, _ = await calls.ask("GET", path)
        assert status in (400, 404)
    status, message = await calls.error("GET", "models", parent="projects/p/locations/UPPER")
    assert (status, "parent" in message) == ("INVALID_ARGUMENT", True)


async def test_nobody_is_ever_asked_to_log_in(calls):
    parts = {"{parent}": PARENT, "{of}": "", "{resource}": f"{PARENT}/models/x"}
    for method, pattern, _ in TABLE:
        path = re.sub(r"\{api\}|\{any\}", "/v1", pattern)
        path = re.sub(r"\{\w+\}", lambda part: parts.get(part[0], "x"), path)
        reply = await calls.reply(method, path, authorization="Bearer nonsense")
        assert reply.status in (200, 400, 404, 501), (method, path, reply)
        json.loads(reply.body)


async def test_a_fault_of_ours_is_logged_and_told_as_one(calls, caplog):
    class Broken:
        def model(self, name):
            raise ZeroDivisionError("unlucky")

    api = Api(Broken(), asyncio.to_thread, calls._changed)
    calls.api = api
    reply = await calls.reply("GET", f"/v1/{PARENT}/models/m")
    assert (reply.status, json.loads(reply.body)["error"]["status"]) == (500, "INTERNAL")
    assert b"unlucky" not in reply.body
    assert "unlucky" in caplog.text


@pytest.mark.parametrize(
    ("path", "text", "media_type"),
    [
        ("project/project-id", "my-project", "application/text"),
        ("universe/universe-domain", "googleapis.com", "application/text"),
        ("project/numeric-project-id", "1", "application/text"),
        ("instance/zone", "projects/1/zones/l-a", "application/text"),
        (
            "instance/service-accounts/",
            "default/\ntrivet@my-project.iam.gserviceaccount.com/\n",
            "application/text",
        ),
        ("instance/service-accounts/default/email", "trivet@my-project.iam.gserviceaccount.com", None),
    ],
)
async def test_the_metadata_server_tells_texts(calls, path, text, media_type):
    api = Api(calls.server.plane, asyncio.to_thread, calls._changed, Location("my-project", "l"))
    calls.api = api
    reply = await calls.reply("GET", f"/computeMetadata/v1/{path}", **{"metadata-flavor": "Google"})
    assert (reply.status, reply.body.decode()) == (200, text)
    assert reply.headers == {"metadata-flavor": "Google"}
    assert media_type in (None, reply.media_type)


async def test_the_metadata_server_has_an_account(calls):
    google = {"metadata-flavor": "Google"}
    base = "/computeMetadata/v1/instance/service-accounts/"
    reply = await calls.reply("GET", f"{base}default/", query="recursive=true", **google)
    account = json.loads(reply.body)
    assert account["aliases"] == ["default"]
    assert account["scopes"]
    for name in ("default", account["email"]):
        token = json.loads((await calls.reply("GET", f"{base}{name}/token", **google)).body)
        assert (token["token_type"], token["expires_in"]) == ("Bearer", 3599)
        assert json.loads((await calls.reply("GET", f"{base}{name}", **google)).body) == account
    accounts = json.loads((await calls.reply("GET", base, query="recursive=true", **google)).body)
    assert accounts == {"default": account, account["email"]: account}


@pytest.mark.parametrize(
    "path",
    [
        "",
        "v1",
        "v1/",
        "v2/project/project-id",
        "v1/instance/service-accounts/default/identity",
        "v1/project/x",
    ],
)
async def test_what_the_metadata_server_has_not_is_told_by_it(calls, path):
    google = {"metadata-flavor": "Google"}
    reply = await calls.reply("GET", f"/computeMetadata/{path}", **google)
    assert (reply.status, reply.headers) == (404, google)
    reply = await calls.reply("GET", f"/computeMetadata/{path}")
    assert (reply.status, reply.headers) == (403, google)


async def test_a_service_account_gets_a_token(calls):
    reply = await calls.reply("POST", "/token", b"grant_type=x&assertion=y")
    assert json.loads(reply.body).keys() == {"access_token", "expires_in", "token_type"}
    assert (await calls.reply("GET", "/token")).status == 405


@pytest.mark.parametrize("api", ["v1", "v1beta1", "ui"])
async def test_places_and_permissions(calls, api):
    async def told(method, path, body=b"", query=""):
        reply = await calls.reply(method, f"/{api}/{path}", body, query)
        assert reply.status == 200
        return json.loads(reply.body)

    here = {"name": "projects/p/locations/us-central1", "locationId": "us-central1"}
    assert await told("GET", "projects/p/locations") == {"locations": [here]}
    assert await told("GET", "projects/p/locations/us-central1") == here
    model = f"{PARENT}/models/m"
    permissions = {"permissions": ["a.b.c", "d"]}
    assert await told("POST", f"{model}:testIamPermissions", permissions) == permissions
    query = "permissions=a.b.c&permissions=d"
    assert await told("POST", f"{model}:testIamPermissions", query=query) == permissions
    for method in ("GET", "POST"):
        assert await told(method, f"{model}:getIamPolicy") == {"version": 1, "etag": "ACAB"}
    reply = await calls.reply("POST", f"/{api}/{model}:setIamPolicy", {"policy": {}})
    assert reply.status == 501
    assert "has no IAM policy" in json.loads(reply.body)["error"]["message"]
    allowed = await told("GET", "projects/-/serviceAccounts/a@b.c/allowedLocations")
    assert allowed == {"locations": ["us-central1"], "encodedLocations": "0x0"}


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("127.0.0.1:8080", "127.0.0.1:8080"),
        ("served.example", "served.example"),
        ("served.example:9000", "served.example:9000"),
        ("localhost:8443", "localhost:8080"),
        ("served.example:8443", "served.example:8080"),
        ("[::1]:8443", "[::1]:8080"),
        ("us-central1-aiplatform.googleapis.com", "127.0.0.1:8080"),
        ("[::1", "[::1"),
        ("a:b", "a:b"),
    ],
)
def test_plain_http_is_at_the_plain_port(asked, found):
    call = Call("GET", "/", "", {}, b"", f"http://{asked}", "http://127.0.0.1:8080")
    assert plain_address(call, "localhost:8443") == f"http://{found}"
