"""The replica's end of the hop, over real unix sockets."""

import asyncio
import logging
import time

import numpy as np
import pytest

from tests.unit.serving.models import SIGNATURE, Doubler, rows
from tests.unit.serving.processes import (
    NEVER,
    Held,
    ask,
    call,
    ended,
    front,
    listen,
    on_both_loops,
    replica_set,
    send,
    serve,
    soon,
    until,
    ys,
)
from trivet.core.errors import Cancelled, DeadlineExceeded, ResourceExhausted
from trivet.core.instances import Instances
from trivet.core.signature import Signature, TensorSpec
from trivet.serving import hop
from trivet.serving.batching import BatchLimits
from trivet.serving.replica import InlineReplica
from trivet.serving.replica_server import ReplicaServer


@pytest.fixture(autouse=True)
def logged(caplog):
    logging.getLogger("trivet").propagate = True
    return caplog


@on_both_loops
async def test_two_fronts_are_batched_together(tmp_path):
    held = Held(Doubler())
    server = await serve(tmp_path / "r", held)
    fronts = [front(tmp_path / "r") for _ in range(2)]
    busy = ask(fronts[0], rows(1))
    await until(lambda: not held.batches.empty())
    waiting = [ask(one, rows(1, float(index)), rows(2)) for index, one in enumerate(fronts)]
    await until(lambda: len(server.replicas.queue) == 4)
    await held.release()
    await held.release()
    assert ys(await soon(busy)) == [[2.0]]
    for index, answered in enumerate(waiting):
        assert ys(await soon(answered)) == [[2.0 * index], [2.0, 2.0]]
    assert held.predictor.batches == [1, 6]
    await ended(*fronts, server)


@on_both_loops
async def test_those_predicted_first_do_not_wait_for_the_others_of_their_ask(tmp_path):
    held, early = Held(Doubler()), {}
    server = await serve(tmp_path / "r", held, limits=BatchLimits(max_rows=4, max_queued_rows=7))
    replicas = front(tmp_path / "r")
    answered, leave = send(replicas, rows(1), rows(3), rows(2), rows(4), rows(1), early=early)
    await until(lambda: 3 in early)
    assert isinstance(early[3], ResourceExhausted)
    assert early.keys() == {3}
    leave((4,))
    await held.release()
    await until(lambda: 1 in early)
    assert ys([early[0], early[1]]) == [[2.0], [2.0] * 3]
    assert early.keys() == {0, 1, 3, 4}
    assert isinstance(early[4], Cancelled)
    await held.release()
    answers = await soon(answered)
    assert answers[:2] == [early[0], early[1]]
    assert ys([answers[2]]) == [[2.0] * 2]
    assert answers[3:] == [early[3], early[4]]
    assert (server.alone.is_set(), held.predictor.batches) == (False, [4, 2])
    await ended(replicas, server)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (({"n": 1}, (2,)), ({"n": 1.0}, (2,))),
        (({}, (2,)), ({}, (3,))),
    ],
)
@on_both_loops
async def test_requests_that_differ_are_predicted_apart(tmp_path, first, second):
    held = Held(Doubler())
    signature = Signature((TensorSpec("x", "float64", (None,)),))
    server, replicas = await serve(tmp_path / "r", held, signature), front(tmp_path / "r")
    answered = []
    for parameters, shape in (first, second, first):
        instances = Instances.of({"x": np.ones((1, *shape))})
        answered.append(ask(replicas, instances, parameters=parameters))
    await until(lambda: len(server.replicas.queue) == 2)  # and one runs
    for _ in answered:
        await held.release()
    assert held.predictor.batches == [1, 1, 1]
    await ended(replicas, server)


@on_both_loops
async def test_a_request_past_its_deadline_is_not_run(tmp_path):
    clock, held = [10.0], Held(Doubler())
    server, replicas = await serve(tmp_path / "r", held, clock=lambda: clock[0]), front(tmp_path / "r")
    busy = ask(replicas, rows(1))
    await until(lambda: not held.batches.empty())
    late = ask(replicas, rows(1), rows(1), deadline=time.monotonic() + 1000)
    await until(lambda: len(server.replicas.queue) == 2)
    clock[0] = time.monotonic() + 2000
    await held.release()
    await soon(busy)
    assert [type(answer) for answer in await soon(late)] == [DeadlineExceeded] * 2
    assert held.predictor.batches == [1]
    await ended(replicas, server)


