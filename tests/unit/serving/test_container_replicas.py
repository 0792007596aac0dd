"""The front's way to applications, over real sockets, with applications and keepers of the test."""

import asyncio
import json
import logging

import msgspec
import pytest

from tests.unit.serving.applications import Application, answered, instances, replicas
from tests.unit.serving.processes import ask, on_both_loops, replica_set, send, soon, until
from trivet.core.errors import (
    Cancelled,
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    ResourceExhausted,
    Unavailable,
)
from trivet.core.instances import Predictions
from trivet.serving.batching import BatchLimits, Pending


@pytest.fixture(autouse=True)
def logged(caplog):
    logging.getLogger("trivet").propagate = True
    return caplog


@on_both_loops
async def test_instances_go_as_they_were_written_and_predictions_come_back_so(tmp_path):
    application = await Application(tmp_path / "a").start()
    front = replicas(tmp_path / "a", predict_route="/p")
    await soon(front.connected())
    answer = ask(front, instances(msgspec.Raw(b'{"a": 1.0}'), msgspec.Raw(b"1e2")), parameters={"k": 1})
    request = await application.request()
    assert request.line == "POST /p HTTP/1.1"
    assert "content-type: application/json" in request.fields
    assert request.body == b'{"instances":[{"a": 1.0},1e2],"parameters":{"k":1}}'
    assert repr(front) == ("<ContainerReplicas <Upstreams 1 of 1 well, 1 requests in flight>, 0 passed on>")
    request.answer(b'{"predictions": [1.50, "\xc3\xa4"], "more": 1}')
    (predictions,) = await soon(answer)
    assert [bytes(one) for one in predictions.columns["prediction"]] == [b"1.50", b'"\xc3\xa4"']
    front.close()
    await application.close()


@on_both_loops
async def test_a_connection_is_used_again(tmp_path):
    application = await Application(tmp_path / "a", echoes=True).start()
    front = replicas(tmp_path / "a")
    for number in range(5):
        (predictions,) = await soon(ask(front, instances(number)))
        assert answered(predictions) == [number]
    assert len(application.connections) == 1
    front.close()
    await application.close()


@on_both_loops
async def test_each_application_is_asked_so_many_at_once(tmp_path):
    applications = [await Application(tmp_path / name).start() for name in "ab"]
    front = replicas(tmp_path / "a", tmp_path / "b", concurrency=2)
    assert front.slots == 4
    await until(lambda: "2 of 2 well" in repr(front))
    answers = [ask(front, instances(number)) for number in range(5)]
    requests = [await one.request() for one in applications for _ in range(2)]
    assert all(one.asked.empty() for one in applications)
    for request in requests:
        request.echo()
    await until(lambda: any(not one.asked.empty() for one in applications))
    for one in applications:
        while not one.asked.empty():
            one.asked.get_nowait().echo()
    assert [answered((await soon(one))[0]) for one in answers] == [[0], [1], [2], [3], [4]]
    front.close()
    for one in applications:
        await one.close()


@pytest.mark.parametrize(
    ("status", "line", "body", "kind", "told"),
    [
        (200, b"a: b", b'{"predictions": [1]}', Internal, "the container gave 1 predictions for 2 instances"),
        (200, b"a: b", b"<html>", Internal, "the container answered '<html>'; expected JSON"),
        (200, b"a: b", b'{"predictions": [1, NaN]}', Internal, "expected JSON"),
        (200, b"a: b", b'{"predictions": ["\xff", 1]}', Internal, "expected JSON"),
        (200, b"a: b", b'{"error": 1}', Internal, "expected JSON"),
        (422, b"a: b", b"width", InvalidArgument, "the container answered 422: 'width'"),
        (429, b"retry-after: 7", b"", ResourceExhausted, "the container answered 429"),
        (503, b"a: b", b"busy", Unavailable, "the container answered 503: 'busy'"),
        (500, b"a: b", b"x" * 300, Internal, "the container answered 500: '" + "x" * 200 + "'"),
    ],
)
async def test_other_answers_are_errors_that_say_why(tmp_path, status, line, body, kind, told):
    application = await Application(tmp_path / "a").start()
    front = replicas(tmp_path / "a")
    answer = ask(front, instances(1, 2))
    (await application.request()).answer(body, status, line)
    (error,) = await soon(answer)
    assert type(error) is kind
    assert str(error).startswith(told) or told in str(error)
    if kind is ResourceExhausted:
        assert error.retry_after == 7
    assert len(application.connections) == 1
    front.close()
    await application.close()


