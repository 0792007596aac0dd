import asyncio
import json

import pytest

from tests.unit.protocols.vertex.calls import PARENT
from trivet.protocols.vertex import operations


@pytest.fixture
async def upload(calls):
    """An upload that has begun, as its call was answered; nothing is copied yet."""
    model = {"displayName": "M", "artifactUri": str(calls.server.artifact())}
    operation = await calls.ok("POST", "models:upload", {"model": model, "modelId": "m"})
    assert operation == {"name": operation["name"], "done": False}
    calls.held.clear()
    return operation["name"]


@pytest.mark.parametrize("api", ["ui", "v1", "v1beta1"])
@pytest.mark.parametrize("of", ["", "models/m/", "endpoints/e/deployedModels/1/"])
async def test_an_operation_is_held_until_it_is_done(calls, upload, api, of):
    id_ = upload.rpartition("/")[2]
    asking = asyncio.ensure_future(calls.reply("GET", f"/{api}/{PARENT}/{of}operations/{id_}"))
    while not calls.waiting:  # noqa: ASYNC110 - the call itself is what is waited for
        await asyncio.sleep(0)
    await asyncio.to_thread(calls.server.work)
    assert not asking.done()
    calls.change()
    reply = await asking
    assert b'"done":true' in reply.body
    assert b'"@type":"type.googleapis.com/google.cloud.aiplatform.v1.UploadModelResponse"' in reply.body


async def test_what_nobody_tells_is_seen_too(calls, upload, monkeypatch):
    monkeypatch.setattr("trivet.protocols.vertex.waiting._PAUSES", (0.001, 0.004))
    asking = asyncio.ensure_future(calls.reply("GET", f"/ui/{upload}"))
    while len(calls.held) < 4:  # noqa: ASYNC110 - the call itself is what is waited for
        await asyncio.sleep(0)
    assert calls.held[:4] == [0.001, 0.002, 0.004, 0.004]
    await asyncio.to_thread(calls.server.work)
    assert b'"done":true' in (await asyncio.wait_for(asking, operations.HOLDS)).body


async def test_what_changes_between_a_look_and_the_wait_is_not_missed(calls, upload):
    """The change comes while the call looks: it must not then wait for another."""
    plane, calls_api = calls.server.plane, calls.api
    look, looks = plane.operation, []

    class Plane:
        def operation(self, name):
            found = look(name)
            looks.append(found.done)
            if not found.done:
                calls.server.work()
                loop.call_soon_threadsafe(calls.change)
            return found

    loop = asyncio.get_running_loop()
    calls_api._control = Plane()
    asking = calls.reply("GET", f"/ui/{upload}")
    reply = await asyncio.wait_for(asking, operations.HOLDS / 5)
    assert b'"done":true' in reply.body
    assert looks == [False, True]


async def test_an_operation_that_takes_longer_is_not_done_yet(calls, upload, monkeypatch):
    monkeypatch.setattr(operations, "HOLDS", 0.02)
    path = upload.removeprefix(f"{PARENT}/")
    expected = {"name": upload, "done": False}
    assert await calls.ok("GET", path, api="ui") == expected
    assert await calls.ok("POST", f"{path}:wait", {"timeout": "3600s"}, api="ui") == expected
    assert (await calls.error("POST", f"{path}:wait", {"timeout": "soon"}))[0] == "INVALID_ARGUMENT"


async def test_waiting_ends_when_it_is_asked_to(calls, upload):
    path = upload.removeprefix(f"{PARENT}/")
    assert not (await calls.ok("POST", f"{path}:wait", query="timeout=0.01s", api="ui"))["done"]


async def test_those_who_wait_for_the_same_share_each_look(calls, upload):
    plane, looks = calls.server.plane, []

    class Plane:
        def operation(self, name):
            looks.append(name)
            return plane.operation(name)

    calls.api._control = Plane()
    asking = [asyncio.ensure_future(calls.reply("GET", f"/ui/{upload}")) for _ in range(40)]
    watches = calls.api._watches._watches
    while not watches or next(iter(watches.values())).waiting < 40:  # noqa: ASYNC110 - calls tell nobody
        await asyncio.sleep(0.001)
    asked = len(looks)
    assert asked <= 41
    for _ in range(3):
        calls.change()
        while len(looks) <= asked or not calls.waiting:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        asked += 1
        assert len(looks) == asked
    asking[0].cancel()
    await asyncio.to_thread(calls.server.work)
    calls.change()
    replies = await asyncio.wait_for(asyncio.gather(*asking[1:]), operations.HOLDS)
    assert all(b'"done":true' in reply.body for reply in replies)
    assert len(looks) == asked + 1
    assert not watches


async def test_operations_are_listed_cancelled_and_deleted(calls, upload):
    path = upload.removeprefix(f"{PARENT}/")
    [listed] = (await calls.ok("GET", "operations", api="ui"))["operations"]
    assert listed == {"name": upload, "done": False}
    assert (await calls.error("DELETE", path, api="ui"))[0] == "FAILED_PRECONDITION"
    status, answer = await calls.ask("POST", f"{path}:cancel", {}, api="ui")
    assert (status, answer) == (200, {})
    await asyncio.to_thread(calls.server.work)
    cancelled = await calls.ok("GET", path, api="ui")
    assert (cancelled["done"], cancelled["error"]["code"]) == (True, 1)
    assert await calls.ask("DELETE", path, api="ui") == (200, {})
    assert (await calls.error("GET", path, api="ui"))[0] == "NOT_FOUND"


async def test_operations_of_one_resource_are_listed(calls, upload):
    await asyncio.to_thread(calls.server.settle)
    await calls.endpoint("e")

    async def listed(of, query="", api="ui"):
        reply = await calls.reply("GET", f"/{api}/{PARENT}/{of}operations", query=query)
        return [one["name"] for one in json.loads(reply.body)["operations"]]

    [created, uploaded] = await listed("")
    assert uploaded == upload
    for api in ("ui", "v1", "v1beta1"):
        assert await listed("models/m/", api=api) == await listed("models/m@1/", api=api) == [upload]
        assert await listed("endpoints/e/", api=api) == [created]
        assert await listed("models/x/", api=api) == []
    assert await listed("models/m/", "filter=done%3Dfalse OR kind%3Dx") == []
    assert await listed("models/m/", "filter=done%3Dtrue") == [upload]
    for of in ('models/"/', "models/m/versions/1/"):
        assert (await calls.error("GET", f"{of}operations", api="ui"))[0] == "INVALID_ARGUMENT"


async def test_each_version_of_the_api_gets_its_own_types(calls):
    artifact = str(calls.server.artifact())
    for api in ("v1", "v1beta1"):
        model = {"displayName": "M", "artifactUri": artifact}
        begun = await calls.ok("POST", "models:upload", {"model": model}, api=api)
        response = await calls.done(begun)
        assert response["@type"] == f"type.googleapis.com/google.cloud.aiplatform.{api}.UploadModelResponse"