@on_both_loops
async def test_a_full_queue_refuses_only_what_does_not_fit(tmp_path):
    held = Held(Doubler())
    server = await serve(tmp_path / "r", held, limits=BatchLimits(max_queued_rows=4))
    replicas = front(tmp_path / "r")
    busy = ask(replicas, rows(1))
    await until(lambda: not held.batches.empty())
    answered = ask(replicas, rows(3), rows(2), rows(1))
    await until(lambda: len(server.replicas.queue) == 2)
    await held.release()
    await held.release()
    await soon(busy)
    first, refused, last = await soon(answered)
    assert ys([first, last]) == [[2.0] * 3, [2.0]]
    assert isinstance(refused, ResourceExhausted)
    assert refused.retry_after is not None
    await ended(replicas, server)


@on_both_loops
async def test_what_a_front_that_leaves_had_asked_is_not_run(tmp_path):
    held = Held(Doubler())
    server, replicas = await serve(tmp_path / "r", held), front(tmp_path / "r")
    busy = ask(replicas, rows(1))
    await until(lambda: not held.batches.empty())
    caller = await call(tmp_path / "r")
    caller.transport.write(hop.write_ask(1, [rows(5), rows(5)], {}, [NEVER] * 2)[0])
    await until(lambda: len(server.replicas.queue) == 2)
    caller.transport.abort()
    await until(lambda: repr(server) == "<ReplicaServer 1 fronts, 1 batches asked>")
    await held.release()
    await soon(busy)
    other = ask(replicas, rows(2))
    await held.release()
    await soon(other)
    assert held.predictor.batches == [1, 2]
    await ended(replicas, server)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff\xff\xff\xff",
        b"\x02\x00\x00\x00??",
        hop.write(hop.Hello(1, 1)),
        hop.write(hop.Ask(1, [1.0], {}, [1], [])),
        hop.write(hop.Ask(1, [1.0], {}, [2], hop.pack(rows(1)))),
    ],
)
@on_both_loops
async def test_a_front_that_is_not_understood_is_alone_in_that(tmp_path, garbage, logged):
    signature = Signature((TensorSpec("x", "float64", (None,)),))
    server, replicas = await serve(tmp_path / "r", signature=signature), front(tmp_path / "r")
    caller = await call(tmp_path / "r")
    caller.transport.write(garbage)
    await soon(caller.gone.wait())
    assert "a front is not understood" in logged.text
    assert ys(await soon(ask(replicas, Instances.of({"x": np.ones((1, 1))})))) == [[[2.0]]]
    await ended(replicas, server)


@on_both_loops
async def test_a_server_that_stops_answers_what_it_was_asked(tmp_path):
    held = Held(Doubler())
    listening = listen(tmp_path / "r")
    server = ReplicaServer(replica_set(held), SIGNATURE)
    await server.start(listening.dup())
    earlier = await call(tmp_path / "r")
    earlier.transport.abort()
    await until(lambda: repr(server) == "<ReplicaServer 0 fronts, 0 batches asked>")
    replicas = front(tmp_path / "r", idempotent=False)
    answered = [ask(replicas, rows(1))]
    await until(lambda: not held.batches.empty())
    answered.append(ask(replicas, rows(2)))
    await until(lambda: len(server.replicas.queue) == 1)
    stopping = asyncio.create_task(server.stop())
    await until(lambda: "0 of 1" in repr(replicas))
    waiting = ask(replicas, rows(3))  # for the process that comes next
    await held.release()
    await held.release()
    await soon(stopping)
    assert [ys(await soon(one)) for one in answered] == [[[2.0]], [[2.0, 2.0]]]
    successor = ReplicaServer(replica_set(InlineReplica(Doubler())), SIGNATURE)
    await successor.start(listening)
    assert ys(await soon(waiting)) == [[2.0] * 3]
    await ended(replicas, successor)


