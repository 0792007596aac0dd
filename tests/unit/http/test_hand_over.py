"""Connections go from one process to another, and their callers notice nothing."""

import asyncio
import os
import socket
import threading
from collections import Counter
from itertools import pairwise

import h11
import pytest
import uvloop

from tests.integration.raw import Raw, chunked
from tests.unit.http.fakes import request, server_of, turns
from tests.unit.http.fronts import WITHIN, Place, stopped
from trivet.http import server as servers
from trivet.http.connection import Connection
from trivet.http.handover import KIND

MIB = 1 << 20


@pytest.fixture
def place():
    place = Place()
    yield place
    place.end()


@pytest.fixture
def call(place):
    """Return a function that connects."""
    opened = []

    def connect(*sent, **options):
        opened.append(Raw(place.url, **options))
        return opened[-1].send(*sent)

    yield connect
    for one in opened:
        one.socket.close()


def body(caller, method="POST"):
    return caller.answer(method)[2]


def test_an_idle_connection_goes_on_in_the_other_process(place, call):
    old, new = place.fork(2)
    caller = call(request("/hot", b"a"))
    assert body(caller) == b"0:a"
    _, takes = old.hand_over(new)
    new.result(takes)  # ends, since there was no other
    assert (old.connections(), new.connections()) == (0, 1)
    assert body(caller.send(request("/hot", b"b"))) == b"1:b"
    port = caller.socket.getsockname()[1]
    assert body(caller.send(request("/app", b"")), "POST") == b"1:%d POST" % port


def test_a_request_that_is_being_answered_is_answered_here_and_the_next_one_there(place, call):
    old, new = place.fork(2)
    busy, idle = call(request("/later", b"a")), call(request("/hot"))
    body(idle)
    old.until(waiting=1)
    _, takes = old.hand_over(new)
    assert body(idle.send(request("/hot", b"b"))) == b"1:b"
    busy.send(request("/hot", b"c"))
    old.until(buffered=len(request("/hot", b"c")))
    assert not new.is_done(takes)
    old.tell("release")
    assert [body(busy), body(busy)] == [b"0:a", b"1:c"]
    new.result(takes)
    assert old.connections() == 0


def test_an_answer_in_parts_ends_before_the_connection_goes(place, call):
    old, new = place.fork(2)
    caller = call(request("/stream", b""))
    old.until(answering=1)
    old.hand_over(new)
    old.tell("release")
    port = caller.socket.getsockname()[1]
    assert body(caller) == b"0:%d POST" % port
    assert body(caller.send(request("/hot", b"b"))) == b"1:b"


@pytest.mark.parametrize("size", [1, 30_000, 200_000])
def test_requests_that_wait_behind_one_another_go_along(place, call, size):
    old, new = place.fork(2)
    sent = [b"%d" % number * size for number in range(1, 4)]
    caller = call(request("/later", b"0"), *(request("/hot", one) for one in sent[:1]))
    old.until(waiting=1, buffered=len(request("/hot", sent[0])))
    old.hand_over(new)
    caller.send(*(request("/hot", one) for one in sent[1:]))
    old.tell("release")
    assert [body(caller) for _ in range(4)] == [b"0:0", *(b"1:" + one for one in sent)]


@pytest.mark.parametrize("cut", [1, 9, 30, -3])
def test_a_head_of_which_a_part_has_come(place, call, cut):
    old, new = place.fork(2)
    whole = request("/hot", b"")
    caller = call(whole[:cut])
    old.until(head=1)
    old.hand_over(new)
    assert body(caller.send(whole[cut:])) == b"1:"


@pytest.mark.parametrize(
    ("whole", "left", "gathered"),
    [
        (request("/hot", b"ab"), 1, 1),
        (request("/hot", b"a" * 4 * MIB), MIB, 3 * MIB),
        (chunked(b"a" * 10, b"b" * 10, path="/hot"), 8, 19),
        (chunked(b"a" * 10, b"b" * 10, path="/hot"), 12, 15),
        (chunked(b"a" * 10, b"b" * 10, path="/hot", trailers=b"x: y\r\n"), 3, 20),
        (chunked(b"a" * 100_000, b"b" * 100_000, path="/hot"), 50_007, 150_000),
    ],
    ids=lambda one: str(one)[-9:],
)
def test_a_body_of_which_a_part_has_come(place, call, whole, left, gathered):
    old, new = place.fork(2)
    wanted = body(call(whole))[2:]
    caller = call(whole[:-left])
    old.until(body=1, gathered=gathered)
    old.hand_over(new)
    new.until(body=1, gathered=gathered)
    assert body(caller.send(whole[-left:])) == b"1:" + wanted