@on_both_loops
async def test_only_bad_requests_of_several_fail(tmp_path):
    application = await Application(tmp_path / "a").start()
    front = replicas(tmp_path / "a")
    answer = ask(front, instances(1), instances(2, 3))
    request = await application.request()
    assert json.loads(request.body) == {"instances": [1, 2, 3]}
    request.answer(b"no", 400)
    for _ in range(2):
        request = await application.request()
        if json.loads(request.body)["instances"] == [1]:
            request.answer(b"not 1", 400)
        else:
            request.echo()
    error, predictions = await soon(answer)
    assert str(error) == "the container answered 400: 'not 1'"
    assert answered(predictions) == [2, 3]
    front.close()
    await application.close()


@on_both_loops
async def test_nobody_need_wait_for_one_that_is_asked_alone_after_all(tmp_path):
    application = await Application(tmp_path / "a").start()
    front = replicas(tmp_path / "a")
    answer, unwanted = send(front, instances(1), instances(2), instances(3))
    request = await application.request()
    unwanted((0,))
    request.answer(b"no", 500)
    for _ in range(3):
        request = await application.request()
        if json.loads(request.body)["instances"] == [3]:
            request.echo()
    unwanted((1,))
    gone, too, predictions = await soon(answer)
    assert isinstance(gone, Cancelled)
    assert isinstance(too, Cancelled)
    assert answered(predictions) == [3]
    front.close()
    await application.close()


@on_both_loops
async def test_what_is_not_http_is_told_as_the_containers_fault(tmp_path):
    application = await Application(tmp_path / "a").start()
    front = replicas(tmp_path / "a")
    answer = ask(front, instances(1))
    (await application.request()).send(b"hello\r\n\r\n")
    (error,) = await soon(answer)
    assert isinstance(error, Internal)
    assert "the container's answer is not HTTP" in str(error)
    front.close()
    await application.close()


@on_both_loops
async def test_a_request_whose_connection_broke_is_sent_once_more(tmp_path):
    application = await Application(tmp_path / "a").start()
    front = replicas(tmp_path / "a")
    answer = ask(front, instances(1))
    (await application.request()).die()
    (await application.request()).echo()
    assert answered((await soon(answer))[0]) == [1]
    answer = ask(front, instances(2))
    (await application.request()).die()
    (await application.request()).die()
    application.tell(well=False, over=True, reason="its container ended with 137")
    (error,) = await soon(answer)
    assert isinstance(error, Unavailable)
    assert "its container ended with 137" in str(error)
    front.close()
    await application.close()


@on_both_loops
async def test_what_must_not_be_asked_twice_is_not(tmp_path):
    application = await Application(tmp_path / "a").start()
    front = replicas(tmp_path / "a", idempotent=False)
    answer = ask(front, instances(1))
    (await application.request()).die()
    application.tell(well=False, over=True, reason="it was unlucky")
    (error,) = await soon(answer)
    assert "it was unlucky" in str(error)
    assert application.asked.empty()
    front.close()
    await application.close()


@on_both_loops
async def test_an_application_that_is_not_well_gets_nothing_until_it_is(tmp_path):
    application = await Application(tmp_path / "a", echoes=True).start()
    front = replicas(tmp_path / "a")
    await soon(front.connected())
    application.tell(well=False, reason="no answer within 10 s, 4 times")
    await until(lambda: front.upstreams.why)
    answer, unwanted = send(front, instances(1))
    assert unwanted.where == "waiting for the container: no answer within 10 s, 4 times"
    other, _ = send(front, instances(2))
    unwanted((0,))
    assert isinstance((await soon(answer))[0], Cancelled)
    application.tell(well=True)
    assert answered((await soon(other))[0]) == [2]
    assert front.upstreams.why == ""
    front.close()
    await application.close()