@on_both_loops
async def test_a_server_does_not_wait_for_ever_when_it_stops(tmp_path, logged):
    held = Held(Doubler())
    server = await serve(tmp_path / "r", held)
    caller = await call(tmp_path / "r")
    caller.transport.write(hop.write_ask(1, [rows(1)], {}, [NEVER])[0])
    await until(lambda: not held.batches.empty())
    await soon(server.stop(grace=0))
    await soon(caller.gone.wait())
    assert "not all is answered after 0 s" in logged.text
    await held.release()  # to nobody


@on_both_loops
async def test_what_is_cancelled_is_not_run_and_what_runs_is_answered_when_it_ends(tmp_path):
    held = Held(Doubler())
    server, replicas = await serve(tmp_path / "r", held), front(tmp_path / "r")
    busy, leave_busy = send(replicas, rows(1))
    await until(lambda: not held.batches.empty())
    waiting, leave_waiting = send(replicas, rows(2), rows(3), rows(4))
    await until(lambda: len(server.replicas.queue) == 3)
    leave_waiting((1,))
    await until(lambda: server.replicas.queue.rows == 6)
    gone, leave = send(replicas, rows(5))
    await until(lambda: len(server.replicas.queue) == 3)
    leave((0,))
    assert [type(answer) for answer in await soon(gone)] == [Cancelled]
    leave_busy((0,))
    await until(lambda: repr(server) == "<ReplicaServer 1 fronts, 2 batches asked>")
    assert not busy.done()
    await held.release()
    assert ys(await soon(busy)) == [[2.0]]
    await held.release()
    first, left, last = await soon(waiting)
    assert isinstance(left, Cancelled)
    assert ys([first, last]) == [[2.0] * 2, [2.0] * 4]
    assert held.predictor.batches == [1, 6]
    await ended(replicas, server)


@on_both_loops
async def test_a_batch_that_takes_too_long_keeps_its_place_until_it_ends(tmp_path):
    clock, held = [10.0], Held(Doubler())
    server, replicas = await serve(tmp_path / "r", held, clock=lambda: clock[0]), front(tmp_path / "r")
    running = ask(replicas, rows(1), deadline=time.monotonic() + 1000)
    await until(lambda: not held.batches.empty())
    queued = ask(replicas, rows(1), deadline=time.monotonic() + 1000)
    await until(lambda: len(server.replicas.queue) == 1)
    clock[0] = time.monotonic() + 2000
    server.replicas._answer_late()
    assert [type(answer) for answer in await soon(queued)] == [DeadlineExceeded]
    assert not running.done(), "or the front would send ever more to a replica that hangs"
    await held.release()
    assert ys(await soon(running)) == [[2.0]]
    await ended(replicas, server)


@pytest.mark.parametrize("requests", [[5], [0, 1]])
@on_both_loops
async def test_a_cancellation_of_what_was_not_asked_is_not_understood(tmp_path, requests, logged):
    held = Held(Doubler())
    server = await serve(tmp_path / "r", held)
    caller = await call(tmp_path / "r")
    caller.transport.write(hop.write(hop.Cancel(7, [0])))  # which may have been answered
    caller.transport.write(hop.write_ask(1, [rows(1)], {}, [NEVER])[0])
    await until(lambda: not held.batches.empty())
    caller.transport.write(hop.write(hop.Cancel(1, requests)))
    await soon(caller.gone.wait())
    assert "a front is not understood" in logged.text
    await held.release()
    await ended(server)


@on_both_loops
async def test_an_id_that_has_no_answer_yet_is_not_asked_again(tmp_path, logged):
    held = Held(Doubler())
    server = await serve(tmp_path / "r", held)
    caller = await call(tmp_path / "r")
    twice = hop.write_ask(1, [rows(1)], {}, [NEVER])[0]
    caller.transport.write(twice)
    await soon(held.begun.wait())
    caller.transport.write(twice)
    await soon(caller.gone.wait())
    assert "which has no answer yet" in logged.text
    await held.release()
    await ended(server)