EXPECTS = request("/hot", b"ab", b"Expect: 100-continue")


def test_who_was_told_to_continue_is_not_told_again(place, call):
    old, new = place.fork(2)
    caller = call(EXPECTS[:-2])
    assert caller.socket.recv(100, socket.MSG_PEEK).startswith(b"HTTP/1.1 100")
    old.hand_over(new)
    new.until(body=1)
    assert body(caller.send(EXPECTS[-2:])) == b"1:ab"
    assert body(caller.send(EXPECTS)) == b"1:ab"
    assert caller.informed == [100]


def test_who_asks_to_continue_in_a_head_that_is_cut_is_told(place, call):
    old, new = place.fork(2)
    caller = call(EXPECTS[:-5])
    old.until(head=1)
    old.hand_over(new)
    caller.send(EXPECTS[-5:-2])
    assert caller.socket.recv(100, socket.MSG_PEEK).startswith(b"HTTP/1.1 100")
    assert body(caller.send(EXPECTS[-2:])) == b"1:ab"
    assert caller.informed == [100]


def test_who_has_ended_its_own_side_has_its_answers(place, call):
    old, new = place.fork(2)
    caller = call(request("/later", b"a"), request("/hot", b"b"), request("/hot", b"c")).half_close()
    old.until(waiting=1, ended=1)
    old.hand_over(new)
    old.tell("release")
    assert [body(caller), body(caller), body(caller)] == [b"0:a", b"1:b", b"1:c"]
    assert caller.is_over()


def test_who_leaves_while_its_connection_goes_is_forgotten(place, call):
    old, new = place.fork(2)
    callers = [call(request("/hot")) for _ in range(20)]
    for caller in callers:
        body(caller)
    with stopped(new):
        old.result(old.begin_hand_over(new)[0])
        for caller in callers[:10]:
            caller.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # with a reset
        for caller in callers:
            caller.socket.close()
    new.until(idle=0)
    assert old.connections() == 0


def test_who_does_not_read_its_answer_goes_once_it_has(place, call):
    old, new = place.fork(2)
    caller = call(request("/large", b"a") + request("/hot", b"b"), receive_buffer=1 << 17)
    old.until(buffered=len(request("/hot", b"b")))
    old.hand_over(new)
    assert (old.connections(), old.tell("counts")["high_water"]) == (
        1,
        0,
    )  # so that it is told when all is sent
    assert body(caller) == b"0:a".ljust(8 * MIB)
    assert body(caller) == b"1:b"
    assert old.connections() == 0


def test_a_thousand_connections_go_and_leave_nothing_behind(place, call):
    old, new, third = place.fork(3)
    before = [front.tell("counts")["sockets"] for front in place.fronts]
    callers = [call(request("/hot")) for _ in range(1000)]
    for caller in callers:
        body(caller)
    for front, to in ((old, new), (new, third)):
        _, takes = front.hand_over(to)
        to.result(takes)
        front.until(idle=0, moving=0, closing=0)
    for caller in callers:
        assert body(caller.send(request("/hot", b"x"))) == b"2:x"
        caller.socket.close()
    third.until(idle=0)
    after = [front.tell("counts")["sockets"] for front in place.fronts]
    assert after == [before[0] - 1, *before[1:]]  # the first has closed what it listened on


def test_what_takes_over_may_be_slow(place, call):
    old, new = place.fork(2)
    callers = [call(request("/hot")) for _ in range(500)]
    for caller in callers:
        body(caller)
    with stopped(new):
        hands, takes = old.begin_hand_over(new)
        old.until(moving=range(100, 400))  # and it can say so: it does not wait itself
        for caller in callers:
            caller.send(request("/hot", b"x" * 10_000))
        assert not old.is_done(hands)
        assert old.tell("counts")["buffered"] == 0
    old.result(hands)
    new.result(takes)
    assert {body(caller) for caller in callers} == {b"1:" + b"x" * 10_000}