async def test_an_error_says_why_nothing_could_answer_in_time(tmp_path):
    application = await Application(tmp_path / "a").start(well=False)
    front = replicas(tmp_path / "a")
    queue = replica_set(front, BatchLimits(max_rows=1))
    await until(lambda: front.upstreams.why == "it is starting")
    answered = asyncio.get_running_loop().create_future()
    now = queue.clock()
    queue.submit(
        Pending(instances(1), {}, None, now, now + 0.1, lambda _, answer: answered.set_result(answer))
    )
    error = await soon(answered)
    assert isinstance(error, DeadlineExceeded)
    assert "it was waiting for the container: it is starting" in str(error)
    assert not front.upstreams.waiting
    queue.close()
    await application.close()


@on_both_loops
async def test_the_application_sees_that_nobody_waits(tmp_path):
    application = await Application(tmp_path / "a").start()
    front = replicas(tmp_path / "a")
    answer, unwanted = send(front, instances(1), instances(2))
    await application.request()
    assert unwanted.where == "in the container"
    unwanted((0,))
    assert not answer.done()
    unwanted((1,))
    assert [type(one) for one in await soon(answer)] == [Cancelled, Cancelled]
    await soon(application.left.get())
    front.close()
    await application.close()


@on_both_loops
async def test_another_application_takes_the_place_of_one_that_was_killed(tmp_path):
    application = await Application(tmp_path / "a").start()
    front = replicas(tmp_path / "a")
    answer = ask(front, instances(1))
    await application.request()
    await application.stop()
    await until(lambda: front.upstreams.why)
    assert not answer.done()
    await application.start()
    (await application.request()).echo()
    assert answered((await soon(answer))[0]) == [1]
    front.close()
    await application.close()


@on_both_loops
async def test_an_application_that_takes_no_connections_is_asked_later(tmp_path):
    application = await Application(tmp_path / "a", echoes=True).start()
    front = replicas(tmp_path / "a")
    await soon(front.connected())
    application.server.close()
    answer = ask(front, instances(1))
    await until(lambda: "it takes no connections" in front.upstreams.why)
    assert not answer.done()
    await application.stop()
    await application.start()
    assert answered((await soon(answer))[0]) == [1]
    front.close()
    await application.close()


@on_both_loops
async def test_what_was_sent_is_answered_after_closing_and_nothing_else(tmp_path):
    application = await Application(tmp_path / "a").start()
    front = replicas(tmp_path / "a")
    await soon(front.connected())
    sent = ask(front, instances(1))
    request = await application.request()
    front.close()
    (refused,) = await soon(ask(front, instances(2)))
    assert isinstance(refused, Unavailable)
    assert not application.announcer.alone.is_set()
    request.echo()
    assert answered((await soon(sent))[0]) == [1]
    await soon(application.announcer.alone.wait())
    await application.close()


async def test_behind_a_queue_each_request_is_one_post(tmp_path):
    application = await Application(tmp_path / "a").start()
    front = replicas(tmp_path / "a")
    queue = replica_set(front, BatchLimits(max_rows=1))
    answers = asyncio.Queue()
    now = queue.clock()
    for values in ((1, 2), (3,), (4, 5, 6)):
        queue.submit(
            Pending(instances(*values), {}, None, now, now + 9, lambda _, answer: answers.put_nowait(answer))
        )
    for _ in range(3):
        (await application.request()).echo()
    found = [await soon(answers.get()) for _ in range(3)]
    assert all(isinstance(one, Predictions) for one in found)
    assert sorted(answered(one) for one in found) == [[1, 2], [3], [4, 5, 6]]
    queue.close()
    await application.close()
