"""The front's end of the hop, over real unix sockets."""

import asyncio
import logging
import os

import numpy as np
import pytest

from tests.unit.serving.models import SIGNATURE, Doubler, rows
from tests.unit.serving.processes import (
    Scripted,
    ask,
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
from trivet.core.errors import Cancelled, DeadlineExceeded, Internal, InvalidArgument, Unavailable
from trivet.core.instances import Instances, Predictions, object_column
from trivet.core.signature import Signature, TensorSpec
from trivet.serving import hop
from trivet.serving.batching import BatchLimits
from trivet.serving.process_replicas import ProcessReplicas
from trivet.serving.replica import InlineReplica
from trivet.serving.replica_server import ReplicaServer


@pytest.fixture(autouse=True)
def logged(caplog):
    logging.getLogger("trivet").propagate = True
    return caplog


@on_both_loops
async def test_a_batch_crosses_and_its_answers_return(tmp_path):
    model = Doubler()
    server = await serve(tmp_path / "r", InlineReplica(model))
    replicas = front(tmp_path / "r")
    await soon(replicas.connected())
    assert replicas.slots == 2
    assert repr(replicas) == "<ProcessReplicas 1 of 1 connected, 0 batches in flight>"
    answered = ask(replicas, rows(1), rows(2, 3.0))
    assert repr(replicas) == "<ProcessReplicas 1 of 1 connected, 1 batches in flight>"
    assert ys(await soon(answered)) == [[2.0], [6.0, 6.0]]
    assert model.batches == [3]
    assert repr(replicas) == "<ProcessReplicas 1 of 1 connected, 0 batches in flight>"
    assert repr(server) == "<ReplicaServer 1 fronts, 0 batches asked>"
    await ended(replicas, server)


@on_both_loops
async def test_a_large_batch_crosses(tmp_path):
    server = await serve(tmp_path / "r", limits=BatchLimits(max_queued_rows=10**6))
    replicas = front(tmp_path / "r")
    (answer,) = await soon(ask(replicas, rows(10**6)))
    assert answer.columns["y"].sum() == 2_000_000
    await ended(replicas, server)


@on_both_loops
async def test_errors_and_tracebacks_cross_and_only_the_bad_fail(tmp_path):
    server, replicas = await serve(tmp_path / "r"), front(tmp_path / "r")
    answers = await soon(ask(replicas, rows(1), rows(2, -1.0), rows(1, 13.0), rows(1, 5.0)))
    assert ys([answers[0], answers[3]]) == [[2.0], [10.0]]
    assert isinstance(answers[1], InvalidArgument)
    assert str(answers[1]) == "instances[0]: negative"
    assert isinstance(answers[2], Internal)
    assert str(answers[2]) == "the model failed: ZeroDivisionError: unlucky"
    assert 'raise ZeroDivisionError("unlucky")' in str(answers[2].__cause__)
    await ended(replicas, server)


@on_both_loops
async def test_an_instance_that_cannot_be_sent_fails_alone(tmp_path):
    class Same(Doubler):
        def predict(self, instances, parameters):
            return instances

    signature = Signature((TensorSpec("y", "json"),))
    server, replicas = await serve(tmp_path / "r", InlineReplica(Same()), signature), front(tmp_path / "r")
    good, bad = (Instances.of({"y": object_column([value])}) for value in ([1], "\ud800"))
    first, refused, last = await soon(ask(replicas, good, bad, good))
    assert ys([first, last]) == [[[1]], [[1]]]
    assert isinstance(refused, InvalidArgument)
    assert "cannot be sent to the replica process" in str(refused)
    await ended(replicas, server)


@on_both_loops
async def test_the_replica_with_the_least_to_do_is_asked(tmp_path):
    one, two = [await Scripted(tmp_path / name).start() for name in "ab"]
    replicas = front(tmp_path / "a", tmp_path / "b")
    await until(lambda: "2 of 2" in repr(replicas))
    sent = [ask(replicas, rows(count)) for count in (5, 1, 2, 1)]
    # 5 rows to one, 1 and 2 to the other, which has its two batches then
    assert {(await one.asked()).counts[0], (await one.asked()).counts[0]} in ({5, 1}, {1, 2})
    assert one.asks.empty()
    first, second = await two.asked(), await two.asked()
    two.answer(second)
    two.answer(first)
    assert sum(future.done() for future in sent) == 0
    await until(lambda: sum(future.done() for future in sent) == 2)
    ask(replicas, rows(7))
    assert (await two.asked()).counts == [7]
    await ended(replicas, one, two)


@on_both_loops
async def test_a_batch_waits_for_a_replica_to_be_there(tmp_path):
    replicas = front(tmp_path / "r")
    answered = ask(replicas, rows(1))
    assert repr(replicas) == "<ProcessReplicas 0 of 1 connected, 1 batches in flight>"
    server = await serve(tmp_path / "r")
    assert ys(await soon(answered)) == [[2.0]]
    await ended(replicas, server)


@on_both_loops
async def test_a_replica_is_not_asked_before_it_greets(tmp_path):
    listening = listen(tmp_path / "r")  # the supervisor's; the process is still starting
    replicas = front(tmp_path / "r")
    answered = ask(replicas, rows(1))
    listening.setblocking(False)
    connection, _ = await soon(asyncio.get_running_loop().sock_accept(listening))
    with pytest.raises(BlockingIOError):
        connection.recv(1)
    assert not answered.done()
    connection.close()
    server = ReplicaServer(replica_set(InlineReplica(Doubler())), SIGNATURE)
    await server.start(listening)
    assert ys(await soon(answered)) == [[2.0]]
    await ended(replicas, server)


@on_both_loops
async def test_a_batch_of_a_lost_replica_is_sent_to_another(tmp_path):
    one, two = [await Scripted(tmp_path / name).start() for name in "ab"]
    replicas = front(tmp_path / "a", tmp_path / "b")
    await until(lambda: "2 of 2" in repr(replicas))
    answered = [ask(replicas, rows(1)), ask(replicas, rows(2))]
    await one.asked()
    kept = await two.asked()
    one.die()
    again = await two.asked()
    for asked in (kept, again):
        two.answer(asked)
    assert [ys(await soon(one)) for one in answered] == [[[1]], [[2, 2]]]
    await ended(replicas, one, two)


@on_both_loops
async def test_a_batch_waits_for_its_replica_to_come_back(tmp_path, logged):
    process = await Scripted(tmp_path / "r").start()
    replicas = front(tmp_path / "r")
    answered = ask(replicas, rows(3))
    await process.asked()
    process.die()
    await until(lambda: "0 of 1 connected, 1 batches" in repr(replicas))
    assert f"fraud@1: the replica process {os.getpid()} is gone" in logged.text
    await process.start()
    process.answer(await process.asked())
    assert ys(await soon(answered)) == [[3, 3, 3]]
    await ended(replicas, process)


@on_both_loops
async def test_a_batch_is_sent_no_more_than_twice(tmp_path):
    process = await Scripted(tmp_path / "r").start()
    replicas = front(tmp_path / "r")
    answered = ask(replicas, rows(1), rows(1))
    await process.asked()
    process.die()
    await process.start()
    await process.asked()
    process.die()
    for answer in await soon(answered):
        assert isinstance(answer, Unavailable)
        assert str(answer) == "the replica process ended before it answered; the request may be tried again"
    await ended(replicas, process)


@on_both_loops
async def test_a_batch_whose_model_must_not_be_asked_twice_is_not(tmp_path):
    process = await Scripted(tmp_path / "r").start()
    replicas = front(tmp_path / "r", idempotent=False)
    answered = ask(replicas, rows(1))
    await process.asked()
    process.die()
    assert [type(answer) for answer in await soon(answered)] == [Unavailable]
    fresh = ask(replicas, rows(1))  # was never sent, and so may wait
    await process.start()
    process.answer(await process.asked())
    assert ys(await soon(fresh)) == [[1]]
    await ended(replicas, process)


@on_both_loops
async def test_what_waited_too_long_for_a_replica_is_not_sent(tmp_path):
    clock = [10.0]
    replicas = ProcessReplicas([tmp_path / "r"], name="m", idempotent=True, clock=lambda: clock[0])
    late, timely = ask(replicas, rows(1), deadline=20.0), ask(replicas, rows(2), deadline=40.0)
    clock[0] = 30.0
    process = await Scripted(tmp_path / "r").start()
    assert [type(answer) for answer in await soon(late)] == [DeadlineExceeded]
    process.answer(await process.asked())
    assert ys(await soon(timely)) == [[2, 2]]
    await ended(replicas, process)


@on_both_loops
async def test_closing_refuses_what_waits_and_what_comes_and_finishes_what_runs(tmp_path):
    process = await Scripted(tmp_path / "r").start()
    replicas, lonely = front(tmp_path / "r"), front(tmp_path / "none")
    running, waiting = ask(replicas, rows(1)), ask(lonely, rows(1))
    asked = await process.asked()
    replicas.close()
    lonely.close()
    assert [type(answer) for answer in await soon(waiting)] == [Unavailable]
    assert [type(answer) for answer in await soon(ask(replicas, rows(1)))] == [Unavailable]
    process.answer(asked)
    assert ys(await soon(running)) == [[1]]
    await until(process.transport.is_closing)
    await ended(process)


@pytest.mark.parametrize("closing", [True, False])
@on_both_loops
async def test_a_replica_lost_while_closing_answers_nothing_more(tmp_path, closing):
    process = await Scripted(tmp_path / "r").start()
    replicas = front(tmp_path / "r")
    running = ask(replicas, rows(1))
    await process.asked()
    if closing:
        replicas.close()
        process.die()
        assert [type(answer) for answer in await soon(running)] == [Unavailable]
    else:
        process.die()
        await until(lambda: "0 of 1" in repr(replicas))
        replicas.close()
        assert [type(answer) for answer in await soon(running)] == [Unavailable]
    await ended(process)


@pytest.mark.parametrize(
    "frame",
    [
        hop.write(hop.Hello(hop.VERSION + 1, 1)),
        hop.write(hop.Answered(12345, [])),
        b"\xff\xff\xff\xff",
        b"\x02\x00\x00\x00??",
    ],
)
@on_both_loops
async def test_a_replica_that_is_not_understood_is_left_and_tried_again(tmp_path, frame, logged):
    process = await Scripted(tmp_path / "r").start()
    replicas = front(tmp_path / "r")
    answered = ask(replicas, rows(1))
    await process.asked()
    first = process.transport
    process.frames = hop.Frames()
    first.write(frame)
    process.answer(await process.asked())
    assert ys(await soon(answered)) == [[1]]
    assert "fraud@1: a replica process is not understood" in logged.text
    await ended(replicas, process)


@on_both_loops
async def test_a_replica_is_told_what_nobody_waits_for(tmp_path):
    process = await Scripted(tmp_path / "r").start()
    replicas = front(tmp_path / "r")
    answered, unwanted = send(replicas, rows(1), rows(1), rows(1))
    asked = await process.asked()
    unwanted((0, 2))
    assert await soon(process.cancelled.get()) == hop.Cancel(asked.id, [0, 2])
    process.answer(asked)
    assert len(await soon(answered)) == 3
    unwanted((1,))  # too late to matter
    await ended(replicas, process)
    assert process.cancelled.empty()


@on_both_loops
async def test_a_batch_that_waits_for_a_replica_in_vain_makes_room(tmp_path):
    replicas = front(tmp_path / "r")
    answered, unwanted = send(replicas, rows(1), rows(1))
    kept = ask(replicas, rows(3))
    unwanted((0,))
    assert not answered.done()
    unwanted((1,))
    assert [type(answer) for answer in await soon(answered)] == [Cancelled] * 2
    process = await Scripted(tmp_path / "r").start()
    asked = await process.asked()
    assert asked.counts == [3]
    process.answer(asked)
    await soon(kept)
    await ended(replicas, process)


@on_both_loops
async def test_what_was_answered_is_not_asked_of_another_replica(tmp_path):
    process, early = await Scripted(tmp_path / "r").start(), {}
    replicas = front(tmp_path / "r")
    answered, _ = send(replicas, rows(1), rows(2), rows(3), early=early)
    asked = await process.asked()
    told = Predictions.of({"y": np.array([7.0, 8.0])})
    process.transport.write(hop.write_answers(asked.id, [None, told, None]))
    await until(lambda: early)
    assert ys([early[1]]) == [[7.0, 8.0]]
    process.die()
    await until(lambda: "0 of 1 connected, 1 batches" in repr(replicas))
    await process.start()
    again = await process.asked()
    assert await soon(process.cancelled.get()) == hop.Cancel(again.id, [1])
    process.answer(again)
    assert ys(await soon(answered)) == [[1], [7.0, 8.0], [3, 3, 3]]
    await ended(replicas, process)


@pytest.mark.parametrize("left", [(0,), (0, 1)])
@on_both_loops
async def test_what_nobody_waits_for_is_not_sent_to_another_replica(tmp_path, left):
    process = await Scripted(tmp_path / "r").start()
    replicas = front(tmp_path / "r")
    answered, unwanted = send(replicas, rows(1), rows(1))
    await process.asked()
    unwanted(left)
    await soon(process.cancelled.get())
    process.die()
    if len(left) == 2:
        assert [type(answer) for answer in await soon(answered)] == [Cancelled] * 2
    else:
        await until(lambda: "0 of 1 connected, 1 batches" in repr(replicas))
        await process.start()
        again = await process.asked()
        assert await soon(process.cancelled.get()) == hop.Cancel(again.id, [0])
        process.answer(again)
        assert len(await soon(answered)) == 2
    await ended(replicas, process)


@on_both_loops
async def test_parts_that_are_sent_apart_are_cancelled_apart(tmp_path):
    process = await Scripted(tmp_path / "r").start()
    replicas = front(tmp_path / "r")
    good, bad = (Instances.of({"y": object_column([value])}) for value in ([1], "\ud800"))
    answered, unwanted = send(replicas, good, bad)
    asked = await process.asked()
    unwanted((0, 1))
    assert await soon(process.cancelled.get()) == hop.Cancel(asked.id, [0])
    process.answer(asked)
    await soon(answered)
    await ended(replicas, process)