def test_what_comes_to_a_process_that_hands_over_is_not_read_there(place, call):
    old, new, third = place.fork(3)
    caller, *others = [call(request("/hot")) for _ in range(500)]
    assert len(answered([caller, *others])[1]) == 500
    caller.send(request("/later"))
    old.until(waiting=1)
    old.hand_over(new)
    new.until(idle=499)
    with stopped(third):
        hands, _ = new.begin_hand_over(third)
        new.until(moving=range(100, 400))
        old.tell("release")
        old.until(answering=0, moving=0)
        assert body(caller) == b"0:x"
        sending = threading.Thread(target=caller.send, args=[request("/hot", b"x" * 12 * MIB)])
        sending.start()
        sending.join(0.3)
        assert sending.is_alive()
        assert new.tell("counts")["buffered"] < MIB
    sending.join()
    new.result(hands)
    assert body(caller) == b"2:" + b"x" * 12 * MIB


async def test_what_was_sent_is_taken_over_though_no_more_is_wanted():
    server, callers = server_of(), []
    given, taken = socket.socketpair(socket.AF_UNIX, KIND)
    with socket.create_server(("127.0.0.1", 0)) as listening, given:
        for number in range(3):
            with socket.create_connection(listening.getsockname()) as caller, listening.accept()[0] as here:
                socket.send_fds(given, [b"\3" + request("/hot", b"%d" % number)], [here.fileno()])
                callers.append(caller.dup())
        taking = asyncio.create_task(server.take_over(taken))
        await asyncio.sleep(0)
        taking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await taking
        with pytest.raises(BrokenPipeError):
            given.send(b"\3")
    for number, caller in enumerate(callers):
        with caller:
            caller.setblocking(False)
            answer = await asyncio.get_running_loop().sock_recv(caller, 1000)
            assert answer.endswith(b"<%d>" % number)
    server.abort()
    await turns()


def test_a_connection_that_was_accepted_just_before_goes_as_well(monkeypatch):
    async def accept_and_hand_over():
        server, begun = server_of(), asyncio.get_running_loop().create_future()
        given, taken = socket.socketpair(socket.AF_UNIX, KIND)
        taken.setblocking(False)

        def accepted(server):
            begun.set_result(asyncio.create_task(server.hand_over(given)))  # before the connection is made
            return Connection(server)

        monkeypatch.setattr(servers, "Connection", accepted)
        listening = socket.create_server(("127.0.0.1", 0))
        with taken, socket.create_connection(listening.getsockname()):
            await server.listen(listening)
            await (await begun)
            message, sent, _, _ = socket.recv_fds(taken, 10, 1)
            os.close(*sent)
            assert message == b"\3"
            assert repr(server).startswith("<HttpServer 0 connections")
        server.abort()

    uvloop.run(accept_and_hand_over())


def answered(callers, *sent):
    """Send something on each of these; the answers by their counts, and those callers that got one."""
    answers, left = Counter(), []
    for caller in callers:
        try:
            answers[body(caller.send(*sent))] += 1
            left.append(caller)
        except (h11.RemoteProtocolError, ConnectionError):
            pass
    return answers, left


@pytest.mark.parametrize("how", ["ends", "cancelled"])
def test_a_hand_over_that_fails_leaves_the_rest_as_it_was(place, call, how):
    old, new = place.fork(2)
    whole = request("/hot", b"ab")
    idle, partial = [call(request("/hot")) for _ in range(250)], [call(whole[:-1]) for _ in range(250)]
    assert answered(idle)[0] == {b"0:x": 250}
    old.until(idle=250, body=250)
    given, taken = socket.socketpair(socket.AF_UNIX, KIND)
    with taken:
        hands = old.start("hand_over", give=[given])
        old.until(moving=range(1, 500))
        if how == "cancelled":
            old.tell("cancel", hands)
        else:
            taken.close()
        with pytest.raises(RuntimeError, match="Cancelled" if how == "cancelled" else "ConnectionReset"):
            old.result(hands)
    old.until(moving=0, high_water=64 * 1024)
    left = old.tell("counts")["states"]
    assert 100 < left["idle"] + left["body"] < 500
    answers, idle = answered(idle, request("/hot"))
    assert answers == {b"0:x": left["idle"]}
    answers, partial = answered(partial, whole[-1:])
    assert answers == {b"0:ab": left["body"]}
    _, takes = old.hand_over(new)
    new.result(takes)
    assert answered(idle + partial, request("/hot"))[0] == {b"1:x": left["idle"] + left["body"]}


def test_a_connection_that_cannot_go_any_more_is_kept_for_another_process(place, call):
    old, new, third = place.fork(3)
    caller = call(request("/later", b"a"), request("/hot", b"b"))
    old.until(waiting=1)
    old.hand_over(new)
    new.kill()
    old.tell("release")
    assert body(caller) == b"0:a"
    old.until(moving=1)
    old.hand_over(third)
    assert body(caller) == b"2:b"


def test_a_connection_that_cannot_go_any_more_ends_when_its_process_retires(place, call):
    old, new = place.fork(2)
    one, other = call(request("/later", b"a")), call(request("/later", b"b"))
    old.until(waiting=2)
    old.hand_over(new)
    retires = old.start("retire", 0, WITHIN)
    assert not old.is_done(retires)
    new.kill()
    old.tell("release")
    assert [body(one), body(other)] == [b"0:a", b"0:b"]
    assert one.is_over()
    assert other.is_over()
    old.result(retires)


def test_who_retires_has_handed_over_all(place, call):
    old, new = place.fork(2)
    caller = call(request("/later", b"a"))
    old.until(waiting=1)
    old.hand_over(new)
    retires = old.start("retire", 0, WITHIN)
    assert not old.is_done(retires)
    old.tell("release")
    old.result(retires)
    assert body(caller) == b"0:a"
    assert body(caller.send(request("/hot", b"b"))) == b"1:b"


def test_who_retires_has_handed_over_all_of_the_last(place, call):
    old, new = place.fork(2)
    large = request("/hot", b"x" * 220_000)
    caller = call(request("/later", b"a") + large)
    old.until(waiting=1, buffered=len(large))
    old.hand_over(new)
    with stopped(new):
        old.tell("release")
        assert body(caller) == b"0:a"
        old.until(moving=0, closing=0)
        retires = old.start("retire", 0, WITHIN)
        old.tell("counts")
        assert not old.is_done(retires)
    old.result(retires)
    old.kill()
    assert body(caller) == b"1:" + b"x" * 220_000


def test_who_retires_already_can_hand_over(place, call):
    old, new = place.fork(2)
    idle, busy = call(request("/hot", b"a")), call(request("/later", b"b"))
    body(idle)
    old.until(waiting=1)
    retires = old.start("retire", WITHIN, WITHIN)
    old.hand_over(new)
    old.tell("release")
    old.result(retires)
    assert body(busy) == b"0:b"
    assert [body(one.send(request("/hot", b"c"))) for one in (idle, busy)] == [b"1:c", b"1:c"]


def test_a_connection_may_go_through_a_process_that_hands_over_itself(place, call):
    fronts = place.fork(4)
    callers = []
    for front, to in pairwise(fronts):
        callers.append(call(request("/later", b"a")))
        front.until(waiting=1)
        to.tell("listen")
        front.hand_over(to)
    retires = fronts[1].start("retire", 0, WITHIN)
    for number in (2, 1, 0):
        assert not fronts[1].is_done(retires)
        fronts[number].tell("release")
        assert body(callers[number]) == b"%d:a" % number
        assert body(callers[number].send(request("/hot", b"b"))) == b"3:b"
    fronts[1].result(retires)
    for front in fronts[:3]:
        assert front.connections() == 0


def test_the_new_process_ends_connections_that_are_idle_for_too_long(place, call):
    old, new = place.fork(2, idle_timeout=0.4)
    caller = call(request("/hot"))
    body(caller)
    old.hand_over(new)
    new.until(idle=1)
    assert caller.is_over()
    new.until(idle=0)


def test_the_new_process_has_no_more_connections_than_it_may(place, call):
    old, new = place.fork(2, max_connections=2)
    callers = [call(request("/hot")) for _ in range(2)]
    assert answered(callers)[0] == {b"0:x": 2}
    new.tell("listen")
    old.tell("stop_listening")
    callers.append(call(request("/hot")))
    assert body(callers[2]) == b"1:x"
    old.hand_over(new)
    new.until(idle=2, lingering=1)
    refused = {answer for answer in answered(callers, request("/hot"))[0] if answer != b"1:x"}
    assert [b"more than 2 connections" in answer for answer in refused] == [True]


def test_only_one_hand_over_at_a_time(place, call):
    old, new = place.fork(2)
    call(request("/later"))
    old.until(waiting=1)
    old.hand_over(new)
    with pytest.raises(RuntimeError, match="before"):
        old.hand_over(new)


def test_other_kinds_of_sockets_are_refused(place):
    (old,) = place.fork(1)
    for verb in ("hand_over", "take_over"):
        given, other = socket.socketpair()
        with other, pytest.raises(RuntimeError, match="SOCK_SEQPACKET"):
            old.result(old.start(verb, give=[given]))
